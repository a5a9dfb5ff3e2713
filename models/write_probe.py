"""Find out whether the database accepts writes. After a failover or on a full disk it may only serve reads."""

import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection, Engine, false, update
from sqlalchemy.exc import SQLAlchemyError

from models.outages import READ_ONLY_CODES, code_of
from models.throttled_login import ThrottledLogin

#: How long a result is reused. Without this limit, any client could cause many writes.
PAUSE_SECONDS = 10.0

# The codes of a database that refuses to write. A lock, a time limit or a lost connection says nothing about writing.
_SQLITE = ("SQLITE_READONLY", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM")
_POSTGRESQL = ("53100", "42501")  # disk full, no right
_MARIADB = ("1021", "1114", "1142")  # disk full, table full, no right
_LOST = (*READ_ONLY_CODES, *_SQLITE, *_POSTGRESQL, *_MARIADB)

# These limit the wait for a lock, since a health check must answer soon. On SQLite they also write more than the
# cache, which they limit to one page, can hold: so pages reach the disk before the rollback.
_STATEMENTS = {
    "sqlite": (
        *("PRAGMA busy_timeout = 0", "PRAGMA cache_size = 1", "BEGIN IMMEDIATE"),
        *("CREATE TABLE poort_write_probe (pages)", "INSERT INTO poort_write_probe VALUES (zeroblob(65536))"),
    ),
    "postgresql": ("SET LOCAL lock_timeout = '1s'",),
    "mysql": ("SET SESSION lock_wait_timeout = 1",),
    "mariadb": ("SET SESSION lock_wait_timeout = 1",),
}


def refuses_to_write(error: BaseException) -> bool:
    """Tell whether an error means that the database takes no writes at all at the moment."""
    return code_of(error).startswith(_LOST)


class WriteProbe:
    """Tries a write and rolls it back. Threads share the result for some seconds."""

    def __init__(self, engine: Callable[[], Engine], *, writes_rows: bool, timer: Callable[[], float] = time.monotonic) -> None:
        """Take the engine, and whether this server writes at all. If not, no write is tried, and nothing is refused."""
        self._engine, self._writes_rows, self._timer = engine, writes_rows, timer
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._refusal = ""
        self._tell: Callable[[bool], None] = lambda _is_lost: None

    def watch(self, tell: Callable[[bool], None]) -> None:
        """Call `tell` after each try, with True if the database refuses to write."""
        self._tell = tell

    def refusal(self) -> str:
        """Return the database's code if it refuses to write; empty if it writes, is busy or cannot be reached.

        The result is up to PAUSE_SECONDS old, or older while another thread tries.
        """
        if self._is_old() and self._lock.acquire(blocking=False):
            try:
                if self._is_old():
                    self._refusal = self.try_now()
                    self._looked_at = self._timer()
                    self._tell(bool(self._refusal))
            finally:
                self._lock.release()
        return self._refusal

    def doubt(self) -> None:
        """Try again at the next call of `refusal`, because a write was refused. Do nothing if the last result says so already."""
        if not self._refusal:
            self._looked_at = None

    def try_now(self) -> str:
        """Try a write now. Return the same as `refusal`, but reuse nothing."""
        if not self._writes_rows:
            return ""
        try:
            with self._engine().connect() as connection:
                try:
                    _write_nothing(connection)
                finally:
                    connection.invalidate()  # its settings have changed, so it must not return to the pool
        except SQLAlchemyError as reason:
            return code_of(reason) if refuses_to_write(reason) else ""
        return ""

    def _is_old(self) -> bool:
        return self._looked_at is None or self._timer() - self._looked_at >= PAUSE_SECONDS


def _write_nothing(connection: Connection) -> None:
    kind = connection.dialect.name
    for statement in _STATEMENTS[kind]:
        connection.exec_driver_sql(statement)
    if kind != "sqlite":
        connection.execute(update(ThrottledLogin).where(false()).values(key=ThrottledLogin.key))
    connection.rollback()
