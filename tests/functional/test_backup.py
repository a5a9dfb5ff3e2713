"""`bin/poort backup`: what it copies, where it writes, and what it refuses; tests/system/test_backup_of_a_busy_server.py restores one."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from databases import Databases
from factories import START, Clock, Database, dispose, settings_for
from flask import Flask

from app import create_app
from commands import backup

UNFINISHED = ".poort-unfinished-"


@pytest.fixture
def database(databases: Databases) -> Database:
    return databases.shared("sqlite")


@pytest.fixture
def run(app: Flask) -> Callable[..., tuple[int, str]]:
    return lambda *words: ran(app, *words)


def ran(app: Flask, *words: object) -> tuple[int, str]:
    done = app.test_cli_runner().invoke(args=["backup", *map(str, words)])
    assert isinstance(done.exception, SystemExit | None), done.exception
    return done.exit_code, done.output


def names_in(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as copy:
        return [name for (name,) in copy.execute('SELECT username FROM "user" ORDER BY id')]


def file_of(database: Database) -> Path:
    return Path(str(database.engine.url.database))


def test_file_is_its_owners_and_is_replaced_by_force_alone(run: Any, database: Database, tmp_path: Path) -> None:
    database.make_user("zoe")
    file = tmp_path / "poort.db"
    file.write_text("old")
    file.chmod(0o644)
    code, said = run(file)
    assert (code, "--force" in said, file.read_text()) == (1, True, "old")
    code, said = run("--force", file)
    assert (code, f"copied to {file}" in said, "without the key pair" in said) == (0, True, True), said
    assert (file.stat().st_mode & 0o777, list(tmp_path.iterdir())) == (0o600, [file])
    assert names_in(file) == ["zoe"]


def test_folder_keeps_the_newest_and_nothing_that_was_left_unfinished(run: Any, clock: Clock, tmp_path: Path) -> None:
    other, left, running = (tmp_path / name for name in ("poort-users.db", f"{UNFINISHED}1", f"{UNFINISHED}2"))
    for file in (other, left, running):
        file.touch()
    os.utime(left, (0, 0))
    for _ in range(3):
        code, said = run("--keep", 2, tmp_path)
        assert code == 0, said
        clock.advance(86_400)
    assert "removed: " in said
    made = [f"poort-202611{day}T120000Z.db" for day in (25, 26)]
    assert START.day == 24
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*made, other.name, running.name])


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("{database}", "belongs to the database itself"),
        ("{link}", "belongs to the database itself"),
        ("{database}-wal", "belongs to the database itself"),
        ("{folder}/none/poort.db", "cannot be written: No such file or directory."),
        ("--keep=2 {folder}/poort.db", "--keep needs a folder"),
    ],
)
def test_target_that_cannot_be_is_refused(run: Any, database: Database, tmp_path: Path, target: str, sentence: str) -> None:
    database.make_user("zoe")
    link = tmp_path / "link"
    link.symlink_to(file_of(database))
    given = target.format(database=file_of(database), link=link, folder=tmp_path)
    code, said = run("--force", *given.split())
    assert (code, sentence in said, said.count("\n")) == (1, True, 1), said
    assert (names_in(file_of(database)), list(tmp_path.iterdir())) == (["zoe"], [link])


def test_read_only_server_can_be_copied(make_app: Callable[..., Flask], database: Database, tmp_path: Path) -> None:
    database.make_user("zoe")
    assert ran(make_app(READ_ONLY="1"), tmp_path / "copy.db")[0] == 0
    assert names_in(tmp_path / "copy.db") == ["zoe"]


@pytest.fixture
def own(databases: Databases) -> Iterator[tuple[Flask, Path]]:
    """An application on a database that a test may destroy, and its file."""
    database = databases.fresh("sqlite")
    database.make_user("zoe")
    database.engine.dispose()
    app = create_app(settings_for(DATABASE_URL=database.url))
    yield app, file_of(database)
    dispose(app)


def test_damaged_database_is_noticed_and_nothing_is_left(own: tuple[Flask, Path], tmp_path: Path) -> None:
    app, file = own
    with closing(sqlite3.connect(file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_user_username_folded_id'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\x0d" * size)
    code, said = ran(app, tmp_path / "copy.db")
    assert (code, said.endswith("No backup was made.\n"), list(tmp_path.iterdir())) == (1, True, []), said


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE poort_alembic_version SET version_num = 'p999' WHERE version_num LIKE 'p%'", "Run this again."),
        ("DROP TABLE poort_alembic_version", "has no tables of Poort"),
    ],
)
def test_other_schema_is_noticed(
    own: tuple[Flask, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, sentence: str
) -> None:
    app, file = own

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statement)
            connection.commit()

    def migrated_meanwhile(source: Path, new: Path) -> None:
        copy(source, new)
        change(source)

    copy = backup._copy
    if statement.startswith("UPDATE"):
        monkeypatch.setattr(backup, "_copy", migrated_meanwhile)
    else:
        change(file)
    code, said = ran(app, tmp_path / "copy.db")
    assert (code, sentence in said, list(tmp_path.iterdir())) == (1, True, []), said


@pytest.mark.parametrize(
    ("url", "command"),
    [
        (
            "postgresql://poort:s3cret@db.example:5433/campus",
            "pg_dump --format=custom --file=poort.dump --host=db.example --port=5433 --username=poort campus",
        ),
        (
            "mysql://poort:s3cret@db.example/campus",
            "mariadb-dump --single-transaction --result-file=poort.sql --host=db.example --user=poort campus",
        ),
    ],
)
def test_program_for_another_database_is_named(tmp_path: Path, url: str, command: str) -> None:
    app = create_app(settings_for(DATABASE_URL=url))
    code, said = ran(app, tmp_path / "copy.db")
    dispose(app)
    assert (code, said.splitlines()[-1], "s3cret" in said) == (1, command, False)


def test_database_that_is_missing_is_not_made(tmp_path: Path) -> None:
    app = create_app(settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/none.db"))
    code, said = ran(app, tmp_path / "copy.db")
    dispose(app)
    assert (code, "There is no database" in said, list(tmp_path.iterdir())) == (1, True, [])
