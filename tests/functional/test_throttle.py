"""The throttle through the application: who shares a window, who is left alone, and windows on Redis."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from factories import Clock, Database
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from services import RedisServer, free_port

from blueprints.health import routes as health
from models import ThrottledLogin

PATH = "/api/authentication_token"
WRONG, BLOCKED = "Invalid credentials.", "Too many failed login attempts, please try again in 1 minute."

ATTACKER, VICTIM = {"REMOTE_ADDR": "198.51.100.66"}, {"REMOTE_ADDR": "192.0.2.7"}


def message(client: FlaskClient, username: str, password: str, origin: dict[str, str]) -> str:
    """Sign in, and return why not."""
    answer = client.post(PATH, json={"username": username, "password": password}, environ_overrides=origin)
    assert answer.status_code in {200, 401}
    return str(answer.json.get("message", "signed in"))


@pytest.fixture
def emptied(redis: RedisServer) -> Iterator[Any]:
    with Redis.from_url(redis.url, decode_responses=True) as client:
        client.flushdb()
        yield client


def test_names_that_look_alike_share_a_window(client: FlaskClient) -> None:
    names = ["bob", "BOB", "bob ", " Bob", "\uff22\uff4f\uff42", "b\u00adob", "b\u200bob"] * 2
    assert [message(client, name, "no", ATTACKER) for name in names] == [WRONG] * 10 + [BLOCKED] * 4


def test_attacker_who_is_refused_keeps_no_victim_out(client: FlaskClient, database: Database) -> None:
    database.make_user("bob", password="secret")
    refused = [message(client, "bob", "no", ATTACKER) for _ in range(60)]
    assert refused == [WRONG] * 10 + [BLOCKED] * 50
    assert message(client, "bob", "secret", ATTACKER) == BLOCKED
    assert message(client, "bob", "secret", VICTIM) == "signed in"


def test_attacker_who_tries_every_name_keeps_no_victim_out(client: FlaskClient, database: Database) -> None:
    database.make_user("bob", password="secret")
    for number in range(50):
        message(client, f"user{number}", "no", ATTACKER)
    assert message(client, "bob", "secret", ATTACKER) == BLOCKED
    assert message(client, "bob", "secret", VICTIM) == "signed in"


@pytest.mark.services
@pytest.mark.parametrize("read_only", ["0", "1"])
def test_redis_counts_instead_of_the_database(
    make_app: Callable[..., Flask], database: Database, clock: Clock, redis: RedisServer, emptied: Any, read_only: str
) -> None:
    database.make_user("bob", password="secret")
    client = make_app(REDIS_URL=redis.url, READ_ONLY=read_only).test_client()
    assert message(client, "bob", "secret", VICTIM) == "signed in"
    assert emptied.keys() == []
    assert [message(client, "bob", "no", ATTACKER) for _ in range(12)] == [WRONG] * 10 + [BLOCKED] * 2
    keys = emptied.keys()
    assert len(keys) == 3, "of the name at the address, of the address, and of the name for an hour"
    assert all(key.startswith("poort:throttle:") and len(key) == len("poort:throttle:") + 64 for key in keys)
    assert sorted(int(emptied.hget(key, "hits")) for key in keys) == [10, 10, 10]
    assert database.rows(ThrottledLogin) == []
    other = make_app(REDIS_URL=redis.url).test_client()
    assert message(other, "bob", "secret", ATTACKER) == BLOCKED
    clock.advance(60)
    assert message(client, "bob", "secret", ATTACKER) == "signed in"


def test_redis_that_is_down_keeps_nobody_out_and_is_seen(
    make_app: Callable[..., Flask], database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.make_user("bob", password="secret")
    app = make_app(REDIS_URL=f"redis://:hush@127.0.0.1:{free_port()}/0")
    client = app.test_client()
    caplog.set_level(logging.INFO)
    assert message(client, "bob", "secret", VICTIM) == "signed in"
    assert [message(client, "bob", "no", ATTACKER) for _ in range(12)] == [WRONG] * 12
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.unavailable_total for record in errors] == list(range(1, 14))
    assert app.extensions["poort"].limiter.unavailable_total == 13
    monkeypatch.setattr(health, "_check_keys", lambda: True)  # whether the key file is private is not the question here
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json) == (200, {"status": "degraded", "failing": [], "degraded": ["store"]})
    assert "hush" not in caplog.text
