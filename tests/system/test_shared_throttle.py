"""The sign-in throttle counts across all workers."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from installed import needed
from system.serving import GUNICORN, WAIT_SECONDS, Home, Server

from benchmarks.services import RedisServer, free_port, start_redis

pytest_plugins = ("system.fixtures",)

WRONG = {"code": 401, "message": "Invalid credentials."}


@pytest.fixture
def home(home: Home) -> Home:
    # The queue has room and time for all that the throttle lets through, so that no other refusal interferes.
    return home.write_env(
        JWT_PASSPHRASE="long enough",
        PASSWORD_HASH_COST="4",
        PASSWORD_HASH_QUEUE="10",
        PASSWORD_HASH_WAIT="60",
        LOGIN_THROTTLING_INTERVAL="3600",
    )


def failures(home: Home) -> int:
    with closing(sqlite3.connect(home.folder / "var" / "poort.db")) as database:
        return int(database.execute("SELECT count(*) FROM track_e_login_record WHERE NOT success").fetchone()[0])


def test_the_eleventh_failure_is_refused_whichever_worker_it_meets(home: Home) -> None:
    password = home.set_up()
    server = home.serve(WEB_CONCURRENCY="2")
    try:
        answers = [server.sign_in("admin", "wrong") for _ in range(30)]
        right = server.sign_in("admin", password)
    finally:
        server.stop()
    assert [answer[2] for answer in answers[:10]] == [WRONG] * 10
    for status, headers, body in (*answers[10:], right):
        assert status == 401
        assert body == {"code": 401, "message": "Too many failed login attempts, please try again in 60 minutes."}
        assert 3590 < int(headers["retry-after"]) <= 3600
    workers = [line["process"] for line in server.log_lines if line.get("route") == "/api/authentication_token"]
    assert len(workers) == 31
    assert len(set(workers[10:])) == 2, "both workers refused"


def test_of_a_hundred_guesses_at_once_ten_are_hashed(home: Home) -> None:
    home.set_up()
    server = home.serve(WEB_CONCURRENCY="2")
    try:
        with ThreadPoolExecutor(100) as pool:
            answers = list(pool.map(lambda number: server.sign_in("admin", f"guess {number}"), range(100)))
    finally:
        server.stop()
    assert {answer[0] for answer in answers} == {401}
    messages = [answer[2]["message"] for answer in answers]
    assert (messages.count("Invalid credentials."), sum(text.startswith("Too many") for text in messages)) == (10, 90)
    assert failures(home) == 10


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis that a test may stop."""
    server = needed(start_redis)
    yield server
    server.stop()


def outcomes(server: Server, count: int) -> list[str]:
    return [server.sign_in("admin", "wrong")[2]["message"][:8] for _ in range(count)]


@pytest.mark.services
def test_redis_counts_for_two_servers_of_two_workers_each_and_its_end_keeps_nobody_out(home: Home, redis: RedisServer) -> None:
    password = home.set_up()
    first = home.serve(WEB_CONCURRENCY="2", REDIS_URL=redis.url)
    try:
        other = Home(home.folder / "other")
        other.folder.mkdir()
        shutil.copy(home.folder / ".env", other.folder)
        shutil.copytree(home.folder / "config", other.folder / "config")
        second = other.serve(WEB_CONCURRENCY="2", REDIS_URL=redis.url, DATABASE_URL=f"sqlite:///{home.folder}/var/poort.db")
        try:
            with ThreadPoolExecutor(20) as pool:
                messages = list(pool.map(lambda number: outcomes((first, second)[number % 2], 1)[0], range(40)))
            assert (messages.count("Invalid "), messages.count("Too many")) == (10, 30)
            assert failures(home) == 10
            redis.stop()
            assert [first.sign_in("admin", password)[0], second.sign_in("admin", password)[0]] == [200, 200]
            assert outcomes(first, 15) == ["Invalid "] * 15
        finally:
            second.stop()
    finally:
        first.stop()
    down = [line for line in (*first.log_lines, *second.log_lines) if line["logger"] == "security.throttle.limiter"]
    assert len(down) == 17, "one line for each sign-in"
    assert {line["level"] for line in down} == {"error"}
    assert max(line["unavailable_total"] for line in down) > 1
    assert redis.password not in first.log + second.log


@pytest.mark.services
def test_redis_that_comes_back_counts_again(home: Home, redis: RedisServer) -> None:
    home.set_up()
    server = home.serve(WEB_CONCURRENCY="1", REDIS_URL=redis.url, LOGIN_THROTTLING_MAX_ATTEMPTS="3")
    try:
        assert outcomes(server, 2) == ["Invalid "] * 2
        redis.stop()
        assert outcomes(server, 5) == ["Invalid "] * 5
        again = start_redis(redis.port, redis.password)
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while outcomes(server, 1) != ["Too many"]:
                assert time.monotonic() < deadline, server.log
                time.sleep(0.1)
        finally:
            again.stop()
    finally:
        server.stop()


def test_server_on_all_ipv6_addresses_knows_ipv4_clients_and_proxies_as_such(home: Home) -> None:
    home.set_up()
    port = free_port()
    environment = home.environment(WEB_CONCURRENCY="1", TRUSTED_PROXIES="127.0.0.1", GUNICORN_CMD_ARGS=f"--bind [::]:{port}")
    server = Server(GUNICORN, home.folder, environment, port).start()
    try:
        for named in ("", "203.0.113.1, ::ffff:192.0.2.9", "[2001:db8::1]:4711"):
            body = {"username": "admin", "password": "wrong"}
            server.request("POST", "/api/authentication_token", body, **{"X-Forwarded-For": named})
    finally:
        server.stop()
    with closing(sqlite3.connect(home.folder / "var" / "poort.db")) as database:
        rows = database.execute("SELECT user_ip FROM track_e_login_record ORDER BY id").fetchall()
    assert [address for (address,) in rows] == ["127.0.0.1", "192.0.2.9", "2001:db8::1"]
