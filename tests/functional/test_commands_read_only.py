"""With READ_ONLY=1 no command writes: on trial beside a campus, the database is the campus's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from factories import Database
from flask import Flask

from commands import register_commands
from models import db

WRITING = {
    "users create": "new --email new@example.com --generate-password",
    "users set-password": "zoe --generate-password",
    "users sign-out": "zoe",
    "users recount": "",
    "users grant-role": "zoe ROLE_TEACHER",
    "users revoke-role": "zoe ROLE_STUDENT",
    "users activate": "zoe",
    "users deactivate": "zoe",
    "users delete": "zoe --yes",
    "users reset-totp": "zoe",
    "users import": "users.csv --update",
    "api-key create": "zoe",
    "api-key revoke": "zoe",
    "extra-fields create": "legal_id",
    "extra-fields set": "zoe legal_id AB-12",
}

# Those of keys and of the audit refuse in words of their own; `setup` leaves users and tables alone.
OTHERS = {
    *("users list", "users show", "users export", "api-key list", "extra-fields list", "doctor", "setup", "backup"),
    *(
        "jwt generate-keypair",
        "jwt check-config",
        "jwt generate-token",
        "jwt rotate-key",
        "jwt prune",
        "audit tail",
        "audit prune",
    ),
}


def contents(database: Database) -> list[object]:
    with database.engine.connect() as connection:
        return [connection.execute(table.select()).all() for table in db.metadata.sorted_tables]


@pytest.mark.parametrize("name", WRITING)
def test_command_that_writes_is_refused(
    make_app: Callable[..., Flask], database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    database.make_user("zoe", ["ROLE_STUDENT"])
    (tmp_path / "users.csv").write_text("username,email\nnew,new@example.com\n")
    monkeypatch.chdir(tmp_path)
    before = contents(database)
    done = make_app(READ_ONLY="1").test_cli_runner().invoke(args=[*name.split(), *WRITING[name].split()])
    assert (done.exit_code, done.output) == (1, "Error: READ_ONLY is on, so nothing is written to the database.\n")
    assert contents(database) == before


def test_file_may_be_checked(make_app: Callable[..., Flask], database: Database, tmp_path: Path) -> None:  # noqa: ARG001
    (tmp_path / "users.csv").write_text("username,email\nnew,new@example.com\n")
    words = ["users", "import", str(tmp_path / "users.csv"), "--dry-run"]
    assert make_app(READ_ONLY="1").test_cli_runner().invoke(args=words).exit_code == 0


def test_every_command_writes_or_does_not() -> None:
    def leaves(group: click.Group) -> Iterator[str]:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                yield from (f"{name} {leaf}" for leaf in leaves(command))
            else:
                yield name

    app = Flask("commands")
    register_commands(app)
    assert {name for name in leaves(app.cli) if not name.startswith(("db ", "poort "))} == WRITING.keys() | OTHERS
