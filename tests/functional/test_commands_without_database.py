"""Without a database every command is one sentence and exit status 1, never a traceback."""

from collections.abc import Iterator

import click
import pymysql
import pytest
from click.testing import CliRunner
from factories import dispose, settings_for
from flask import Flask
from flask_migrate.cli import db as migration_commands
from sqlalchemy.exc import OperationalError

from app import create_app
from commands.terminal import complete

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


def test_right_that_mariadb_misses_is_named_and_its_user_is_not() -> None:
    """As `bin/poort db upgrade` meets it beside a campus, with a user who may not create tables."""
    text = "CREATE command denied to user 'poort'@'localhost' for table `chamilo`.`poort_audit`"

    def refused() -> None:
        raise OperationalError("CREATE TABLE", {}, pymysql.err.OperationalError(1142, text))

    done = CliRunner().invoke(complete(click.Command("upgrade", callback=refused)))
    sentence = (
        "Error: The database user lacks the right CREATE: grant it, or name a user who has it in DATABASE_URL for this command.\n"
    )
    assert (done.exit_code, done.output) == (1, sentence)


@pytest.mark.parametrize("name", ["upgrade", "check", "current"])
def test_command_for_migrations_is_one_sentence(app: Flask, name: str) -> None:
    done = app.test_cli_runner().invoke(migration_commands, args=[name])
    assert (done.exit_code, "The database cannot be used (OperationalError)" in done.output) == (1, True)
    assert isinstance(done.exception, SystemExit)
