"""The fixtures of all tests: nouns, and few. Functional tests run on each of three databases, by `database`."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from factories import Clock, Database, dispose, settings_for
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from services import STARTERS, NotInstalled, Server

from app import create_app

KINDS = ("sqlite", "postgresql", "mariadb")


class Databases:
    """The databases of a test session: a server is started when the first test asks for it, and once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[str, Server | NotInstalled] = {}
        self._shared: dict[str, Database] = {}
        self._made: list[Database] = []
        self._apps: dict[str, Flask] = {}
        self.clock = Clock()

    def server(self, kind: str) -> Server:
        """Return a running server; skips where it is not installed, or fails where it must be."""
        if kind not in self._servers:
            try:
                self._servers[kind] = STARTERS[kind]()
            except NotInstalled as reason:
                self._servers[kind] = reason
        server = self._servers[kind]
        if isinstance(server, NotInstalled):
            (pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip)(str(server))
        return server

    def empty_url(self, kind: str) -> str:
        """Make an empty database and return its URL."""
        if kind == "sqlite":
            return f"sqlite:///{tempfile.mkdtemp(dir=self._folder)}/poort.db"
        return self.server(kind).create_database()

    def fresh(self, kind: str) -> Database:
        """Make a migrated database that nobody else uses."""
        database = Database(kind, self.empty_url(kind))
        self._made.append(database)
        database.migrate()
        return database

    def shared(self, kind: str) -> Database:
        """Return the database of all tests that leave nothing behind but rows, emptied."""
        if kind not in self._shared:
            self._shared[kind] = self.fresh(kind)
        self._shared[kind].clean()
        return self._shared[kind]

    def app(self, database: Database) -> Flask:
        """Return the application of the shared database."""
        if database.kind not in self._apps:
            self._apps[database.kind] = create_app(settings_for(database.url), self.clock)
        return self._apps[database.kind]

    def close(self) -> None:
        """Close all connections and stop all servers."""
        for app in self._apps.values():
            dispose(app)
        for database in self._made:
            database.engine.dispose()
        for server in self._servers.values():
            if isinstance(server, Server):
                server.stop()


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    made = Databases(tmp_path_factory.mktemp("databases"))
    yield made
    made.close()


@pytest.fixture(params=[pytest.param(kind, marks=[] if kind == "sqlite" else pytest.mark.services) for kind in KINDS])
def database(request: pytest.FixtureRequest, databases: Databases) -> Database:
    """An empty database with the newest schema, of each kind in turn."""
    return databases.shared(request.param)


@pytest.fixture
def clock(databases: Databases) -> Clock:
    """The clock of `app`, set to the same moment for each test."""
    databases.clock.__init__()
    return databases.clock


@pytest.fixture
def app(databases: Databases, database: Database, clock: Clock) -> Flask:  # noqa: ARG001 - the clock is set
    return databases.app(database)


@pytest.fixture
def make_app(database: Database, clock: Clock) -> Iterator[Callable[..., Flask]]:
    """Make an application of the database with other settings."""
    made: list[Flask] = []

    def make(**variables: str) -> Flask:
        made.append(create_app(settings_for(database.url, **variables) if variables else settings_for(database.url), clock))
        return made[-1]

    yield make
    for app in made:
        dispose(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def runner(app: Flask) -> FlaskCliRunner:
    return app.test_cli_runner()


@pytest.fixture(autouse=True)
def _no_socket_beyond_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to connect to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith("127.") and address[0] not in {"::1", "localhost"}:
            raise AssertionError(f"a test connects to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"skipped tests: {len(terminalreporter.stats.get('skipped', []))}")
