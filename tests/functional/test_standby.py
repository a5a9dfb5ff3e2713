"""A hot standby of PostgreSQL: with READ_ONLY=1 it serves sign-ins and reads, without it says that writing is lost, until promoted."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from answers import signed_in_as
from factories import Database, bearer
from flask import Flask
from functional.test_writing_lost import FINE, LOST, readiness
from installed import needed
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from werkzeug.test import TestResponse

from benchmarks.services import (
    Server,
    as_postgres,
    find_program,
    free_port,
    newest_postgresql,
    ready,
    run,
    spawn,
    start_postgresql,
)

pytestmark = pytest.mark.services

WAIT_SECONDS = 10


def start_standby(port_of_primary: int) -> Server:
    """Start a standby that streams from the primary at a port of the loopback."""
    folder, port = Path(tempfile.mkdtemp(prefix="poort-standby-")), free_port()
    as_user = as_postgres(folder) if os.getuid() == 0 else []
    copier, program = (find_program(name, *newest_postgresql()) for name in ("pg_basebackup", "postgres"))
    there = ("-h", "127.0.0.1", "-p", str(port_of_primary), "-U", "postgres")
    run([*as_user, copier, *there, "-D", f"{folder}/data", "--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
    places = ("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "max_connections=300")
    process = spawn([*as_user, program, "-D", f"{folder}/data", "-p", str(port), *places], folder)
    urls = f"postgresql://postgres@127.0.0.1:{port}", f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    return ready(Server("postgresql", process, folder, *urls, stop_signal=signal.SIGINT))


@pytest.fixture
def primary() -> Iterator[Database]:
    server = needed(start_postgresql)
    database = Database("postgresql", server.create_database())
    try:
        database.migrate()
        yield database
    finally:
        database.engine.dispose()
        server.stop()


@pytest.fixture
def standby(primary: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr("models.write_probe.PAUSE_SECONDS", 0)
    monkeypatch.setattr("blueprints.health.routes._check_keys", lambda: True)  # the file mode of the key does not matter here
    url = primary.engine.url
    server = needed(lambda: start_standby(url.port or 0))
    engine = create_engine(make_url(server.driver_url).set(database=url.database), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()
    server.stop()


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def scalar(engine: Engine, statement: str) -> object:
    with engine.connect() as connection:
        return connection.execute(text(statement)).scalar()


def sign_in(app: Flask) -> TestResponse:
    return app.test_client().post("/api/authentication_token", json={"username": "alice", "password": "secret"})


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_standby_serves_reads_and_a_promotion_brings_writing_back(
    primary: Database, standby: Engine, make_app: Callable[..., Flask]
) -> None:
    alice = primary.make_user("alice", ["ROLE_ADMIN"], password="secret")
    wait_until(lambda: scalar(standby, "SELECT count(*) FROM \"user\" WHERE username = 'alice'") == 1)
    assert scalar(standby, "SELECT pg_is_in_recovery()") is True
    url = standby.url.set(drivername="postgresql").render_as_string()
    item, body = f"/api/users/{alice.id}", {"lastname": "Liddell"}

    reading = make_app(DATABASE_URL=url, READ_ONLY="1")
    headers = bearer(reading, alice) | {"Content-Type": "application/merge-patch+json"}
    assert (readiness(reading), signed_in_as(sign_in(reading))) == (FINE, "alice")
    assert reading.test_client().get(item, headers=headers).status_code == 200
    refused = reading.test_client().patch(item, json=body, headers=headers)
    assert (refused.status_code, refused.json) == (503, {"error": "This server is read-only. Write through a host that writes."})

    failed_over = make_app(DATABASE_URL=url)
    assert failed_over.test_client().get(item, headers=headers).status_code == 200
    assert [readiness(failed_over), sign_in(failed_over).status_code] == [LOST, 503]
    assert failed_over.test_client().patch(item, json=body, headers=headers).status_code == 503

    assert scalar(standby, "SELECT pg_promote()") is True
    wait_until(lambda: readiness(failed_over) == FINE)
    assert signed_in_as(sign_in(failed_over)) == "alice"
    assert failed_over.test_client().patch(item, json=body, headers=headers).status_code == 200
    assert scalar(standby, "SELECT lastname FROM \"user\" WHERE username = 'alice'") == "Liddell"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_of_two_hosts_the_one_that_takes_writes_is_used_and_a_demoted_one_is_left(
    primary: Database, standby: Engine, make_app: Callable[..., Flask]
) -> None:
    alice = primary.make_user("alice", ["ROLE_ADMIN"], password="secret")
    first, url = primary.engine.url, standby.url
    app = make_app(
        DATABASE_URL=f"postgresql://postgres@127.0.0.1:{url.port},127.0.0.1:{first.port}/{url.database}?application_name=poort"
    )
    item, headers = f"/api/users/{alice.id}", bearer(app, alice) | {"Content-Type": "application/merge-patch+json"}

    def change(lastname: str) -> int:
        return app.test_client().patch(item, json={"lastname": lastname}, headers=headers).status_code

    def shown() -> object:
        return app.test_client().get(item, headers=headers).json["lastname"]

    assert [change("Before"), shown()] == [200, "Before"]
    wait_until(lambda: scalar(standby, "SELECT lastname FROM \"user\" WHERE username = 'alice'") == "Before")
    demoting = create_engine(first, isolation_level="AUTOCOMMIT")
    with demoting.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET default_transaction_read_only = on"))
    scalar(demoting, "SELECT pg_reload_conf()")
    assert scalar(standby, "SELECT pg_promote()") is True
    wait_until(lambda: scalar(demoting, "SHOW default_transaction_read_only") == "on")

    assert change("Between") == 503, "its connection leads to the demoted server"
    assert [change("After"), shown()] == [200, "After"]
    assert scalar(standby, "SELECT lastname FROM \"user\" WHERE username = 'alice'") == "After"
    assert scalar(demoting, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'poort'") == 0
    demoting.dispose()
