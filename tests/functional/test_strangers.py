"""Strangers write no rows: whatever they repeat leaves one audit line for each window, and nothing that grows."""

import logging
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from answers import signed_in_as
from factories import Clock, Database
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, func, select

from models import AuditRecord, ThrottledLogin, TrackELoginRecord, User, db
from security.said_once import SaidOnce

pytestmark = pytest.mark.slow

SIGN_IN, REFRESH = "/api/authentication_token", "/api/token/refresh"


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app(REFRESH_TOKEN_TTL="1000").test_client()


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    lines = [record for record in caplog.records if record.name == "poort.audit"]
    return [(line.getMessage(), getattr(line, "reason", None)) for line in lines]


def counts(database: Database) -> dict[str, int]:
    """Return the number of rows of every table."""
    with database.session() as session:
        return {name: session.scalar(select(func.count()).select_from(table)) for name, table in db.metadata.tables.items()}


def sign_in(client: FlaskClient, username: str, password: str = "wrong", address: str = "192.0.2.1") -> Any:
    body = {"username": username, "password": password}
    return client.post(SIGN_IN, json=body, environ_overrides={"REMOTE_ADDR": address})


def refresh(client: FlaskClient, body: Any, address: str = "192.0.2.1") -> int:
    return client.post(REFRESH, json=body, environ_overrides={"REMOTE_ADDR": address}).status_code


BAD_TOKENS = [{}, {"refresh_token": None}, {"refresh_token": 5}, {"refresh_token": "x"}, {"refresh_token": "y" * 1000}]


def test_bad_refresh_tokens_write_no_row_and_one_line_a_minute_for_each_network(
    client: FlaskClient, database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = counts(database)
    for number in range(200):
        assert refresh(client, BAD_TOKENS[number % 5]) == 401
        assert refresh(client, {"refresh_token": str(number)}, f"2001:db8::{number:x}") == 401
    assert counts(database) == before
    assert said(caplog) == [("refresh_refused", "JWT Refresh Token Not Found"), ("refresh_refused", "unknown")]
    assert len([record for record in caplog.records if record.name == "poort.access"]) == 400
    clock.advance(60)
    assert (refresh(client, {}), len(said(caplog))) == (401, 3)


@pytest.mark.parametrize("names", [["bob"], [f"bob{number}" for number in range(100)]], ids=["one name", "many names"])
def test_throttled_sign_ins_write_no_row_and_one_line_a_window(
    client: FlaskClient, database: Database, clock: Clock, caplog: pytest.LogCaptureFixture, names: list[str]
) -> None:
    for number in range(50):
        sign_in(client, names[number % len(names)])
    before, lines = counts(database), len(said(caplog))
    for number in range(100):
        assert "Too many" in sign_in(client, names[-1 - number % len(names)]).json["message"]
    assert counts(database) == before
    assert len(said(caplog)) - lines == (0 if len(names) == 1 else 1), "it was said already for one name"
    assert len([line for line in said(caplog) if "Too many" in (line[1] or "")]) == 1
    clock.advance(60)
    assert "Invalid" in sign_in(client, names[0]).json["message"]
    assert len(database.rows(TrackELoginRecord)) == before["track_e_login_record"] + 1


def test_refusals_by_a_window_write_nothing_in_any_other(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is inserted and rolled back costs as much as one that stays."""
    for number in range(51):
        sign_in(client, f"bob{number}")
    store = client.application.extensions["poort"].limiter._store
    reserve, taken = store.reserve, []

    def watched(*arguments: Any) -> Any:
        slot = reserve(*arguments)
        taken.append(slot.taken)
        return slot

    monkeypatch.setattr(store, "reserve", watched)
    for number in range(20):
        sign_in(client, f"eve{number}")
    assert taken == [False] * 20
    assert len(database.rows(ThrottledLogin)) == 101, "windows of the address, and of 50 names for this minute and this hour"


def test_each_full_window_of_the_throttle_has_its_line(
    make_app: Callable[..., Flask], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_app(LOGIN_THROTTLING_MAX_ATTEMPTS="1").test_client()
    ways = [("alice", "192.0.2.1"), ("bob", "192.0.2.1"), ("alice", "192.0.2.2"), ("alice", "2001:db8::1")]
    caplog.set_level(logging.INFO)
    for _ in range(4):
        for username, address in ways:
            sign_in(client, username, address=address)
    lines = [record for record in caplog.records if record.name == "poort.audit" and "Too many" in record.reason]
    assert [(line.username, line.address) for line in lines] == ways
    assert len(database.rows(AuditRecord)) == len(ways), "rows of the earlier failures"


@pytest.mark.parametrize(("username", "password"), [("alice", ""), ("", "x"), ("a" * 5000, "x")])
def test_sign_in_that_cannot_succeed_costs_a_hash_as_others_do(
    make_app: Callable[..., Flask], database: Database, username: str, password: str
) -> None:
    """Only the hash bounds the number of rows if the throttle is off or the networks are many."""
    client = make_app(LOGIN_THROTTLING_MAX_ATTEMPTS="0").test_client()
    for _ in range(5):
        assert sign_in(client, username, password).json["message"] == "Invalid credentials."
    turns = client.application.extensions["poort"].hashing.turns_total
    assert (turns, len(database.rows(AuditRecord)), len(database.rows(TrackELoginRecord))) == (5, 5, 5)


def kill_by_age(_database: Database, clock: Clock, _user_id: int) -> None:
    clock.advance(1000)


def kill_by_password(database: Database, _clock: Clock, user_id: int) -> None:
    with database.session() as session:
        session.get_one(User, user_id).password = "x"


def kill_by_removal(database: Database, _clock: Clock, user_id: int) -> None:
    with database.session() as session:
        session.execute(delete(User).where(User.id == user_id))


@pytest.mark.parametrize("kill", [kill_by_age, kill_by_password, kill_by_removal])
def test_dead_token_of_a_known_session_is_one_row_a_minute_wherever_it_comes_from(
    client: FlaskClient, database: Database, clock: Clock, kill: Callable[[Database, Clock, int], None]
) -> None:
    user = database.make_user("bob", password="secret")
    body = {"refresh_token": sign_in(client, "bob", "secret").json["refresh_token"]}
    kill(database, clock, user.id)
    refresh(client, {"refresh_token": "unknown"})
    for number in range(30):
        assert refresh(client, body, f"2001:db8:0:{number:x}::1") == 401
    (row,) = [row for row in database.rows(AuditRecord) if row.event == "refresh_refused"]
    assert (row.user_id, row.address, bool(row.reason)) == (user.id, "2001:db8::1", True)
    clock.advance(60)
    assert refresh(client, body) == 401
    assert [row.event for row in database.rows(AuditRecord)].count("refresh_refused") == 2


def test_hundred_failures_at_a_name_in_an_hour_are_said_once_and_delay_nobody(
    client: FlaskClient, database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    database.make_user("bob", password="secret")
    limiter = client.application.extensions["poort"].limiter
    name = "bob"
    for number in range(99):
        sign_in(client, (name, "BOB", " bob")[number % 3], address=f"198.51.100.{number}")
    assert ([line for line in said(caplog) if line[0] == "sign_in_failures"], limiter.reported_names_total) == ([], 0)
    for number in range(99, 150):
        assert sign_in(client, name, address=f"198.51.100.{number}").json["message"] == "Invalid credentials."
    (line,) = [record for record in caplog.records if record.getMessage() == "sign_in_failures"]
    assert (line.username, line.details, limiter.reported_names_total) == ("bob", {"in_an_hour": 100}, 1)
    assert {row.event for row in database.rows(AuditRecord)} == {"sign_in_refused"}
    assert signed_in_as(sign_in(client, "bob", "secret")) == "bob"
    clock.advance(3600)
    for number in range(100):
        sign_in(client, name, address=f"198.51.100.{number}")
    assert limiter.reported_names_total == 2


def test_good_sign_ins_and_refused_ones_do_not_count_as_failures_at_a_name(client: FlaskClient, database: Database) -> None:
    database.make_user("bob", password="secret")
    for _ in range(10):
        sign_in(client, "bob", "secret")
        sign_in(client, "bob")
    for _ in range(100):
        assert "Too many" in sign_in(client, "bob").json["message"]
    assert max(row.hits for row in database.rows(ThrottledLogin)) == 10


def test_failures_at_a_name_are_said_where_the_throttle_is_off_and_where_nothing_is_written(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    for settings in ({"LOGIN_THROTTLING_MAX_ATTEMPTS": "0"}, {"READ_ONLY": "1", "LOGIN_THROTTLING_MAX_ATTEMPTS": "1000"}):
        caplog.clear()
        client = make_app(**settings).test_client()
        for _ in range(101):
            sign_in(client, "x" * 5000 + "\n")
        (line,) = [record for record in caplog.records if record.getMessage() == "sign_in_failures"]
        assert line.username == "x" * 100, "a stranger's text is cut"


def test_memory_of_what_was_said_is_bounded_in_bytes_and_forgets_what_is_over() -> None:
    tracemalloc.start()
    memory = SaidOnce()
    said = [memory.is_first(f"{number}" * 1000, 0, 1000) for number in range(10_000)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (sum(said), said[0], said[-1]) == (4096, True, False)
    assert size < 2_000_000
    assert not memory.is_first("0" * 1000, 999, 1999), "no input makes it forget"
    assert memory.is_first("new", 1000, 2000)
    assert len(memory._ends_at_ms) == 1


def test_full_memory_of_what_was_said_is_searched_once_a_second() -> None:
    """A stranger can fill it, and then a search takes half a millisecond."""
    memory = SaidOnce(max_keys=100)
    assert all(memory.is_first(str(number), 0, 500) for number in range(100))
    assert [memory.is_first("new", now_ms, now_ms + 60_000) for now_ms in (400, 600, 1399, 1400)] == [False, False, False, True]
    assert memory.is_first("another", 1401, 61_401), "there is room again"


def test_memory_of_what_was_said_does_not_believe_a_clock_that_was_ahead() -> None:
    memory = SaidOnce()
    assert memory.is_first("key", 10**9, 10**9 + 60)
    assert [memory.is_first("key", now, 60) for now in (0, 1, 59)] == [True, False, False]
    assert (memory.knows("key", 59), memory.knows("key", 60), memory.knows("other", 0)) == (True, False, False)


def test_of_many_threads_one_is_the_first() -> None:
    memory = SaidOnce()
    with ThreadPoolExecutor(16) as pool:
        firsts = list(pool.map(lambda number: memory.is_first(str(number % 100), 0, 10), range(3200)))
    assert sum(firsts) == 100


def test_bodies_that_are_none_write_neither_rows_nor_lines(
    client: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    before = counts(database)
    caplog.set_level(logging.DEBUG)
    for path in (SIGN_IN, REFRESH):
        for body in (b"", b"[]", b"{", b"\xff", b'{"username":1}', b'{"username":"bob"}'):
            client.post(path, data=body, content_type="application/json")
        client.post(path, data=b"x", content_type="text/plain")
        client.get(path)
    client.get("/api/me", headers={"Authorization": "Bearer x"})
    assert counts(database) == before
    assert len(said(caplog)) <= 1, "the body has no refresh token"
