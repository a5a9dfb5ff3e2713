"""Databases for the tests: most share one of each kind. A server starts when a test first needs it."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from factories import Clock, Database, dispose, settings_for
from flask import Flask
from installed import needed

from app import create_app
from benchmarks.database_servers import STARTERS
from benchmarks.services import Server

KINDS = ("sqlite", *STARTERS)

#: Test parameters: each kind of database. All but SQLite need a server.
EACH_KIND = [pytest.param(kind, marks=[] if kind == "sqlite" else pytest.mark.services) for kind in KINDS]


class Databases:
    """The databases and database servers of a test session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[str, Server] = {}
        self._shared: dict[str, Database] = {}
        self._made: list[Database] = []
        self._apps: dict[tuple[Any, ...], Flask] = {}
        self._unmigrated: dict[str, str] = {}
        self.clock = Clock()

    def server(self, kind: str) -> Server:
        """Return the running server of a kind. Skips the test if it is not installed, or fails under REQUIRE_SERVICES=1."""
        if kind not in self._servers:
            self._servers[kind] = needed(STARTERS[kind])
        return self._servers[kind]

    def empty_url(self, kind: str) -> str:
        """Make an empty database and return its URL."""
        if kind == "sqlite":
            return f"sqlite:///{tempfile.mkdtemp(dir=self._folder)}/poort.db"
        return self.server(kind).create_database()

    def fresh(self, kind: str) -> Database:
        """Make a migrated database for one test alone."""
        if kind in self._unmigrated:
            pytest.fail(f"the migrations fail on {kind}: {self._unmigrated[kind]}")
        database = Database(kind, self.empty_url(kind))
        self._made.append(database)
        try:
            database.migrate()
        except Exception as reason:
            # Hundreds of tests would repeat the same failure.
            self._unmigrated[kind] = repr(reason)[:500]
            raise
        return database

    def shared(self, kind: str) -> Database:
        """Return the shared database of a kind, emptied: for tests that leave only rows behind."""
        if kind not in self._shared:
            self._shared[kind] = self.fresh(kind)
        self._shared[kind].clean()
        return self._shared[kind]

    def app(self, database: Database, **variables: str) -> Flask:
        """Return the application on a shared database, or another one with these settings: for tests that leave only rows behind."""
        key = (database.kind, *sorted(variables.items()))
        if key not in self._apps:
            self._apps[key] = create_app(settings_for(DATABASE_URL=database.url, **variables), self.clock, self.clock.advance)
        return self._apps[key]

    def close(self) -> None:
        """Close all connections and stop all servers."""
        for app in self._apps.values():
            dispose(app)
        for database in self._made:
            database.engine.dispose()
        for server in self._servers.values():
            server.stop()
