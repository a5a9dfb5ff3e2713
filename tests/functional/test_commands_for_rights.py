"""`bin/poort users` commands for rights: each judges the row that it has locked, and only --force removes the last administrator."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from factories import Database
from flask import Flask
from flask.testing import FlaskCliRunner

from models import AuditRecord, User
from models.transactions import ChangedMeanwhile
from models.user_table import UserTable


def run(runner: FlaskCliRunner, *words: str, given: str | None = None) -> Any:
    return runner.invoke(args=["users", *words], input=given)


def details(database: Database) -> list[Any]:
    return [record.details for record in database.rows(AuditRecord)]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Let something happen once, after a command has read the row and before it locks it."""
    hold, waiting = UserTable.hold, []

    def held(table: UserTable, session: Any, *arguments: Any) -> Any:
        if waiting:
            session.rollback()
            waiting.pop()()
        return hold(table, session, *arguments)

    monkeypatch.setattr(UserTable, "hold", held)
    return waiting.append


def set_columns(database: Database, user: User, **columns: Any) -> None:
    with database.session() as session:
        row = session.get_one(User, user.id)
        for name, value in columns.items():
            setattr(row, name, value)


LOSSES = {"revoke-role": ("revoke-role", "root", "ROLE_ADMIN"), "deactivate": ("deactivate", "root")}


@pytest.mark.parametrize("words", LOSSES.values(), ids=LOSSES)
def test_event_says_that_the_last_administrator_was_forced(
    runner: FlaskCliRunner, database: Database, words: tuple[str, ...]
) -> None:
    database.make_user("root", ["ROLE_ADMIN"])
    assert run(runner, *words, "--force").exit_code == 0
    assert [told.get("forced") for told in details(database)] == [True]


@pytest.mark.parametrize("words", LOSSES.values(), ids=LOSSES)
def test_event_says_nothing_of_force_where_none_was_needed(
    runner: FlaskCliRunner, database: Database, words: tuple[str, ...]
) -> None:
    database.make_user("root", ["ROLE_ADMIN"])
    database.make_user("other", ["ROLE_ADMIN"])
    assert run(runner, *words, "--force").exit_code == 0
    assert ["forced" in told for told in details(database)] == [False]


@pytest.mark.parametrize("words", LOSSES.values(), ids=LOSSES)
def test_administrator_who_became_the_last_one_meanwhile_stays(
    runner: FlaskCliRunner, database: Database, meanwhile: Any, words: tuple[str, ...]
) -> None:
    root, other = (database.make_user(name, ["ROLE_ADMIN"]) for name in ("root", "other"))
    meanwhile(lambda: set_columns(database, other, active=0))
    done = run(runner, *words)
    assert (done.exit_code, "root is the last administrator" in done.output) == (1, True)
    assert (database.user(root.id).roles, database.user(root.id).active, details(database)) == (["ROLE_ADMIN"], 1, [])


def test_user_who_became_the_last_administrator_meanwhile_stays(
    runner: FlaskCliRunner, database: Database, meanwhile: Any
) -> None:
    zoe, root = database.make_user("zoe"), database.make_user("root", ["ROLE_ADMIN"])

    def change_places() -> None:
        set_columns(database, zoe, roles=["ROLE_ADMIN"])
        set_columns(database, root, roles=[])

    meanwhile(change_places)
    assert run(runner, "deactivate", "zoe").exit_code == 1
    assert database.user(zoe.id).active == 1


def test_two_administrators_who_leave_at_once_leave_one(app: Flask, database: Database) -> None:
    for _ in range(5):
        database.clean()
        names = ["root", "other"]
        for name in names:
            database.make_user(name, ["ROLE_ADMIN"])
        runners = [app.test_cli_runner() for _ in names]
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda runner, name: run(runner, "revoke-role", name, "ROLE_ADMIN"), runners, names))
        assert sorted(result.exit_code for result in done) == [0, 1], [result.output for result in done]
        assert sorted(user.roles for user in database.rows(User)) == [[], ["ROLE_ADMIN"]]


def test_administrators_who_never_stand_still_are_one_sentence(
    runner: FlaskCliRunner, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.make_user("zoe")

    def never(*_given: object) -> None:
        raise ChangedMeanwhile

    monkeypatch.setattr(UserTable, "hold", never)
    done = run(runner, "deactivate", "zoe")
    assert (done.exit_code, "Try again." in done.output, details(database)) == (1, True, [])


def test_roles_that_were_granted_meanwhile_stay(runner: FlaskCliRunner, database: Database, meanwhile: Any) -> None:
    zoe = database.make_user("zoe", ["ROLE_STUDENT"])
    meanwhile(lambda: set_columns(database, zoe, roles=["ROLE_STUDENT", "ROLE_HR"]))
    assert run(runner, "grant-role", "zoe", "ROLE_TEACHER").exit_code == 0
    meanwhile(lambda: set_columns(database, zoe, roles=["ROLE_STUDENT", "ROLE_HR", "ROLE_TEACHER", "ROLE_INVITEE"]))
    assert run(runner, "revoke-role", "zoe", "ROLE_STUDENT").exit_code == 0
    assert database.user(zoe.id).roles == ["ROLE_HR", "ROLE_TEACHER", "ROLE_INVITEE"]


def test_role_that_was_taken_meanwhile_is_said_and_no_event(runner: FlaskCliRunner, database: Database, meanwhile: Any) -> None:
    zoe = database.make_user("zoe", ["ROLE_STUDENT"])
    meanwhile(lambda: set_columns(database, zoe, roles=[]))
    done = run(runner, "revoke-role", "zoe", "ROLE_STUDENT")
    assert (done.exit_code, "does not have the role" in done.output, details(database)) == (1, True, [])


def test_user_who_was_deleted_meanwhile_is_not_brought_back(runner: FlaskCliRunner, database: Database, meanwhile: Any) -> None:
    zoe = database.make_user("zoe", active=0)
    meanwhile(lambda: set_columns(database, zoe, active=-2))
    assert run(runner, "activate", "zoe").exit_code == 1
    assert (database.user(zoe.id).active, details(database)) == (-2, [])


def test_deactivating_does_not_bring_a_deleted_user_half_back(runner: FlaskCliRunner, database: Database) -> None:
    zoe = database.make_user("zoe", active=-2)
    done = run(runner, "deactivate", "zoe")
    assert (done.exit_code, "zoe is deleted" in done.output) == (1, True)
    assert (database.user(zoe.id).active, details(database)) == (-2, [])


def test_granting_tidies_what_the_row_holds(runner: FlaskCliRunner, database: Database) -> None:
    zoe = database.make_user("zoe", ["role_student", " odd name", "ROLE_USER"])
    assert run(runner, "grant-role", "zoe", "ROLE_HR").exit_code == 0
    assert database.user(zoe.id).roles == ["ROLE_STUDENT", "ODD NAME", "ROLE_HR"]


@pytest.mark.parametrize("role", ["odd name", "ROLE_CURRENT_COURSE_TEACHER", "role_x"])
def test_whatever_the_row_holds_can_be_revoked(runner: FlaskCliRunner, database: Database, role: str) -> None:
    zoe = database.make_user("zoe", ["ROLE_HR", role])
    assert run(runner, "revoke-role", "zoe", role.lower()).exit_code == 0
    assert database.user(zoe.id).roles == ["ROLE_HR"]


def test_name_that_someone_took_meanwhile_is_one_sentence(runner: FlaskCliRunner, database: Database, monkeypatch: Any) -> None:
    database.make_user("zoe")
    is_taken, asked = UserTable.is_taken, []

    def once_free(*given: Any) -> bool:
        asked.append(1)
        return len(asked) > 1 and is_taken(*given)

    monkeypatch.setattr(UserTable, "is_taken", once_free)
    done = run(runner, "create", "zoe", "--email", "zoe@example.com", "--generate-password")
    assert (done.exit_code, "already used" in done.output, len(database.rows(User))) == (1, True, 1)
