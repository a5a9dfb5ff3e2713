"""/api/me/sessions lists and ends the sessions of the signed-in user."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers import name_in
from factories import CONTRACT, Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy import update

from models import AuditRecord, RefreshToken, SignInSession
from models.refresh_token import remove_expired_sessions
from security.access import is_public

PATH = "/api/me/sessions"
ON = {"REFRESH_TOKEN_TTL": "1000"}
NO_SESSION = "0" * 32


@pytest.fixture
def refreshing(shared_app: Callable[..., Flask]) -> FlaskClient:
    """A client of an application with refresh tokens."""
    return shared_app(**ON).test_client()


def sign_in(client: FlaskClient, username: str = "alice", **options: Any) -> dict[str, Any]:
    return client.post("/api/authentication_token", json={"username": username, "password": "secret"}, **options).json


def refresh(client: FlaskClient, given: dict[str, Any]) -> tuple[int, Any]:
    answer = client.post("/api/token/refresh", json={"refresh_token": given["refresh_token"]})
    return answer.status_code, answer.json


def as_bearer(given: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {given['token']}"}


def sessions(client: FlaskClient, given: dict[str, Any]) -> list[dict[str, Any]]:
    return client.get(PATH, headers=as_bearer(given)).json


def is_good(client: FlaskClient, given: dict[str, Any]) -> bool:
    return client.get("/api/me", headers=as_bearer(given)).status_code == 200


def test_session_is_shown_whole(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing, headers={"User-Agent": "Phone/1.0"}, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    clock.advance(60.5)
    refresh(refreshing, given)
    answer = refreshing.get(PATH, headers=as_bearer(given))
    (stored,) = database.rows(SignInSession)
    assert (answer.status_code, answer.content_type, answer.headers["Cache-Control"]) == (200, "application/json", "no-store")
    assert answer.json == [
        {
            "id": stored.id,
            "createdAt": "2026-11-24T12:00:00+00:00",
            "lastUsedAt": "2026-11-24T12:01:00+00:00",
            "expiresAt": "2026-11-24T12:17:40+00:00",
            "address": "192.0.2.7",
            "userAgent": "Phone/1.0",
            "current": True,
        }
    ]
    assert list(answer.json[0]) == ["id", "createdAt", "lastUsedAt", "expiresAt", "address", "userAgent", "current"]


def test_newest_is_first_and_only_ones_own_that_live(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    for name in ("alice", "bob"):
        database.make_user(name, password="secret")
    sign_in(refreshing, headers={"User-Agent": "over"})
    clock.advance(500)
    older = sign_in(refreshing, headers={"User-Agent": "older"})
    sign_in(refreshing, "bob")
    clock.advance(500)
    newer = sign_in(refreshing, headers={"User-Agent": "newer"})
    assert [(row["userAgent"], row["current"]) for row in sessions(refreshing, older)] == [("newer", False), ("older", True)]
    assert [(row["userAgent"], row["current"]) for row in sessions(refreshing, newer)] == [("newer", True), ("older", False)]


def test_session_that_is_over_and_still_there_is_not_shown(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    user = database.make_user(password="secret")
    sign_in(refreshing)
    clock.advance(1000)
    assert len(database.rows(SignInSession)) == 1
    assert refreshing.get(PATH, headers=bearer(refreshing.application, user)).json == []


@pytest.mark.parametrize(
    ("agent", "kept"), [("", ""), ("x" * 300, "x" * 255), ("Böwser/1 \u200b", "Böwser/1 \u200b"), ('<script>"', '<script>"')]
)
def test_user_agent_is_kept_as_far_as_it_fits(refreshing: FlaskClient, database: Database, agent: str, kept: str) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing, environ_overrides={"HTTP_USER_AGENT": agent})
    assert sessions(refreshing, given)[0]["userAgent"] == kept


def test_user_agent_that_no_column_takes_is_written_out(refreshing: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing, environ_overrides={"HTTP_USER_AGENT": "a\0b\ud800"})
    assert sessions(refreshing, given)[0]["userAgent"] == r"a\x00b\ud800"


def test_token_of_no_session_may_look_and_end(refreshing: FlaskClient, database: Database) -> None:
    user = database.make_user(password="secret")
    given = sign_in(refreshing)
    headers = bearer(refreshing.application, user)
    (shown,) = refreshing.get(PATH, headers=headers).json
    assert shown["current"] is False
    assert refreshing.delete(f"{PATH}/{shown['id']}", headers=headers).status_code == 204
    assert not is_good(refreshing, given)
    assert name_in(refreshing.get("/api/me", headers=headers)) == "alice"


def test_end_of_a_session_takes_its_tokens_and_no_others(refreshing: FlaskClient, database: Database) -> None:
    user = database.make_user(password="secret")
    first, second = sign_in(refreshing, headers={"User-Agent": "first"}), sign_in(refreshing)
    ended = next(row["id"] for row in sessions(refreshing, second) if row["userAgent"] == "first")
    answer = refreshing.delete(f"{PATH}/{ended}", headers=as_bearer(second))
    assert (answer.status_code, answer.data) == (204, b"")
    assert (is_good(refreshing, first), is_good(refreshing, second)) == (False, True)
    assert (refresh(refreshing, first)[0], refresh(refreshing, second)[0]) == (401, 200)
    noted = next(record for record in database.rows(AuditRecord) if record.event == "session_ended")
    assert (noted.username, noted.user_id, noted.actor, noted.details) == ("alice", user.id, "alice", {"session": ended})


def test_ended_session_is_ended_once(refreshing: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing)
    other = sign_in(refreshing)
    (ended,) = (row["id"] for row in sessions(refreshing, given) if row["current"])
    statuses = [refreshing.delete(f"{PATH}/{ended}", headers=as_bearer(other)).status_code for _ in range(2)]
    assert statuses == [204, 404]


@pytest.mark.parametrize("session_id", [NO_SESSION, "1", "x" * 300, "%00", "ü", "'--"])
def test_session_that_is_not_there_is_404(refreshing: FlaskClient, database: Database, session_id: str) -> None:
    user = database.make_user()
    answer = refreshing.delete(f"{PATH}/{session_id}", headers=bearer(refreshing.application, user))
    assert (answer.status_code, answer.json) == (404, {"error": "Not Found"})


@pytest.mark.parametrize("form", [str.upper, "{} ".format, " {}".format])
def test_id_in_another_form_names_nothing(refreshing: FlaskClient, database: Database, form: Callable[[str], str]) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing)
    with database.session() as session:
        session.execute(update(SignInSession).values(id="ab" * 16))
    assert refreshing.delete(f"{PATH}/{form('ab' * 16)}", headers=as_bearer(given)).status_code == 404
    assert len(database.rows(SignInSession)) == 1


@pytest.mark.parametrize("role", ["ROLE_STUDENT", "ROLE_GLOBAL_ADMIN"])
def test_session_of_another_is_404(refreshing: FlaskClient, database: Database, role: str) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing)
    (session,) = sessions(refreshing, given)
    stranger = bearer(refreshing.application, database.make_user("bob", [role]))
    answer = refreshing.delete(f"{PATH}/{session['id']}", headers=stranger)
    assert (answer.status_code, answer.json) == (404, {"error": "Not Found"})
    assert is_good(refreshing, given)


def test_end_of_all_takes_everything_of_the_caller(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    for name in ("alice", "bob"):
        database.make_user(name, password="secret")
    given, other = [sign_in(refreshing) for _ in range(3)], sign_in(refreshing, "bob")
    clock.advance(1)
    assert refreshing.delete(PATH, headers=as_bearer(given[0])).status_code == 204
    assert [is_good(refreshing, tokens) for tokens in given] == [False] * 3
    assert [refresh(refreshing, tokens)[0] for tokens in given] == [401] * 3
    assert (is_good(refreshing, other), refresh(refreshing, other)[0]) == (True, 200)
    assert is_good(refreshing, sign_in(refreshing))


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("DELETE", PATH), ("DELETE", f"{PATH}/{NO_SESSION}")])
def test_without_token_is_401(refreshing: FlaskClient, method: str, path: str) -> None:
    answer = refreshing.open(path, method=method)
    assert (answer.status_code, answer.json) == (401, {"code": 401, "message": "JWT Token not found"})


@pytest.mark.parametrize("path", [f"{PATH}.json", f"{PATH}/{NO_SESSION}.json", f"{PATH}/{NO_SESSION}/x"])
def test_other_paths_are_none(refreshing: FlaskClient, path: str) -> None:
    assert refreshing.delete(path).status_code == 404


def test_what_is_over_is_removed_and_nothing_else(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    for name in ("alice", "bob"):
        database.make_user(name, password="secret")
    refresh(refreshing, sign_in(refreshing))
    clock.advance(999)
    alive = sign_in(refreshing, "bob")
    removed = []
    for _ in range(2):
        with database.session() as session:
            removed.append(remove_expired_sessions(session, clock()))
        clock.advance(1)
    assert removed == [0, 1]
    assert (len(database.rows(SignInSession)), len(database.rows(RefreshToken))) == (1, 1)
    assert "refresh_token" in refresh(refreshing, alive)[1]


def test_prune_removes_what_is_over(make_app: Callable[..., Flask], database: Database, clock: Clock, tmp_path: Path) -> None:
    for name in ("private.pem", "public.pem"):
        shutil.copy(CONTRACT / "jwt" / name, tmp_path)
    app = make_app(**ON, JWT_SECRET_KEY=f"{tmp_path}/private.pem", JWT_PUBLIC_KEY=f"{tmp_path}/public.pem")
    database.make_user(password="secret")
    sign_in(app.test_client())
    clock.advance(1000)
    done = app.test_cli_runner().invoke(args=["jwt", "prune"])
    assert (done.exit_code, database.rows(SignInSession), database.rows(RefreshToken)) == (0, [], [])


def document_of(app: Flask) -> dict[str, Any]:
    return app.test_client().get("/api/docs.json", headers={"Accept": "application/json"}).json


def test_documents_list_what_is_there(refreshing: FlaskClient) -> None:
    document = document_of(refreshing.application)
    assert list(map(str, OpenAPIV31SpecValidator(document).iter_errors())) == []
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
    ending = document["paths"]["/api/me/sessions/{id}"]["delete"]
    assert ending["parameters"][0]["schema"] == {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    assert list(document["paths"][PATH]) == ["get", "delete"]
    assert document["paths"]["/api/token/refresh"]["post"]["security"] == []
    assert document["paths"]["/api/token/invalidate"]["post"]["requestBody"]["required"] is False
    assert document["paths"]["/api/users/{id}"]["get"]["parameters"][0]["schema"]["type"] == "integer"


def test_documents_without_refresh_tokens_say_nothing_of_them(app: Flask) -> None:
    document = document_of(app)
    assert [path for path in document["paths"] if "session" in path or "refresh" in path] == []
    assert "requestBody" not in document["paths"]["/api/token/invalidate"]["post"]
    assert "refresh_token" not in str(document)


def test_only_the_refresh_is_open_to_all(app: Flask, refreshing: FlaskClient) -> None:
    def open_to_all(app: Flask) -> set[str]:
        return {rule.rule for rule in app.url_map.iter_rules() if is_public(app.view_functions[rule.endpoint])}

    assert open_to_all(refreshing.application) - open_to_all(app) == {"/api/token/refresh"}
