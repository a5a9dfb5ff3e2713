"""A wrong password of the database: one sentence from each command, 503 from the server, and never the password itself."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from factories import Database, dispose, settings_for
from flask import Flask
from flask_migrate.cli import db as migration_commands
from functional.test_commands_without_database import COMMANDS
from installed import needed
from sqlalchemy import text
from werkzeug.test import TestResponse

from app import create_app, utc_now
from benchmarks.database_servers import STARTERS
from benchmarks.services import Server

pytestmark = pytest.mark.services

RIGHT, WRONG = "r1ghtSecret", "wr0ngSecret"

#: What each database says, which the doctor and the log pass on.
REASONS = {"postgresql": "password authentication failed", "mariadb": "Access denied", "mysql": "Access denied"}

STATEMENTS = {
    "postgresql": (f"CREATE USER poort SUPERUSER PASSWORD '{RIGHT}'", "SELECT pg_reload_conf()"),
    # The first ends --skip-grant-tables.
    "mariadb": (
        "FLUSH PRIVILEGES",
        f"CREATE USER poort@'127.0.0.1' IDENTIFIED BY '{RIGHT}'",
        "GRANT ALL ON *.* TO poort@'127.0.0.1'",
    ),
    # Its default, caching_sha2_password, encrypts the password of a first connection with RSA if there is no TLS.
    "mysql": (
        f"CREATE USER poort@localhost IDENTIFIED WITH caching_sha2_password BY '{RIGHT}'",
        "GRANT ALL ON *.* TO poort@localhost",
    ),
}


@pytest.fixture(scope="module", params=STARTERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = needed(STARTERS[request.param])
    yield server
    server.stop()


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    """The URL of a migrated database with the right password."""
    url = server.create_database()
    if server.name == "postgresql":
        rules = Path(server.folder / "data" / "pg_hba.conf")
        rules.write_text("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    owner = Database(server.name, url)
    owner.migrate()
    with owner.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in STATEMENTS[server.name]:
            connection.execute(text(statement))
    owner.engine.dispose()
    return url.replace("postgres@" if server.name == "postgresql" else "root@", f"poort:{RIGHT}@")


@pytest.fixture(scope="module")
def app(url: str) -> Iterator[Flask]:
    made = create_app(settings_for(DATABASE_URL=url.replace(RIGHT, WRONG)), utc_now)
    yield made
    dispose(made)


def test_right_password_is_taken(url: str) -> None:
    app = create_app(settings_for(DATABASE_URL=url), utc_now)
    assert app.test_cli_runner().invoke(args=["users", "list"]).exit_code == 0
    dispose(app)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_one_sentence_without_the_password(app: Flask, name: str, caplog: pytest.LogCaptureFixture) -> None:
    done = app.test_cli_runner().invoke(args=[*name.split(), *COMMANDS[name].split()])
    sentence = "Error: The database cannot be used (OperationalError): `bin/poort doctor` says why."
    assert (done.exit_code, done.output.splitlines()[-1]) == (1, sentence)
    assert not any(word in done.output + caplog.text for word in ("Traceback", WRONG))


@pytest.mark.parametrize("name", ["upgrade", "check", "current"])
def test_command_for_migrations_is_one_sentence(app: Flask, name: str, caplog: pytest.LogCaptureFixture) -> None:
    done = app.test_cli_runner().invoke(migration_commands, args=[name])
    assert (done.exit_code, "The database cannot be used (OperationalError)" in done.output) == (1, True)
    assert not any(word in done.output + caplog.text for word in ("Traceback", WRONG))


def test_doctor_gives_the_reason_of_the_database(app: Flask, server: Server) -> None:
    done = app.test_cli_runner().invoke(args=["poort", "doctor"])
    assert (done.exit_code, REASONS[server.name] in done.output) == (1, True), done.output
    assert not any(word in done.output for word in ("Traceback", WRONG))


@pytest.mark.parametrize(
    "ask",
    [
        lambda app: app.test_client().get("/readyz"),
        lambda app: app.test_client().post("/api/authentication_token", json={"username": "alice", "password": "secret"}),
    ],
    ids=["readyz", "sign in"],
)
def test_server_answers_503_and_logs_the_reason(
    app: Flask, server: Server, ask: Callable[[Flask], TestResponse], caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(app)
    assert (answer.status_code, WRONG in answer.text) == (503, False)
    assert (REASONS[server.name] in caplog.text, WRONG in caplog.text, "Traceback" in caplog.text) == (True, False, False)
