"""POST /api/token/refresh: each token has one successor, and the reuse of an old token ends its family."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from answers import name_in, signed_in_as
from factories import START, Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from models import (
    AuditRecord,
    RefreshToken,
    RevokedToken,
    SignInSession,
    TokensValidAfter,
    TrackELogin,
    TrackELoginRecord,
    User,
    db,
)
from security.refresh import Presented, Sessions

SIGN_IN, REFRESH = "/api/authentication_token", "/api/token/refresh"
TTL, MAX_LIFETIME = 1000, 5000
ON = {"REFRESH_TOKEN_TTL": str(TTL), "REFRESH_TOKEN_MAX_LIFETIME": str(MAX_LIFETIME)}

NOT_FOUND = (401, {"code": 401, "message": "JWT Refresh Token Not Found"})
INVALID = (401, {"code": 401, "message": "Invalid JWT Refresh Token"})


@pytest.fixture
def refreshing(make_app: Callable[..., Flask]) -> FlaskClient:
    """A client of an application with refresh tokens."""
    return make_app(**ON).test_client()


def sign_in(client: FlaskClient, username: str = "alice", **options: Any) -> dict[str, Any]:
    answer = client.post(SIGN_IN, json={"username": username, "password": "secret"}, **options)
    assert answer.status_code == 200, answer.json
    return answer.json


def refresh(client: FlaskClient, token: Any) -> TestResponse:
    return client.post(REFRESH, json={"refresh_token": token})


def outcome(answer: TestResponse) -> tuple[int, Any]:
    return answer.status_code, answer.json


def is_good(client: FlaskClient, token: str) -> bool:
    answer = client.get("/api/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


def events(database: Database) -> list[str]:
    return [record.event for record in database.rows(AuditRecord)]


def last_event(database: Database) -> AuditRecord:
    return database.rows(AuditRecord)[-1]


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    lines = [record for record in caplog.records if record.name == "poort.audit"]
    return [(line.getMessage(), getattr(line, "reason", None)) for line in lines]


def test_off_by_default_nothing_is_there(client: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    answer = client.post(SIGN_IN, json={"username": "alice", "password": "secret"})
    assert re.fullmatch(rb'\{"token":"[A-Za-z0-9_.-]+"\}', answer.data)
    assert database.rows(SignInSession) == []
    for method, path in (("POST", REFRESH), ("GET", "/api/me/sessions"), ("DELETE", "/api/me/sessions/1")):
        refused = client.open(path, method=method, json={"refresh_token": "x"})
        assert outcome(refused) == (404, {"error": f'No route found for "{method} http://localhost{path}"'})


def test_off_by_default_a_body_of_invalidate_is_not_looked_at(client: FlaskClient, app: Flask, database: Database) -> None:
    headers = bearer(app, database.make_user())
    assert client.post("/api/token/invalidate", data="{", headers=headers).status_code == 204


def test_sign_in_gives_a_refresh_token(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    clock.advance(0.75)
    given = sign_in(refreshing)
    assert list(given) == ["token", "refresh_token", "refresh_token_expiration"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", given["refresh_token"])
    assert given["refresh_token_expiration"] == int(START.timestamp()) + TTL


def test_refresh_gives_three_fields(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    first = sign_in(refreshing)
    clock.advance(100)
    answer = refresh(refreshing, first["refresh_token"])
    assert (answer.status_code, list(answer.json)) == (200, ["token", "refresh_token", "refresh_token_expiration"])
    assert (answer.content_type, answer.headers["Cache-Control"]) == ("application/json", "no-store")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", answer.json["refresh_token"])
    assert answer.json["refresh_token"] != first["refresh_token"]
    assert answer.json["refresh_token_expiration"] == int(START.timestamp()) + 100 + TTL
    assert is_good(refreshing, answer.json["token"])


def test_access_token_names_its_session(refreshing: FlaskClient, database: Database) -> None:
    database.make_user("Alice", ["ROLE_TEACHER"], password="secret")
    first = sign_in(refreshing)
    second = refresh(refreshing, first["refresh_token"]).json
    (session,) = database.rows(SignInSession)
    tokens = refreshing.application.extensions["poort"].tokens
    for given in (first, second):
        claims = tokens.verify(given["token"])
        assert (claims["username"], claims["sid"]) == ("Alice", session.id)
        assert "ROLE_TEACHER" in claims["roles"]


def test_refresh_says_what_the_row_says_now(refreshing: FlaskClient, database: Database) -> None:
    user = database.make_user("alice", ["ROLE_TEACHER"], password="secret")
    given = sign_in(refreshing)
    with database.session() as session:
        row = session.get_one(type(user), user.id)
        row.username, row.roles = "alison", ["ROLE_HR"]
    claims = refreshing.application.extensions["poort"].tokens.verify(refresh(refreshing, given["refresh_token"]).json["token"])
    assert (claims["username"], "ROLE_HR" in claims["roles"], "ROLE_TEACHER" in claims["roles"]) == ("alison", True, False)


def test_refresh_is_no_sign_in(
    refreshing: FlaskClient, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = database.make_user(password="secret")
    given = sign_in(refreshing)
    before = database.user(user.id).last_login
    clock.advance(5)
    for name in ("verify_password", "spend_time", "hash_password"):
        monkeypatch.setattr(f"security.sign_in.{name}", None)
    assert signed_in_as(refresh(refreshing, given["refresh_token"])) == "alice"
    assert (database.user(user.id).last_login, len(database.rows(TrackELogin)), len(database.rows(TrackELoginRecord))) == (
        before,
        1,
        1,
    )


@pytest.mark.parametrize(
    "body", [{}, {"refresh_token": None}, {"refresh_token": ""}, {"refresh_token": 1}, {"refresh_token": []}]
)
def test_body_without_token_is_401(
    refreshing: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture, body: dict[str, Any]
) -> None:
    answer = refreshing.post(REFRESH, json=body)
    assert outcome(answer) == NOT_FOUND
    assert (audit_lines(caplog), events(database)) == ([("refresh_refused", "JWT Refresh Token Not Found")], [])


@pytest.mark.parametrize("token", ["x", "x" * 15_000, "\0", "ü", "%", "A" * 43])
def test_unknown_token_is_401(refreshing: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture, token: str) -> None:
    assert outcome(refresh(refreshing, token)) == INVALID
    assert (audit_lines(caplog), events(database)) == ([("refresh_refused", "unknown")], [])


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"{}x", b'{"refresh_token":"\xff"}', b'{"refresh_token":"\\ud800"}'])
def test_what_is_no_json_object_is_400(refreshing: FlaskClient, body: bytes) -> None:
    answer = refreshing.post(REFRESH, data=body, content_type="application/json")
    assert outcome(answer) == (400, {"error": "Invalid JSON."})


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", None])
def test_other_media_type_is_415(refreshing: FlaskClient, content_type: str | None) -> None:
    answer = refreshing.post(REFRESH, data=b"refresh_token=x", content_type=content_type)
    assert (answer.status_code, list(answer.json)) == (415, ["error"])


def test_other_method_is_405(refreshing: FlaskClient) -> None:
    assert refreshing.get(REFRESH).status_code == 405


def test_access_token_is_no_refresh_token_and_the_other_way_round(refreshing: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing)
    assert outcome(refresh(refreshing, given["token"])) == INVALID
    assert not is_good(refreshing, given["refresh_token"])


def test_tokens_of_a_chain_differ(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    tokens = [sign_in(refreshing)["refresh_token"]]
    for _ in range(20):
        clock.advance(1)
        tokens.append(refresh(refreshing, tokens[-1]).json["refresh_token"])
    assert len(set(tokens)) == 21


@pytest.mark.parametrize(("seconds", "is_forgiven"), [(0, True), (9.999, True), (10, False), (10.001, False)])
def test_predecessor_gets_the_same_successor_for_ten_seconds(
    refreshing: FlaskClient, database: Database, clock: Clock, seconds: float, is_forgiven: bool
) -> None:
    database.make_user(password="secret")
    first = sign_in(refreshing)
    clock.advance(60)
    second = refresh(refreshing, first["refresh_token"]).json
    clock.advance(seconds)
    again = refresh(refreshing, first["refresh_token"])
    if is_forgiven:
        assert (again.status_code, again.json["refresh_token"]) == (200, second["refresh_token"])
        assert again.json["refresh_token_expiration"] == second["refresh_token_expiration"]
        assert is_good(refreshing, again.json["token"])
    else:
        assert outcome(again) == INVALID
    assert refresh(refreshing, second["refresh_token"]).status_code == (200 if is_forgiven else 401)


def test_predecessor_is_not_forgiven_once_the_successor_is_used(
    refreshing: FlaskClient, database: Database, clock: Clock
) -> None:
    database.make_user(password="secret")
    first = sign_in(refreshing)
    second = refresh(refreshing, first["refresh_token"]).json
    clock.advance(1)
    third = refresh(refreshing, second["refresh_token"]).json
    clock.advance(1)
    assert outcome(refresh(refreshing, first["refresh_token"])) == INVALID
    assert outcome(refresh(refreshing, third["refresh_token"])) == INVALID


def test_time_in_a_queue_is_not_held_against_a_client(
    refreshing: FlaskClient, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.make_user(password="secret")
    first = sign_in(refreshing)
    second = refresh(refreshing, first["refresh_token"]).json
    clock.advance(9)
    users = refreshing.application.extensions["poort"].users
    lock = type(users).lock

    def slowly(*arguments: Any) -> Any:
        clock.advance(30)
        return lock(*arguments)

    monkeypatch.setattr(type(users), "lock", slowly)
    assert refresh(refreshing, first["refresh_token"]).json["refresh_token"] == second["refresh_token"]


def test_reuse_ends_the_family_and_its_access_tokens(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    user = database.make_user(password="secret")
    first = sign_in(refreshing)
    other = sign_in(refreshing)
    clock.advance(60)
    second = refresh(refreshing, first["refresh_token"]).json
    (family,) = (row.id for row in database.rows(SignInSession) if row.last_used_at > START)
    clock.advance(60)
    assert is_good(refreshing, first["token"])
    answer = refreshing.post(REFRESH, json={"refresh_token": first["refresh_token"]}, environ_base={"REMOTE_ADDR": "192.0.2.66"})
    assert outcome(answer) == INVALID
    noted = last_event(database)
    assert (noted.event, noted.username, noted.user_id, noted.address) == ("refresh_token_reused", "alice", user.id, "192.0.2.66")
    assert noted.details == {"session": family}
    assert not is_good(refreshing, first["token"])
    assert not is_good(refreshing, second["token"])
    assert outcome(refresh(refreshing, second["refresh_token"])) == INVALID
    assert is_good(refreshing, other["token"])
    assert signed_in_as(refresh(refreshing, other["refresh_token"])) == "alice"


def test_all_bad_tokens_are_answered_alike(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    first, idle = sign_in(refreshing), sign_in(refreshing)
    inactive = database.make_user("bob", password="secret")
    off = sign_in(refreshing, "bob")
    with database.session() as session:
        session.get_one(type(inactive), inactive.id).active = 0
    refresh(refreshing, first["refresh_token"])
    clock.advance(500)
    answers = [refresh(refreshing, token["refresh_token"]) for token in (off, first)]
    clock.advance(TTL)
    answers += [refresh(refreshing, token) for token in ("unknown", idle["refresh_token"])]
    varying = {"X-Request-Id"}
    assert {outcome(answer)[0] for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert len({tuple((name, value) for name, value in answer.headers if name not in varying) for answer in answers}) == 1
    reasons = [record.reason for record in database.rows(AuditRecord) if record.event.startswith("refresh_")]
    assert reasons == ["inactive", "used before", "the session is over"]


def test_token_that_is_removed_while_it_is_exchanged_is_invalid(
    refreshing: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.make_user(password="secret")
    token, hold = sign_in(refreshing)["refresh_token"], Sessions._hold_account

    def late(sessions: Sessions, session: Session, presented: Presented) -> Any:
        session.rollback()
        with database.session() as other:
            other.execute(delete(RefreshToken))
        return hold(sessions, session, presented)

    monkeypatch.setattr(Sessions, "_hold_account", late)
    assert outcome(refresh(refreshing, token)) == INVALID


def test_idle_session_ends_at_its_second(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    token = sign_in(refreshing)["refresh_token"]
    clock.advance(TTL - 0.001)
    token = refresh(refreshing, token).json["refresh_token"]
    clock.advance(TTL - 0.999)
    assert outcome(refresh(refreshing, token)) == INVALID


def test_session_ends_at_its_age_whatever_its_use(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing)
    for _ in range(5):
        clock.advance(TTL - 1)
        given = refresh(refreshing, given["refresh_token"]).json
    assert given["refresh_token_expiration"] == int(START.timestamp()) + MAX_LIFETIME
    clock.advance(4.999)
    given = refresh(refreshing, given["refresh_token"]).json
    assert given["refresh_token_expiration"] == int(START.timestamp()) + MAX_LIFETIME
    clock.advance(0.001)
    assert outcome(refresh(refreshing, given["refresh_token"])) == INVALID


def test_shorter_age_counts_for_sessions_that_are_there(make_app: Callable[..., Flask], database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    token = sign_in(make_app(**ON).test_client())["refresh_token"]
    clock.advance(50)
    shorter = make_app(**ON | {"REFRESH_TOKEN_MAX_LIFETIME": "50"}).test_client()
    assert outcome(refresh(shorter, token)) == INVALID


ENDINGS = {
    "password": {"plainPassword": "another secret"},
    "role": {"roles": ["ROLE_TEACHER"]},
}


@pytest.mark.parametrize("name", ENDINGS)
def test_change_of_a_user_ends_their_sessions(refreshing: FlaskClient, database: Database, clock: Clock, name: str) -> None:
    user, admin = database.make_user(password="secret"), database.make_user("root", ["ROLE_ADMIN"])
    given = sign_in(refreshing)
    headers = bearer(refreshing.application, admin) | {"Content-Type": "application/merge-patch+json"}
    answer = refreshing.patch(f"/api/users/{user.id}", data=json.dumps(ENDINGS[name]), headers=headers)
    assert name_in(answer) == "alice"
    clock.advance(2)
    assert outcome(refresh(refreshing, given["refresh_token"])) == INVALID
    assert not is_good(refreshing, given["token"])
    assert (database.rows(SignInSession), database.rows(RefreshToken)) == ([], [])


def test_deletion_ends_sessions(refreshing: FlaskClient, database: Database) -> None:
    user, admin = database.make_user(password="secret"), database.make_user("root", ["ROLE_ADMIN"])
    given = sign_in(refreshing)
    assert refreshing.delete(f"/api/users/{user.id}", headers=bearer(refreshing.application, admin)).status_code == 204
    assert outcome(refresh(refreshing, given["refresh_token"])) == INVALID
    assert database.rows(SignInSession) == []


def test_deactivation_ends_sessions(refreshing: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing)
    runner = refreshing.application.test_cli_runner()
    assert runner.invoke(args=["users", "deactivate", "alice"]).exit_code == 0
    assert runner.invoke(args=["users", "activate", "alice"]).exit_code == 0
    assert outcome(refresh(refreshing, given["refresh_token"])) == INVALID


def test_password_that_was_changed_behind_our_back_ends_sessions(refreshing: FlaskClient, database: Database) -> None:
    user = database.make_user(password="secret")
    given = sign_in(refreshing)
    with database.session() as session:
        session.get_one(type(user), user.id).password = "x"
    assert outcome(refresh(refreshing, given["refresh_token"])) == INVALID
    assert last_event(database).reason == "the password is another one"


def test_user_whose_row_is_gone_has_no_session(refreshing: FlaskClient, database: Database) -> None:
    user = database.make_user(password="secret")
    given = sign_in(refreshing)
    with database.session() as session:
        session.execute(delete(User).where(User.id == user.id))
    assert outcome(refresh(refreshing, given["refresh_token"])) == INVALID
    assert (last_event(database).reason, last_event(database).user_id) == ("unknown user", user.id)


def test_hash_that_is_renewed_at_sign_in_keeps_the_session(make_app: Callable[..., Flask], database: Database) -> None:
    database.make_user(password="secret")
    client = make_app(**ON, PASSWORD_HASH_COST="5").test_client()
    assert signed_in_as(refresh(client, sign_in(client)["refresh_token"])) == "alice"


def test_account_that_was_locked_and_is_open_again_goes_on(refreshing: FlaskClient, database: Database) -> None:
    user = database.make_user(password="secret")
    given = sign_in(refreshing)
    for is_locked, status in ((True, 401), (False, 200)):
        with database.session() as session:
            session.get_one(type(user), user.id).locked = is_locked
        assert refresh(refreshing, given["refresh_token"]).status_code == status


def test_refresh_in_a_second_in_which_tokens_ended_waits_for_its_end(
    refreshing: FlaskClient, database: Database, clock: Clock
) -> None:
    database.make_user(password="secret")
    given = sign_in(refreshing)
    clock.advance(0.25)
    with database.session() as session:
        session.add(TokensValidAfter(username_canonical="alice", valid_after=int(START.timestamp()) + 1))
    answer = refresh(refreshing, given["refresh_token"])
    assert (answer.status_code, clock()) == (200, START + timedelta(seconds=1))
    assert is_good(refreshing, answer.json["token"])


def test_one_session_too_many_ends_the_one_not_used_longest(
    make_app: Callable[..., Flask], database: Database, clock: Clock
) -> None:
    client = make_app(**ON, REFRESH_TOKEN_MAX_SESSIONS="3").test_client()
    database.make_user(password="secret")
    database.make_user("bob", password="secret")
    other = sign_in(client, "bob")
    given = []
    for _ in range(3):
        given.append(sign_in(client))
        clock.advance(20)
    given[0] = refresh(client, given[0]["refresh_token"]).json
    clock.advance(20)
    given.append(sign_in(client))
    assert [is_good(client, tokens["token"]) for tokens in given] == [True, False, True, True]
    assert (last_event(database).event, events(database).count("session_ended")) == ("sign_in", 1)
    assert [refresh(client, tokens["refresh_token"]).status_code for tokens in given] == [200, 401, 200, 200]
    assert signed_in_as(refresh(client, other["refresh_token"])) == "bob"
    assert len(database.rows(SignInSession)) == 4


def test_sign_in_removes_what_is_over_of_its_user(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    for name in ("alice", "bob"):
        database.make_user(name, password="secret")
        refresh(refreshing, sign_in(refreshing, name)["refresh_token"])
    clock.advance(TTL)
    sign_in(refreshing)
    assert (len(database.rows(SignInSession)), len(database.rows(RefreshToken))) == (2, 3)


def test_invalidate_ends_the_session_of_the_token(refreshing: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    first, other = sign_in(refreshing), sign_in(refreshing)
    second = refresh(refreshing, first["refresh_token"]).json
    headers = {"Authorization": f"Bearer {second['token']}"}
    assert refreshing.post("/api/token/invalidate", headers=headers).status_code == 204
    assert [is_good(refreshing, given["token"]) for given in (first, second, other)] == [False, False, True]
    assert outcome(refresh(refreshing, second["refresh_token"])) == INVALID
    assert signed_in_as(refresh(refreshing, other["refresh_token"])) == "alice"
    assert events(database)[3:5] == ["session_ended", "token_ended"]


@pytest.mark.parametrize("session_id", ["\0", "\ud800", "x" * 300, "", 1, None])
def test_session_of_a_token_of_another_hand_is_no_matter(refreshing: FlaskClient, database: Database, session_id: Any) -> None:
    database.make_user()
    tokens = refreshing.application.extensions["poort"].tokens
    headers = {"Authorization": f"Bearer {tokens.issue('alice', [], session_id=session_id)}"}
    assert refreshing.post("/api/token/invalidate", headers=headers).status_code == 204
    assert refreshing.get("/api/me", headers=headers).status_code == 401


@pytest.mark.parametrize("age", [0, 1])
def test_invalidate_ends_the_session_of_a_refresh_token(refreshing: FlaskClient, database: Database, age: int) -> None:
    user = database.make_user(password="secret")
    tokens = [sign_in(refreshing)]
    tokens.append(refresh(refreshing, tokens[0]["refresh_token"]).json)
    body = {"refresh_token": tokens[age]["refresh_token"]}
    answer = refreshing.post("/api/token/invalidate", json=body, headers=bearer(refreshing.application, user))
    assert answer.status_code == 204
    assert not is_good(refreshing, tokens[1]["token"])
    assert outcome(refresh(refreshing, tokens[1]["refresh_token"])) == INVALID


def test_refresh_token_of_another_ends_nothing(refreshing: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    bob = database.make_user("bob")
    given = sign_in(refreshing)
    for body in ({"refresh_token": given["refresh_token"]}, {"refresh_token": "unknown"}, {}, {"refresh_token": None}):
        headers = bearer(refreshing.application, bob)
        assert refreshing.post("/api/token/invalidate", json=body, headers=headers).status_code in {204, 401}
    assert signed_in_as(refresh(refreshing, given["refresh_token"])) == "alice"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        (b"{", "application/json", 400, "Invalid JSON."),
        (b"[]", "application/json", 400, "Invalid JSON."),
        (b'{"refresh_token":1}', "application/json", 400, 'The key "refresh_token" must be a string.'),
        (b"refresh_token=x", "text/plain", 415, 'The content-type "text/plain" is not supported.'),
    ],
)
def test_unreadable_body_of_invalidate_ends_nothing(
    refreshing: FlaskClient, database: Database, body: bytes, content_type: str, status: int, said: str
) -> None:
    headers = bearer(refreshing.application, database.make_user())
    answer = refreshing.post("/api/token/invalidate", data=body, content_type=content_type, headers=headers)
    assert (answer.status_code, answer.json["error"].startswith(said)) == (status, True)
    assert name_in(refreshing.get("/api/me", headers=headers)) == "alice"


def test_invalidate_all_ends_all_sessions(refreshing: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    given = [sign_in(refreshing) for _ in range(3)]
    headers = {"Authorization": f"Bearer {given[0]['token']}"}
    assert refreshing.post("/api/token/invalidate-all", headers=headers).status_code == 204
    assert [outcome(refresh(refreshing, tokens["refresh_token"])) for tokens in given] == [INVALID] * 3


def test_end_of_a_session_is_remembered_as_long_as_its_tokens_could_live(
    make_app: Callable[..., Flask], database: Database, clock: Clock
) -> None:
    database.make_user(password="secret")
    client = make_app(**ON, JWT_TOKEN_TTL="300", JWT_CLOCK_SKEW="30").test_client()
    given = sign_in(client)
    clock.advance(5)
    refresh(client, given["refresh_token"])
    clock.advance(11)
    refresh(client, given["refresh_token"])
    assert [row.expires_at for row in database.rows(RevokedToken)] == [int(START.timestamp()) + 16 + 330]


def everything_stored(database: Database) -> str:
    with database.session() as session:
        return "\n".join(str(row) for table in db.metadata.sorted_tables for row in session.execute(select(table)))


def test_no_token_is_stored_or_logged(
    refreshing: FlaskClient, database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    database.make_user(password="secret")
    handed_out = []
    with caplog.at_level("DEBUG"):
        handed_out.append(sign_in(refreshing))
        for _ in range(3):
            handed_out.append(refresh(refreshing, handed_out[-1]["refresh_token"]).json)
        refresh(refreshing, handed_out[-2]["refresh_token"])
        clock.advance(60)
        stored = everything_stored(database)
        refresh(refreshing, handed_out[0]["refresh_token"])
    stored += everything_stored(database)
    assert "alice" in stored
    logged = "".join(str(vars(record)) for record in caplog.records)
    assert "refresh_token_reused" in logged
    for given in handed_out:
        for token in (given["refresh_token"], given["token"], given["token"].split(".")[1]):
            assert token not in stored
            assert token not in logged


def test_salt_is_gone_once_the_successor_is_used(refreshing: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    token = sign_in(refreshing)["refresh_token"]
    for _ in range(4):
        clock.advance(1)
        token = refresh(refreshing, token).json["refresh_token"]
    rows = sorted(database.rows(RefreshToken), key=lambda row: row.used_at_ms or 2**60)
    assert [row.salt is not None for row in rows] == [False, False, False, True, True]


RATE = (429, {"error": "Too Many Requests"})


def test_sixty_first_refresh_of_a_session_in_a_minute_is_429_and_uses_nothing_up(
    refreshing: FlaskClient, database: Database, clock: Clock
) -> None:
    database.make_user(password="secret")
    token, other = sign_in(refreshing)["refresh_token"], sign_in(refreshing)["refresh_token"]
    for _ in range(30):
        clock.advance(0.5)
        before, token = token, refresh(refreshing, token).json["refresh_token"]
        assert refresh(refreshing, before).json["refresh_token"] == token
    rows = events(database)
    answers = [refresh(refreshing, token) for _ in range(3)]
    assert [outcome(answer) for answer in answers] == [RATE] * 3
    assert all(0 < int(answer.headers["Retry-After"]) <= 60 for answer in answers)
    assert (events(database), len(database.rows(SignInSession))) == (rows, 2), "nothing was written, and the session goes on"
    assert signed_in_as(refresh(refreshing, other)) == "alice", "each session has its own count"
    clock.advance(60)
    assert signed_in_as(refresh(refreshing, token)) == "alice"


def test_giving_a_successor_again_counts_as_a_refresh_and_beyond_sixty_it_is_no_reuse(
    refreshing: FlaskClient, database: Database, clock: Clock
) -> None:
    database.make_user(password="secret")
    first = sign_in(refreshing)
    answers = [refresh(refreshing, first["refresh_token"]) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [200] * 60 + [429]
    clock.advance(30)
    assert outcome(refresh(refreshing, first["refresh_token"])) == RATE, "it would count as reuse by now, but is refused first"
    clock.advance(30)
    assert signed_in_as(refresh(refreshing, answers[0].json["refresh_token"])) == "alice"


def test_refused_tokens_of_one_session_write_one_row_a_minute(
    refreshing: FlaskClient, database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    user = database.make_user(password="secret")
    first, second = sign_in(refreshing), sign_in(refreshing)
    with database.session() as session:
        session.get_one(User, user.id).locked = True
    refused = {refresh(refreshing, token["refresh_token"]).status_code for token in (first, second) * 20}
    assert (refused, events(database)) == ({401}, ["sign_in"] * 2 + ["refresh_refused"] * 2)
    assert audit_lines(caplog)[2:] == [("refresh_refused", "locked")] * 2
    clock.advance(60)
    refresh(refreshing, first["refresh_token"])
    assert events(database)[4:] == ["refresh_refused"]
