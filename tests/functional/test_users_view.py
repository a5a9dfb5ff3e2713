"""`bin/poort users list`, `show` and `delete`: what they show on a terminal and to programs, and whom they delete."""

import json
from typing import Any

import pytest
from factories import Database
from flask import Flask
from flask.testing import FlaskCliRunner

from models import AuditRecord, User
from models.extra_fields import ExtraFields, insert_field


def run(runner: FlaskCliRunner, *words: str, given: str | None = None) -> Any:
    return runner.invoke(args=["users", *words], input=given)


@pytest.fixture
def _on_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.terminal.is_screen", lambda: True)


@pytest.mark.usefixtures("_on_a_screen")
def test_list_is_a_table_on_a_terminal(runner: FlaskCliRunner, database: Database) -> None:
    database.make_user("zoe", ["ROLE_TEACHER"], firstname="Zoë", lastname="Bell")
    database.make_user("maximilian", active=-2)
    header, *rows = run(runner, "list").output.splitlines()
    assert [row[header.index("username") :].split(" ")[0] for row in rows] == ["zoe", "maximilian"]
    assert [row[header.index("state") :] for row in rows] == ["active", "deleted"]
    assert "\t" not in header + rows[0] + rows[1]


def test_list_has_tabs_where_it_is_piped(runner: FlaskCliRunner, database: Database) -> None:
    user = database.make_user("zoe", firstname="Zoë", lastname="Bell")
    assert run(runner, "list").output == f"{user.id}\tzoe\tZoë Bell\tzoe@example.com\t\tactive\n"


def test_list_ends_at_its_limit(runner: FlaskCliRunner, database: Database) -> None:
    for name in ("one", "two", "three"):
        database.make_user(name)
    assert [line.split("\t")[1] for line in run(runner, "list", "--limit", "2").output.splitlines()] == ["one", "two"]
    assert run(runner, "list", "--limit", "0").exit_code == 2


def test_json_of_a_user_is_that_of_the_api(app: Flask, runner: FlaskCliRunner, database: Database) -> None:
    user = database.make_user("zoe", ["ROLE_ADMIN"], firstname="Zoë")
    headers = {
        "Authorization": f"Bearer {app.extensions['poort'].tokens.issue('zoe', ['ROLE_ADMIN'])}",
        "Accept": "application/json",
    }
    of_api = app.test_client().get(f"/api/users/{user.id}", headers=headers).json
    assert json.loads(run(runner, "list", "--json").output) == of_api
    assert json.loads(run(runner, "show", "zoe", "--json").output) == of_api


def test_user_is_shown_with_extra_fields(runner: FlaskCliRunner, database: Database) -> None:
    user = database.make_user("zoe", ["ROLE_TEACHER", "ROLE_HR"])
    with database.session() as session:
        insert_field(session, "legal_id", None, user.created_at)
        field = ExtraFields().resolve(session, ["legal_id"])["legal_id"]
        ExtraFields().write_values(session, user.id, {field: "AB-12"}, user.created_at)
    shown = dict(line.split(": ") for line in run(runner, "show", "ZOE").output.splitlines())
    assert (shown["username"], shown["roles"], shown["extra:legal_id"]) == ("zoe", "ROLE_TEACHER ROLE_HR ROLE_USER", "AB-12")
    assert run(runner, "show", "nobody").exit_code == 1


def test_deleted_user_keeps_the_row_and_is_deleted_once(runner: FlaskCliRunner, database: Database) -> None:
    user = database.make_user("zoe")
    assert run(runner, "delete", "zoe", "--yes").output == "zoe is deleted.\n"
    assert database.user(user.id).active == -2
    again = run(runner, "delete", "zoe", "--yes")
    assert (again.exit_code, "zoe is deleted already." in again.output) == (1, True)
    assert [(row.event, row.details) for row in database.rows(AuditRecord)] == [("user_deleted", {"for_good": False})]


def test_user_is_deleted_for_good_where_the_setting_says_so(make_app: Any, database: Database) -> None:
    database.make_user("zoe")
    done = make_app(USER_DELETE_MODE="hard").test_cli_runner().invoke(args=["users", "delete", "zoe", "--yes"])
    assert (done.exit_code, database.rows(User)) == (0, [])


@pytest.mark.parametrize(("answer", "state"), [("y\n", -2), ("n\n", 1), ("", 1)])
def test_operator_is_asked_before_a_user_is_deleted(
    runner: FlaskCliRunner, database: Database, monkeypatch: pytest.MonkeyPatch, answer: str, state: int
) -> None:
    user = database.make_user("zoe")
    monkeypatch.setattr("commands.terminal.is_terminal", lambda: True)
    assert "Delete zoe?" in run(runner, "delete", "zoe", given=answer).output
    assert database.user(user.id).active == state


def test_without_a_terminal_no_user_is_deleted_unasked(runner: FlaskCliRunner, database: Database) -> None:
    user = database.make_user("zoe")
    done = run(runner, "delete", "zoe", given="y\n")
    assert (done.exit_code, "--yes" in done.output, database.user(user.id).active) == (1, True, 1)


def test_forced_deletion_of_the_last_administrator_is_marked(runner: FlaskCliRunner, database: Database) -> None:
    database.make_user("root", ["ROLE_ADMIN"])
    assert run(runner, "delete", "root", "--yes", "--force").exit_code == 0
    assert [row.details for row in database.rows(AuditRecord)] == [{"for_good": False, "forced": True}]


def test_without_a_terminal_a_password_is_not_asked_for(runner: FlaskCliRunner, database: Database) -> None:
    database.make_user("zoe")
    done = run(runner, "set-password", "zoe", given="secret\nsecret\n")
    assert (done.exit_code, "--password-stdin" in done.output) == (2, True)


def test_password_is_asked_for_twice_on_a_terminal(
    runner: FlaskCliRunner, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = database.make_user("zoe", password="old")
    monkeypatch.setattr("commands.password_prompt.is_terminal", lambda: True)
    assert run(runner, "set-password", "zoe", given="one\nother\nnew\nnew\n").exit_code == 0
    assert database.user(user.id).password != user.password
