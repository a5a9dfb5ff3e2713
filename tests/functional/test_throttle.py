"""The throttle in the application: which requests share a window, which do not, and windows on Redis."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from factories import Clock, Database
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis

from benchmarks.services import RedisServer, free_port
from blueprints.health import routes as health
from models import AuditRecord, SignInSession, ThrottledLogin, TrackELogin, TrackELoginRecord

pytestmark = pytest.mark.slow

PATH = "/api/authentication_token"
WRONG, BLOCKED = "Invalid credentials.", "Too many failed login attempts, please try again in 1 minute."

ATTACKER, VICTIM = {"REMOTE_ADDR": "198.51.100.66"}, {"REMOTE_ADDR": "192.0.2.7"}


def message(client: FlaskClient, username: str, password: str, origin: dict[str, str]) -> str:
    """Try to sign in; return the message of the refusal."""
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


def failing(client: FlaskClient, *addresses: str, username: str = "bob") -> list[str]:
    """Fail to sign in once from each address."""
    return [message(client, username, "no", {"REMOTE_ADDR": address}) for address in addresses]


def test_network_of_ipv6_counts_as_one_address(client: FlaskClient, database: Database) -> None:
    database.make_user("bob", password="secret")
    assert failing(client, *(f"2001:db8:1:2::{number:x}" for number in range(12))) == [WRONG] * 10 + [BLOCKED] * 2
    assert message(client, "bob", "secret", {"REMOTE_ADDR": "2001:db8:1:2:ffff::1"}) == BLOCKED
    assert message(client, "bob", "secret", {"REMOTE_ADDR": "2001:db8:1:3::1"}) == "signed in"


def test_site_of_ipv6_may_fail_ten_times_as_often(client: FlaskClient, database: Database) -> None:
    database.make_user("bob", password="secret")
    assert failing(client, *(f"2001:db8:1:{number:x}::1" for number in range(101))) == [WRONG] * 100 + [BLOCKED]
    assert message(client, "bob", "secret", {"REMOTE_ADDR": "2001:db8:2::1"}) == "signed in"


def test_peer_that_is_mapped_to_ipv6_is_the_one_of_ipv4(client: FlaskClient) -> None:
    assert failing(client, *["::ffff:192.0.2.1", "192.0.2.1"] * 6) == [WRONG] * 10 + [BLOCKED] * 2


@pytest.mark.parametrize("address", ["", "unix:", "fe80::1%eth0", "not:an:address"])
def test_odd_peer_is_counted(client: FlaskClient, address: str) -> None:
    assert failing(client, *[address] * 11) == [WRONG] * 10 + [BLOCKED]


@pytest.mark.parametrize("peer", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_what_is_kept_of_an_address_is_plain_ipv4_behind_a_proxy_too(
    make_app: Callable[..., Flask], database: Database, peer: str
) -> None:
    database.make_user("bob", password="secret")
    client = make_app(TRUSTED_PROXIES="127.0.0.0/8", REFRESH_TOKEN_TTL="1000").test_client()
    for password, headers in (("no", {}), ("secret", {}), ("secret", {"X-Forwarded-For": "::ffff:192.0.2.9"})):
        body = {"username": "bob", "password": password}
        client.post(PATH, json=body, headers=headers, environ_overrides={"REMOTE_ADDR": peer})
    expected = ["127.0.0.1", "127.0.0.1", "192.0.2.9"]
    assert [row.address for row in database.rows(AuditRecord)] == expected
    assert [row.user_ip for row in database.rows(TrackELoginRecord)] == expected
    assert [row.user_ip for row in database.rows(TrackELogin)] == expected[1:]
    assert sorted(row.address for row in database.rows(SignInSession)) == expected[1:]


def test_client_behind_a_proxy_of_ipv4_is_counted_by_its_own_network(make_app: Callable[..., Flask]) -> None:
    client = make_app(TRUSTED_PROXIES="127.0.0.1").test_client()
    peer = {"REMOTE_ADDR": "::ffff:127.0.0.1"}

    def sign_in(number: int) -> str:
        named = {"X-Forwarded-For": f"203.0.113.9, 2001:db8::{number:x}"}
        return client.post(PATH, json={"username": "bob", "password": "no"}, headers=named, environ_overrides=peer).json[
            "message"
        ]

    assert [sign_in(number) for number in range(11)] == [WRONG] * 10 + [BLOCKED]
    assert failing(client, "::ffff:127.0.0.1") == [WRONG]


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
    assert len(keys) == 3, "windows of the name at the address, of the address, and of the name for an hour"
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
    monkeypatch.setattr(health, "_check_keys", lambda: True)  # the file mode of the key does not matter here
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json) == (200, {"status": "degraded", "failing": [], "degraded": ["store"]})
    assert "hush" not in caplog.text
