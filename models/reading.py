"""Reading fast: statements that are compiled once, run on a connection that each thread holds, in autocommit."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection, Engine, Select
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError

Values = tuple[Any, ...]

# What was made of so many rows is remembered: the same values make the same again.
_REMEMBERED = 2048

_SQLITE_CACHE_KIB = 64

# A connection keeps what so many reads found.
_KEPT = 64


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
        self._slices: list[tuple[slice, Callable[[Values], Any]]] = []
        start = 0
        for width, make in parts:
            self._slices.append((slice(start, start + width), _maker(convert[start : start + width], make)))
            start += width

    def parameters(self, given: Mapping[str, Any]) -> Any:
        """Return parameters as the driver takes them: by name, or in its order."""
        everything = {**self._fixed, **given} if self._fixed else given
        return everything if self._order is None else [everything[name] for name in self._order]

    def run(self, cursor: Any, given: Mapping[str, Any]) -> list[Any]:
        """Return what is made of the rows that the driver finds: of each the one part, or a tuple of all parts."""
        cursor.execute(self.text, self.parameters(given))
        rows = cursor.fetchall()
        if len(self._slices) == 1:
            make = self._slices[0][1]
            return [make(row) for row in rows]
        return [tuple(make(row[part]) for part, make in self._slices) for row in rows]


def _maker(convert: Sequence[Callable[[Any], Any] | None], make: Callable[[Values], Any]) -> Callable[[Values], Any]:
    converted = [(position, conversion) for position, conversion in enumerate(convert) if conversion is not None]

    @lru_cache(maxsize=_REMEMBERED)
    def made(raw: Values) -> Any:
        values = list(raw)
        for position, conversion in converted:
            values[position] = conversion(values[position])
        return make(tuple(values))

    return made


class Reader:
    """Reads for one application. What a read sees is what is committed when it runs."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        """Take what gives the engine: it is known only inside an application context."""
        self._engine = engine
        self._held = threading.local()
        self._all: list[Connection] = []

    def rows(self, read: Read, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a statement. A connection that broke since its last use is replaced, once; raises what SQLAlchemy raises.

        Whatever else fails is not tried again: it may have waited for its time limit.
        """
        held: _Held = getattr(self._held, "connection", None) or self._hold()
        try:
            return held.rows(read, parameters)
        except held.driver_error as reason:
            if not held.is_broken(reason):
                raise held.named(reason) from reason
            self._let_go(held)
        # If it fails again, SQLAlchemy says how, in its own words.
        held = self._hold()
        held.connection.execute(read.statement, dict(parameters)).close()
        return held.rows(read, parameters)

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
        self._kept: dict[tuple[Any, ...], list[Any]] = {}

    def is_broken(self, reason: Any) -> bool:
        """Tell whether a failure is the connection's, and no other statement will do better on it."""
        return self._dialect.is_disconnect(reason, self.driver, None)

    def named(self, reason: Exception) -> DBAPIError:
        """Return a failure of the driver as SQLAlchemy names it; without the statement, which is not for the log."""
        named = DBAPIError.instance(None, None, reason, self.driver_error, hide_parameters=True, dialect=self._dialect)
        return cast("DBAPIError", named)

    def rows(self, read: Read, parameters: Mapping[str, Any]) -> list[Any]:
        compiled, cursor = read.compiled(self._dialect), self.driver.cursor()
        try:
            if not (read.is_kept and self._tells_changes):
                return compiled.run(cursor, parameters)
            self._forget_what_is_old(cursor)
            key = (read, *parameters.values())
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = compiled.run(cursor, parameters)
            return found
        finally:
            cursor.close()

    def _forget_what_is_old(self, cursor: Any) -> None:
        """Forget what was found before another connection, of whatever process, has committed; this one only reads."""
        (version,) = cursor.execute("PRAGMA data_version").fetchone()
        if version != self._version or len(self._kept) >= _KEPT:
            self._kept.clear()
            self._version = version
