"""More passwords than the server can hash: which requests it refuses, and that a refusal does not count as a guess."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from answers import body_of, name_in, signed_in_as
from factories import COST, Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from load import occupied, wait_until_inside
from redis import Redis
from werkzeug.test import TestResponse

from benchmarks.services import RedisServer
from models import AuditRecord, ThrottledLogin, TrackELoginRecord, User, db
from models.passwords import hash_password
from security.fair_queue import Requester
from security.hashing import HashingThread

SIGN_IN = "/api/authentication_token"
REFUSED = (503, {"error": "Too many passwords are being checked at the moment."}, "7")
SHA1 = "5ebe2294ecd0e0f08eab7690d2a6ee69"

NEW = {"username": "new", "email": "new@example.com", "plainPassword": "another"}


def outcome(answer: TestResponse) -> tuple[int, Any, str | None]:
    return answer.status_code, answer.json, answer.headers.get("Retry-After")


def sign_in(client: FlaskClient, username: str = "alice", password: str = "secret") -> TestResponse:
    return client.post(SIGN_IN, json={"username": username, "password": password})


def hashing_of(app: Flask) -> HashingThread:
    return app.extensions["poort"].hashing


@pytest.fixture
def narrow(make_app: Callable[..., Flask], database: Database) -> Flask:
    """An application without a hashing queue, and the user alice."""
    database.make_user(password="secret")
    return make_app(PASSWORD_HASH_QUEUE="0", PASSWORD_HASH_WAIT="7")


def test_sign_in_without_room_is_503_and_no_guess(narrow: Flask, database: Database) -> None:
    client, hashing = narrow.test_client(), hashing_of(narrow)
    with occupied(hashing):
        for username, password in (("alice", "secret"), ("alice", "wrong"), ("nobody", "x"), ("alice", "x" * 5000)):
            assert outcome(sign_in(client, username, password)) == REFUSED
    assert (hashing.refused_total, hashing.turns_total) == (4, 1)
    assert [database.rows(table) for table in (AuditRecord, TrackELoginRecord, ThrottledLogin)] == [[], [], []]
    assert signed_in_as(sign_in(client)) == "alice"


@pytest.fixture(params=["database", "memory", pytest.param("redis", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The settings that make the throttle use each of its stores."""
    if request.param != "redis":
        yield {"READ_ONLY": "1"} if request.param == "memory" else {}
        return
    redis: RedisServer = request.getfixturevalue("redis")
    with Redis.from_url(redis.url) as client:
        client.flushdb()
    yield {"REDIS_URL": redis.url}


def test_sign_in_whose_turn_does_not_come_gives_its_slot_back(
    make_app: Callable[..., Flask], database: Database, store: dict[str, str]
) -> None:
    database.make_user(password="secret")
    app = make_app(PASSWORD_HASH_QUEUE="1", LOGIN_THROTTLING_MAX_ATTEMPTS="1", PASSWORD_HASH_WAIT="7", **store)
    hashing = hashing_of(app)
    with occupied(hashing):
        hashing._wait_seconds = 0
        refused = [sign_in(app.test_client(), password=password).status_code for password in ("secret", "wrong", "wrong")]
    assert (refused, hashing.refused_total, hashing.turns_total) == ([503] * 3, 3, 1)
    assert [database.rows(table) for table in (AuditRecord, TrackELoginRecord, ThrottledLogin)] == [[], [], []]
    hashing._wait_seconds = 7
    assert signed_in_as(sign_in(app.test_client())) == "alice"


def test_who_waits_holds_a_slot_and_no_connection(make_app: Callable[..., Flask], database: Database) -> None:
    database.make_user(password="secret")
    app = make_app(PASSWORD_HASH_QUEUE="1", LOGIN_THROTTLING_MAX_ATTEMPTS="5")
    with ThreadPoolExecutor(1) as pool:
        with occupied(hashing_of(app)):
            waiting = pool.submit(sign_in, app.test_client())
            wait_until_inside(hashing_of(app), 2)
            with app.app_context():
                assert db.engine.pool.checkedout() == 0
            assert [window.hits for window in database.rows(ThrottledLogin)] == [1, 1]
        assert signed_in_as(waiting.result()) == "alice"


WRITES: dict[str, Callable[[FlaskClient, User, dict[str, str]], TestResponse]] = {
    "create": lambda client, _user, headers: client.post("/api/users", json=NEW, headers=headers),
    "create in a portal": lambda client, _user, headers: client.post(
        "/api/access_urls/1/user", json=NEW | {"firstname": "N", "lastname": "N", "password": "another"}, headers=headers
    ),
    "replace": lambda client, user, headers: client.put(
        f"/api/users/{user.id}", json={"plainPassword": "another"}, headers=headers
    ),
    "update": lambda client, user, headers: client.patch(
        f"/api/users/{user.id}",
        json={"plainPassword": "another"},
        headers=headers | {"Content-Type": "application/merge-patch+json"},
    ),
    "set the password": lambda client, user, headers: client.patch(
        f"/api/users/{user.id}/password", json={"password": "another"}, headers=headers
    ),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_password_without_room_is_503_and_nothing_is_written(
    narrow: Flask, database: Database, write: Callable[..., TestResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = database.make_user("admin", ["ROLE_ADMIN"])
    headers, run, in_transaction = bearer(narrow, admin), HashingThread.run, []
    before = [(user.id, user.password, user.updated_at) for user in database.rows(User)]
    with occupied(hashing_of(narrow)):
        assert outcome(write(narrow.test_client(), admin, headers)) == REFUSED
    assert [(user.id, user.password, user.updated_at) for user in database.rows(User)] == before
    assert database.rows(AuditRecord) == []

    def look(hashing: HashingThread, work: Callable[[], object], requester: Requester) -> object:
        in_transaction.append(db.session().in_transaction())
        return run(hashing, work, requester)

    monkeypatch.setattr(HashingThread, "run", look)
    assert write(narrow.test_client(), admin, headers).status_code in {200, 201}
    assert in_transaction == [False]


def test_asking_for_the_password_again_takes_a_turn_as_well(narrow: Flask, database: Database) -> None:
    headers = bearer(narrow, database.rows(User)[0])
    with occupied(hashing_of(narrow)):
        assert outcome(narrow.test_client().post("/api/me/totp", json={"password": "wrong"}, headers=headers)) == REFUSED
    assert [database.rows(table) for table in (AuditRecord, ThrottledLogin)] == [[], []]


@pytest.mark.parametrize(
    ("columns", "password", "status"),
    [
        ({"password_hash": SHA1}, "secret", 401),
        ({"password_hash": hash_password("secret", COST + 1).replace("$2y$", "$2b$")}, "secret", 200),
        ({"password": "secret", "active": 0}, "secret", 401),
        ({"password": "secret"}, "x" * 5000, 401),
        ({"username": "another", "password": "secret"}, "secret", 401),
    ],
    ids=["checked and padded", "checked and renewed", "inactive", "over-long", "unknown"],
)
def test_sign_in_of_any_kind_takes_one_turn(
    client: FlaskClient, app: Flask, database: Database, columns: dict[str, Any], password: str, status: int
) -> None:
    database.make_user(**columns)
    before = hashing_of(app).turns_total
    assert sign_in(client, password=password).status_code == status
    assert hashing_of(app).turns_total == before + 1


def change_own(client: FlaskClient, user: User, headers: dict[str, str]) -> TestResponse:
    return client.patch(
        f"/api/users/{user.id}",
        json={"plainPassword": "another"},
        headers=headers | {"Content-Type": "application/merge-patch+json"},
    )


REFUSALS: dict[str, tuple[str, dict[str, str], dict[str, Any], int]] = {
    "If-Match": ("own", {"If-Match": '"another-jsonld"'}, {}, 412),
    "a violation": ("own", {}, {"email": "no address"}, 422),
    "a taken name": ("admin", {}, {"username": "alice"}, 422),
    "a right": ("student", {}, {}, 403),
    "the last administrator": ("admin", {}, {"roles": []}, 403),
}


@pytest.mark.parametrize(("who", "headers", "document", "status"), REFUSALS.values(), ids=REFUSALS)
def test_nothing_is_hashed_for_a_change_that_is_refused(
    app: Flask, client: FlaskClient, database: Database, who: str, headers: dict[str, str], document: dict[str, Any], status: int
) -> None:
    alice = database.make_user("alice")
    caller = {"own": alice, "admin": database.make_user("admin", ["ROLE_ADMIN"]), "student": database.make_user("s")}[who]
    target, before = caller if who != "student" else alice, hashing_of(app).turns_total
    answer = client.patch(
        f"/api/users/{target.id}",
        json={"plainPassword": "another"} | document,
        headers=bearer(app, caller) | {"Content-Type": "application/merge-patch+json"} | headers,
    )
    assert (answer.status_code, hashing_of(app).turns_total) == (status, before)


TOO_MANY = (429, {"error": "Too Many Requests"})


@pytest.mark.parametrize(
    "write", [WRITES["replace"], WRITES["update"], WRITES["set the password"]], ids=["PUT", "PATCH", "own path"]
)
def test_eleventh_hash_of_ones_own_password_in_a_minute_is_refused(
    app: Flask, client: FlaskClient, database: Database, clock: Clock, write: Callable[..., TestResponse]
) -> None:
    alice, turns = database.make_user("alice"), hashing_of(app).turns_total
    for _ in range(10):
        assert name_in(write(client, alice, bearer(app, alice))) == "alice"
        clock.advance(1)  # each change ends all earlier tokens
    refused = write(client, alice, bearer(app, alice))
    assert (refused.status_code, refused.json, refused.headers["Retry-After"]) == (*TOO_MANY, "50")
    assert (hashing_of(app).turns_total, database.user(alice.id).password_updated_at) == (
        turns + 10,
        clock() - timedelta(seconds=1),
    )
    clock.advance(50)
    assert name_in(write(client, alice, bearer(app, alice))) == "alice"


def test_ways_to_hash_ones_own_password_are_counted_together_and_for_each_user(
    app: Flask, client: FlaskClient, database: Database, clock: Clock
) -> None:
    alice, bob = database.make_user("alice", password="secret"), database.make_user("bob", ["ROLE_ADMIN"])
    for _ in range(10):
        assert body_of(client.post("/api/me/totp", json={"password": "secret"}, headers=bearer(app, alice)))["secret"]
    for refused in (
        client.post("/api/me/totp", json={"password": "secret"}, headers=bearer(app, alice)),
        change_own(client, alice, bearer(app, alice)),
    ):
        assert (refused.status_code, refused.json) == TOO_MANY
    assert name_in(change_own(client, bob, bearer(app, bob))) == "bob"
    clock.advance(1)
    for number in range(12):
        assert name_in(change_own(client, alice, bearer(app, bob))) == "alice"
        document = {"username": f"new{number}", "email": "new@example.com", "plainPassword": "another"}
        assert name_in(client.post("/api/users", json=document, headers=bearer(app, bob)), 201) == f"new{number}"
    assert client.patch(
        f"/api/users/{alice.id}",
        json={"phone": "1"},
        headers=bearer(app, alice) | {"Content-Type": "application/merge-patch+json"},
    ).status_code in {200, 401}


def test_client_with_many_hashes_keeps_nobody_from_signing_in(make_app: Callable[..., Flask], database: Database) -> None:
    admin = database.make_user("admin", ["ROLE_ADMIN"])
    database.make_user("alice", password="secret")
    app = make_app(PASSWORD_HASH_QUEUE="2", PASSWORD_HASH_WAIT="60")
    hashing, headers = hashing_of(app), bearer(app, admin)
    document = {"username": "new", "email": "new@example.com", "plainPassword": "x"}
    with ThreadPoolExecutor(3) as pool:
        with occupied(hashing):
            waiting = []
            for number in range(2):
                document = document | {"username": f"new{number}"}
                waiting.append(pool.submit(app.test_client().post, "/api/users", json=document, headers=headers))
                wait_until_inside(hashing, number + 2)
            signing_in = pool.submit(sign_in, app.test_client())
            assert waiting[1].result(60).status_code == 503
        assert (signing_in.result(60).status_code, waiting[0].result(60).status_code) == (200, 201)


@pytest.mark.parametrize(
    "password_hash",
    [
        "$2y$17$" + "a" * 53,
        "$2b$31$" + "a" * 53,
        "$argon2id$v=19$m=1048577,t=1,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43,
        "$argon2i$v=19$m=1024,t=21,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43,
        "$argon2id$v=19$m=65536,t=1,p=65$c2FsdHNhbHRzYWx0$" + "a" * 43,
    ],
)
def test_stored_hash_that_costs_too_much_is_refused_and_logged(
    client: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture, password_hash: str
) -> None:
    alice = database.make_user(password_hash=password_hash)
    assert sign_in(client).status_code == 401
    assert [record.user_id for record in caplog.records if "too costly" in record.getMessage()] == [alice.id]
    assert database.rows(AuditRecord)[-1].reason == "a stored hash that is too costly to check"
