"""Which database errors are outages and which are faulty statements; and how long a statement may run on SQLite."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from answers import names_in
from factories import Database, bearer
from flask import Flask
from sqlalchemy import Engine, create_engine, event, func, literal, select, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from blueprints.users import routes
from models import db
from models.compiled_reads import Read, Reader
from models.database import _prepare_connection, engine_options
from models.outages import code_of, is_outage, is_time_limit, reason_of
from models.sqlite_limit import LimitedConnection


class OfSqlite(sqlite3.OperationalError):
    def __init__(self, name: str) -> None:
        super().__init__("text")
        self.sqlite_errorcode, self.sqlite_errorname = getattr(sqlite3, name), name


def raised(orig: Exception, statement: str | None = "SELECT 1") -> Any:
    driver = {"sqlite3": sqlite3, "psycopg": psycopg, "pymysql": pymysql}[
        next(kind.__module__.partition(".")[0] for kind in type(orig).__mro__ if kind.__module__ != __name__)
    ]
    return DBAPIError.instance(statement, None, orig, driver.Error)


SQLITE = {
    **dict.fromkeys(
        ("BUSY", "BUSY_SNAPSHOT", "LOCKED", "LOCKED_SHAREDCACHE", "PROTOCOL", "FULL", "IOERR", "IOERR_WRITE", "CANTOPEN"), True
    ),
    **dict.fromkeys(("NOMEM", "READONLY", "READONLY_DBMOVED", "INTERRUPT"), True),
    **dict.fromkeys(("ERROR", "ERROR_SNAPSHOT", "CONSTRAINT", "MISMATCH", "TOOBIG", "CORRUPT", "NOTADB", "MISUSE"), False),
}


@pytest.mark.parametrize("name", SQLITE)
def test_code_of_sqlite_decides(name: str) -> None:
    failure = raised(OfSqlite(f"SQLITE_{name}"))
    assert (is_outage(failure), code_of(failure)) == (SQLITE[name], f"SQLITE_{name}")


POSTGRESQL = {
    **dict.fromkeys(("08006", "53100", "53200", "53300", "55P03", "57014", "57P01", "57P03", "58030", "40001", "40P01"), True),
    "25006": True,
    **dict.fromkeys(("25001", "25P02", "42P01", "42601", "42501", "22001", "23505", "54001", "54011", "XX000"), False),
}


@pytest.mark.parametrize("state", POSTGRESQL)
def test_state_of_postgresql_decides(state: str) -> None:
    kind = psycopg.errors.lookup(state) if state != "25P02" else psycopg.errors.InFailedSqlTransaction
    failure = raised(kind("text"))
    assert (is_outage(failure), code_of(failure)) == (POSTGRESQL[state], state)


MARIADB = {
    **dict.fromkeys((1205, 1213, 1020, 1040, 1203, 1021, 1114, 1290, 1792, 1836, 1969, 3024, 2002, 2003, 2006, 2013, 1045), True),
    **dict.fromkeys((1862, 3032, 3118, 3159, 3955), True),
    **dict.fromkeys((1047, 1180), True),  # Galera
    **dict.fromkeys((1054, 1064, 1146, 1142, 1366, 1406, 1390, 1436, 3636), False),
}


@pytest.mark.parametrize("number", MARIADB)
@pytest.mark.parametrize("kind", [pymysql.err.OperationalError, pymysql.err.InternalError])
def test_number_of_mariadb_decides(number: int, kind: type[Exception]) -> None:
    failure = raised(kind(number, "text", sqlstate="HY000"))
    assert (is_outage(failure), code_of(failure)) == (MARIADB[number], str(number))


def test_connection_that_cannot_be_opened_is_an_outage_and_too_many_parameters_are_none() -> None:
    assert is_outage(raised(psycopg.OperationalError("connection refused"), None))
    assert not is_outage(raised(psycopg.OperationalError("number of parameters must be between 0 and 65535")))
    assert not is_outage(raised(sqlite3.ProgrammingError("Cannot operate on a closed database.")))


def test_connection_that_broke_is_an_outage() -> None:
    failure = raised(sqlite3.ProgrammingError("Cannot operate on a closed database."))
    failure.connection_invalidated = True
    assert is_outage(failure)


def test_time_limits_have_their_codes() -> None:
    late = [OfSqlite("SQLITE_INTERRUPT"), psycopg.errors.QueryCanceled("x"), pymysql.err.OperationalError(1969, "x")]
    late.append(pymysql.err.OperationalError(3024, "x"))
    assert [is_time_limit(raised(orig)) for orig in late] == [True] * 4
    assert not is_time_limit(raised(OfSqlite("SQLITE_BUSY")))


LIMITS_OF_MARIADB = "max_statement_time = 15, idle_write_transaction_timeout = 10"


@pytest.mark.parametrize(
    ("version", "is_galera", "limits"),
    [
        ("10.11.6-MariaDB-log", "OFF", LIMITS_OF_MARIADB),
        ("10.11.6-MariaDB-log", "ON", f"{LIMITS_OF_MARIADB}, wsrep_sync_wait = 7"),
        ("8.4.3", "", "max_execution_time = 15000, innodb_lock_wait_timeout = 15, lock_wait_timeout = 15"),
    ],
)
def test_limits_of_mysql_have_names_of_their_own(
    version: str, is_galera: str, limits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[str] = []
    monkeypatch.setattr(pymysql.connections.Connection, "get_server_info", lambda _: version)
    monkeypatch.setattr(pymysql.cursors.Cursor, "execute", lambda _, statement: executed.append(statement))
    monkeypatch.setattr(pymysql.cursors.Cursor, "fetchall", lambda _: [("wsrep_on", is_galera)] if is_galera else [])
    _prepare_connection(pymysql.connections.Connection(defer_connect=True), None)
    assert executed[1:] == [f"SET time_zone = '+00:00', group_concat_max_len = 1048576, {limits}"]


def test_failure_without_a_code_has_that_of_its_class_and_a_reason() -> None:
    gone = raised(psycopg.OperationalError("connection failed: Connection refused\n\tIs the server running?"), None)
    assert (code_of(gone), reason_of(gone)) == ("OperationalError", "connection failed: Connection refused")
    lost = raised(pymysql.err.OperationalError(2013, "Lost connection (timed out)"))
    assert (code_of(lost), reason_of(lost)) == ("2013", "Lost connection (timed out)")
    pool, pending = PoolTimeout("QueuePool limit of size 10"), PendingRollbackError("Original: INSERT 'alice'")
    assert [(code_of(failure), reason_of(failure)) for failure in (pool, pending)] == [
        ("TimeoutError", "TimeoutError"),
        ("PendingRollbackError", "PendingRollbackError"),
    ]
    assert reason_of(raised(pymysql.err.OperationalError(2013, ""))) == "OperationalError"
    assert reason_of(raised(sqlite3.OperationalError())) == "OperationalError"


def test_reason_holds_no_data_of_a_statement() -> None:
    assert reason_of(raised(psycopg.errors.UniqueViolation("Key (username)=(alice) already exists."))) == "UniqueViolation"


FAULTY = {
    "table that is not there": lambda _kind: text("SELECT 1 FROM no_such_table"),
    "column that is not there": lambda _kind: text("SELECT no_such_column FROM poort_user_total"),
    "syntax": lambda _kind: text("SELEKT 1"),
    "expression that is too deep": lambda kind: text("SELECT " + "1+" * 2000 + "1") if kind == "sqlite" else text("SELECT +"),
    "more columns than it answers": lambda kind: (
        text("SELECT " + "1," * 2000 + "1") if kind == "sqlite" else text("SELECT FROM WHERE")
    ),
    # More than any build of SQLite takes; Debian's takes 250,000.
    "more parameters than it takes": lambda kind: (
        select(literal(0).in_(range(260_000))) if kind == "sqlite" else text("SELECT WHERE FROM")
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_failure_of_the_statement_itself_is_no_outage(
    app: Flask, database: Database, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    statement = FAULTY[name](database.kind)
    monkeypatch.setattr(routes, "paginate", lambda *_: db.session.execute(statement))
    answer = app.test_client().get("/api/users", headers=bearer(app, database.make_user()))
    assert (answer.status_code, answer.json) == (500, {"error": "Internal Server Error"})
    (record,) = [record for record in caplog.records if record.exc_info]
    assert (record.message, issubclass(record.exc_info[0], DBAPIError)) == ("unexpected failure of users.list_users", True)


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def impatient(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> Flask:
    monkeypatch.setattr("models.database.STATEMENT_TIMEOUT_SECONDS", 0)
    return make_app()


on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@on_sqlite
@pytest.mark.parametrize("by", ["session", "reader"])
def test_statement_that_takes_too_long_is_503_and_said_to_be_so(
    impatient: Flask, database: Database, by: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = select(literal(1).label("x")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.x + 1))
    endless = select(func.count()).select_from(numbers)
    reader: Reader = impatient.extensions["poort"].reader
    runs = {
        "session": lambda *_: db.session.execute(text(ENDLESS)).all(),
        "reader": lambda *_: reader.rows(Read(endless, (1, tuple)), {}),
    }
    monkeypatch.setattr(routes, "paginate", runs[by])
    client, headers = impatient.test_client(), bearer(impatient, database.make_user())
    answer = client.get("/api/users", headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    said = [(record.message, record.code) for record in caplog.records if record.levelname == "ERROR"]
    assert said == [("the database cannot be used: a statement ran into its time limit", "SQLITE_INTERRUPT")]
    monkeypatch.undo()
    assert names_in(client.get("/api/users", headers=headers)) == ["alice"], "the connection still works"


def test_time_begins_anew_with_each_statement(tmp_path: Path) -> None:
    seconds = [0.0]
    connect = partial(LimitedConnection, seconds=10, timer=lambda: seconds[0])
    with closing(connect(tmp_path / "x.sqlite", isolation_level=None)) as connection:
        many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000000) SELECT count(*) FROM n"
        for _ in range(3):
            assert connection.execute(many).fetchone() == (1_000_000,)
            seconds[0] += 9
        cursor = connection.execute("CREATE TABLE t (x)")
        seconds[0] += 100
        connection.commit()
        cursor.execute("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n")
        with pytest.raises(sqlite3.OperationalError) as failure:
            sum(seconds.__setitem__(0, seconds[0] + 0.01) or 1 for _ in cursor)
        assert failure.value.sqlite_errorname == "SQLITE_INTERRUPT", "fetching rows counts too"


def test_many_rows_at_once_have_no_limit_together(tmp_path: Path) -> None:
    with closing(LimitedConnection(tmp_path / "x.sqlite", seconds=0)) as connection:
        connection.execute("CREATE TABLE t (x PRIMARY KEY)")
        connection.cursor().executemany("INSERT INTO t VALUES (?)", ((number,) for number in range(200_000)))
        connection.commit()
        assert connection.execute("SELECT max(rowid) FROM t").fetchone() == (200_000,)


@on_sqlite
def test_engine_of_requests_has_the_limit_of_the_other_databases(database: Database) -> None:
    engine = create_engine(database.engine.url, **engine_options(database.engine.url))
    with engine.connect() as connection:
        assert connection.connection.dbapi_connection._limit._seconds == 15
    engine.dispose()


def test_migrations_have_no_limit(tmp_path: Path) -> None:
    by: set[type] = set()

    def look(connection: Any, _cursor: object, statement: str, *_others: object) -> None:
        if "CREATE TABLE" in statement:
            by.add(type(connection.connection.dbapi_connection))

    event.listen(Engine, "before_cursor_execute", look)
    database = Database("sqlite", f"sqlite:///{tmp_path}/new.sqlite")
    try:
        database.migrate()
    finally:
        event.remove(Engine, "before_cursor_execute", look)
        database.engine.dispose()
    assert by == {sqlite3.Connection}
