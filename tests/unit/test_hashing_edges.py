"""What the hashing thread reports to its observers, and how often it warns."""

import pytest
from werkzeug.exceptions import ServiceUnavailable

from security import hashing as hashing_module
from security.hashing import HashingThread


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_whoever_watches_is_told_how_many_are_inside_at_every_change() -> None:
    hashing, told = HashingThread(3, 30), list[int]()
    hashing.watch(told.append)
    hashing.run(lambda: told.append(100 + hashing.inside))
    with pytest.raises(ZeroDivisionError):
        hashing.run(lambda: 1 // 0)
    assert told == [1, 101, 0, 1, 0]


def test_refusals_are_warned_of_every_ten_seconds(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    seconds = Seconds()
    monkeypatch.setattr(hashing_module.time, "monotonic", seconds)
    hashing, warned = HashingThread(0, 30), []
    hashing.inside = 1
    for passed in (0, 0, 9.5, 0.5, 9.75, 0.25):
        seconds.now += passed
        with pytest.raises(ServiceUnavailable):
            hashing.require_room()
        warned.append([record.refused_total for record in caplog.records])
        caplog.clear()
    assert warned == [[1], [], [], [4], [], [6]]
