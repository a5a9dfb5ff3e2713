"""A database that is locked, slow, read-only or full: 503 with Retry-After, no wait beyond the limit, and no lost row."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from unittest.mock import Mock

import pytest
from answers import body_of, name_in, signed_in_as
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text
from werkzeug.test import TestResponse

from models import User

BODY = {"username": "newcomer", "email": "newcomer@example.com"}


@pytest.fixture
def alice(database: Database) -> User:
    return database.make_user("alice", ["ROLE_ADMIN"], password="secret")


@pytest.fixture
def client(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setattr("models.database.LOCK_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("models.database.STATEMENT_TIMEOUT_SECONDS", 1)
    return make_app().test_client()


class Caller:
    """An administrator who reads, writes and signs in."""

    def __init__(self, client: FlaskClient, alice: User) -> None:
        self.client, self.headers = client, bearer(client.application, alice)

    def read(self) -> TestResponse:
        return self.client.get("/api/users/1000000", headers=self.headers)

    def create(self) -> TestResponse:
        return self.client.post("/api/users", json=BODY, headers=self.headers)

    def sign_in(self, password: str = "secret") -> TestResponse:
        return self.client.post("/api/authentication_token", json={"username": "alice", "password": password})


@pytest.fixture
def caller(client: FlaskClient, alice: User) -> Caller:
    return Caller(client, alice)


def assert_come_back(answer: TestResponse) -> None:
    assert (answer.status_code, list(answer.json), answer.headers["Retry-After"]) == (503, ["error"], "5"), answer.json


def codes(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {record.code for record in caplog.records if record.message.startswith("the database cannot be used")}


def set_for_each_connection(app: Flask, statements: dict[str, str], database: Database) -> Callable[[], None]:
    """Run a statement on each new connection; return a function that stops this and closes those connections."""
    reader = app.extensions["poort"].reader
    with app.app_context():
        engine = app.extensions["sqlalchemy"].engine

    def run(connection: Any, _record: object) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statements[database.kind])
        if database.kind == "postgresql":
            connection.commit()

    def begin_anew() -> None:
        reader.close()
        engine.dispose()

    begin_anew()
    event.listen(engine, "connect", run)

    def end() -> None:
        event.remove(engine, "connect", run)
        begin_anew()

    return end


READ_ONLY = {
    "sqlite": "PRAGMA query_only = 1",
    "postgresql": "SET default_transaction_read_only = on",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}

#: The code of a write after that.
REFUSED = {"sqlite": "SQLITE_READONLY", "postgresql": "25006", "mariadb": "1792", "mysql": "1792"}


def test_database_that_takes_no_writes_is_read_and_not_written(
    caller: Caller, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    end = set_for_each_connection(caller.client.application, READ_ONLY, database)
    assert caller.read().status_code == 404
    assert_come_back(caller.create())
    # The answer must not tell whether the password was right either.
    for password in ("secret", "wrong"):
        assert_come_back(caller.sign_in(password))
    assert codes(caplog) == {REFUSED[database.kind]}
    end()
    assert [caller.create().status_code, caller.sign_in().status_code] == [201, 200]


def test_connection_that_breaks_before_its_first_read_is_for_later(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL still opens connections while it shuts down, and then cuts them."""
    app = caller.client.application
    with app.app_context():
        dialect = app.extensions["sqlalchemy"].engine.dialect
    app.extensions["poort"].reader.close()
    with monkeypatch.context() as patch:
        patch.setattr(dialect, "set_isolation_level", Mock(side_effect=dialect.loaded_dbapi.OperationalError(2013, "Lost")))
        assert_come_back(caller.read())
    assert caller.read().status_code == 404


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_full_disk_is_read_and_not_written(caller: Caller, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DELETE FROM poort_throttled_login"))
        connection.execute(text("VACUUM"))  # free pages that other tests left would be room
        pages = connection.execute(text("PRAGMA page_count")).scalar()
    end = set_for_each_connection(caller.client.application, {"sqlite": f"PRAGMA max_page_count = {pages}"}, database)
    answers, number = [], 0
    while (not answers or answers[-1].status_code == 201) and (number := number + 1) < 1000:
        body = {"username": f"new{number}", "email": f"{'x' * 60}{number}@example.com"}
        answers.append(caller.client.post("/api/users", json=body, headers=caller.headers))
    assert_come_back(answers[-1])
    assert caller.read().status_code == 404
    assert codes(caplog) == {"SQLITE_FULL"}
    with database.session() as session:
        found = session.execute(text("SELECT count(*) FROM user WHERE username LIKE 'new%'")).scalar()
    assert found == len(answers) - 1, "each row that was answered 201, and no other"
    end()
    assert name_in(caller.create(), 201) == BODY["username"]


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Lock users against writes, and except on SQLite against reads, as a migration or a backup may."""
    statement = {
        "sqlite": "BEGIN EXCLUSIVE",
        "postgresql": 'LOCK TABLE "user" IN ACCESS EXCLUSIVE MODE',
        "mariadb": "LOCK TABLES user WRITE",
        "mysql": "LOCK TABLES user WRITE",
    }[database.kind]
    with database.engine.connect() as connection:
        connection.execute(text(statement))
        try:
            yield
        finally:
            connection.rollback()
            if database.kind in {"mariadb", "mysql"}:
                connection.execute(text("UNLOCK TABLES"))


def test_lock_of_somebody_else_is_waited_for_and_then_given_up(
    caller: Caller, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert caller.read().status_code == 404
    with locked(database):
        if database.kind == "sqlite":
            assert caller.read().status_code == 404, "reads do not wait"
        else:
            assert_come_back(caller.read())
        assert_come_back(caller.create())
        assert body_of(caller.client.get("/healthz")) == {"status": "ok"}
    # MySQL has a limit for reads and one for locks, equally long.
    given_up = {"sqlite": {"SQLITE_BUSY"}, "postgresql": {"57014"}, "mariadb": {"1969"}, "mysql": {"3024", "1205"}}
    assert set() < codes(caplog) <= given_up[database.kind]
    assert [caller.read().status_code, caller.create().status_code] == [404, 201]
    assert caller.create().status_code == 422, "the user was written once"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sign_in_under_a_lock_is_for_later_too(caller: Caller, database: Database) -> None:
    with locked(database):
        assert_come_back(caller.sign_in())
    assert signed_in_as(caller.sign_in()) == "alice"


def test_host_of_the_database_that_is_gone_is_not_waited_for_by_tcp(make_app: Callable[..., Flask], database: Database) -> None:
    app = make_app()
    with app.app_context(), app.extensions["sqlalchemy"].engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        if database.kind == "postgresql":
            assert (driver.answer_timeout, driver.info.get_parameters()["keepalives_idle"]) == (16, "15")
        if database.kind in {"mariadb", "mysql"}:
            assert (driver._read_timeout, driver._write_timeout) == (16, 16)
