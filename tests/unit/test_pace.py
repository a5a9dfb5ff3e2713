"""How many rows of an import go into one transaction."""

from commands.transfer.pace import Pace
from models.database import CHUNK


class Seconds:
    """A timer that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sizes(seconds_a_row: float, rows: int, preparing: float = 0) -> list[int]:
    timer, found = Seconds(), []

    def prepare(row: int) -> int:
        timer.now += preparing
        return row

    for chunk in Pace(timer).chunks(range(rows), prepare):
        timer.now += len(chunk) * seconds_a_row
        found.append(len(chunk))
    return found


def test_chunks_grow_while_they_are_fast() -> None:
    found = sizes(0.000_1, 10_000)
    assert (found[:4], max(found), sum(found)) == ([200, 400, 800, 1000], CHUNK, 10_000)


def test_chunks_shrink_until_they_take_less_than_a_second() -> None:
    found = sizes(0.01, 1000)
    assert (found[1], sum(found)) == (40, 1000)
    assert min(sizes(10, 300)[:-1]) == 10, "a transaction of a few rows is no gain"


def test_slow_preparing_ends_a_chunk_early() -> None:
    assert sizes(0, 10, preparing=0.5) == [2, 2, 2, 2, 2]


def test_no_rows_are_no_chunk() -> None:
    assert sizes(1, 0) == []
