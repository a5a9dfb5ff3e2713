"""Every route says who may call it, and one module says who may do what with users."""

import ast
from pathlib import Path

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
    "/",
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


def test_chamilo_3_opens_its_own_documents_and_the_pages_of_errors(tmp_path: Path) -> None:
    app = create_app(settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/poort.db", CHAMILO_VERSION="3"))
    rules = {rule.rule for rule in app.url_map.iter_rules() if app.view_functions[rule.endpoint].access_rule == "public"}
    assert rules - OPEN_TO_ALL == {
        "/api/docs.<segment:suffix>",
        "/api/docs.yamlopenapi",
        "/api/errors/<segment:status><suffix:suffix>",
        "/api/validation_errors/<segment:codes>",
    }
    assert OPEN_TO_ALL - rules == {"/api/docs.json"}


def test_planted_bare_route_stops_the_start(routed: Flask) -> None:
    routed.view_functions["bare"] = lambda: "x"
    with pytest.raises(RuntimeError, match="bare"):
        refuse_undeclared_routes(routed)


@pytest.mark.parametrize("declare", [public, requires(lambda _caller: True)])
def test_declared_route_does_not(declare: object) -> None:
    app = Flask("x", static_folder=None)
    app.add_url_rule("/x", "x", declare(lambda: "x"))
    refuse_undeclared_routes(app)


#: The start page, and paths that other standards or orchestrators expect.
OUTSIDE_API = {"/", "/.well-known/jwks.json", "/healthz", "/readyz", "/metrics"}


def test_every_route_is_under_a_known_prefix(routed: Flask) -> None:
    paths = {rule.rule for rule in routed.url_map.iter_rules()}
    assert [path for path in paths if not path.startswith("/api") and path not in OUTSIDE_API] == []


# --- Rights over users

ROOT = Path(__file__).parents[2]

#: Names that decide about rights: a caller's roles, and the refusal.
DECIDING = {"is_granted", "AccessDenied"}


def deciding_words(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)} | {
        node.id for node in nodes if isinstance(node, ast.Name)
    }
    return used & DECIDING


def test_rights_over_users_are_decided_in_one_module() -> None:
    modules = {path.name: deciding_words(path.read_text()) for path in (ROOT / "blueprints" / "users").glob("*.py")}
    assert {name: words for name, words in modules.items() if words} == {"policy.py": DECIDING}


def test_planted_decision_is_found() -> None:
    assert deciding_words("if caller.is_granted('ROLE_ADMIN'): raise AccessDenied") == DECIDING
