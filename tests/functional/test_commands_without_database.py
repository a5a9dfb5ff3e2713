"""Without a database every command is one sentence and exit status 1, never a traceback."""

from collections.abc import Iterator

import pytest
from factories import dispose, settings_for
from flask import Flask
from flask_migrate.cli import db as migration_commands

from app import create_app

COMMANDS = {
    "users list": "",
    "users show": "admin",
    "users create": "new --email new@example.com --generate-password",
    "users delete": "admin --yes",
    "users recount": "",
    "users export": "/dev/null",
    "api-key list": "",
    "extra-fields list": "",
    "audit tail": "",
    "audit prune": "--older-than 1",
    "jwt generate-token": "admin",
    "setup": "",
}


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    made = create_app(settings_for(DATABASE_URL="postgresql://nobody:s3cret@127.0.0.1:1/none"))
    yield made
    dispose(made)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_one_sentence(app: Flask, name: str) -> None:
    done = app.test_cli_runner().invoke(args=[*name.split(), *COMMANDS[name].split()])
    assert (done.exit_code, done.output.splitlines()[-1]) == (
        1,
        "Error: The database cannot be used (OperationalError): `bin/poort doctor` says why.",
    )
    assert isinstance(done.exception, SystemExit)


@pytest.mark.parametrize("name", ["upgrade", "check", "current"])
def test_command_for_migrations_is_one_sentence(app: Flask, name: str) -> None:
    done = app.test_cli_runner().invoke(migration_commands, args=[name])
    assert (done.exit_code, "The database cannot be used (OperationalError)" in done.output) == (1, True)
    assert isinstance(done.exception, SystemExit)
