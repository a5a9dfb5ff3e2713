"""Run reads fast: each statement is compiled once, and each thread keeps a connection in autocommit mode."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, cast
from weakref import ref

from cachetools import FIFOCache
from sqlalchemy import Connection, Engine, Pool, Select, event
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from models.connecting import has_met_silence, notice_silence
from models.demotion import is_left
from models.outages import is_read_only
from models.remembered_rows import Part, RememberedRows, Values, size_of

_SQLITE_CACHE_KIB = 64

# Bounds of all results that a connection caches, and of one result. By default a worker has 16 threads with a connection
# each: 8 MB in all.
_MOST_BYTES_KEPT = 512 * 1024
_MOST_BYTES_OF_FOUND = 64 * 1024

# Overhead of a cached result: its key, and its entries in three dictionaries.
_BYTES_OF_FOUND = 1024


class Read:
    """A statement with named parameters, compiled on first use for the current database.

    Each of `parts` is a number of columns, in the statement's order, and a function that makes an object of their values. Rows
    with equal values share one object, which nobody may change.
    """

    def __init__(self, statement: Select[Any], *parts: tuple[int, Callable[[Values], Any]], is_kept: bool = False) -> None:
        """Take the statement; its variable values are `bindparam`s.

        `is_kept`: on SQLite, reuse the result until another connection commits.
        """
        self.statement = statement
        self.is_kept = is_kept
        self._parts = parts
        self._compiled: Compiled | None = None

    def compiled(self, dialect: Dialect) -> "Compiled":
        """Return the statement compiled for a dialect."""
        if self._compiled is None:
            self._compiled = Compiled(self.statement, self._parts, dialect)
        return self._compiled


class Compiled:
    """A statement in the form that the driver takes. The column types convert the values of its rows, as in SQLAlchemy."""

    def __init__(self, statement: Select[Any], parts: Sequence[tuple[int, Callable[[Values], Any]]], dialect: Dialect) -> None:
        """Compile the statement. It has the column types of our own schema, which a campus's tables share."""
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._order = compiled.positiontup
        self._fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        types = [column.type.dialect_impl(dialect) for column in statement.selected_columns]
        convert = [type_.result_processor(dialect, None) for type_ in types]
        self._parts: list[Part] = []
        start = 0
        for width, make in parts:
            self._parts.append(Part(slice(start, start + width), convert[start : start + width], make))
            start += width

    def parameters(self, given: Mapping[str, Any]) -> Any:
        """Return the parameters as the driver takes them: by name, or in its order."""
        everything = {**self._fixed, **given} if self._fixed else given
        return everything if self._order is None else [everything[name] for name in self._order]

    def run(self, cursor: Any, given: Mapping[str, Any], remembered: RememberedRows) -> list[Any]:
        """Run the statement. Return for each row the object that the part makes; with several parts, a tuple of objects."""
        cursor.execute(self.text, self.parameters(given))
        rows = cursor.fetchall()
        get = remembered.get
        if len(self._parts) == 1:
            part = self._parts[0]
            return [get(part, row) for row in rows]
        return [tuple([get(part, row[part.columns]) for part in self._parts]) for row in rows]


class Reader:
    """Runs reads for one application. A read sees what is committed when it runs."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        """Take a function that returns the engine, which is known only inside an application context."""
        self._engine = engine
        self._held = threading.local()
        self._all: list[Connection] = []
        self._remembered = RememberedRows()

    def rows(self, read: Read, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a read. If the connection has broken since its last use, try once more on a new one. Raises SQLAlchemy's errors.

        Time-outs and other failures are not retried: the statement may already have used up its time limit.
        """
        held: _Held | None = getattr(self._held, "connection", None)
        if held is not None and (has_met_silence() or is_left(held.dialect, held.opened_at)):
            self._let_go(held)
            held = None
        held = held or self._hold()
        try:
            return held.rows(read, parameters, self._remembered)
        except held.driver_error as reason:
            if not held.is_broken(reason):
                raise held.named(reason) from reason
            self._let_go(held)
            if notice_silence(held.dialect, reason):
                raise held.named(reason) from reason
        held = self._hold()
        try:
            return held.rows(read, parameters, self._remembered)
        except held.driver_error as reason:
            notice_silence(held.dialect, reason)
            raise held.named(reason) from reason

    def session(self) -> Session:
        """Return a session on the same engine, to look at a schema or to run another statement. Close it after use."""
        return Session(self._engine())

    def close(self) -> None:
        """Close all connections. The next read opens another."""
        while self._all:
            self._all.pop().close()
        self._held = threading.local()

    def _hold(self) -> "_Held":
        connection = self._engine().connect()
        held = _Held(connection)
        try:
            connection.execution_options(isolation_level="AUTOCOMMIT")
        except held.driver_error as reason:  # SQLAlchemy does not translate the failures of this statement
            connection.invalidate()
            connection.close()
            raise held.named(reason) from reason
        connection.detach()  # from now on it belongs to this thread, not to the pool
        if connection.dialect.name == "sqlite":
            # Many threads read the same pages, which the kernel caches once for all of them.
            connection.exec_driver_sql(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
        self._all.append(connection)
        self._held.connection = held
        return held

    def _let_go(self, held: "_Held") -> None:
        self._held.connection = None
        self._all.remove(held.connection)
        with suppress(held.driver_error):
            held.driver.close()
        held.connection.invalidate()
        held.connection.close()


@event.listens_for(Pool, "detach")
def _forget_isolation_level(_connection: object, record: ConnectionPoolEntry) -> None:
    """Keep SQLAlchemy from resetting the connection that replaces a detached one in the pool: it translates no failure there."""
    cast("Any", record).finalize_callback.clear()


class _Held:
    """The connection of a thread, and the driver's connection below it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.driver_error: type[Exception] = connection.dialect.loaded_dbapi.Error
        self.opened_at = time.monotonic()
        self.dialect = connection.dialect
        self.driver: Any = connection.connection.dbapi_connection
        self._tells_changes = connection.dialect.name == "sqlite"
        # SQLite's cursor keeps no rows, so one serves all reads. Those of the other drivers keep the last result.
        self._cursor = connection.connection.cursor() if self._tells_changes else None
        self._version: Any = None
        self._kept: FIFOCache[tuple[Any, ...], _Found] = FIFOCache(_MOST_BYTES_KEPT, getsizeof=attrgetter("size"))

    def is_broken(self, reason: Any) -> bool:
        """Tell whether the connection itself failed, so that no statement can succeed on it."""
        return self.dialect.is_disconnect(reason, self.driver, None) or is_read_only(reason)

    def named(self, reason: Exception) -> DBAPIError:
        """Return a failure of the driver as SQLAlchemy's exception, without the statement, which must not be logged."""
        named = DBAPIError.instance(None, None, reason, self.driver_error, hide_parameters=True, dialect=self.dialect)
        return cast("DBAPIError", named)

    def rows(self, read: Read, parameters: Mapping[str, Any], remembered: RememberedRows) -> list[Any]:
        compiled, cursor = read.compiled(self.dialect), self._cursor or self.driver.cursor()
        try:
            if not (read.is_kept and self._tells_changes):
                return compiled.run(cursor, parameters, remembered)
            self._forget_what_is_old(cursor)
            key = (read, *parameters.values())
            kept = self._kept.get(key)
            found = kept.things() if kept else None
            if found is None:
                found = compiled.run(cursor, parameters, remembered)
                kept = _Found(found)
                if kept.size <= _MOST_BYTES_OF_FOUND:
                    self._kept[key] = kept
            return found
        finally:
            if cursor is not self._cursor:
                cursor.close()

    def _forget_what_is_old(self, cursor: Any) -> None:
        """Clear the cache if another connection, in any process, has committed. This connection itself never writes."""
        (version,) = cursor.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._kept.clear()
            self._version = version


class _Found:
    """A cached result. It owns callers and numbers, but refers weakly to items, which `RememberedRows` owns and counts."""

    def __init__(self, things: list[Any]) -> None:
        self._things = things
        self._references: list[ref[Any]] | None = None
        with suppress(TypeError):  # callers and numbers cannot be weakly referenced
            references = [ref(thing) for thing in things]
            self._things, self._references = [], references
        self.size = _BYTES_OF_FOUND + size_of(self._things) + size_of(self._references)

    def things(self) -> list[Any] | None:
        """Return the result; None if an item was evicted meanwhile."""
        if self._references is None:
            return self._things
        things = [reference() for reference in self._references]
        return things if all(things) else None  # items are never falsy
