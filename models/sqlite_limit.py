"""A time limit for SQLite's statements. The other databases have one of their own."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any

# SQLite checks the limit after this many of its steps, about every 10 ms. Each check has to wait for Python's global lock.
_STEPS = 500_000


class LimitedConnection(sqlite3.Connection):
    """A connection on which a statement that runs for too long fails with SQLITE_INTERRUPT."""

    def __init__(self, *arguments: Any, seconds: float, timer: Callable[[], float] = time.monotonic, **options: Any) -> None:
        """Take the arguments of `sqlite3.connect`, and how long a statement may run."""
        super().__init__(*arguments, **options)
        self._limit = _Limit(seconds, timer)
        self.set_progress_handler(self._limit.is_over, _STEPS)

    def cursor(self, factory: Any = None) -> Any:  # noqa: ARG002 - sqlite3's
        """Return a cursor that times its statements."""
        cursor = super().cursor(_LimitedCursor)
        cursor.limit = self._limit
        return cursor

    def commit(self) -> None:
        """Commit, timed as a statement of its own."""
        self._limit.begin()
        super().commit()


class _Limit:
    """The moment by which the running statement must end."""

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
        self.limit.lift()  # an import: many statements, each of them short
        return super().executemany(*arguments)
