"""The database session, engine options, and column types that mean the same on SQLite, PostgreSQL and MariaDB."""

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    URL,
    CursorResult,
    DateTime,
    Dialect,
    Engine,
    Executable,
    FromClause,
    Inspector,
    MetaData,
    Row,
    Select,
    String,
    Text,
    event,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session
from sqlalchemy.types import TypeDecorator, TypeEngine

from models import connecting  # noqa: F401 - its listeners open the connections of every engine
from models.host_order import several_hosts
from models.mysql_hosts import leave_later_node
from models.mysql_session import prepare_session
from models.sqlite_limit import LimitedConnection

logger = logging.getLogger(__name__)

# Longest waits for a server or a lock. After that a session fails with a clear error instead of hanging.
CONNECT_TIMEOUT_SECONDS = 5
# For SQLite's single lock. A sign-in with a wrong password may wait for it five times, and nginx gives up after a minute.
LOCK_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 15
# A working server ends a statement at the time limit by itself, so only a hanging server is silent for longer.
SPARE_SECONDS = 1
RECYCLE_SECONDS = 1800

#: Alembic's record of migrations; Chamilo has a table of its own.
VERSION_TABLE = "poort_alembic_version"

#: The number of rows that bulk operations read or write at once.
CHUNK = 1000

#: The width of columns for addresses: the longest text form of an IPv6 address (RFC 4291, section 2.2).
ADDRESS_LENGTH = 45

#: Options of Chamilo's tables on MariaDB and MySQL.
MYSQL_TABLE = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_unicode_ci"}

#: Marks a table of ours that is neither made nor needed beside a campus.
STAND_ALONE_TABLE: dict[str, Any] = {"info": {"stand_alone": True}}


class Base(DeclarativeBase):
    """The base of all tables. Its naming convention lets migrations name constraints on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base, disable_autonaming=True)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime in Python; in the table whole seconds without a zone, as Doctrine stores it."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC and drop the zone and the fraction."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None, microsecond=0)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the zone again."""
        return None if value is None else value.replace(tzinfo=UTC)


def long_text() -> TypeEngine[str]:
    """Return the type of Chamilo's `longtext`: unbounded text on every database."""
    return Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def exact_string(length: int) -> TypeEngine[str]:
    """Return a varchar that compares code points, trailing spaces included. The migration sets its collation."""
    return String(length)


def engine_options(url: URL) -> dict[str, Any]:
    """Return SQLAlchemy's options for the engine of a database."""
    # Parameters are hidden because they hold personal data and hashes, which must not be logged.
    options: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        limited = partial(LimitedConnection, seconds=STATEMENT_TIMEOUT_SECONDS)
        return options | {"connect_args": {"timeout": LOCK_TIMEOUT_SECONDS, "factory": limited}}
    options |= {"pool_pre_ping": True, "pool_recycle": RECYCLE_SECONDS, "pool_size": 10, "pool_timeout": CONNECT_TIMEOUT_SECONDS}
    answer_timeout = STATEMENT_TIMEOUT_SECONDS + SPARE_SECONDS
    arguments = options["connect_args"] = {"connect_timeout": connect_timeout(url), "answer_timeout": answer_timeout}
    if url.get_backend_name() == "mysql":
        arguments["write_timeout"] = answer_timeout
        # READ COMMITTED avoids gap locks, on which two concurrent sign-ins would deadlock.
        options["isolation_level"] = "READ COMMITTED"
        if several_hosts(url.query):
            options["pool_events"] = [(leave_later_node, "checkout")]
    if url.get_backend_name() == "postgresql":
        arguments["options"] = f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s -c timezone=UTC"
        # Notice in half a minute that the peer of an idle connection has vanished, and in seconds if it acknowledges nothing.
        arguments |= {"keepalives_idle": STATEMENT_TIMEOUT_SECONDS, "keepalives_interval": 5, "keepalives_count": 3}
        arguments["tcp_user_timeout"] = 1000 * CONNECT_TIMEOUT_SECONDS
    return options


def connect_timeout(url: URL) -> int:
    """Return the seconds to wait for each host of a database: several share the time. psycopg waits for at least two."""
    return max(2, CONNECT_TIMEOUT_SECONDS // max(1, len(several_hosts(url.query))))


@event.listens_for(Engine, "connect")
def _prepare_connection(connection: Any, _record: object) -> None:
    """Set the options of a new connection. SQLite's write-ahead log is a property of the file; migrations set it."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # In KiB; the default is 2 MB. Each thread has a connection, and the kernel caches the file once for all.
        connection.execute("PRAGMA cache_size = -512")
    elif type(connection).__module__.startswith("pymysql"):
        prepare_session(connection, STATEMENT_TIMEOUT_SECONDS)


def reads_never_wait(engine: Engine) -> bool:
    """Tell whether reads never wait for a lock or for another machine: true for SQLite with a write-ahead log."""
    if engine.dialect.name != "sqlite":
        return False
    with engine.connect() as connection:
        return bool(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal")


def begin_write(session: Session) -> None:
    """Begin a new transaction that will lock rows. On SQLite, take the single lock now, not at the first write."""
    session.rollback()
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("BEGIN IMMEDIATE"))


def upsert(session: Session, table: type[Base], row: Mapping[str, Any], *, replaces: bool = True) -> None:
    """Insert a row. If its key exists, update the other columns; with `replaces=False` keep the old row.

    This is one statement, so no other transaction can intervene.
    """
    keys = [column.name for column in inspect(table).primary_key]
    others = {name: value for name, value in row.items() if name not in keys} if replaces else {}
    dialect = session.get_bind().dialect.name
    if dialect in {"mysql", "mariadb"}:
        session.execute(mysql.insert(table).values(row).on_duplicate_key_update(others or {keys[0]: row[keys[0]]}))
        return
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(table).values(row)
    if others:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=others)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    session.execute(statement)


def count_met(session: Session, statement: Executable) -> int:
    """Execute an UPDATE or DELETE and return how many rows it matched. Objects in the session stay unchanged."""
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


def missing_tables(session: Session, *, is_campus: bool) -> list[str]:
    """Return the tables that the database lacks. In place of some of ours, a campus has tables of its own."""
    needed = {name for name, table in Base.metadata.tables.items() if not (is_campus and table.info == STAND_ALONE_TABLE["info"])}
    return sorted(needed - set(inspect(session.connection()).get_table_names()))


def columns_of(inspector: Inspector, table: str) -> set[str]:
    """Return the names of a table's columns; none if there is no such table."""
    return {column["name"] for column in inspector.get_columns(table)} if inspector.has_table(table) else set()


def missing_columns(session: Session) -> list[str]:
    """Return the columns that our own tables lack, as `table.column`. Missing tables are not listed."""
    ours = [name for name in Base.metadata.tables if name.startswith("poort_")]
    found = inspect(session.connection()).get_multi_columns(filter_names=ours)
    return sorted(
        f"{table}.{column}"
        for (_, table), columns in found.items()
        for column in set(Base.metadata.tables[table].columns.keys()) - {column["name"] for column in columns}
    )


def epoch_ms(moment: datetime) -> int:
    """Return a moment in milliseconds since the epoch."""
    return int(moment.timestamp() * 1000)


def storable(text: str, length: int | None) -> str:
    """Cut a client's text to its column, and escape what some databases refuse: lone surrogates and NUL."""
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")[:length]


def make_folder_of(url: URL) -> None:
    """Create the folder of an SQLite file, since SQLite itself does not."""
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def continue_after_given_ids(session: Session, table: FromClause) -> None:
    """Make PostgreSQL number new rows after explicit ids; the other databases do so by themselves."""
    if session.get_bind().dialect.name == "postgresql":
        largest = select(func.max(table.c.id)).scalar_subquery()
        session.execute(select(func.setval(func.pg_get_serial_sequence(f'"{table.description}"', "id"), largest)))


def in_chunks(
    session: Session, statement: Select[*tuple[Any, ...]], key: InstrumentedAttribute[int]
) -> Iterator[Sequence[Row[Any]]]:
    """Yield the rows of a statement in chunks, by ascending `key`, which the statement selects as `id`.

    A single long result could exceed the time limit of a statement.
    """
    last = 0
    while rows := session.execute(statement.where(key > last).order_by(None).order_by(key).limit(CHUNK)).all():
        yield rows
        last = rows[-1].id
