"""`bin/poort users import` names each fault with its place, whatever a file holds, and writes nothing."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from factories import Database
from flask.testing import FlaskCliRunner

from models import AuditRecord, User

GOOD = {"username": "fine", "email": "fine@example.com"}

#: Column values that JSON can express and no row can hold.
VALUES = {
    "list for a flag": ("locked", [], "must be true or false"),
    "object for a flag": ("locked", {"a": 1}, "must be true or false"),
    "object for a number": ("status", {}, "must be a whole number"),
    "fraction": ("status", 1.5, "must be a whole number"),
    "half a surrogate pair": ("firstname", "a\ud800b", "contains half a surrogate pair"),
    "NUL": ("firstname", "a\0b", "contains a NUL character"),
    "half a surrogate pair in a role": ("roles", ["ROLE_\ud800"], "is not the name of a role"),
    "half a surrogate pair in a password": ("password", "a\ud800b", "contains half a surrogate pair"),
    "moment before the first": ("created_at", "0001-01-01T00:00:00+23:59", "must be a date and time"),
    "moment after the last": ("created_at", "9999-12-31T23:59:59-23:59", "must be a date and time"),
    "no moment": ("created_at", "\x1b[31m", "must be a date and time"),
    "number too large for its column": ("hr_dept_id", 2**15, "is too large a number"),
    "number too small for its column": ("hr_dept_id", -(2**15) - 1, "is too large a number"),
    "number too large for any": ("status", 2**31, "is too large a number"),
    "id that is none": ("id", 0, "must be at least 1"),
    "id below none": ("id", -5, "must be at least 1"),
    "uuid that is too long": ("uuid", "00" * 17, "must have 16 bytes"),
    "uuid that is too short": ("uuid", "00", "must have 16 bytes"),
    "no hexadecimal": ("uuid", "x", "must be hexadecimal"),
    "long text": ("phone", "1" * 65, "has more than 64 characters"),
    "no name of a role": ("roles", ["ROLE_HR", "odd"], "'odd' is not the name of a role"),
    "empty role": ("roles", [""], "is not the name of a role"),
}


def refused(runner: FlaskCliRunner, database: Database, file: Path) -> str:
    done = runner.invoke(args=["users", "import", str(file)])
    assert (done.exit_code, isinstance(done.exception, SystemExit)) == (1, True), done.exception
    assert (database.rows(User), database.rows(AuditRecord)) == ([], [])
    assert all(line.isprintable() for line in done.output.split("\n")), done.output
    return done.output


@pytest.mark.parametrize("name", VALUES)
def test_value_that_no_row_can_hold_is_a_fault(runner: FlaskCliRunner, database: Database, tmp_path: Path, name: str) -> None:
    column, value, reason = VALUES[name]
    file = tmp_path / "users.json"
    file.write_text(json.dumps([GOOD, {"username": "bad", "email": "bad@example.com", column: value}]))
    output = refused(runner, database, file)
    assert output.startswith(f"index 1: {column}: ")
    assert reason in output
    assert "1 fault; nothing was written." in output


#: Cells of a CSV file, by column.
CELLS = {
    "no number": ("status", "--5", "must be a whole number"),
    "digits without end": ("status", "9" * 5000, "is too large a number"),
    "flag": ("locked", "2", "must be true or false"),
    "no name of a role": ("roles", "ROLE_HR odd", "'odd' is not the name of a role"),
    "moment before the first": ("created_at", "0001-01-01T00:00:00+23:59", "must be a date and time"),
}


@pytest.mark.parametrize("name", CELLS)
def test_cell_that_no_row_can_hold_is_a_fault(runner: FlaskCliRunner, database: Database, tmp_path: Path, name: str) -> None:
    column, cell, reason = CELLS[name]
    file = tmp_path / "users.CSV"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([["username", "email", column], ["fine", "f@example.com", ""], ["bad", "b@example.com", cell]])
    output = refused(runner, database, file)
    assert output.startswith(f"line 3: {column}: ")
    assert reason in output


FILES = {
    "deep JSON": ("users.json", b"[" * 100_000),
    "no UTF-8 in JSON": ("users.json", b'["\xff"]'),
    "no UTF-8 in CSV": ("users.csv", b"username,email\n\xff,b@example.com\n"),
    "no JSON": ("users.json", b"\x1b[31m"),
    "nothing": ("users.json", b""),
}


@pytest.mark.parametrize("name", FILES)
def test_file_that_cannot_be_read_is_one_sentence(runner: FlaskCliRunner, database: Database, tmp_path: Path, name: str) -> None:
    ending, content = FILES[name]
    (tmp_path / ending).write_bytes(content)
    assert "cannot be read: " in refused(runner, database, tmp_path / ending)


@pytest.mark.parametrize(
    ("place", "reason"), [("empty.db", "The database has no table `user`;"), ("no-folder/a.db", "unable to open database file")]
)
def test_database_that_cannot_be_read_is_told_with_its_reason(
    runner: FlaskCliRunner, database: Database, tmp_path: Path, place: str, reason: str
) -> None:
    done = runner.invoke(args=["users", "import", "--from-database", f"sqlite:///{tmp_path / place}"])
    assert f"The database of the campus cannot be read: {reason}" in done.output
    assert (done.exit_code, database.rows(User)) == (1, [])


def test_file_that_is_not_there_is_one_sentence(runner: FlaskCliRunner, database: Database, tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    assert refused(runner, database, missing) == f"Error: {missing} cannot be read: No such file or directory.\n"


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_odd_texts_come_back_as_they_went(runner: FlaskCliRunner, database: Database, tmp_path: Path, ending: str) -> None:
    texts = [
        "a\rb",
        "a\r\nb",
        "\n",
        "\ttab",
        "\u2028",
        "\u202e",
        "\x1b[31m",
        "\x7f",
        '"',
        "a,b",
        "=cmd",
        "\\E",
        "\\N",
        "\\",
        "\x85",
        "\x1c",
        " x ",
    ]
    for number, text in enumerate(texts):
        database.make_user(f"{number}{text}x", firstname=text, biography=text * 3)
    database.make_user("long", biography="é" * 200_000)
    first, second = tmp_path / f"first.{ending}", tmp_path / f"second.{ending}"
    before = [vars(user) | {"_sa_instance_state": None} for user in database.rows(User)]
    assert runner.invoke(args=["users", "export", str(first)]).exit_code == 0
    database.clean()
    done = runner.invoke(args=["users", "import", "--as-exported", str(first)])
    assert done.exit_code == 0, done.output
    assert [vars(user) | {"_sa_instance_state": None} for user in database.rows(User)] == before
    assert runner.invoke(args=["users", "export", str(second)]).exit_code == 0
    assert first.read_bytes() == second.read_bytes()


def test_names_that_are_the_same_to_the_database_are_a_fault(runner: FlaskCliRunner, database: Database, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"username": name, "email": "a@example.com"} for name in ("Zoe", "zOE", "\x1b[31m", "\x1b[31M")]
    (tmp_path / "users.json").write_text(json.dumps(rows))
    output = refused(runner, database, tmp_path / "users.json")
    assert [line.split(": ")[:2] for line in output.splitlines()[:2]] == [["index 1", "username"], ["index 3", "username"]]
