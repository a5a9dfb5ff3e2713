"""Split rows into short transactions, so that sign-ins are not refused during a long import."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from models.database import CHUNK

Row = TypeVar("Row")

# How long a transaction should take. SQLite has a single lock, for which others wait at most LOCK_TIMEOUT_SECONDS.
_GOAL_SECONDS = 0.4

_PREPARE_SECONDS = 1.0

_FEWEST, _FIRST = 10, 200


class Pace:
    """Chooses how many rows a transaction writes, by the time that the last transaction took."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._size = _FIRST

    def chunks(self, rows: Iterable[Row], prepare: Callable[[Row], Row] = lambda row: row) -> Iterator[list[Row]]:
        """Yield prepared rows. A chunk ends early if its preparation, such as hashing, has taken a second.

        The caller writes a chunk before it takes the next one.
        """
        chunk: list[Row] = []
        began_at = self._timer()
        for row in rows:
            chunk.append(prepare(row))
            if len(chunk) >= self._size or self._timer() - began_at >= _PREPARE_SECONDS:
                yield from self._timed(chunk)
                chunk, began_at = [], self._timer()
        if chunk:
            yield from self._timed(chunk)

    def _timed(self, chunk: list[Row]) -> Iterator[list[Row]]:
        began_at = self._timer()
        yield chunk
        fitting = len(chunk) * _GOAL_SECONDS / max(self._timer() - began_at, 1e-3)
        self._size = round(min(max(fitting, _FEWEST), 2 * self._size, CHUNK))
