"""Fixtures for all tests. Functional tests run on each of three databases, through `database`."""

import gc
import socket
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from databases import EACH_KIND, Databases
from factories import Clock, Database, dispose, settings_for
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from hypothesis import HealthCheck, settings
from installed import needed
from parallel import arrange, group_of, turn
from werkzeug.routing import Rule

from app import create_app
from benchmarks.services import RedisServer, start_redis
from security.keys import pair

# A property must not fail because the machine is slow.
settings.register_profile("poort", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("poort")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    made = Databases(tmp_path_factory.mktemp("databases"))
    yield made
    made.close()


@pytest.fixture(params=EACH_KIND)
def database(request: pytest.FixtureRequest, databases: Databases) -> Database:
    """An empty database with the newest schema; each kind in turn."""
    return databases.shared(request.param)


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    server = needed(start_redis)
    yield server
    server.stop()


@pytest.fixture
def clock(databases: Databases) -> Clock:
    """The clock of `app`, set to the same moment for each test."""
    databases.clock.__init__()
    return databases.clock


@pytest.fixture
def app(databases: Databases, database: Database, clock: Clock) -> Flask:  # noqa: ARG001 - the clock is set
    return databases.app(database)


@pytest.fixture
def shared_app(databases: Databases, database: Database, clock: Clock) -> Callable[..., Flask]:  # noqa: ARG001 - the clock is set
    """Return an application with other settings that tests share, as they share `app`."""
    return partial(databases.app, database)


@pytest.fixture
def make_app(database: Database, clock: Clock) -> Iterator[Callable[..., Flask]]:
    """Make an application on the database with other settings."""
    made: list[Flask] = []

    def make(**variables: str) -> Flask:
        made.append(create_app(settings_for(**{"DATABASE_URL": database.url} | variables), clock, clock.advance))
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


@pytest.fixture(autouse=True, scope="session")
def _remembered_keys() -> Iterator[None]:
    """Validate each private key once: it takes 30 ms, and most applications of the tests have the same key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("security.keys.pair.load_pem_private_key", lru_cache(64)(pair.load_pem_private_key))
        yield


@pytest.fixture(autouse=True, scope="session")
def _remembered_hashes() -> Iterator[None]:
    """Compute each hash once: one of a fixture user takes half a second, and there are many sign-ins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bcrypt, "checkpw", lru_cache(10_000)(bcrypt.checkpw))
        yield


@pytest.fixture(autouse=True, scope="session")
def _remembered_url_builders() -> Iterator[None]:
    """Compile the URL builder of each route once: most of making an application is that, and hundreds of tests make one."""
    compile_builder, made = Rule._compile_builder, {}

    def builder(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, str(rule.defaults), append_unknown)
        if key not in made:
            made[key] = compile_builder(rule, append_unknown)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", builder)
        yield


@pytest.fixture(autouse=True)
def _no_socket_beyond_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith("127.") and address[0] not in {"::1", "localhost"}:
            raise AssertionError(f"a test connects to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def pytest_itemcollected(item: pytest.Item) -> None:
    # Not in the hook below: pytest-xdist has read the marks by then.
    if hasattr(item.config, "workerinput"):
        item.add_marker(pytest.mark.xdist_group(group_of(item)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        arrange(items)


def pytest_collection_finish() -> None:
    """Leave what the collection made out of later garbage collections: each looks through 12,000 tests again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    worker = getattr(item.config, "workerinput", None)
    if worker is None:
        return (yield)
    # The folder that all processes of this run share.
    with turn(Path(item.config._tmp_path_factory.getbasetemp()).parent, alone=item.get_closest_marker("quiet") is not None):
        return (yield)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(f"skipped tests: {len(terminalreporter.stats.get('skipped', []))}")
