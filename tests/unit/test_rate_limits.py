"""The throttle: its window, what counts, and many at once; on each database."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from factories import START, Clock, Database
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from models import ThrottledLogin
from models.database import engine_options
from models.throttled_login import Slot, give_back, remove_ended, reserve
from security.errors import BadCredentials, TooManyAttempts
from security.rate_limits import DatabaseWindows, LoginLimiter, StoreUnavailable, throttled_name

NOW_MS = int(START.timestamp() * 1000)
ADDRESS = "192.0.2.1"


@pytest.fixture
def limiter(database: Database, clock: Clock) -> LoginLimiter:
    return LoginLimiter(DatabaseWindows(lambda: database.engine), clock, 10, 60, "secret")


def fail(limiter: LoginLimiter, username: str = "bob", address: str = ADDRESS) -> bool:
    """Fail to sign in; tell whether the attempt was let through."""
    try:
        with limiter.attempt(address, username):
            raise BadCredentials("wrong password")  # noqa: TRY301 - as the view does
    except TooManyAttempts:
        return False
    except BadCredentials:
        return True


def succeed(limiter: LoginLimiter, username: str = "bob", address: str = ADDRESS) -> bool:
    try:
        with limiter.attempt(address, username):
            pass
    except TooManyAttempts:
        return False
    return True


def test_ten_failures_are_let_through(limiter: LoginLimiter) -> None:
    assert [fail(limiter) for _ in range(12)] == [True] * 10 + [False] * 2


def test_window_is_fixed_from_the_first_failure(limiter: LoginLimiter, clock: Clock) -> None:
    for _ in range(10):
        fail(limiter)
        clock.advance(5)
    before = fail(limiter)
    clock.advance(10)
    assert (before, [fail(limiter) for _ in range(11)]) == (False, [True] * 10 + [False])


def test_refused_attempts_do_not_prolong_the_window(limiter: LoginLimiter, clock: Clock) -> None:
    for _ in range(60):
        fail(limiter)
        clock.advance(1)
    assert fail(limiter)


def test_success_costs_nothing_and_resets_nothing(limiter: LoginLimiter) -> None:
    for _ in range(9):
        fail(limiter)
    assert [succeed(limiter) for _ in range(20)] == [True] * 20
    assert [fail(limiter), fail(limiter), succeed(limiter)] == [True, False, False]


def test_success_alone_opens_no_window(limiter: LoginLimiter, database: Database) -> None:
    succeed(limiter)
    assert database.rows(ThrottledLogin) == []


def test_other_failures_give_the_slot_back(limiter: LoginLimiter, database: Database) -> None:
    with pytest.raises(KeyError), limiter.attempt(ADDRESS, "bob"):
        raise KeyError
    assert database.rows(ThrottledLogin) == []


def test_address_may_fail_five_times_as_often(limiter: LoginLimiter) -> None:
    assert [fail(limiter, f"user{n}") for n in range(51)] == [True] * 50 + [False]
    assert fail(limiter, "user51", "192.0.2.2")


def test_name_that_is_refused_does_not_use_up_the_address(limiter: LoginLimiter) -> None:
    for _ in range(60):
        fail(limiter)
    assert [fail(limiter, f"user{n}") for n in range(41)] == [True] * 40 + [False]


def test_full_address_does_not_use_up_the_name(limiter: LoginLimiter, clock: Clock) -> None:
    for number in range(50):
        fail(limiter, f"user{number}")
    clock.advance(30)
    for _ in range(20):
        fail(limiter)
    clock.advance(30)
    assert [fail(limiter) for _ in range(11)] == [True] * 10 + [False]


def test_wait_is_said_in_seconds(limiter: LoginLimiter, clock: Clock) -> None:
    for _ in range(10):
        fail(limiter)
    clock.advance(12.5)
    with pytest.raises(TooManyAttempts) as caught, limiter.attempt(ADDRESS, "bob"):
        pass
    assert caught.value.retry_after_seconds == 48


def test_no_name_and_no_address_is_stored(limiter: LoginLimiter, database: Database) -> None:
    fail(limiter, "bob")
    assert all(len(row.key) == 64 and "bob" not in row.key and ADDRESS not in row.key for row in database.rows(ThrottledLogin))


@pytest.mark.parametrize(
    "other", ["BOB", "bob ", " bob", "\uff22\uff4f\uff42", "b\u00adob", "b\u200bob", "bob\ufeff", "\u24d1ob"]
)
def test_name_that_looks_alike_shares_the_window(limiter: LoginLimiter, other: str) -> None:
    assert throttled_name(other) == throttled_name("bob")
    assert [fail(limiter, name) for _ in range(6) for name in ("bob", other)] == [True] * 10 + [False] * 2


@pytest.mark.parametrize("other", ["bobb", "b ob", "bób", ""])
def test_other_name_has_its_own_window(other: str) -> None:
    assert throttled_name(other) != throttled_name("bob")


def test_long_names_share_a_window_and_cost_little() -> None:
    assert throttled_name("x" * 10_000_000) == throttled_name("x" * 101)


@pytest.mark.parametrize("username", ["\ud800", "\0", "a" * 5000, ""])
def test_odd_name_is_counted_like_any_other(limiter: LoginLimiter, username: str) -> None:
    assert [fail(limiter, username) for _ in range(11)] == [True] * 10 + [False]


def test_zero_switches_off(database: Database, clock: Clock) -> None:
    limiter = LoginLimiter(DatabaseWindows(lambda: database.engine), clock, 0, 60, "secret")
    assert all(fail(limiter) for _ in range(100))
    assert database.rows(ThrottledLogin) == []


def in_parallel(database: Database, count: int) -> list[Slot]:
    """Reserve slots of one window in as many threads as are wanted, each on a connection of its own."""
    url = database.engine.url
    engine = create_engine(
        url, **engine_options(url) | {"pool_size": 20, "max_overflow": 100} if database.kind != "sqlite" else engine_options(url)
    )
    windows = DatabaseWindows(lambda: engine)
    with ThreadPoolExecutor(count) as threads:
        slots = list(threads.map(lambda _: windows.reserve("k" * 64, 10, NOW_MS, 60_000), range(count)))
    engine.dispose()
    return slots


def test_of_a_hundred_at_once_ten_are_taken(database: Database) -> None:
    slots = in_parallel(database, 100)
    assert sum(slot.taken for slot in slots) == 10
    assert {slot.ends_at_ms for slot in slots} == {NOW_MS + 60_000}


def test_of_a_hundred_at_once_ten_are_taken_after_a_window_that_is_over(database: Database) -> None:
    with database.session() as session:
        session.add(ThrottledLogin(key="k" * 64, hits=10, ends_at_ms=NOW_MS))
    assert sum(slot.taken for slot in in_parallel(database, 100)) == 10


def test_slot_of_a_window_that_is_over_is_not_given_back(database: Database) -> None:
    with Session(database.engine) as session:
        old = reserve(session, "k", 10, NOW_MS, 1000)
        reserve(session, "k", 10, NOW_MS + 1000, 1000)
        give_back(session, old)
    assert [(row.hits, row.ends_at_ms) for row in database.rows(ThrottledLogin)] == [(1, NOW_MS + 2000)]


def test_last_slot_takes_the_window_with_it(database: Database) -> None:
    with Session(database.engine) as session:
        slots = [reserve(session, "k", 10, NOW_MS, 1000) for _ in range(2)]
        for slot in slots:
            give_back(session, slot)
    assert database.rows(ThrottledLogin) == []


def test_windows_that_are_over_are_removed(database: Database) -> None:
    with Session(database.engine) as session:
        reserve(session, "old", 10, NOW_MS, 1000)
        reserve(session, "new", 10, NOW_MS + 500, 1000)
        remove_ended(session, NOW_MS + 1000)
        assert session.scalars(select(ThrottledLogin.key)).all() == ["new"]


def test_some_keys_remove_them_on_their_way(database: Database) -> None:
    windows = DatabaseWindows(lambda: database.engine)
    windows.reserve("11", 10, NOW_MS, 1000)
    windows.reserve("00", 10, NOW_MS + 1000, 1000)
    assert [row.key for row in database.rows(ThrottledLogin)] == ["00"]


class NoStore:
    """A store that cannot be reached."""

    def reserve(self, *_: object) -> Slot:
        raise StoreUnavailable("down")

    def give_back(self, _slot: Slot) -> None:
        raise StoreUnavailable("down")


class HalfAStore(NoStore):
    """A store that is lost between a reservation and its return."""

    def reserve(self, key: str, _limit: int, now_ms: int, interval_ms: int) -> Slot:
        return Slot(key, now_ms + interval_ms, taken=True)


@pytest.mark.parametrize("store", [NoStore(), HalfAStore()])
def test_store_that_is_down_locks_nobody_out_and_is_seen(store: NoStore, caplog: pytest.LogCaptureFixture) -> None:
    limiter = LoginLimiter(store, Clock(), 10, 60, "secret")
    assert succeed(limiter)
    assert "the throttle's store cannot be reached" in caplog.text


def test_database_that_is_down_is_a_store_that_is_down() -> None:
    engine = create_engine("sqlite:////nowhere/at/all.db")
    with pytest.raises(StoreUnavailable):
        DatabaseWindows(lambda: engine).reserve("k", 10, NOW_MS, 1000)
    with suppress(StoreUnavailable):
        DatabaseWindows(lambda: engine).give_back(Slot("k", 1, taken=True))
    engine.dispose()
