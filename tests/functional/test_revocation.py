"""Tokens end when they should: when the password, a role, the account or the name changes, or when their owner says so."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from answers import body_of, name_in
from factories import Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from flask_jwt_extended import get_current_user, verify_jwt_in_request
from hypothesis import given
from hypothesis import strategies as st

from models import RevokedToken, TokensValidAfter, User
from models.passwords import verify_password
from security import sign_in
from security.errors import InvalidToken
from security.verified_tokens import BearerToken

INVALID = {"code": 401, "message": "Invalid JWT Token"}
REFUSED = {"code": 401, "message": "Invalid credentials."}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
def alice(database: Database) -> User:
    return database.make_user("alice", ["ROLE_STUDENT"], password="secret")


@pytest.fixture
def admin(app: Flask, database: Database) -> dict[str, str]:
    return bearer(app, database.make_user("root", ["ROLE_ADMIN"]))


def sign_in_as(client: FlaskClient, username: str, password: str = "secret") -> dict[str, str]:
    answer = client.post("/api/authentication_token", json={"username": username, "password": password})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json['token']}"}


def patch(client: FlaskClient, headers: dict[str, str], user_id: int, body: dict[str, Any]) -> None:
    assert body_of(client.patch(f"/api/users/{user_id}", headers=headers | MERGE_PATCH, json=body))["id"] == user_id


def set_password(client: FlaskClient, headers: dict[str, str], user_id: int) -> None:
    path = f"/api/users/{user_id}/password"
    assert body_of(client.patch(path, headers=headers | MERGE_PATCH, json={"password": "another"}))["id"] == user_id


ENDING: dict[str, Callable[[FlaskClient, dict[str, str], int], None]] = {
    "new password": lambda client, admin, user_id: patch(client, admin, user_id, {"plainPassword": "another"}),
    "new password at its own path": set_password,
    "another role": lambda client, admin, user_id: patch(client, admin, user_id, {"roles": ["ROLE_TEACHER"]}),
    "a role more": lambda client, admin, user_id: patch(client, admin, user_id, {"roles": ["ROLE_STUDENT", "ROLE_HR"]}),
    "no role": lambda client, admin, user_id: patch(client, admin, user_id, {"roles": []}),
}


@pytest.mark.parametrize("change", ENDING)
def test_token_dies_with(client: FlaskClient, clock: Clock, alice: User, admin: dict[str, str], change: str) -> None:
    token = bearer(client.application, alice)
    clock.advance(10)
    before = client.get("/api/me", headers=token).status_code
    ENDING[change](client, admin, alice.id)
    clock.advance(10)
    answer = client.get("/api/me", headers=token)
    assert (before, answer.status_code, answer.json, answer.headers["WWW-Authenticate"]) == (200, 401, INVALID, "Bearer")
    assert name_in(client.get("/api/me", headers=bearer(client.application, alice))) == "alice"


KEEPING = {
    "names": {"firstname": "A", "lastname": "B"},
    "the same roles": {"roles": ["role_student", "ROLE_USER"]},
    "no password": {"plainPassword": ""},
    "the same name in another case": {"username": "Alice"},
}


@pytest.mark.parametrize("change", KEEPING)
def test_token_outlives(client: FlaskClient, clock: Clock, alice: User, admin: dict[str, str], change: str) -> None:
    token = bearer(client.application, alice)
    clock.advance(10)
    patch(client, admin, alice.id, KEEPING[change])
    assert name_in(client.get("/api/me", headers=token)).lower() == "alice"


COMMANDS = {
    "deactivate": ["users", "deactivate", "alice"],
    "grant-role": ["users", "grant-role", "alice", "ROLE_HR"],
    "revoke-role": ["users", "revoke-role", "alice", "ROLE_STUDENT"],
    "set-password": ["users", "set-password", "alice", "--generate-password"],
    "sign-out": ["users", "sign-out", "alice"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_token_dies_with_the_command(
    client: FlaskClient, runner: FlaskCliRunner, clock: Clock, alice: User, command: str
) -> None:
    token = bearer(client.application, alice)
    clock.advance(10)
    assert runner.invoke(args=COMMANDS[command]).exit_code == 0
    assert client.get("/api/me", headers=token).status_code == 401
    runner.invoke(args=["users", "activate", "alice"])
    clock.advance(10)
    assert client.get("/api/me", headers=token).json == INVALID, "it stays refused"
    assert name_in(client.get("/api/me", headers=bearer(client.application, alice))) == "alice"


def test_signing_out_a_stranger_is_told(runner: FlaskCliRunner) -> None:
    done = runner.invoke(args=["users", "sign-out", "nobody"])
    assert (done.exit_code, done.output) == (1, "Error: There is no user 'nobody'.\n")


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_token_of_a_deleted_user_is_none_of_the_next_with_that_name(
    make_app: Callable[..., Flask], database: Database, clock: Clock, alice: User, mode: str
) -> None:
    app = make_app(USER_DELETE_MODE=mode)
    client, token = app.test_client(), bearer(app, alice)
    admin = bearer(app, database.make_user("root", ["ROLE_ADMIN"]))
    clock.advance(10)
    assert client.delete(f"/api/users/{alice.id}", headers=admin).status_code == 204
    assert client.get("/api/me", headers=token).json == REFUSED
    if mode == "soft":
        patch(client, admin, alice.id, {"username": "was alice"})
    database.make_user("alice")
    clock.advance(10)
    assert client.get("/api/me", headers=token).json == INVALID


def test_token_of_an_old_name_is_none_of_the_next_with_that_name(
    client: FlaskClient, database: Database, clock: Clock, alice: User, admin: dict[str, str]
) -> None:
    token = bearer(client.application, alice)
    clock.advance(10)
    patch(client, admin, alice.id, {"username": "alicia"})
    assert client.get("/api/me", headers=token).json == REFUSED
    database.make_user("ALICE")
    clock.advance(10)
    assert client.get("/api/me", headers=token).json == INVALID


def test_what_counts_is_the_next_whole_second(client: FlaskClient, clock: Clock, database: Database, alice: User) -> None:
    clock.advance(0.3)
    same_second = bearer(client.application, alice)
    clock.advance(0.1)
    assert client.post("/api/token/invalidate-all", headers=same_second).status_code == 204
    assert [row.valid_after for row in database.rows(TokensValidAfter)] == [int(clock.now.timestamp()) + 1]
    clock.advance(0.1)
    assert client.get("/api/me", headers=bearer(client.application, alice)).json == INVALID
    clock.advance(0.5)
    assert name_in(client.get("/api/me", headers=bearer(client.application, alice))) == "alice"
    assert client.get("/api/me", headers=same_second).json == INVALID


def test_sign_in_in_that_second_waits_for_its_end(client: FlaskClient, clock: Clock, alice: User) -> None:
    clock.advance(0.25)
    client.post("/api/token/invalidate-all", headers=bearer(client.application, alice))
    began = clock.now
    token = sign_in_as(client, "alice")
    assert (clock.now - began).total_seconds() == pytest.approx(0.75)
    assert name_in(client.get("/api/me", headers=token)) == "alice"


def test_sign_in_does_not_wait_for_a_clock_that_is_far_behind(client: FlaskClient, clock: Clock, alice: User) -> None:
    client.post("/api/token/invalidate-all", headers=bearer(client.application, alice))
    clock.advance(-60)
    answer = client.post("/api/authentication_token", json={"username": "alice", "password": "secret"})
    assert (answer.status_code, answer.json, answer.headers["Retry-After"]) == (
        503,
        {"error": "The clock of this server is behind."},
        "2",
    )


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("change", ["password", "deactivate"])
def test_sign_in_that_is_overtaken_by_a_change_is_refused(
    client: FlaskClient, runner: FlaskCliRunner, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def overtaken(*arguments: str, **options: bool) -> bool:
        good = verify_password(*arguments, **options)
        command = ["set-password", "alice", "--generate-password"] if change == "password" else ["deactivate", "alice"]
        thread = threading.Thread(target=runner.invoke, kwargs={"args": ["users", *command]})
        thread.start()
        thread.join()
        return good

    monkeypatch.setattr(sign_in, "verify_password", overtaken)
    answer = client.post("/api/authentication_token", json={"username": "alice", "password": "secret"})
    assert (answer.status_code, answer.json) == (401, REFUSED)


@pytest.mark.usefixtures("alice")
def test_token_holds_the_roles_at_its_issue(client: FlaskClient, runner: FlaskCliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(*arguments: str, **options: bool) -> bool:
        thread = threading.Thread(target=runner.invoke, kwargs={"args": ["users", "grant-role", "alice", "ROLE_HR"]})
        thread.start()
        thread.join()
        return verify_password(*arguments, **options)

    monkeypatch.setattr(sign_in, "verify_password", overtaken)
    token = sign_in_as(client, "alice")
    claims = client.application.extensions["poort"].tokens.verify(token["Authorization"].split()[1])
    assert claims["roles"] == ["ROLE_STUDENT", "ROLE_HR", "ROLE_USER"]
    assert name_in(client.get("/api/me", headers=token)) == "alice"


def test_one_token_is_invalidated(client: FlaskClient, clock: Clock, database: Database, alice: User) -> None:
    first = bearer(client.application, alice)
    clock.advance(1)
    second = bearer(client.application, alice)
    answer = client.post("/api/token/invalidate", headers=first)
    assert (answer.status_code, answer.data) == (204, b"")
    assert client.get("/api/me", headers=first).json == INVALID
    assert client.post("/api/token/invalidate", headers=first).json == INVALID
    assert name_in(client.get("/api/me", headers=second)) == "alice"
    assert len(database.rows(RevokedToken)) == 1


def test_flask_jwt_extended_itself_refuses_an_ended_token(app: Flask, client: FlaskClient, alice: User) -> None:
    token = bearer(app, alice)

    def name_of_current_user() -> str:
        with app.test_request_context(headers=token):
            app.preprocess_request()
            verify_jwt_in_request(verify_type=False)
            return get_current_user().username

    assert name_of_current_user() == "alice"
    client.post("/api/token/invalidate", headers=token)
    with pytest.raises(InvalidToken):
        name_of_current_user()


def test_next_sign_in_gives_another_token(client: FlaskClient, clock: Clock, alice: User) -> None:
    clock.advance(0.25)
    first, began = sign_in_as(client, alice.username), clock.now
    assert client.post("/api/token/invalidate", headers=first).status_code == 204
    assert (clock.now - began).total_seconds() == pytest.approx(0.75)
    second = sign_in_as(client, alice.username)
    assert second != first
    assert [client.get("/api/me", headers=token).status_code for token in (first, second)] == [401, 200]


def test_row_of_a_revoked_token_goes_when_it_has_expired(
    client: FlaskClient, clock: Clock, database: Database, alice: User
) -> None:
    for _ in range(2):
        client.post("/api/token/invalidate", headers=bearer(client.application, alice))
        clock.advance(3601)
    assert len(database.rows(RevokedToken)) == 1


@pytest.mark.parametrize("path", ["/api/token/invalidate", "/api/token/invalidate-all"])
def test_only_a_bearer_invalidates(client: FlaskClient, path: str) -> None:
    answer = client.post(path)
    assert (answer.status_code, answer.json) == (401, {"code": 401, "message": "JWT Token not found"})
    assert client.get(path).status_code == 405


def test_all_is_of_one_user(client: FlaskClient, clock: Clock, database: Database, alice: User) -> None:
    others = bearer(client.application, database.make_user("bob"))
    mine = [bearer(client.application, alice)]
    clock.advance(5)
    mine.append(bearer(client.application, alice))
    assert client.post("/api/token/invalidate-all", headers=mine[0]).status_code == 204
    assert [client.get("/api/me", headers=token).status_code for token in (*mine, others)] == [401, 401, 200]


def test_server_that_only_reads_heeds_and_writes_nothing(
    client: FlaskClient, make_app: Callable[..., Flask], clock: Clock, alice: User
) -> None:
    reader, token = make_app(READ_ONLY="1").test_client(), bearer(client.application, alice)
    assert reader.post("/api/token/invalidate", headers=token).status_code == 503
    assert reader.post("/api/token/invalidate-all", headers=token).status_code == 503
    clock.advance(2)
    assert name_in(reader.get("/api/me", headers=token)) == "alice"
    client.post("/api/token/invalidate", headers=token)
    assert reader.get("/api/me", headers=token).json == INVALID


NAMED = {"iat": 1, "exp": 2, "username": "alice"}


def test_jti_names_a_token_where_it_has_one() -> None:
    one, other = (BearerToken.of(f"h.{payload}.s", NAMED | {"jti": "x"}) for payload in "ab")
    assert one.key == other.key
    assert one.key != BearerToken.of("h.a.s", NAMED).key != BearerToken.of("h.b.s", NAMED).key


@given(jti=st.one_of(st.none(), st.just(""), st.integers(), st.lists(st.text()), st.booleans()))
def test_what_is_no_jti_names_nothing(jti: Any) -> None:
    assert BearerToken.of("h.a.s", NAMED | {"jti": jti, "sid": jti}) == BearerToken.of("other.a.other", NAMED)


@pytest.mark.parametrize("expires_at", [10**30, 1e300, 2**63])
def test_token_that_claims_to_last_for_ever_is_revoked_all_the_same(client: FlaskClient, alice: User, expires_at: float) -> None:
    tokens = client.application.extensions["poort"].tokens
    token = tokens.issue(alice.username, [], ttl_seconds=int(expires_at))
    assert client.post("/api/token/invalidate", headers={"Authorization": f"Bearer {token}"}).status_code == 204
    assert client.get("/api/me", headers={"Authorization": f"Bearer {token}"}).json == INVALID
