"""More passwords to hash than the server can: who is refused, and that it costs them nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from factories import COST, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from load import occupied, wait_until_inside
from redis import Redis
from services import RedisServer
from werkzeug.test import TestResponse

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
    """An application where nobody may wait, and alice."""
    database.make_user(password="secret")
    return make_app(PASSWORD_HASH_QUEUE="0", PASSWORD_HASH_WAIT="7")


def test_sign_in_without_room_is_503_and_no_guess(narrow: Flask, database: Database) -> None:
    client, hashing = narrow.test_client(), hashing_of(narrow)
    with occupied(hashing):
        for username, password in (("alice", "secret"), ("alice", "wrong"), ("nobody", "x"), ("alice", "x" * 5000)):
            assert outcome(sign_in(client, username, password)) == REFUSED
    assert (hashing.refused_total, hashing.turns_total) == (4, 1)
    assert [database.rows(table) for table in (AuditRecord, TrackELoginRecord, ThrottledLogin)] == [[], [], []]
    assert sign_in(client).status_code == 200


@pytest.fixture(params=["database", "memory", pytest.param("redis", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What is set where the throttle counts in each of its stores."""
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
    assert sign_in(app.test_client()).status_code == 200


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
        assert waiting.result().status_code == 200


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
