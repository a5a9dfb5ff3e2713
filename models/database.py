"""The database: the session, column types that mean the same on SQLite, PostgreSQL and MariaDB, and engine options."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, DateTime, Dialect, Engine, FromClause, MetaData, String, Text, event, func, select, text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator, TypeEngine

# A session waits this long for a lock or a server, and then fails with a clear error instead of hanging.
CONNECT_TIMEOUT_SECONDS = 5
LOCK_TIMEOUT_SECONDS = 15
RECYCLE_SECONDS = 1800


#: How MariaDB and MySQL keep Chamilo's tables.
MYSQL_TABLE = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_unicode_ci"}


class Base(DeclarativeBase):
    """The base of every table, with a naming convention, so that migrations can name constraints on every database."""

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
    """An aware UTC datetime in Python, whole seconds without a zone in the table, as Doctrine stores it."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC and drop the zone and the fraction."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None, microsecond=0)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Roles(TypeDecorator[list[str]]):
    """A list of role names, in the JSON form of Chamilo 3's `roles` column."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use the wide text type of each database."""
        return mysql.LONGTEXT() if dialect.name in {"mysql", "mariadb"} else Text()

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> str | None:
        """Write `["ROLE_STUDENT"]`."""
        return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> list[str]:
        """Read a list of strings; an empty column is no role."""
        return [role for role in json.loads(value) if isinstance(role, str)] if value else []


def long_text() -> TypeEngine[str]:
    """Return Chamilo's `longtext`: unbounded text on every database."""
    return Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def exact_string(length: int) -> TypeEngine[str]:
    """Return a varchar that compares code point by code point, trailing spaces included; the migration gives it the collation."""
    return String(length)


def engine_options(url: URL) -> dict[str, Any]:
    """Return the options with which SQLAlchemy opens the database at `url`."""
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": LOCK_TIMEOUT_SECONDS}, "hide_parameters": True}
    # The values of a statement are people's data and hashes: they are not for the log.
    options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": True, "pool_recycle": RECYCLE_SECONDS, "pool_size": 10}
    options["connect_args"] = {"connect_timeout": CONNECT_TIMEOUT_SECONDS}
    if url.get_backend_name() == "mysql":
        # Chamilo writes UTC; READ COMMITTED spares the gap locks that two sign-ins at once would deadlock on.
        options["connect_args"] |= {"init_command": "SET time_zone = '+00:00'"}
        options["isolation_level"] = "READ COMMITTED"
    return options


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Set the options of SQLite that hold per connection; the write-ahead log holds for the file, and migrations set it."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")


def make_folder_of(url: URL) -> None:
    """Create the folder of an SQLite file, where it is missing; SQLite itself does not."""
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def begin_write(session: Session) -> None:
    """Begin a transaction that holds the write lock from its first statement, where the database has but one (SQLite).

    Elsewhere `SELECT … FOR UPDATE` locks the row, and this does nothing.
    """
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("BEGIN IMMEDIATE"))


def continue_after_given_ids(session: Session, table: FromClause) -> None:
    """Let PostgreSQL go on counting after ids that were given; the other databases do so by themselves."""
    if session.get_bind().dialect.name == "postgresql":
        largest = select(func.max(table.c.id)).scalar_subquery()
        session.execute(select(func.setval(func.pg_get_serial_sequence(f'"{table.description}"', "id"), largest)))
