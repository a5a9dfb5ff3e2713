"""The security headers of each kind of answer (ASVS 5.0 V3.4, V14.3): what a browser may do with it, and which caches may keep it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flasgger
import pytest
from factories import Database, bearer
from flask import Flask
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from blueprints.users import routes

NOTHING = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
KEPT_BY_NOBODY, KEPT_AND_ASKED_AGAIN, KEPT_BY_ONE = "no-store", "no-cache", "no-cache, private"

TOKEN, USERS, ITEM = "/api/authentication_token", "/api/users", "/api/users/{id}"
RIGHT = {"username": "admin", "password": "secret"}
ANONYMOUS: dict[str, str] = {}

#: A request (method, path, JSON, more headers), then the status and Cache-Control of its answer.
ANSWERS: dict[str, tuple[str, str, Any, dict[str, str], int, str]] = {
    "token": ("POST", TOKEN, RIGHT, ANONYMOUS, 200, KEPT_BY_NOBODY),
    "wrong password": ("POST", TOKEN, RIGHT | {"password": "no"}, ANONYMOUS, 401, KEPT_BY_NOBODY),
    "bad sign-in": ("POST", TOKEN, {}, ANONYMOUS, 400, KEPT_BY_NOBODY),
    "no token": ("GET", USERS, None, ANONYMOUS, 401, KEPT_BY_NOBODY),
    "bad token": ("GET", USERS, None, {"Authorization": "Bearer a.b.c"}, 401, KEPT_BY_NOBODY),
    "list": ("GET", USERS, None, {"Authorization": ""}, 200, KEPT_BY_ONE),
    "head of a list": ("HEAD", USERS, None, {"Authorization": ""}, 200, KEPT_BY_ONE),
    "table": ("GET", f"{USERS}.csv", None, {"Authorization": ""}, 200, KEPT_BY_ONE),
    "item": ("GET", ITEM, None, {"Authorization": ""}, 200, KEPT_BY_ONE),
    "me": ("GET", "/api/me", None, {"Authorization": ""}, 200, KEPT_BY_ONE),
    "not modified": ("GET", ITEM, None, {"Authorization": "", "If-None-Match": "*"}, 304, KEPT_BY_ONE),
    "created": ("POST", USERS, {"username": "new", "email": "new@example.com"}, {"Authorization": ""}, 201, KEPT_BY_ONE),
    "deleted": ("DELETE", ITEM, None, {"Authorization": ""}, 204, KEPT_BY_ONE),
    "violation": ("POST", USERS, {"username": ""}, {"Authorization": ""}, 422, KEPT_BY_NOBODY),
    "other version": ("DELETE", ITEM, None, {"Authorization": "", "If-Match": '"x"'}, 412, KEPT_BY_NOBODY),
    "other format": ("GET", USERS, None, {"Authorization": "", "Accept": "image/png"}, 406, KEPT_BY_NOBODY),
    "other type": ("POST", USERS, None, {"Authorization": "", "Content-Type": "text/plain"}, 415, KEPT_BY_NOBODY),
    "missing": ("GET", f"{USERS}/987654", None, {"Authorization": ""}, 404, KEPT_BY_NOBODY),
    "no route": ("GET", "/nope", None, ANONYMOUS, 404, KEPT_BY_NOBODY),
    "other method": ("TRACE", USERS, None, ANONYMOUS, 405, KEPT_BY_NOBODY),
    "slash too many": ("GET", f"{USERS}/", None, ANONYMOUS, 301, KEPT_BY_NOBODY),
    "preflight": (
        *("OPTIONS", USERS, None),
        {"Origin": "http://localhost", "Access-Control-Request-Method": "GET"},
        *(204, KEPT_BY_NOBODY),
    ),
    "health": ("GET", "/healthz", None, ANONYMOUS, 200, KEPT_BY_NOBODY),
    "context": ("GET", "/api/contexts/User", None, ANONYMOUS, 200, KEPT_AND_ASKED_AGAIN),
    "OpenAPI": ("GET", "/api/docs.json", None, ANONYMOUS, 200, KEPT_AND_ASKED_AGAIN),
    "Hydra": ("GET", "/api/docs.jsonld", None, ANONYMOUS, 200, KEPT_AND_ASKED_AGAIN),
}

FAILURES = {500: RuntimeError("SELECT password"), 503: OperationalError("SELECT secret", {}, Exception("at 10.0.0.1"))}


@pytest.fixture
def ask(app: Flask, database: Database) -> Callable[..., TestResponse]:
    """Send a request without a token, or as an administrator if `Authorization` is empty."""
    admin = database.make_user("admin", ["ROLE_ADMIN"], password="secret")
    target = database.make_user("target")

    def ask_it(method: str, path: str, json: Any, headers: dict[str, str]) -> TestResponse:
        token = bearer(app, admin) if headers.get("Authorization") == "" else {}
        return app.test_client().open(path.format(id=target.id), method=method, json=json, headers=headers | token)

    return ask_it


def assert_safe(answer: TestResponse, cache_control: str, policy: str = NOTHING) -> None:
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "deny"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == policy
    assert headers["Cache-Control"] == cache_control
    assert not [name for name in ("Server", "X-Powered-By", "Set-Cookie") if name in headers]
    assert [len(headers.getlist(name)) for name in ("Content-Security-Policy", "Cache-Control", "Referrer-Policy")] == [1, 1, 1]


@pytest.mark.parametrize("name", ANSWERS)
def test_every_kind_of_answer_has_its_safe_headers(ask: Callable[..., TestResponse], name: str) -> None:
    *question, status, cache_control = ANSWERS[name]
    answer = ask(*question)
    assert answer.status_code == status
    assert_safe(answer, cache_control)


@pytest.mark.parametrize("status", FAILURES)
def test_failure_of_the_server_has_them_too_and_tells_nothing(
    ask: Callable[..., TestResponse], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise FAILURES[status]

    monkeypatch.setattr(routes, "paginate", fail)
    answer = ask("GET", USERS, None, {"Authorization": ""})
    assert answer.status_code == status
    assert_safe(answer, KEPT_BY_NOBODY)
    assert not [word for word in ("SELECT", "10.0.0.1", "Error", "Traceback") if word in answer.text.replace("Server Error", "")]


def test_page_of_the_explorer_has_a_policy_of_its_own(ask: Callable[..., TestResponse]) -> None:
    answer = ask("GET", "/api", None, {"Accept": "text/html"})
    policy = answer.headers["Content-Security-Policy"]
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert_safe(answer, KEPT_BY_NOBODY, policy)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["default-src"], rules["script-src"], rules["frame-ancestors"]) == ("'none'", "'self'", "'none'")


def test_old_bundle_of_flasgger_is_not_served(ask: Callable[..., TestResponse]) -> None:
    files = Path(flasgger.__file__).parent / "ui3" / "static"

    def answer(path: str) -> tuple[int, bytes]:
        with ask("GET", path, None, ANONYMOUS) as given:
            return given.status_code, given.data

    status, bundle = answer("/api/docs/assets/swagger-ui-bundle.js")
    assert (status, len(bundle) > 10**6) == (200, True)
    for file in files.rglob("*.js"):
        name = file.relative_to(files)
        assert answer(f"/flasgger_static/{name}")[0] == 404
        assert answer(f"/api/docs/assets/{name}")[1] != file.read_bytes()
    for path in ("/apidocs", "/apidocs/", "/apispec_1.json", "/oauth2-redirect.html"):
        assert answer(path)[0] == 404
