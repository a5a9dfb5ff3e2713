"""API keys in our own schema: commands, requests, refusals; the same on each database."""

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from factories import START, Clock, Database, bearer
from flask import Flask
from sqlalchemy import text, update
from werkzeug.test import TestResponse

from models import ApiKey, AuditRecord, ThrottledLogin, User
from security.throttle.limiter import REFUSED_KEYS
from security.throttle.stores import StoreUnavailable

INVALID = "Invalid or revoked external API key."
INACTIVE = "The external API key user account is inactive."
EXPIRED = "The external API key user account has expired."
FLOODED = "Too many authentication attempts."

UNKNOWN = "chamilo_ext_" + "x" * 43
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
DENIED = (403, {"error": "Access Denied."})


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """A server that takes keys, and has refresh tokens."""
    return make_app(API_KEYS="1", REFRESH_TOKEN_TTL="3600")


@pytest.fixture
def alice(database: Database) -> User:
    return database.make_user("alice", ["ROLE_ADMIN"], password="secret")


@pytest.fixture
def key(app: Flask, alice: User) -> str:
    return create(app, alice.username)


def run(app: Flask, *words: str) -> Any:
    return app.test_cli_runner().invoke(args=["api-key", *words])


def create(app: Flask, *words: str) -> str:
    """Create a key and return it."""
    done = run(app, "create", *words)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def ask(app: Flask, key: str, path: str = "/api/me", method: str = "GET", body: Any = None, **headers: str) -> TestResponse:
    address = headers.pop("address", "127.0.0.1")
    given = {"Authorization": f"Bearer {key}"} | headers
    return app.test_client().open(path, method=method, json=body, headers=given, environ_base={"REMOTE_ADDR": address})


def refusal(answer: TestResponse) -> str:
    """Return the text of a refusal, which is Chamilo's alone: no code, no challenge."""
    assert (answer.status_code, answer.content_type) == (401, "application/json"), answer.text
    assert ("WWW-Authenticate" in answer.headers, list(answer.json)) == (False, ["message"])
    return answer.json["message"]


def stored(database: Database) -> ApiKey:
    (row,) = database.rows(ApiKey)
    return row


def change(database: Database, **values: Any) -> None:
    with database.session() as session:
        session.execute(update(ApiKey).values(values))


def test_key_is_shown_once_and_stored_as_a_hash(database: Database, alice: User, key: str) -> None:
    row = stored(database)
    assert (len(key), key.startswith("chamilo_ext_")) == (55, True)
    assert (row.user_id, row.api_key, row.key_prefix) == (alice.id, hashlib.sha256(key.encode()).hexdigest(), key[:24])
    assert (row.api_service, row.created_date, row.validity_start_date, row.validity_end_date, row.revoked_at) == (
        *("external", START, START),
        *(None, None),
    )
    assert not [value for value in vars(row).values() if key in str(value)]


def test_request_with_a_key_is_one_of_its_user(app: Flask, database: Database, key: str) -> None:
    assert ask(app, key).json["username"] == "alice"
    assert ask(app, key, "/api/users").json["hydra:totalItems"] == 1
    assert ask(app, key, f"/api/users/{stored(database).user_id}").json["username"] == "alice"
    assert ask(app, key, "/api/users/999").status_code == 404


def test_rights_follow_the_row_at_once(app: Flask, database: Database, alice: User, key: str) -> None:
    new = {"username": "new", "email": "new@example.com", "plainPassword": "a new one"}
    assert ask(app, key, "/api/users", "POST", new).status_code == 201
    with database.session() as session:
        session.execute(update(User).where(User.id == alice.id).values(roles=[]))
    answer = ask(app, key, "/api/users", "POST", new)
    assert (answer.status_code, answer.json) == DENIED


def test_use_is_written_once_in_five_minutes(app: Flask, database: Database, clock: Clock, key: str) -> None:
    uses = []
    for seconds in (0, 299, 1, 299.5, 0.5):
        clock.advance(seconds)
        assert ask(app, key).status_code == 200
        uses.append((stored(database).last_used_at - START).total_seconds())
    assert uses == [0, 0, 300, 300, 600]


def test_refused_use_is_not_written(app: Flask, database: Database, key: str) -> None:
    change(database, revoked_at=START)
    assert refusal(ask(app, key)) == INVALID
    assert stored(database).last_used_at is None


@pytest.mark.parametrize(
    ("columns", "text_of_refusal"),
    [
        ({"active": 0}, INACTIVE),
        ({"active": -2}, INACTIVE),
        ({"locked": True}, INACTIVE),
        ({"active": 0, "expiration_date": START}, INACTIVE),
        ({"expiration_date": START}, EXPIRED),
    ],
)
def test_state_of_the_user_counts(
    app: Flask, database: Database, alice: User, key: str, columns: dict[str, Any], text_of_refusal: str
) -> None:
    with database.session() as session:
        session.execute(update(User).where(User.id == alice.id).values(columns))
    assert refusal(ask(app, key)) == text_of_refusal


def test_key_without_a_user_is_refused(app: Flask, database: Database, key: str) -> None:
    change(database, user_id=999)
    assert refusal(ask(app, key)) == INACTIVE


def test_key_ends_at_the_given_moment(app: Flask, database: Database, clock: Clock, alice: User) -> None:
    key = create(app, alice.username, "--until", f"{START + timedelta(seconds=60):%Y-%m-%dT%H:%M:%S}")
    assert stored(database).validity_end_date == START + timedelta(seconds=60)
    clock.advance(59)
    assert ask(app, key).status_code == 200
    clock.advance(1)
    assert refusal(ask(app, key)) == INVALID
    assert run(app, "list").output.split("\t")[2] == "ended"
    day = create(app, "alice", "--until", "2030-01-31")
    assert (stored(database).validity_end_date, ask(app, day).status_code) == (datetime(2030, 1, 31, tzinfo=UTC), 200)


@pytest.mark.parametrize("until", ["2020-01-01", f"{START:%Y-%m-%dT%H:%M:%S}", "tomorrow", ""])
def test_end_must_be_a_moment_in_the_future(app: Flask, database: Database, alice: User, until: str) -> None:
    done = run(app, "create", alice.username, "--until", until)
    assert (done.exit_code > 0, database.rows(ApiKey)) == (True, [])


def test_new_key_replaces_the_old_one_of_that_user_alone(app: Flask, database: Database, key: str) -> None:
    database.make_user("bob")
    of_bob = create(app, "bob")
    new = create(app, "alice")
    assert refusal(ask(app, key)) == INVALID
    assert [ask(app, used).json["username"] for used in (new, of_bob)] == ["alice", "bob"]
    assert len(database.rows(ApiKey)) == 2


def test_revoked_key_is_refused_at_once(app: Flask, database: Database, key: str) -> None:
    assert ask(app, key).status_code == 200
    done = run(app, "revoke", "alice")
    assert (done.exit_code, done.output) == (0, "The API key of alice is revoked.\n")
    assert refusal(ask(app, key)) == INVALID
    assert stored(database).revoked_at == START
    assert run(app, "revoke", "alice").output == "The API key of alice is already revoked.\n"
    new = create(app, "alice")
    assert (ask(app, new).status_code, refusal(ask(app, key))) == (200, INVALID)


def test_list_names_every_key_and_none_of_them_whole(app: Flask, database: Database, key: str) -> None:
    database.make_user("bob\tx")
    of_bob = create(app, "bob\tx", "--until", "2030-01-31")
    ask(app, key)
    run(app, "revoke", "bob\tx")
    began = START.isoformat()
    assert [line.split("\t") for line in run(app, "list").output.splitlines()] == [
        ["alice", key[:24], "valid", began, "-", began],
        [r"bob\tx", of_bob[:24], "revoked", began, "2030-01-31T00:00:00+00:00", "-"],
    ]


@pytest.mark.parametrize("words", [["create", "nobody"], ["revoke", "nobody"], ["revoke", "bob"]])
def test_commands_name_who_is_not_there(app: Flask, database: Database, words: list[str]) -> None:
    database.make_user("bob")
    done = run(app, *words)
    text_of_refusal = f"Error: There is no user '{words[1]}'.\n" if words[1] == "nobody" else "Error: bob has no API key.\n"
    assert (done.exit_code, done.output) == (1, text_of_refusal)


def test_commands_write_events_without_the_key(
    app: Flask, database: Database, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    run(app, "revoke", "alice")
    rows = database.rows(AuditRecord)
    assert [(row.event, row.username, row.details) for row in rows] == [
        ("api_key_created", "alice", {"key_prefix": key[:24]}),
        ("api_key_revoked", "alice", {"key_prefix": key[:24]}),
    ]
    ask(app, key)
    assert key not in caplog.text
    assert key[:25] not in "".join(str(vars(record)) for record in caplog.records)


def test_switched_off_a_key_is_no_token(make_app: Callable[..., Flask], alice: User) -> None:
    app = make_app()
    done = run(app, "create", alice.username)
    assert done.stderr == "The server takes no API keys yet: set API_KEYS=1 and restart it.\n"
    answer = ask(app, done.stdout.strip())
    assert (answer.status_code, answer.json) == (401, {"code": 401, "message": "Invalid JWT Token"})
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    document = ask(app, "", "/api/docs.json").json
    assert (list(document["components"]["securitySchemes"]), document["security"]) == (["JWT"], [{"JWT": []}])


def test_documents_describe_both_ways(app: Flask) -> None:
    document = ask(app, "", "/api/docs.json").json
    assert document["security"] == [{"JWT": []}, {"ApiKey": []}]
    needs_sign_in = {
        f"{method} {path}"
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        if described.get("security") == [{"JWT": []}]
    }
    assert needs_sign_in == {
        *("post /api/token/invalidate", "post /api/token/invalidate-all"),
        *("delete /api/me/sessions", "delete /api/me/sessions/{id}"),
        *("post /api/me/totp", "put /api/me/totp", "delete /api/me/totp", "post /api/me/totp/backup-codes"),
    }


SIGN_IN_ONLY: dict[str, tuple[str, str, Any]] = {
    "own password": ("PATCH", "/api/users/{alice}", {"plainPassword": "another"}),
    "own password in a PUT": ("PUT", "/api/users/{alice}", {"plainPassword": "another"}),
    "own password, the other way": ("PATCH", "/api/users/{alice}/password", {"password": "another"}),
    "password of another": ("PATCH", "/api/users/{bob}", {"plainPassword": "another"}),
    "password of another, the other way": ("PATCH", "/api/users/{bob}/password", {"password": "another"}),
    "all sessions": ("DELETE", "/api/me/sessions", None),
    "a session": ("DELETE", f"/api/me/sessions/{'0' * 32}", None),
    "token": ("POST", "/api/token/invalidate", None),
    "all tokens": ("POST", "/api/token/invalidate-all", None),
    "begin a second factor": ("POST", "/api/me/totp", {"password": "secret"}),
    "confirm a second factor": ("PUT", "/api/me/totp", {"totp": "123456"}),
    "end a second factor": ("DELETE", "/api/me/totp", {"totp": "123456"}),
    "backup codes": ("POST", "/api/me/totp/backup-codes", {"totp": "123456"}),
}


@pytest.mark.parametrize("name", SIGN_IN_ONLY)
def test_key_changes_nothing_about_sign_ins(app: Flask, database: Database, alice: User, key: str, name: str) -> None:
    method, path, body = SIGN_IN_ONLY[name]
    bob = database.make_user("bob", password="secret")
    headers = MERGE_PATCH if method == "PATCH" else {}
    answer = ask(app, key, path.format(alice=alice.id, bob=bob.id), method, body, **headers)
    assert (answer.status_code, answer.json) == DENIED
    assert [database.user(user.id).password for user in (alice, bob)] == [alice.password, bob.password]


def test_key_reads_and_writes_everything_else(app: Flask, database: Database, alice: User, key: str) -> None:
    bob = database.make_user("bob")
    for user, body in ((alice, {"phone": "1", "plainPassword": ""}), (bob, {"roles": ["ROLE_TEACHER"], "plainPassword": None})):
        assert ask(app, key, f"/api/users/{user.id}", "PATCH", body, **MERGE_PATCH).status_code == 200
    assert (database.user(alice.id).phone, list(database.user(bob.id).roles)) == ("1", ["ROLE_TEACHER"])
    assert ask(app, key, "/api/me/totp").json == {"enabled": False, "backupCodesLeft": 0}
    app.test_client().post("/api/authentication_token", json={"username": "alice", "password": "secret"})
    assert [session["current"] for session in ask(app, key, "/api/me/sessions").json] == [False]
    assert ask(app, key, f"/api/users/{bob.id}", "DELETE").status_code == 204


def test_key_outlives_a_new_password_other_roles_and_the_end_of_all_tokens(app: Flask, database: Database, key: str) -> None:
    user = database.user(stored(database).user_id)
    path, headers = f"/api/users/{user.id}", bearer(app, user)
    client = app.test_client()
    assert client.patch(path, json={"plainPassword": "another"}, headers=headers | MERGE_PATCH).status_code == 200
    assert client.get("/api/me", headers=headers).status_code == 401
    assert app.test_cli_runner().invoke(args=["users", "sign-out", "alice"]).exit_code == 0
    assert ask(app, key).status_code == 200


@pytest.mark.parametrize("event", ["revoked", "replaced", "deactivated", "demoted", "ended"])
def test_write_looks_at_the_key_again(
    app: Flask, database: Database, clock: Clock, alice: User, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    key = create(app, "alice", "--until", f"{START + timedelta(seconds=60):%Y-%m-%dT%H:%M:%S}")
    bob = database.make_user("bob")
    users = app.extensions["poort"].users
    hold = users.hold

    def hold_late(session: Any, *arguments: Any) -> Any:
        session.rollback()
        if event == "ended":
            clock.advance(60)
        elif event in {"revoked", "replaced"}:
            with database.session() as other:
                values = {"revoked_at": START} if event == "revoked" else {"api_key": "0" * 64}
                other.execute(update(ApiKey).values(values))
        else:
            with database.session() as other:
                values = {"active": 0} if event == "deactivated" else {"roles": []}
                other.execute(update(User).where(User.id == alice.id).values(values))
        return hold(session, *arguments)

    monkeypatch.setattr(users, "hold", hold_late)
    answer = ask(app, key, f"/api/users/{bob.id}", "PATCH", {"phone": "1"}, **MERGE_PATCH)
    expected = DENIED if event == "demoted" else (401, {"message": INACTIVE if event == "deactivated" else INVALID})
    assert (answer.status_code, answer.json, database.user(bob.id).phone) == (*expected, None)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_flood_of_refused_keys_is_said_to_be_one_and_good_keys_pass(
    app: Flask, clock: Clock, key: str, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr("security.throttle.limiter.REFUSED_KEYS", 3)
    said = [refusal(ask(app, UNKNOWN, address=address)) for _ in range(5)]
    assert said == [INVALID] * 3 + [FLOODED] * 2
    assert ask(app, key, address=address).status_code == 200
    neighbor = "192.0.2.2" if "." in address else "2001:db8::2"
    assert refusal(ask(app, UNKNOWN, address=neighbor)) == (INVALID if "." in address else FLOODED)
    assert refusal(ask(app, UNKNOWN, address="198.51.100.1")) == INVALID
    credentials = {"username": "alice", "password": "secret"}
    answer = app.test_client().post("/api/authentication_token", json=credentials, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == 200, "a window of their own"
    clock.advance(60)
    assert refusal(ask(app, UNKNOWN, address=address)) == INVALID


def test_whole_minute_of_refusals(app: Flask, database: Database, key: str) -> None:
    assert REFUSED_KEYS == 120
    said = [refusal(ask(app, UNKNOWN)) for _ in range(REFUSED_KEYS + 1)]
    assert (said[-2:], said.count(INVALID)) == ([INVALID, FLOODED], 120)
    assert sum(row.hits for row in database.rows(ThrottledLogin)) == REFUSED_KEYS
    assert ask(app, key).status_code == 200


def test_limit_works_without_the_throttle_and_good_keys_are_not_counted(
    make_app: Callable[..., Flask], database: Database, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("security.throttle.limiter.REFUSED_KEYS", 1)
    app = make_app(API_KEYS="1", LOGIN_THROTTLING_MAX_ATTEMPTS="0")
    key = create(app, alice.username)
    assert [ask(app, key).status_code for _ in range(3)] == [200] * 3
    assert database.rows(ThrottledLogin) == []
    assert [refusal(ask(app, UNKNOWN)) for _ in range(2)] == [INVALID, FLOODED]


def test_store_that_is_down_refuses_as_if_nobody_counted(app: Flask, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("security.throttle.limiter.REFUSED_KEYS", 0)
    limiter = app.extensions["poort"].limiter

    class Down:
        def reserve(self, *_: Any) -> Any:
            raise StoreUnavailable("gone")

    monkeypatch.setattr(limiter, "_store", Down())
    assert refusal(ask(app, UNKNOWN)) == INVALID
    assert ask(app, key).status_code == 200


def test_refusals_are_audited_once_a_minute_and_address(
    app: Flask, database: Database, clock: Clock, alice: User, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        ask(app, UNKNOWN, address=address)
    with database.session() as session:
        session.execute(update(User).where(User.id == alice.id).values(active=0))
    for seconds in (0, 0, 60):
        clock.advance(seconds)
        ask(app, key, address="192.0.2.1")
    lines = [record for record in caplog.records if record.getMessage() == "api_key_refused"]
    assert [(line.address, line.reason, getattr(line, "username", None)) for line in lines] == [
        ("192.0.2.1", INVALID, None),
        ("192.0.2.2", INVALID, None),
        ("192.0.2.1", INACTIVE, "alice"),
        ("192.0.2.1", INACTIVE, "alice"),
    ]
    assert {line.details["key_prefix"] for line in lines} == {UNKNOWN[:24], key[:24]}
    rows = [row for row in database.rows(AuditRecord) if row.event == "api_key_refused"]
    assert [(row.username, row.reason) for row in rows] == [("alice", INACTIVE)] * 2, "a stranger writes no row"


def test_deleting_a_user_for_good_deletes_the_key(make_app: Callable[..., Flask], database: Database, alice: User) -> None:
    app = make_app(API_KEYS="1", USER_DELETE_MODE="hard")
    bob = database.make_user("bob")
    of_bob, of_alice = create(app, "bob"), create(app, "alice")
    assert ask(app, of_alice, f"/api/users/{bob.id}", "DELETE").status_code == 204
    assert stored(database).user_id == alice.id
    assert refusal(ask(app, of_bob)) == INVALID


def test_deleted_user_who_is_kept_has_a_key_of_no_use(app: Flask, database: Database, key: str) -> None:
    bob = database.make_user("bob")
    of_bob = create(app, "bob")
    assert ask(app, key, f"/api/users/{bob.id}", "DELETE").status_code == 204
    assert refusal(ask(app, of_bob)) == INACTIVE


def test_read_only_server_takes_keys_and_writes_nothing(make_app: Callable[..., Flask], database: Database, key: str) -> None:
    reading = make_app(API_KEYS="1", READ_ONLY="1")
    assert ask(reading, key).status_code == 200
    assert refusal(ask(reading, UNKNOWN)) == INVALID
    assert (stored(database).last_used_at, database.rows(ThrottledLogin)) == (None, [])


def test_failure_to_write_the_use_is_logged_once_and_the_request_goes_on(
    app: Flask, clock: Clock, key: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = app.extensions["poort"].api_keys._table
    tried = []

    def refused(session: Any, *_: Any) -> None:
        tried.append(clock())
        session.execute(text("UPDATE nothing SET x = 1"))

    monkeypatch.setattr(table, "mark_used", refused)
    with caplog.at_level(logging.WARNING, "security.api_keys"):
        for seconds in (0, 299, 1, 300):
            clock.advance(seconds)
            assert ask(app, key).status_code == 200
    said = [record.getMessage() for record in caplog.records if record.name == "security.api_keys"]
    assert (len(said), len(tried)) == (1, 3)
    assert said[0].startswith("the last use of API keys cannot be written down: ")


def test_key_renews_no_token_and_signs_nobody_in(app: Flask, key: str) -> None:
    client = app.test_client()
    for path, body in (
        ("/api/authentication_token", {"username": "alice", "password": key}),
        ("/api/token/refresh", {"refresh_token": key}),
    ):
        answer = client.post(path, json=body, headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json["code"]) == (401, 401)
