"""The time limit of SQLite's statements, which the other databases have themselves."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any

# SQLite asks after so many of its steps whether to go on, and has to wait for Python's lock each time: some 10 ms.
_STEPS = 500_000


class LimitedConnection(sqlite3.Connection):
    """A connection whose statements fail with SQLITE_INTERRUPT when they have run for too long."""

    def __init__(self, *arguments: Any, seconds: float, timer: Callable[[], float] = time.monotonic, **options: Any) -> None:
        """Take what `sqlite3.connect` takes, and how long a statement may run."""
        super().__init__(*arguments, **options)
        self._limit = _Limit(seconds, timer)
        self.set_progress_handler(self._limit.is_over, _STEPS)

    def cursor(self, factory: Any = None) -> Any:  # noqa: ARG002 - sqlite3's
        """Return a cursor whose statements are timed."""
        cursor = super().cursor(_LimitedCursor)
        cursor.limit = self._limit
        return cursor

    def commit(self) -> None:
        """Commit: a statement of its own, whose time begins now."""
        self._limit.begin()
        super().commit()


class _Limit:
    """The second at which the statement that runs must end."""

    def __init__(self, seconds: float, timer: Callable[[], float]) -> None:
        self._seconds, self._timer, self._ends_at = seconds, timer, float("inf")

    def begin(self) -> None:
        self._ends_at = self._timer() + self._seconds

    def lift(self) -> None:
        self._ends_at = float("inf")

    def is_over(self) -> bool:
        return self._timer() >= self._ends_at


class _LimitedCursor(sqlite3.Cursor):
    limit: _Limit

    def execute(self, *arguments: Any) -> Any:
        self.limit.begin()
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        self.limit.lift()  # a statement for each row of an import, of which each is short
        return super().executemany(*arguments)
