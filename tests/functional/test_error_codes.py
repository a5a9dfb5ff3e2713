"""Every error answer carries a word for its cause, and docs/errors.md explains each word."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from databases import Databases
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from blueprints.health import routes as health
from blueprints.users import routes
from deploy.worker import REFUSALS
from models.user import User
from rest.error_codes import HEADER, OF_STATUS, ROUTE_NOT_FOUND, error_code
from security.keys.pair import UnusableKey

ROOT = Path(__file__).parents[2]

_ROW = re.compile(r"^\| `([a-z_]+)` \| (\d{3}) \| (.+) \| (.+) \|$", re.MULTILINE)


@pytest.fixture
def database(databases: Databases) -> Database:
    """The database decides none of these answers, so one kind is enough."""
    return databases.shared("sqlite")


@pytest.fixture
def admin(database: Database) -> User:
    return database.make_user("admin", ["ROLE_ADMIN"], password="the admin's password")


@pytest.fixture
def headers(app: Flask, admin: User) -> dict[str, str]:
    return bearer(app, admin)


def descendants(kind: type[HTTPException]) -> Iterator[type[HTTPException]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def declared() -> set[tuple[str, int]]:
    """Return the words of all failures that the server can raise or send, each with its status."""
    ours = {kind for kind in descendants(HTTPException) if isinstance(kind.__dict__.get("error_code"), str)}
    nginx = re.search(r"map \$status \$poort_error_code \{(.+?)\}", (ROOT / "deploy" / "nginx.conf").read_text(), re.DOTALL)
    assert nginx
    by_nginx = {(word, int(status)) for status, word in re.findall(r"(\d{3}) (\w+);", nginx[1])}
    return {
        *((kind.error_code, kind.code) for kind in ours),
        *((word, status) for status, word in OF_STATUS.items()),
        *((word, status) for status, word, _ in REFUSALS.values()),
        *((word, 400 if status == 497 else 503 if status > 501 else status) for word, status in by_nginx),
        (ROUTE_NOT_FOUND, 404),
        ("not_ready", 503),
    }


def test_page_explains_each_word_with_its_status_once() -> None:
    rows = _ROW.findall((ROOT / "docs" / "errors.md").read_text())
    explained = [(word, int(status)) for word, status, _, _ in rows]
    assert sorted(explained) == sorted(declared())


def test_failure_that_has_no_word_of_its_own_has_that_of_its_status() -> None:
    known = {
        kind.code for kind in descendants(HTTPException) if kind.__module__.split(".")[0] in {"rest", "security", "blueprints"}
    }
    assert known <= OF_STATUS.keys()
    assert error_code(HTTPException()) == "internal_error"


TOKEN = "/api/authentication_token"
JSON = {"Content-Type": "application/json"}

#: Words by request: method, path, header fields, body. None for the bearer token of the administrator.
ANONYMOUS = {
    "token_missing": ("GET", "/api/users", {}, None),
    "token_invalid": ("GET", "/api/users", {"Authorization": "Bearer x.y.z"}, None),
    "route_not_found": ("GET", "/nope", {}, None),
    "format_not_found": ("GET", "/api/users.pdf", {}, None),
    "not_found": ("GET", "/api/contexts/Nope", {}, None),
    "method_not_allowed": ("PATCH", "/api/users", {}, None),
    "not_acceptable": ("GET", "/api/users", {"Accept": "application/pdf"}, None),
    "unsupported_media_type": ("POST", TOKEN, {"Content-Type": "text/plain"}, "x"),
    "malformed_json": ("POST", TOKEN, JSON, "{"),
    "invalid_body": ("POST", TOKEN, JSON, "{}"),
    "body_too_large": ("POST", TOKEN, JSON, '{"username": "' + "x" * 20_000 + '"}'),
    "invalid_credentials": ("POST", TOKEN, JSON, '{"username": "admin", "password": "wrong"}'),
}

SIGNED_IN = {
    "not_found": ("GET", "/api/users/2000000000", {}, None),
    "route_not_found": ("DELETE", "/api/users/", {}, None),
    "portal_not_found": ("POST", "/api/access_urls/7/user", JSON, '{"username": "x", "email": "x@example.com"}'),
    "invalid_query": ("GET", "/api/users?page=0", {}, None),
    "invalid_body": ("POST", "/api/users", JSON, '{"username": 1}'),
    "malformed_json": ("POST", "/api/users", JSON, "{"),
    "validation_failed": ("POST", "/api/users", JSON, "{}"),
    "precondition_failed": ("DELETE", "{other}", {"If-Match": '"x"'}, None),
    "own_account": ("DELETE", "{own}", {}, None),
    "last_administrator": ("PUT", "{own}", JSON, '{"roles": []}'),
    "role_not_grantable": ("PUT", "{other}", JSON, '{"roles": ["ROLE_GLOBAL_ADMIN"]}'),
    "username_taken": ("POST", "/api/access_urls/1/user", JSON, '{"username": "ADMIN", "email": "x@example.com"}'),
    "email_taken": ("POST", "/api/access_urls/1/user", JSON, '{"username": "x", "email": "admin@example.com"}'),
    "extra_field_not_found": (
        "POST",
        "/api/access_urls/1/user",
        JSON,
        '{"username": "x", "email": "x@example.com", "extraFields": {"nope": "x"}}',
    ),
    "mail_not_configured": (
        "POST",
        "/api/access_urls/1/user",
        JSON,
        '{"username": "x", "email": "x@example.com", "sendEmail": true}',
    ),
    "wrong_password": ("POST", "/api/me/totp", JSON, '{"password": "wrong"}'),
    "second_factor_not_begun": ("PUT", "/api/me/totp", JSON, '{"totp": "123456"}'),
    "second_factor_off": ("DELETE", "/api/me/totp", JSON, '{"totp": "123456"}'),
}


@pytest.mark.parametrize("word", ANONYMOUS)
def test_refusal_of_a_stranger_has_its_word(client: FlaskClient, admin: User, word: str) -> None:
    assert admin.id
    method, path, fields, body = ANONYMOUS[word]
    answer = client.open(path, method=method, headers=fields, data=body)
    assert answer.status_code >= 400
    assert answer.headers.getlist(HEADER) == [word]


@pytest.mark.parametrize("word", SIGNED_IN)
def test_refusal_of_a_user_has_its_word(
    client: FlaskClient, headers: dict[str, str], admin: User, database: Database, word: str
) -> None:
    method, path, fields, body = SIGNED_IN[word]
    path = path.format(own=f"/api/users/{admin.id}", other=f"/api/users/{database.make_user('other').id}")
    answer = client.open(path, method=method, headers=headers | fields, data=body)
    assert answer.status_code >= 400
    assert answer.headers.getlist(HEADER) == [word], answer.text


def test_user_without_the_right_reads_access_denied(app: Flask, client: FlaskClient, database: Database) -> None:
    answer = client.post("/api/users", json={}, headers=bearer(app, database.make_user("student")))
    assert (answer.status_code, answer.headers[HEADER]) == (403, "access_denied")


def test_expired_token_has_its_word(app: Flask, client: FlaskClient, admin: User, clock: Callable[[], object]) -> None:
    stale = bearer(app, admin)
    clock.advance(3600)  # type: ignore[attr-defined]
    assert client.get("/api/me", headers=stale).headers[HEADER] == "token_expired"


def test_throttled_sign_in_has_its_word(make_app: Callable[..., Flask], admin: User) -> None:
    client = make_app(LOGIN_THROTTLING_MAX_ATTEMPTS="1").test_client()
    words = [client.post(TOKEN, json={"username": admin.username, "password": "wrong"}).headers[HEADER] for _ in range(2)]
    assert words == ["invalid_credentials", "too_many_attempts"]


def test_reasons_that_a_client_must_not_tell_apart_have_one_word(client: FlaskClient, database: Database, admin: User) -> None:
    database.make_user("gone", password="right", active=0)
    given = ((admin.username, "wrong"), ("nobody", "wrong"), ("gone", "right"), ("", ""))
    answers = [client.post(TOKEN, json={"username": name, "password": password}) for name, password in given]
    assert [answer.headers[HEADER] for answer in answers] == ["invalid_credentials"] * 4


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (OperationalError("SELECT 1", {}, Exception("gone"), connection_invalidated=True), "database_unavailable"),
        (UnusableKey("none"), "keys_unavailable"),
        (RuntimeError("a fault"), "internal_error"),
    ],
)
def test_failure_of_the_server_has_its_word(
    client: FlaskClient, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch, failure: Exception, word: str
) -> None:
    def fail(*_arguments: object) -> None:
        raise failure

    monkeypatch.setattr(routes, "paginate", fail)
    assert client.get("/api/users", headers=headers).headers[HEADER] == word


def test_server_that_is_not_ready_has_its_word(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_check_keys", lambda: False)
    assert client.get("/readyz").headers[HEADER] == "not_ready"


@pytest.mark.parametrize("path", ["/healthz", "/api/users", "/api/users/", "/api/me.json"])
def test_answer_that_is_no_error_has_no_word(client: FlaskClient, headers: dict[str, str], path: str) -> None:
    answer = client.get(path, headers=headers)
    assert (answer.status_code < 400, HEADER in answer.headers) == (True, False)


def test_body_that_ends_early_has_its_word(client: FlaskClient) -> None:
    answer = client.post(TOKEN, headers=JSON, data="{}", environ_overrides={"CONTENT_LENGTH": "9"})
    assert (answer.status_code, answer.headers[HEADER]) == (400, "incomplete_body")
