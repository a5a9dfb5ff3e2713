"""The databases of a test session, one of each kind for most tests; a server is started once it is asked for."""

import tempfile
from pathlib import Path

import pytest
from factories import Clock, Database, dispose, settings_for
from flask import Flask
from installed import needed

from app import create_app
from benchmarks.services import STARTERS, Server

KINDS = ("sqlite", "postgresql", "mariadb")

#: Parameters of a test: one database of each kind, where all but SQLite need a server.
EACH_KIND = [pytest.param(kind, marks=[] if kind == "sqlite" else pytest.mark.services) for kind in KINDS]


class Databases:
    """The databases of a test session: a server is started when the first test asks for it, and once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[str, Server] = {}
        self._shared: dict[str, Database] = {}
        self._made: list[Database] = []
        self._apps: dict[str, Flask] = {}
        self._unmigrated: dict[str, str] = {}
        self.clock = Clock()

    def server(self, kind: str) -> Server:
        """Return a running server; skips where it is not installed, or fails where it must be."""
        if kind not in self._servers:
            self._servers[kind] = needed(STARTERS[kind])
        return self._servers[kind]

    def empty_url(self, kind: str) -> str:
        """Make an empty database and return its URL."""
        if kind == "sqlite":
            return f"sqlite:///{tempfile.mkdtemp(dir=self._folder)}/poort.db"
        return self.server(kind).create_database()

    def fresh(self, kind: str) -> Database:
        """Make a migrated database that nobody else uses."""
        if kind in self._unmigrated:
            pytest.fail(f"the migrations fail on {kind}: {self._unmigrated[kind]}")
        database = Database(kind, self.empty_url(kind))
        self._made.append(database)
        try:
            database.migrate()
        except Exception as reason:
            # Once is enough: hundreds of tests need it.
            self._unmigrated[kind] = repr(reason)[:500]
            raise
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
            self._apps[database.kind] = create_app(settings_for(DATABASE_URL=database.url), self.clock, self.clock.advance)
        return self._apps[database.kind]

    def close(self) -> None:
        """Close all connections and stop all servers."""
        for app in self._apps.values():
            dispose(app)
        for database in self._made:
            database.engine.dispose()
        for server in self._servers.values():
            server.stop()
