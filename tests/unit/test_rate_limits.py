"""The throttle: its window, what counts, and concurrency; on each store for windows."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from databases import EACH_KIND, Databases
from factories import START, Clock, Database
from redis import Redis
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from werkzeug.exceptions import TooManyRequests

from benchmarks.services import RedisServer, free_port
from models import ThrottledLogin
from models.database import engine_options
from models.throttled_login import Slot, remove_ended, reserve
from security.errors import BadCredentials, TooManyAttempts
from security.throttle.limiter import LoginLimiter, throttled_name
from security.throttle.redis_store import RedisWindows
from security.throttle.stores import DatabaseWindows, MemoryWindows, StoreUnavailable, WindowStore

NOW_MS = int(START.timestamp() * 1000)
ADDRESS = "192.0.2.1"

#: The content of a store, by key: taken slots, and the end of the window.
Kept = dict[str, tuple[int, int]]


@dataclass
class Store:
    """A store, and a way to read its content directly."""

    windows: WindowStore
    kept: Callable[[], Kept]


def in_database(databases: Databases, kind: str) -> Iterator[Store]:
    database = databases.shared(kind)
    url = database.engine.url
    pool = {} if kind == "sqlite" else {"pool_size": 20, "max_overflow": 100}
    engine = create_engine(url, **engine_options(url) | pool)
    yield Store(
        DatabaseWindows(lambda: engine), lambda: {row.key: (row.hits, row.ends_at_ms) for row in database.rows(ThrottledLogin)}
    )
    engine.dispose()


def in_memory() -> Iterator[Store]:
    windows = MemoryWindows()
    yield Store(windows, lambda: dict(windows._windows))


def on_redis(server: RedisServer) -> Iterator[Store]:
    windows = RedisWindows(server.url)
    with Redis.from_url(server.url, decode_responses=True) as redis:
        redis.flushdb()

        def kept() -> Kept:
            found = {key: redis.hgetall(key) for key in redis.scan_iter()}
            return {key.removeprefix("poort:throttle:"): (int(row["hits"]), int(row["ends_at_ms"])) for key, row in found.items()}

        yield Store(windows, kept)
    windows.close()


STORES = [*EACH_KIND, "memory", pytest.param("redis", marks=pytest.mark.services)]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store; each kind in turn."""
    if request.param == "redis":
        yield from on_redis(request.getfixturevalue("redis"))
    elif request.param == "memory":
        yield from in_memory()
    else:
        yield from in_database(request.getfixturevalue("databases"), request.param)


@pytest.fixture
def limiter(store: Store, clock: Clock) -> LoginLimiter:
    return LoginLimiter(store.windows, clock, 10, 60, "secret")


def fail(limiter: LoginLimiter, username: str = "bob", address: str = ADDRESS) -> bool:
    """Fail to sign in; tell whether the throttle let the attempt through."""
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


def fail_code(limiter: LoginLimiter, username: str) -> bool:
    """Send a wrong code; tell whether the throttle let the attempt through."""
    try:
        with limiter.attempt_code(username):
            raise BadCredentials("wrong code")  # noqa: TRY301 - as the view does
    except TooManyAttempts:
        return False
    except BadCredentials:
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


def test_success_alone_opens_no_window(limiter: LoginLimiter, store: Store) -> None:
    succeed(limiter)
    assert store.kept() == {}


def counted(limiter: LoginLimiter, name: str = "7") -> int:
    """Count one of three actions a minute; return 0, or the seconds until the next is allowed."""
    try:
        limiter.count("refresh", name, 3)
    except TooManyRequests as refusal:
        return int(refusal.retry_after)
    return 0


def test_so_many_actions_a_minute_are_counted(limiter: LoginLimiter, clock: Clock) -> None:
    assert [counted(limiter) for _ in range(4)] == [0, 0, 0, 60]
    assert counted(limiter, "8") == 0
    clock.advance(59)
    assert counted(limiter) == 1
    clock.advance(1)
    assert counted(limiter) == 0


def test_actions_are_counted_where_the_throttle_of_sign_ins_is_off(store: Store, clock: Clock) -> None:
    limiter = LoginLimiter(store.windows, clock, 0, 60, "secret")
    assert [counted(limiter) for _ in range(4)] == [0, 0, 0, 60]


def test_other_failures_give_the_slot_back(limiter: LoginLimiter, store: Store) -> None:
    with pytest.raises(KeyError), limiter.attempt(ADDRESS, "bob"):
        raise KeyError
    assert store.kept() == {}


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


def test_no_name_and_no_address_is_stored(limiter: LoginLimiter, store: Store) -> None:
    fail(limiter, "bob")
    fail_code(limiter, "bob")
    assert len(store.kept()) == 3
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in store.kept())


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


def test_zero_switches_off(store: Store, clock: Clock) -> None:
    limiter = LoginLimiter(store.windows, clock, 0, 60, "secret")
    assert all(fail(limiter) and fail_code(limiter, "bob") for _ in range(100))
    assert store.kept() == {}


def test_addresses_of_one_ipv6_network_share_a_window(limiter: LoginLimiter) -> None:
    neighbors = [f"2001:db8:0:1:{number:x}::{number}" for number in range(12)]
    assert [fail(limiter, "bob", address) for address in neighbors] == [True] * 10 + [False] * 2
    assert fail(limiter, "bob", "2001:db8:0:2::1")
    assert fail(limiter, "eve", "2001:db8:0:1::1")


def test_networks_of_one_ipv6_site_fail_ten_times_as_often_at_a_name(limiter: LoginLimiter) -> None:
    networks = [f"2001:db8:0:{number:x}::1" for number in range(12)]
    assert [fail(limiter, "bob", address) for address in networks for _ in range(10)] == [True] * 100 + [False] * 20
    assert fail(limiter, "eve", networks[-1])
    assert fail(limiter, "bob", "2001:db8:1::1")


def test_networks_of_one_ipv6_site_fail_ten_times_as_often_in_all(clock: Clock) -> None:
    limiter = LoginLimiter(MemoryWindows(), clock, 2, 60, "secret")
    guesses = [fail(limiter, f"bob{number}", f"2001:db8:0:{number % 11:x}::1") for number in range(110)]
    assert guesses == [True] * 100 + [False] * 10
    assert not fail(limiter, "new", "2001:db8:0:ffff::1")
    assert fail(limiter, "new", "2001:db8:1::1")


def test_sign_in_from_ipv6_holds_four_windows_and_gives_all_back(limiter: LoginLimiter, store: Store) -> None:
    with limiter.attempt("fe80::1%eth0", "bob"):
        assert [hits for hits, _ in store.kept().values()] == [1] * 4
    assert store.kept() == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::2%eth1"), ("no address", "no address")],
)
def test_addresses_that_mean_the_same_share_a_window(clock: Clock, one: str, other: str) -> None:
    limiter = LoginLimiter(MemoryWindows(), clock, 1, 60, "secret")
    assert [fail(limiter, "bob", address) for address in (one, other)] == [True, False]


@pytest.mark.parametrize("address", ["192.0.2.1", "no address", ""])
def test_other_addresses_have_no_wider_network(clock: Clock, address: str) -> None:
    windows = MemoryWindows()
    with LoginLimiter(windows, clock, 1, 60, "secret").attempt(address, "bob"):
        assert len(windows._windows) == 2


def test_each_window_of_wrong_codes_is_twice_as_long_up_to_an_hour(clock: Clock) -> None:
    limiter, waits = LoginLimiter(MemoryWindows(), clock, 10, 60, "secret"), []
    for wrong in range(100):
        if wrong and wrong % 10 == 0:
            with pytest.raises(TooManyAttempts) as caught, limiter.attempt_code("bob", wrong):
                pass
            waits.append(caught.value.retry_after_seconds)
            clock.advance(waits[-1])
        with suppress(BadCredentials), limiter.attempt_code("bob", wrong):
            raise BadCredentials("wrong code")
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


@pytest.mark.parametrize(("interval", "longest"), [(7200, 7200), (1, 3600), (60, 3600)])
def test_longest_window_of_wrong_codes_is_an_hour_or_the_interval(clock: Clock, interval: int, longest: int) -> None:
    windows = MemoryWindows()
    with LoginLimiter(windows, clock, 1, interval, "secret").attempt_code("bob", 99):
        assert [end for _, end in windows._windows.values()] == [NOW_MS + longest * 1000]


def test_long_window_ends_where_the_wrong_codes_are_forgotten(limiter: LoginLimiter) -> None:
    for _ in range(10):
        with suppress(BadCredentials), limiter.attempt_code("bob", 90):
            raise BadCredentials("wrong code")
    with pytest.raises(TooManyAttempts), limiter.attempt_code("bob", 90):
        pass
    assert fail_code(limiter, "bob")


def test_twentieth_failure_in_a_row_of_a_token_is_its_last(store: Store, clock: Clock) -> None:
    for attempts in (10, 0):
        limiter = LoginLimiter(store.windows, clock, attempts, 60, "secret")
        counted = [limiter.is_last_failure(f"key {attempts}", 3600) for _ in range(19)]
        limiter.forget_failures(f"key {attempts}")
        counted += [limiter.is_last_failure(f"key {attempts}", 3600) for _ in range(21)]
        assert counted == [False] * 38 + [True] * 2
        assert not limiter.is_last_failure("other", 3600)


def test_window_that_is_cleared_begins_anew(store: Store) -> None:
    assert [store.windows.reserve("k", 1, NOW_MS, 1000).taken for _ in range(2)] == [True, False]
    store.windows.clear("k")
    store.windows.clear("nothing")
    assert store.kept() == {}
    assert store.windows.reserve("k", 1, NOW_MS, 1000).taken


def test_hundredth_failure_at_a_name_in_an_hour_is_reported_once_in_each_process(store: Store, clock: Clock) -> None:
    processes = [LoginLimiter(store.windows, clock, attempts, 60, "secret") for attempts in (10, 0)]
    reported = [processes[number % 2].is_to_report("bob") for number in range(200)]
    assert (reported.index(True), sum(reported)) == (99, 2)
    assert [limiter.reported_names_total for limiter in processes] == [1, 1]
    clock.advance(3600)
    assert not any(processes[0].is_to_report("bob") for _ in range(99))


def test_full_memory_of_windows_that_last_forgets_the_oldest() -> None:
    windows = MemoryWindows()
    for number in range(30_000):
        windows.reserve(str(number), 10, NOW_MS, 1000)
    assert len(windows._windows) <= 10_001
    assert "29999" in windows._windows


def test_ten_wrong_codes_of_a_name_are_let_through_whatever_the_address(limiter: LoginLimiter) -> None:
    names = ["bob", "BOB", "bob ", "b\u00adob"] * 3
    assert [fail_code(limiter, name) for name in names] == [True] * 10 + [False] * 2
    assert fail_code(limiter, "eve")


def test_right_code_and_other_failures_give_the_slot_back(limiter: LoginLimiter, store: Store) -> None:
    with limiter.attempt_code("bob"):
        pass
    with pytest.raises(KeyError), limiter.attempt_code("bob"):
        raise KeyError
    assert store.kept() == {}


def test_wrong_passwords_do_not_use_up_the_codes(limiter: LoginLimiter) -> None:
    assert [fail(limiter) for _ in range(11)] == [True] * 10 + [False]
    assert fail_code(limiter, "bob")


def test_wait_for_another_code_is_said_in_seconds(limiter: LoginLimiter, clock: Clock) -> None:
    for _ in range(10):
        fail_code(limiter, "bob")
    clock.advance(12.5)
    with pytest.raises(TooManyAttempts) as caught, limiter.attempt_code("bob"):
        pass
    assert caught.value.retry_after_seconds == 48


def in_parallel(windows: WindowStore, count: int) -> list[Slot]:
    """Reserve slots of one window in several threads, each on its own connection."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: windows.reserve("k" * 64, 10, NOW_MS, 60_000), range(count)))


def test_of_a_hundred_at_once_ten_are_taken(store: Store) -> None:
    slots = in_parallel(store.windows, 100)
    assert sum(slot.taken for slot in slots) == 10
    assert {slot.ends_at_ms for slot in slots} == {NOW_MS + 60_000}


def test_of_a_hundred_at_once_ten_are_taken_after_a_window_that_is_over(store: Store) -> None:
    assert all(store.windows.reserve("k" * 64, 10, NOW_MS - 60_000, 60_000).taken for _ in range(10))
    assert sum(slot.taken for slot in in_parallel(store.windows, 100)) == 10


def test_all_that_were_taken_at_once_can_be_given_back_at_once(store: Store) -> None:
    slots = [slot for slot in in_parallel(store.windows, 20) if slot.taken]
    with ThreadPoolExecutor(len(slots)) as threads:
        list(threads.map(store.windows.give_back, slots))
    assert store.kept() == {}


def test_full_window_refuses_with_its_end(store: Store) -> None:
    assert store.windows.reserve("k", 1, NOW_MS, 60_000) == Slot("k", NOW_MS + 60_000, taken=True)
    assert store.windows.reserve("k", 1, NOW_MS + 59_999, 60_000) == Slot("k", NOW_MS + 60_000, taken=False)
    assert store.windows.reserve("k", 1, NOW_MS + 60_000, 60_000) == Slot("k", NOW_MS + 120_000, taken=True)
    assert store.kept() == {"k": (1, NOW_MS + 120_000)}


def test_window_of_a_clock_that_was_ahead_is_over(store: Store) -> None:
    """Otherwise the window would last until that clock's time is reached."""
    ahead_ms = NOW_MS + 86_400_000
    for _ in range(10):
        assert store.windows.reserve("k", 10, ahead_ms, 60_000).taken
    slots = [store.windows.reserve("k", 10, NOW_MS, 60_000) for _ in range(11)]
    assert [slot.taken for slot in slots] == [True] * 10 + [False]
    assert {slot.ends_at_ms for slot in slots} == {NOW_MS + 60_000}


def test_window_of_another_host_whose_clock_is_a_little_ahead_counts(store: Store) -> None:
    assert store.windows.reserve("k", 1, NOW_MS + 30_000, 60_000).taken
    assert not store.windows.reserve("k", 1, NOW_MS, 60_000).taken


def test_slot_of_a_window_that_is_over_is_not_given_back(store: Store) -> None:
    old = store.windows.reserve("k", 10, NOW_MS, 1000)
    store.windows.reserve("k", 10, NOW_MS + 1000, 1000)
    store.windows.give_back(old)
    assert store.kept() == {"k": (1, NOW_MS + 2000)}


def test_last_slot_takes_the_window_with_it(store: Store) -> None:
    slots = [store.windows.reserve("k", 10, NOW_MS, 1000) for _ in range(2)]
    store.windows.give_back(slots[0])
    assert store.kept() == {"k": (1, NOW_MS + 1000)}
    store.windows.give_back(slots[1])
    assert store.kept() == {}
    store.windows.give_back(slots[1])
    assert store.kept() == {}


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


def test_full_memory_forgets_the_windows_that_are_over() -> None:
    windows = MemoryWindows()
    for number in range(10_001):
        windows.reserve(str(number), 10, NOW_MS, 1000)
    windows.reserve("new", 10, NOW_MS + 1000, 1000)
    assert list(windows._windows) == ["new"]


@pytest.mark.services
@pytest.mark.parametrize("now_ms", [NOW_MS, 0, NOW_MS * 10])
def test_redis_keeps_a_window_longer_than_it_lasts_whatever_the_clock_says(redis: RedisServer, now_ms: int) -> None:
    windows = RedisWindows(redis.url)
    with Redis.from_url(redis.url) as client:
        client.flushdb()
        windows.reserve("k", 2, now_ms, 5000)
        assert client.keys() == [b"poort:throttle:k"]
        assert 5000 < client.pttl("poort:throttle:k") <= 65_000
        assert windows.reserve("k", 2, now_ms + 4999, 5000) == Slot("k", now_ms + 5000, taken=True)
    windows.close()


@pytest.mark.services
def test_redis_is_reached_by_its_unix_socket_too(redis: RedisServer) -> None:
    windows = RedisWindows(redis.unix_url)
    assert windows.reserve("by socket", 1, NOW_MS, 1000).taken
    windows.close()


class NoStore:
    """A store that cannot be reached."""

    def reserve(self, *_: object) -> Slot:
        raise StoreUnavailable("down")

    def give_back(self, _slot: Slot) -> None:
        raise StoreUnavailable("down")

    def clear(self, _key: str) -> None:
        raise StoreUnavailable("down")


class HalfAStore(NoStore):
    """A store that fails between a reservation and its return."""

    def reserve(self, key: str, _limit: int, now_ms: int, interval_ms: int) -> Slot:
        return Slot(key, now_ms + interval_ms, taken=True)


@pytest.mark.parametrize("down", [NoStore(), HalfAStore()])
def test_store_that_is_down_locks_nobody_out_and_is_seen_once_an_attempt(down: NoStore, caplog: pytest.LogCaptureFixture) -> None:
    limiter = LoginLimiter(down, Clock(), 10, 60, "secret")
    assert all(succeed(limiter) for _ in range(3))
    assert not limiter.is_last_failure("key", 60)
    assert not limiter.is_to_report("bob")
    limiter.forget_failures("key")
    assert all("the throttle's store cannot be reached: down" in line for line in caplog.messages)
    assert [record.unavailable_total for record in caplog.records] == [1, 2, 3]
    assert limiter.unavailable_total == 3


class StoreOfAddresses(NoStore):
    """A store that fails for the first call only."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def reserve(self, key: str, _limit: int, _now_ms: int, _interval_ms: int) -> Slot:
        self.keys.append(key)
        if len(self.keys) == 1:
            raise StoreUnavailable("down")
        return Slot(key, NOW_MS, taken=False)


def test_what_a_store_can_still_count_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    store = StoreOfAddresses()
    assert not fail(LoginLimiter(store, Clock(), 10, 60, "secret"))
    assert (len(set(store.keys)), len(caplog.messages)) == (2, 1)


def test_database_that_is_down_is_a_store_that_is_down() -> None:
    engine = create_engine("sqlite:////nowhere/at/all.db")
    with pytest.raises(StoreUnavailable):
        DatabaseWindows(lambda: engine).reserve("k", 10, NOW_MS, 1000)
    with suppress(StoreUnavailable):
        DatabaseWindows(lambda: engine).give_back(Slot("k", 1, taken=True))
    engine.dispose()


class Seconds:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def count_calls(redis: RedisWindows, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count calls of the Redis scripts from now on."""
    calls: list[int] = []
    script = redis._reserve

    def counted(**arguments: Any) -> Any:
        calls.append(1)
        return script(**arguments)

    monkeypatch.setattr(redis, "_reserve", counted)
    return calls


def test_redis_that_is_down_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = Seconds()
    windows = RedisWindows(f"redis://:hush@127.0.0.1:{free_port()}", seconds)
    calls, reasons = count_calls(windows, monkeypatch), []
    for passed in (0, 0, 0.5, 0.4, 0.2, 0, 1.1):
        seconds.now += passed
        with pytest.raises(StoreUnavailable) as caught:
            windows.reserve("k", 10, NOW_MS, 1000)
        reasons.append(str(caught.value))
    again = "not asked again yet"
    assert reasons == ["ConnectionError", again, again, again, "ConnectionError", again, "ConnectionError"]
    assert len(calls) == 3


def test_while_one_asks_redis_again_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = Seconds()
    windows = RedisWindows(f"redis://127.0.0.1:{free_port()}", seconds)
    with suppress(StoreUnavailable):
        windows.reserve("k", 10, NOW_MS, 1000)
    seconds.now += 1

    def slow(**_: Any) -> list[int]:
        with pytest.raises(StoreUnavailable, match="not asked again yet"):
            windows.reserve("k", 10, NOW_MS, 1000)
        return [1, NOW_MS]

    monkeypatch.setattr(windows, "_reserve", slow)
    assert windows.reserve("k", 10, NOW_MS, 1000).taken
    monkeypatch.setattr(windows, "_reserve", lambda **_: [0, NOW_MS])
    assert [windows.reserve("k", 10, NOW_MS, 1000).taken for _ in range(2)] == [False, False]


FAULTS: dict[str, Callable[[RedisServer], str]] = {
    "wrong password": lambda server: server.url.replace(server.password, "hush"),
    "no password": lambda server: server.url.replace(f":{server.password}@", ""),
    "no such database": lambda server: f"{server.url}?db=9999",
    "not Redis with TLS": lambda server: server.url.replace("redis:", "rediss:"),
    "name that is none": lambda server: server.url.replace("127.0.0.1", f"{'a' * 70}.invalid"),
    "no such socket": lambda _: "unix://:hush@/nowhere/at/all",
}


@pytest.mark.services
@pytest.mark.parametrize("fault", FAULTS)
def test_redis_that_cannot_be_used_is_a_store_that_is_down_and_tells_no_secret(
    redis: RedisServer, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    windows = RedisWindows(FAULTS[fault](redis))
    limiter = LoginLimiter(windows, Clock(), 10, 60, "secret")
    assert [fail(limiter) for _ in range(3)] == [True] * 3
    assert limiter.unavailable_total == len(caplog.messages) == 3
    assert not [secret for secret in ("hush", redis.password) if secret in f"{caplog.text} {limiter.__dict__}"]
    windows.close()


@pytest.mark.services
def test_redis_that_forgot_its_scripts_is_told_them_again(redis: RedisServer) -> None:
    windows = RedisWindows(redis.url)
    with Redis.from_url(redis.url) as client:
        client.flushdb()
        for _ in range(2):
            client.script_flush()
            assert windows.reserve("k", 10, NOW_MS, 1000).taken
            client.script_flush()
            windows.give_back(Slot("k", NOW_MS + 1000, taken=True))
        assert client.keys() == []
    windows.close()
