"""Behind PgBouncer, which gives each transaction another connection: no wrong answer, no start-up options, limits on the role."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from answers import body_of, names_in, signed_in_as
from databases import Databases
from factories import Database, bearer, dispose, settings_for
from flask import Flask
from installed import needed
from sqlalchemy import Engine, create_engine, event, text

from app import create_app, utc_now
from benchmarks.pgbouncer import start_pgbouncer
from models import User
from models.user_table import UnusableTable

pytestmark = pytest.mark.services

MODES = ("session", "transaction")
THREADS, ROUNDS, READS = 6, 12, 23


@pytest.fixture(scope="module")
def urls(databases: Databases) -> Iterator[dict[str, str]]:
    """By pool mode: the address of a PgBouncer, in the place of the server's."""
    server = databases.server("postgresql")
    started = {mode: needed(lambda mode=mode: start_pgbouncer(server, mode)) for mode in MODES}  # type: ignore[misc]
    yield {mode: f"postgresql://postgres@127.0.0.1:{port}" for mode, (_, port) in started.items()}
    for program, _ in started.values():
        program.stop()


@pytest.fixture
def name(databases: Databases) -> str:
    """The name of an empty database."""
    return databases.empty_url("postgresql").rpartition("/")[2]


@pytest.fixture
def bounced(urls: dict[str, str], name: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database that was migrated through a PgBouncer."""
    database = Database("postgresql", f"{urls[request.param]}/{name}?pgbouncer=1")
    database.migrate()
    yield database
    database.engine.dispose()


@pytest.fixture
def app(bounced: Database) -> Iterator[Flask]:
    app = create_app(settings_for(DATABASE_URL=bounced.url, LOGIN_THROTTLING_MAX_ATTEMPTS="100000"), utc_now)
    yield app
    dispose(app)


class Client:
    """A user who reads, signs in and is written, on a thread of their own. Each answer is compared with what it must be."""

    def __init__(self, app: Flask, user: User, admin: dict[str, str]) -> None:
        self.http, self.user, self.admin = app.test_client(), user, admin
        self.item = f"/api/users/{user.id}"
        self.answers = 0

    def run(self, start: Barrier) -> int:
        start.wait()
        for number in range(ROUNDS):
            self.write(f"{self.user.username}-{number}")
            for _ in range(READS):
                self.read(f"{self.user.username}-{number}")
        return self.answers

    def write(self, lastname: str) -> None:
        found = [
            body_of(self.patch(lastname))["lastname"],
            signed_in_as(self.sign_in("secret")),
            self.sign_in("wrong").status_code,
        ]
        assert found == [lastname, self.user.username, 401]
        self.answers += len(found)

    def read(self, lastname: str) -> None:
        name = self.user.username
        found = [
            body_of(self.http.get(self.item, headers=self.admin))["lastname"],
            *names_in(self.http.get(f"/api/users?username={name}", headers=self.admin)),
            self.http.get("/api/users/1000000", headers=self.admin).status_code,
        ]
        assert found == [lastname, name, 404]
        self.answers += len(found)

    def sign_in(self, password: str) -> Any:
        return self.http.post("/api/authentication_token", json={"username": self.user.username, "password": password})

    def patch(self, lastname: str) -> Any:
        headers = self.admin | {"Content-Type": "application/merge-patch+json"}
        return self.http.patch(self.item, json={"lastname": lastname}, headers=headers)


@pytest.mark.slow
@pytest.mark.parametrize("bounced", MODES, indirect=True)
def test_each_of_10_000_answers_is_right(app: Flask, bounced: Database) -> None:
    admin = bearer(app, bounced.make_user("admin", ["ROLE_ADMIN"]))
    users = [bounced.make_user(f"user{number}", password="secret") for number in range(THREADS)]
    start = Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda user: Client(app, user, admin).run(start), users))
    assert 2 * sum(answers) > 10_000, "in both modes together"


@pytest.mark.parametrize("bounced", ["transaction"], indirect=True)
def test_nothing_is_prepared_on_the_server(app: Flask, bounced: Database) -> None:
    client, headers = app.test_client(), bearer(app, bounced.make_user())
    for _ in range(20):  # psycopg prepares what it has run five times
        assert client.get("/api/users", headers=headers).status_code == 200
    with bounced.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0


def test_setting_that_is_missing_is_named_in_one_sentence(urls: dict[str, str], name: str) -> None:
    app = create_app(settings_for(DATABASE_URL=f"{urls['transaction']}/{name}"), utc_now)
    result = app.test_cli_runner().invoke(args=["users", "list"])
    dispose(app)
    assert (result.exit_code, result.output) == (
        1,
        "Error: DATABASE_URL needs the option `pgbouncer=1`: PgBouncer refuses start-up options.\n",
    )


def test_start_without_the_setting_stops(urls: dict[str, str], name: str) -> None:
    app = create_app(settings_for(DATABASE_URL=f"{urls['session']}/{name}"), utc_now)
    with app.app_context(), pytest.raises(UnusableTable, match=r"^DATABASE_URL needs the option `pgbouncer=1`: "):
        app.extensions["poort"].check_table()
    dispose(app)


def test_migrations_lift_the_limit_of_the_role(urls: dict[str, str], name: str, databases: Databases) -> None:
    database, limits = Database("postgresql", f"{urls['transaction']}/{name}?pgbouncer=1"), set()

    def look(connection: Any, _cursor: object, statement: str, *_others: object) -> None:
        if "CREATE TABLE" in statement:
            limits.add(connection.exec_driver_sql("SHOW statement_timeout").scalar())

    limit_statements(databases, name)
    event.listen(Engine, "before_cursor_execute", look)
    try:
        database.migrate()
    finally:
        event.remove(Engine, "before_cursor_execute", look)
    with database.engine.connect() as connection:
        limits.add(connection.execute(text("SHOW statement_timeout")).scalar())
    database.engine.dispose()
    assert limits == {"0", "15s"}


def limit_statements(databases: Databases, name: str) -> None:
    """Do what docs/scaling.md says."""
    engine = create_engine(databases.server("postgresql").driver_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER ROLE postgres IN DATABASE {name} SET statement_timeout = '15s'"))
        # PgBouncer keeps connections that began before.
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name})
    engine.dispose()


@pytest.mark.parametrize("bounced", ["transaction"], indirect=True)
def test_doctor_looks_for_the_time_limit_of_the_role(app: Flask, databases: Databases, name: str) -> None:
    def says() -> str:
        return app.test_cli_runner().invoke(args=["poort", "doctor"]).output

    warned = says()
    assert "statement_timeout is 0" in warned
    assert f"Run `ALTER ROLE postgres IN DATABASE {name} SET statement_timeout = '15s'`" in warned
    limit_statements(databases, name)
    assert "statements end after 15s" in says()
