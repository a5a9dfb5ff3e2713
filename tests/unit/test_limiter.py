"""The throttle: the windows that it stores, the wait that it announces, and how it behaves when it is off."""

from contextlib import suppress

import pytest
from factories import START, Clock
from werkzeug.exceptions import TooManyRequests

from models.throttled_login import Slot
from security.errors import BadCredentials, TooManyAttempts
from security.throttle.limiter import LoginLimiter, throttled_name
from security.throttle.stores import MemoryWindows, StoreUnavailable

NOW_MS = int(START.timestamp() * 1000)
ADDRESS = "192.0.2.1"


class SpiedWindows(MemoryWindows):
    """A store that records the requested keys in order, with limits and lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int, int]] = []

    def reserve(self, key: str, limit: int, now_ms: int, interval_ms: int) -> Slot:
        self.asked.append((key, limit, interval_ms))
        return super().reserve(key, limit, now_ms, interval_ms)

    @property
    def keys(self) -> set[str]:
        return {key for key, _, _ in self.asked}


class NoStore(MemoryWindows):
    """A store that cannot be reached."""

    def reserve(self, *_: object) -> Slot:
        raise StoreUnavailable("down")


@pytest.fixture
def windows() -> SpiedWindows:
    return SpiedWindows()


@pytest.fixture
def limiter(windows: SpiedWindows, clock: Clock) -> LoginLimiter:
    return LoginLimiter(windows, clock, 10, 60, "secret")


def fail(limiter: LoginLimiter, username: str = "bob", address: str = ADDRESS) -> int:
    """Fail to sign in; return 0, or the seconds that the refusal says to wait."""
    try:
        with limiter.attempt(address, username):
            raise BadCredentials("wrong password")  # noqa: TRY301 - as the view does
    except TooManyAttempts as refusal:
        return refusal.retry_after_seconds
    except BadCredentials:
        return 0


def stored_keys(secret: str, clock: Clock) -> set[str]:
    """Store a key of each kind; return all stored keys."""
    windows = SpiedWindows()
    limiter = LoginLimiter(windows, clock, 10, 60, secret)
    with limiter.attempt(ADDRESS, "bob"), limiter.attempt_code("bob"), limiter.attempt_by_token("key"):
        limiter.count("kind", "name", 1)
        limiter.is_last_failure("key", 60)
        limiter.is_to_report("bob")
    assert len(windows.keys) == 7
    return windows.keys


def test_stored_names_are_keyed_by_the_secret(clock: Clock) -> None:
    assert stored_keys("secret", clock) == stored_keys("secret", clock)
    assert stored_keys("secret", clock) & stored_keys("another secret", clock) == set()


def test_name_is_told_apart_by_its_first_hundred_characters() -> None:
    assert throttled_name("x" * 99 + "y") != throttled_name("x" * 99 + "z")
    assert throttled_name("x" * 100 + "y") == throttled_name("x" * 100 + "z") == "x" * 100


def test_no_more_than_four_hundred_characters_of_a_name_are_looked_at() -> None:
    assert (throttled_name("\u00ad" * 399 + "bob"), throttled_name("\u00ad" * 400 + "bob")) == ("b", "")


@pytest.mark.parametrize("attempts", [1, 0])
def test_only_a_limiter_that_is_on_needs_its_store(clock: Clock, attempts: int) -> None:
    limiter = LoginLimiter(NoStore(), clock, attempts, 60, "secret")
    if attempts:
        with pytest.raises(StoreUnavailable):
            limiter.check()
    else:
        limiter.check()
    assert fail(limiter) == 0
    assert limiter.unavailable_total == attempts


def test_check_gives_its_slot_back(limiter: LoginLimiter, windows: SpiedWindows) -> None:
    limiter.check()
    assert (len(windows.asked), windows._windows) == (1, {})


def test_limiter_that_is_off_asks_its_store_nothing(windows: SpiedWindows, clock: Clock) -> None:
    limiter = LoginLimiter(windows, clock, 0, 60, "secret")
    for _ in range(20):
        fail(limiter)
        with suppress(BadCredentials), limiter.attempt_code("bob"):
            raise BadCredentials("wrong code")
        with suppress(BadCredentials), limiter.attempt_by_token("key"):
            raise BadCredentials("wrong code")
    limiter.check()
    assert windows.asked == []


def test_wait_is_that_of_the_window_that_refuses(limiter: LoginLimiter, clock: Clock) -> None:
    for number in range(40):
        fail(limiter, f"user{number}")
    clock.advance(30)
    assert [fail(limiter) for _ in range(11)] == [0] * 10 + [60], "the name's window began 30 s after the address's"
    assert fail(limiter, "another") == 30, "the address's"
    assert fail(limiter) == 60


def test_window_that_has_refused_is_asked_first_and_alone(limiter: LoginLimiter, windows: SpiedWindows) -> None:
    for number in range(51):
        fail(limiter, f"user{number}")
    before = len(windows.asked)
    fail(limiter, "another")
    ((key, limit, _),) = windows.asked[before:]
    assert limit == 50
    assert key == windows.asked[1][0]


@pytest.mark.parametrize(("passed", "wait"), [(0, 60), (0.001, 60), (0.999, 60), (1, 59), (58.999, 2), (59, 1), (59.999, 1)])
def test_wait_is_whole_seconds_rounded_up(limiter: LoginLimiter, clock: Clock, passed: float, wait: int) -> None:
    for _ in range(10):
        fail(limiter)
    clock.advance(passed)
    assert fail(limiter) == wait


def test_wait_is_a_second_at_least_whatever_the_store_says(clock: Clock) -> None:
    class Late(MemoryWindows):
        def reserve(self, key: str, _limit: int, now_ms: int, _interval_ms: int) -> Slot:
            return Slot(key, now_ms - 5_000, taken=False)

    limiter = LoginLimiter(Late(), clock, 10, 60, "secret")
    with pytest.raises(TooManyRequests) as caught:
        limiter.count("kind", "name", 1)
    assert (fail(limiter), caught.value.retry_after) == (1, 1)


def test_windows_have_these_limits_and_lengths(limiter: LoginLimiter, windows: SpiedWindows) -> None:
    fail(limiter, address="2001:db8::1")
    with limiter.attempt_code("bob", 25), limiter.attempt_by_token("key"):
        limiter.count("kind", "name", 3)
        limiter.count_own_password(7)
        limiter.is_last_failure("key", 900)
        limiter.is_to_report("bob")
    assert sorted(asked[1:] for asked in windows.asked) == sorted(
        [
            *((10, 60_000), (100, 60_000), (50, 60_000), (500, 60_000)),  # name and address, in the /64 and the /48
            *((10, 240_000), (10, 60_000)),  # codes after 25 wrong ones, and those of a token
            *((3, 60_000), (10, 60_000), (19, 900_000), (99, 3_600_000)),
        ]
    )


def test_only_the_first_refusal_of_a_window_is_called_the_first(limiter: LoginLimiter, clock: Clock) -> None:
    def refusals() -> list[bool]:
        found = []
        for _ in range(13):
            try:
                with limiter.attempt(ADDRESS, "bob"):
                    raise BadCredentials("wrong password")  # noqa: TRY301 - as the view does
            except TooManyAttempts as refusal:
                found.append(refusal.is_first)
            except BadCredentials:
                continue
        return found

    assert refusals() == [True, False, False]
    clock.advance(60)
    assert refusals() == [True, False, False]


def test_neighbors_in_a_64_share_a_window_and_others_do_not(limiter: LoginLimiter) -> None:
    for number in range(10):
        fail(limiter, address=f"2001:db8:0:1:{number + 0x7FFB:x}::1")
    assert fail(limiter, address="2001:db8:0:1:ffff::1")
    assert not fail(limiter, address="2001:db8:0:0:ffff::1")


@pytest.mark.parametrize(("wrong", "seconds"), [((), 60), ((0,), 60), ((1,), 120), ((2,), 240)])
def test_each_wrong_code_doubles_the_window_that_has_one_slot(
    windows: SpiedWindows, clock: Clock, wrong: tuple[int, ...], seconds: int
) -> None:
    with LoginLimiter(windows, clock, 1, 60, "secret").attempt_code("bob", *wrong):
        assert windows.asked[0][1:] == (1, seconds * 1000)
