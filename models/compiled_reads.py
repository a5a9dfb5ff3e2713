"""Reading fast: statements that are compiled once, run on a connection that each thread holds, in autocommit."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, cast
from weakref import ref

from cachetools import FIFOCache
from sqlalchemy import Connection, Engine, Select
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError

from models.remembered_rows import Part, RememberedRows, Values, size_of

_SQLITE_CACHE_KIB = 64

# A connection keeps what it found up to this: a worker has 16 threads with a connection each, and 8 MB for all of them.
_MOST_BYTES_KEPT = 512 * 1024
_MOST_BYTES_OF_FOUND = 64 * 1024

# What was found takes this much beside its list: its key, and its places in three dictionaries.
_BYTES_OF_FOUND = 1024


class Read:
    """A statement with named parameters, compiled at its first use for the database at hand.

    `parts` makes something of each row: of so many columns, one after the other, by a function of their values. What it
    makes is shared by all who read the same values, and must not be changed by them.
    """

    def __init__(self, statement: Select[Any], *parts: tuple[int, Callable[[Values], Any]], is_kept: bool = False) -> None:
        """Take the statement; what changes between two uses is a `bindparam` of it.

        What one that `is_kept` found is given again where the database says that nothing has changed, which SQLite can.
        """
        self.statement = statement
        self.is_kept = is_kept
        self._parts = parts
        self._compiled: Compiled | None = None

    def compiled(self, dialect: Dialect) -> "Compiled":
        """Return the text for the driver, and what makes its parameters and values ours."""
        if self._compiled is None:
            self._compiled = Compiled(self.statement, self._parts, dialect)
        return self._compiled


class Compiled:
    """A statement as the driver takes it. Values go through the column types, as SQLAlchemy itself would have it."""

    def __init__(self, statement: Select[Any], parts: Sequence[tuple[int, Callable[[Values], Any]]], dialect: Dialect) -> None:
        """Compile; the types of a campus's database are those of our own columns."""
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
        """Return parameters as the driver takes them: by name, or in its order."""
        everything = {**self._fixed, **given} if self._fixed else given
        return everything if self._order is None else [everything[name] for name in self._order]

    def run(self, cursor: Any, given: Mapping[str, Any], remembered: RememberedRows) -> list[Any]:
        """Return what is made of the rows that the driver finds: of each the one part, or a tuple of all parts."""
        cursor.execute(self.text, self.parameters(given))
        rows = cursor.fetchall()
        get = remembered.get
        if len(self._parts) == 1:
            part = self._parts[0]
            return [get(part, row) for row in rows]
        return [tuple([get(part, row[part.columns]) for part in self._parts]) for row in rows]


class Reader:
    """Reads for one application. What a read sees is what is committed when it runs."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        """Take what gives the engine: it is known only inside an application context."""
        self._engine = engine
        self._held = threading.local()
        self._all: list[Connection] = []
        self._remembered = RememberedRows()

    def rows(self, read: Read, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a statement. A connection that broke since its last use is replaced, once; raises what SQLAlchemy raises.

        Whatever else fails is not tried again: it may have waited for its time limit.
        """
        held: _Held = getattr(self._held, "connection", None) or self._hold()
        try:
            return held.rows(read, parameters, self._remembered)
        except held.driver_error as reason:
            if not held.is_broken(reason):
                raise held.named(reason) from reason
            self._let_go(held)
        # If it fails again, SQLAlchemy says how, in its own words.
        held = self._hold()
        held.connection.execute(read.statement, dict(parameters)).close()
        return held.rows(read, parameters, self._remembered)

    def close(self) -> None:
        """Close all connections; the next read opens another."""
        while self._all:
            self._all.pop().close()
        self._held = threading.local()

    def _hold(self) -> "_Held":
        connection = self._engine().connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()  # it is this thread's for good, and none of the pool's
        if connection.dialect.name == "sqlite":
            # Many threads read the same pages, and the kernel keeps those once for all.
            connection.exec_driver_sql(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
        self._all.append(connection)
        held = self._held.connection = _Held(connection)
        return held

    def _let_go(self, held: "_Held") -> None:
        self._held.connection = None
        self._all.remove(held.connection)
        with suppress(held.driver_error):
            held.driver.close()
        held.connection.invalidate()
        held.connection.close()


class _Held:
    """A connection that is held, and the driver's own below it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.driver_error: type[Exception] = connection.dialect.loaded_dbapi.Error
        self._dialect = connection.dialect
        self.driver: Any = connection.connection.dbapi_connection
        self._tells_changes = connection.dialect.name == "sqlite"
        self._version: Any = None
        self._kept: FIFOCache[tuple[Any, ...], _Found] = FIFOCache(_MOST_BYTES_KEPT, getsizeof=attrgetter("size"))

    def is_broken(self, reason: Any) -> bool:
        """Tell whether a failure is the connection's, and no other statement will do better on it."""
        return self._dialect.is_disconnect(reason, self.driver, None)

    def named(self, reason: Exception) -> DBAPIError:
        """Return a failure of the driver as SQLAlchemy names it; without the statement, which is not for the log."""
        named = DBAPIError.instance(None, None, reason, self.driver_error, hide_parameters=True, dialect=self._dialect)
        return cast("DBAPIError", named)

    def rows(self, read: Read, parameters: Mapping[str, Any], remembered: RememberedRows) -> list[Any]:
        compiled, cursor = read.compiled(self._dialect), self.driver.cursor()
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
            cursor.close()

    def _forget_what_is_old(self, cursor: Any) -> None:
        """Forget what was found before another connection, of whatever process, has committed; this one only reads."""
        (version,) = cursor.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._kept.clear()
            self._version = version


class _Found:
    """What a read found. Only `RememberedRows` holds the items themselves, so that each counts once; numbers are held here."""

    def __init__(self, things: list[Any]) -> None:
        self._things = things
        self._references: list[ref[Any]] | None = None
        with suppress(TypeError):  # a number takes no weak reference
            references = [ref(thing) for thing in things]
            self._things, self._references = [], references
        self.size = _BYTES_OF_FOUND + size_of(self._things) + size_of(self._references)

    def things(self) -> list[Any] | None:
        """Return them; None where one was forgotten meanwhile."""
        if self._references is None:
            return self._things
        things = [reference() for reference in self._references]
        return things if all(things) else None  # no item is false
