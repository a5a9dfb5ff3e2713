"""`SaidOnce` at the limits of its windows and of its memory."""

import pytest

from security import said_once
from security.said_once import SaidOnce


@pytest.mark.parametrize(("now_ms", "is_first"), [(100, False), (199, False), (200, True), (201, True)])
def test_window_of_an_event_ends_at_its_end(now_ms: int, is_first: bool) -> None:
    memory = SaidOnce()
    assert memory.is_first("key", 100, 200)
    assert memory.knows("key", now_ms) is not is_first
    assert memory.is_first("key", now_ms, now_ms + 100) is is_first


def test_end_after_the_one_at_hand_is_of_a_clock_that_was_ahead() -> None:
    memory = SaidOnce()
    assert memory.is_first("key", 100, 200)
    assert [memory.is_first("key", 150, end) for end in (200, 199, 199)] == [False, True, False]


def test_first_event_at_the_beginning_of_time_is_one() -> None:
    memory = SaidOnce()
    assert (memory.knows("key", 0), memory.is_first("key", 0, 1)) == (False, True)


def test_memory_holds_4096_keys() -> None:
    memory = SaidOnce()
    assert [memory.is_first(str(number), 0, 10) for number in range(4097)] == [True] * 4096 + [False]


def test_full_memory_is_cleaned_at_most_once_a_second_or_when_the_clock_is_set_back() -> None:
    memory = SaidOnce(1)
    assert memory.is_first("old", 10_000, 10_400)
    assert [memory.is_first("new", now_ms, now_ms + 10_000) for now_ms in (10_399, 10_400, 11_398)] == [False] * 3
    assert memory.is_first("new", 11_399, 20_000)
    assert memory.is_first("newer", 20_000, 30_000), "what ends now is over"
    assert [memory.is_first("newest", now_ms, 40_000) for now_ms in (20_000, 20_999)] == [False] * 2
    memory._ends_at_ms = dict.fromkeys(memory._ends_at_ms, 5)
    assert memory.is_first("after the clock was set back", 19_999, 40_000)


def test_memory_with_room_is_not_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SaidOnce(3)
    for key in ("a", "b"):
        assert memory.is_first(key, 0, 1)
    assert memory.is_first("c", 5000, 5001)
    assert len(memory._ends_at_ms) == 3
    monkeypatch.setattr(said_once, "_digest", lambda key: key.encode())
    assert memory.is_first("d", 9000, 9001)
    assert list(memory._ends_at_ms) == [b"d"]
