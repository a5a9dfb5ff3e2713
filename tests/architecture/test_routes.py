"""Every route says who may call it."""

import pytest
from factories import settings_for
from flask import Flask

from app import create_app
from security.access import public, refuse_undeclared_routes, requires


@pytest.fixture
def routed(tmp_path: object) -> Flask:
    return create_app(settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/poort.db"))


def test_every_route_declares_its_rule(routed: Flask) -> None:
    assert [name for name, view in routed.view_functions.items() if not hasattr(view, "access_rule")] == []


OPEN_TO_ALL = {
    "/.well-known/jwks.json",
    "/api",
    "/api/authentication_token",
    "/api/contexts/<segment:name>",
    "/api/contexts/<segment:name>.jsonld",
    "/api/docs",
    "/api/docs.html",
    "/api/docs.json",
    "/api/docs.jsonld",
    "/api/docs.jsonopenapi",
    "/api/docs/assets/<path:filename>",
    "/api/docs/explorer/<path:filename>",
    "/api/index.jsonld",
    "/healthz",
    "/readyz",
}


def test_only_these_routes_are_open_to_all(routed: Flask) -> None:
    rules = routed.url_map.iter_rules()
    assert {rule.rule for rule in rules if routed.view_functions[rule.endpoint].access_rule == "public"} == OPEN_TO_ALL


def test_planted_bare_route_stops_the_start(routed: Flask) -> None:
    routed.view_functions["bare"] = lambda: "x"
    with pytest.raises(RuntimeError, match="bare"):
        refuse_undeclared_routes(routed)


@pytest.mark.parametrize("declare", [public, requires(lambda _caller: True)])
def test_declared_route_does_not(declare: object) -> None:
    app = Flask("x", static_folder=None)
    app.add_url_rule("/x", "x", declare(lambda: "x"))
    refuse_undeclared_routes(app)


#: What other standards and orchestrators look for at a fixed place.
OUTSIDE_API = {"/.well-known/jwks.json", "/healthz", "/readyz", "/metrics"}


def test_every_route_is_under_a_known_prefix(routed: Flask) -> None:
    paths = {rule.rule for rule in routed.url_map.iter_rules()}
    assert [path for path in paths if not path.startswith("/api") and path not in OUTSIDE_API] == []
