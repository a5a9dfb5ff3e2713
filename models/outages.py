"""Tell outages of the database (it is gone, full, locked, slow or read-only) from our own faults.

The database's own code decides, not the class of the exception: drivers use OperationalError for very different failures, such
as "too many SQL variables". A code that is not listed means a fault of the statement, which would fail again.
"""

import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

# https://www.sqlite.org/rescode.html; the low eight bits of an extended code are the primary one.
_SQLITE = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL),  # locked by another connection
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM),  # disk, files, memory
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT),  # read-only at the moment; the time limit
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html; a class is the first two characters of a code.
_POSTGRESQL_CLASSES = {
    *("08", "57", "58"),  # connection; operator (57014 is the time limit); system
    *("53", "55", "40"),  # resources; object in use; deadlock
}
_POSTGRESQL_READ_ONLY = "25006"  # write in a read-only transaction; the rest of its class is a fault of ours

_MARIADB_READ_ONLY = (1290, 1792, 1836)
_MARIADB_NO_WRITES = (*_MARIADB_READ_ONLY, 1047)  # 1047: a Galera node that has lost its cluster, which refuses reads as well

#: The codes, as `code_of` returns them, of a PostgreSQL, MariaDB or MySQL that is a standby or was set read-only.
READ_ONLY_CODES = (_POSTGRESQL_READ_ONLY, *map(str, _MARIADB_READ_ONLY))

# https://mariadb.com/kb/en/mariadb-error-codes/ and https://dev.mysql.com/doc/mysql-errors/8.4/en/
_MARIADB = {
    *(1040, 1043, 1044, 1045, 1049, 1129, 1203, 1226),  # connection refused
    *(1862, 3032, 3118, 3159, 3955),  # MySQL: password expired, offline, locked, needs TLS, wrong passwords
    *(1053, 1158, 1159, 1160, 1161, 1317, 1927, 4031),  # connection ended or broken
    *(2002, 2003, 2005, 2006, 2013, 2014, 2055),  # the same, as the client library reports it
    *(1020, 1205, 1206, 1213),  # locks and deadlocks
    *(1021, 1037, 1038, 1041, 1114, 1135, 1637),  # disk and memory
    *_MARIADB_NO_WRITES,
    1180,  # a commit that a Galera node could not make
    *(1969, 3024),  # the time limits of MariaDB and MySQL
}

_TIME_LIMITS = {"SQLITE_INTERRUPT", "57014", "1969", "3024"}

#: MariaDB and MySQL: a right on a table or a column is missing.
DENIED = frozenset(("1142", "1143"))

# MariaDB and MySQL: deadlock, and a row that changed since the transaction's snapshot. PostgreSQL: deadlock, serialization.
_DEADLOCKS = {"1213", "1020", "40P01", "40001"}


def is_outage(error: DBAPIError) -> bool:
    """Tell whether the same statement may succeed later."""
    if error.connection_invalidated:
        return True
    orig: Any = error.orig
    if (code := getattr(orig, "sqlite_errorcode", None)) is not None:
        return code & 0xFF in _SQLITE
    if number := _number_of(orig):  # before `sqlstate`, which PyMySQL sets, too, but mostly to a general value
        return number in _MARIADB
    if state := getattr(orig, "sqlstate", None):
        return state[:2] in _POSTGRESQL_CLASSES or state == _POSTGRESQL_READ_ONLY
    # A connection that could not be opened has neither a code nor a statement.
    is_of_the_connection = error.statement is None or not hasattr(orig, "sqlstate")
    return is_of_the_connection and isinstance(error, OperationalError | InterfaceError)


def is_read_only(failure: BaseException) -> bool:
    """Tell whether a failure of the driver means that this PostgreSQL, MariaDB or MySQL takes no writes at the moment."""
    number = _number_of(failure)
    return number in _MARIADB_NO_WRITES if number else getattr(failure, "sqlstate", None) == _POSTGRESQL_READ_ONLY


def code_of(error: BaseException) -> str:
    """Return the database's code of a failure: `SQLITE_FULL`, `25006`, `1290`.

    If there is none, as when psycopg cannot connect, return the name of the driver's exception, or of SQLAlchemy's.
    """
    orig: Any = getattr(error, "orig", None)
    code = _number_of(orig) or getattr(orig, "sqlite_errorname", None) or getattr(orig, "sqlstate", None)
    return str(code or type(orig or error).__name__)


def reason_of(error: BaseException) -> str:
    """Return why the database cannot be used, for the log. Only outages have the driver's text; other texts may hold data."""
    if is_time_limit(error):
        return "a statement ran into its time limit"
    if not isinstance(error, DBAPIError) or not is_outage(error):
        return type(getattr(error, "orig", None) or error).__name__
    text = str(error.orig.args[-1] if error.orig and error.orig.args else error.orig).strip()
    return text.partition("\n")[0] or type(error.orig).__name__


def setting_at_fault(error: DBAPIError) -> str | None:
    """Return the message of models/connecting.py about a setting that makes connecting impossible, or None."""
    text = str(error.orig.args[-1]) if error.orig and error.orig.args else ""
    return f"{text}." if text.startswith("DATABASE_URL ") else None


def missing_right(error: DBAPIError) -> str | None:
    """Return the right on a table that this server lacks on MariaDB or MySQL, such as CREATE. PyMySQL raises OperationalError."""
    if code_of(error) not in DENIED or not error.orig:
        return None
    return str(error.orig.args[-1]).partition(" command denied")[0]


def is_time_limit(error: BaseException) -> bool:
    """Tell whether a statement exceeded its time limit; on PostgreSQL and MariaDB it may have waited for a lock."""
    return code_of(error) in _TIME_LIMITS


def is_deadlock(error: DBAPIError) -> bool:
    """Tell whether the database ended this transaction in favor of another. A retry may succeed at once."""
    return code_of(error) in _DEADLOCKS


def _number_of(orig: Any) -> int | None:
    """Return the number that is the first argument of PyMySQL's exceptions."""
    first = orig.args[0] if orig is not None and orig.args else None
    return first if isinstance(first, int) else None
