"""`bin/poort users`: what the commands write and refuse; an import restores what an export wrote."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from answers import signed_in_as
from factories import Database
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from models import AccessUrlRelUser, AuditRecord, User, UserAuthSource
from models.user_table import UserTable

HASH = "$2y$04$e.BdhT4Wk0DxnRK0LPulc.RMrsPq5BT0GJhaNyddZ7iwI0EDH2FfS"
CONTRACT_USERS = Path(__file__).parent.parent / "contract" / "users.json"


def run(runner: FlaskCliRunner, *words: str, given: str | None = None) -> Any:
    return runner.invoke(args=["users", *words], input=given)


@pytest.fixture
def import_rows(runner: FlaskCliRunner, tmp_path: Path) -> Any:
    """Import rows as a JSON file."""

    def imported(rows: Any) -> Any:
        file = tmp_path / "rows.json"
        file.write_text(json.dumps(rows))
        return run(runner, "import", str(file))

    return imported


def test_created_user_signs_in_with_the_given_password(runner: FlaskCliRunner, client: FlaskClient) -> None:
    done = run(
        runner, "create", "zoe", "--email", "zoe@example.com", "--role", "role_teacher", "--password-stdin", given="s3cret\n"
    )
    answer = client.post("/api/authentication_token", json={"username": "zoe", "password": "s3cret"})
    assert (done.exit_code, answer.status_code) == (0, 200)


def test_generated_password_is_printed_once_and_works(runner: FlaskCliRunner, client: FlaskClient) -> None:
    done = run(runner, "create", "zoe", "--email", "zoe@example.com", "--generate-password")
    password = done.output.partition("password: ")[2].strip()
    assert signed_in_as(client.post("/api/authentication_token", json={"username": "zoe", "password": password})) == "zoe"


@pytest.mark.parametrize(("name", "email", "text"), [("zoe", "zoe@example.com", "already used"), ("new", "none", "valid email")])
def test_invalid_user_is_refused_with_the_reason(
    runner: FlaskCliRunner, database: Database, name: str, email: str, text: str
) -> None:
    database.make_user("zoe", [])
    done = run(runner, "create", name, "--email", email, "--generate-password")
    assert (done.exit_code, text in done.output, len(database.rows(User))) == (1, True, 1)


def test_new_password_replaces_the_old_one(runner: FlaskCliRunner, client: FlaskClient, database: Database) -> None:
    database.make_user("zoe", [])
    assert run(runner, "set-password", "zoe", "--password-stdin", given="brandnew\n").exit_code == 0
    assert signed_in_as(client.post("/api/authentication_token", json={"username": "zoe", "password": "brandnew"})) == "zoe"


def test_roles_are_granted_and_revoked(runner: FlaskCliRunner, database: Database) -> None:
    user_id = database.make_user("zoe", ["ROLE_STUDENT"]).id
    run(runner, "grant-role", "zoe", "role_hr")
    assert database.user(user_id).roles == ["ROLE_STUDENT", "ROLE_HR"]
    run(runner, "revoke-role", "zoe", "ROLE_STUDENT")
    assert database.user(user_id).roles == ["ROLE_HR"]


def test_deactivated_user_is_activated_again(runner: FlaskCliRunner, database: Database) -> None:
    user_id = database.make_user("zoe", []).id
    run(runner, "deactivate", "zoe")
    assert database.user(user_id).active == 0
    run(runner, "activate", "zoe")
    assert database.user(user_id).active == 1


@pytest.mark.parametrize("command", ["set-password", "activate", "deactivate"])
def test_unknown_user_is_refused(runner: FlaskCliRunner, database: Database, command: str) -> None:  # noqa: ARG001
    done = run(runner, command, "nobody")
    assert (done.exit_code, "There is no user 'nobody'" in done.output) == (1, True)


def test_list_finds_by_part_of_a_name(runner: FlaskCliRunner, database: Database) -> None:
    database.make_user("zoe", [], lastname="Böb")
    database.make_user("max", [])
    assert [line.split("\t")[1] for line in run(runner, "list", "--search", "bob").output.splitlines()] == ["zoe"]


def test_wrong_usage_is_exit_2(runner: FlaskCliRunner, database: Database) -> None:  # noqa: ARG001
    assert [run(runner, "nope").exit_code, run(runner, "create", "zoe").exit_code] == [2, 2]


def test_import_keeps_ids_hashes_and_salts(runner: FlaskCliRunner, database: Database) -> None:
    assert run(runner, "import", str(CONTRACT_USERS)).exit_code == 0
    given = {
        user["id"]: (user["username"], user["password_hash"], user["salt"]) for user in json.loads(CONTRACT_USERS.read_text())
    }
    assert {user.id: (user.username, user.password, user.salt) for user in database.rows(User)} == given
    assert len(database.rows(AccessUrlRelUser)) == len(database.rows(UserAuthSource)) == len(given)


def test_ids_go_on_after_imported_ones(runner: FlaskCliRunner, database: Database, import_rows: Any) -> None:
    # No other test uses ids this large: MariaDB continues after the largest id ever used.
    import_rows([{"id": 900_001, "username": "one", "email": "one@example.com"}])
    run(runner, "create", "two", "--email", "two@example.com", "--generate-password")
    assert [user.id for user in database.rows(User)] == [900_001, 900_002]


def test_clear_password_is_hashed(client: FlaskClient, import_rows: Any) -> None:
    import_rows([{"username": "one", "email": "one@example.com", "password": "in clear"}])
    assert signed_in_as(client.post("/api/authentication_token", json={"username": "one", "password": "in clear"})) == "one"


def test_all_bad_rows_are_told_and_nothing_is_written(database: Database, import_rows: Any) -> None:
    zoe = database.make_user("zoe", [])
    done = import_rows(
        [
            {"username": "ZOE", "email": "a@example.com"},
            {"username": "fine", "email": "fine@example.com"},
            {"username": " ", "email": "b@example.com", "roles": "ROLE_X"},
            {"username": "x" * 101, "email": "c@example.com", "active": "yes", "colour": "red"},
            {"username": "two", "email": "d@example.com", "password": "p", "password_hash": HASH},
            {"username": "fine", "email": "e@example.com"},
            7,
            {"id": zoe.id, "username": "new", "email": "f@example.com"},
        ]
    )
    told = {tuple(line.split(": ")[:2]) for line in done.output.splitlines() if line.startswith("index")}
    assert told == {
        ("index 0", "username"),
        ("index 7", "id"),
        ("index 2", "username"),
        ("index 2", "roles"),
        ("index 3", "username"),
        ("index 3", "active"),
        ("index 3", "colour"),
        ("index 4", "password"),
        ("index 5", "username"),
        ("index 6", "-"),
    }
    assert (done.exit_code, [user.username for user in database.rows(User)]) == (1, ["zoe"])


@pytest.mark.parametrize("text", ["{", '{"username": "zoe"}'])
def test_file_that_is_no_list_is_refused(runner: FlaskCliRunner, database: Database, tmp_path: Path, text: str) -> None:
    (tmp_path / "users.json").write_text(text)
    done = run(runner, "import", str(tmp_path / "users.json"))
    assert (done.exit_code, "cannot be read" in done.output, database.rows(User)) == (1, True, [])


def test_csv_names_the_line_of_a_bad_row(runner: FlaskCliRunner, database: Database, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("username,email,active\none,one@example.com,1\ntwo,two@example.com,maybe\n")
    done = run(runner, "import", str(tmp_path / "users.csv"))
    assert ("line 3: active: must be a whole number" in done.output, database.rows(User)) == (True, [])


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_exported_file_reads_back_identically(runner: FlaskCliRunner, database: Database, tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"first.{suffix}", tmp_path / f"second.{suffix}"
    run(runner, "import", str(CONTRACT_USERS))
    database.make_user("odd", ["ROLE_A", "ROLE_B"], firstname="", lastname='"quoted", and\nbroken', website=None, phone="\\N")
    run(runner, "export", str(first))
    database.clean()
    assert run(runner, "import", str(first)).exit_code == 0
    run(runner, "export", str(second))
    assert first.read_bytes() == second.read_bytes()


def test_export_is_for_its_owner_only(runner: FlaskCliRunner, database: Database, tmp_path: Path) -> None:  # noqa: ARG001
    run(runner, "export", str(tmp_path / "users.csv"))
    assert (tmp_path / "users.csv").stat().st_mode & 0o777 == 0o600


def test_rows_with_and_without_an_id_stand_side_by_side(database: Database, import_rows: Any) -> None:
    rows = [{"username": "first"}, {"id": 1, "username": "one"}, {"username": "second"}, {"id": 7, "username": "seven"}]
    done = import_rows([row | {"email": f"{row['username']}@example.com"} for row in rows])
    ids = {user.username: user.id for user in database.rows(User)}
    assert (done.exit_code, ids["one"], ids["seven"], len(set(ids.values()))) == (0, 1, 7, 4)


# --- Roles and states


def events(database: Database) -> list[str]:
    return [record.event for record in database.rows(AuditRecord)]


def test_role_that_is_not_there_is_said_and_no_event(runner: FlaskCliRunner, database: Database) -> None:
    database.make_user("zoe", ["ROLE_STUDENT"])
    done = run(runner, "revoke-role", "zoe", "role_hr")
    assert (done.exit_code, "zoe does not have the role ROLE_HR." in done.output, events(database)) == (1, True, [])


def test_role_that_is_there_is_said_and_no_event(runner: FlaskCliRunner, database: Database) -> None:
    database.make_user("zoe", ["ROLE_STUDENT"])
    done = run(runner, "grant-role", "zoe", " role_student ")
    assert (done.exit_code, "has the role ROLE_STUDENT already" in done.output, events(database)) == (0, True, [])


@pytest.mark.parametrize(
    "name", ["", "STUDENT", "ROLE_", "ROLE_A B", "ROLE_USER", "ROLE_CURRENT_COURSE_TEACHER", "ROLE_\x1b[31m"]
)
def test_what_is_no_role_to_grant_is_refused(runner: FlaskCliRunner, database: Database, name: str) -> None:
    user = database.make_user("zoe", ["ROLE_STUDENT"])
    done = run(runner, "grant-role", "zoe", name)
    assert (done.exit_code, "\x1b" in done.output, database.user(user.id).roles) == (1, False, ["ROLE_STUDENT"])


def test_created_user_has_names_of_roles_alone(runner: FlaskCliRunner, database: Database) -> None:
    done = run(runner, "create", "zoe", "--email", "zoe@example.com", "--role", "odd", "--generate-password")
    assert (done.exit_code, "not a valid choice" in done.output, database.rows(User)) == (1, True, [])


def test_imported_user_has_names_of_roles_alone(import_rows: Any, database: Database) -> None:
    done = import_rows([{"username": "one", "email": "one@example.com", "roles": ["ROLE_A", "odd"]}])
    is_named = "index 0: roles: 'odd' is not the name of a role" in done.output
    assert (done.exit_code, is_named, database.rows(User)) == (1, True, [])


def test_deleted_user_comes_back_only_with_restore(runner: FlaskCliRunner, database: Database) -> None:
    user = database.make_user("zoe", active=-2)
    done = run(runner, "activate", "zoe")
    assert (done.exit_code, "--restore" in done.output, database.user(user.id).active) == (1, True, -2)
    assert run(runner, "activate", "--restore", "zoe").exit_code == 0
    assert database.user(user.id).active == 1


LOSSES = {
    "revoke-role": ("revoke-role", "root", "ROLE_ADMIN"),
    "deactivate": ("deactivate", "root"),
    "delete": ("delete", "root", "--yes"),
}


@pytest.mark.parametrize("words", LOSSES.values(), ids=LOSSES)
def test_last_administrator_is_taken_by_force_alone(runner: FlaskCliRunner, database: Database, words: tuple[str, ...]) -> None:
    user = database.make_user("root", ["ROLE_ADMIN"])
    database.make_user("gone", ["ROLE_ADMIN"], active=0)
    done = run(runner, *words)
    assert (done.exit_code, "root is the last administrator" in done.output, events(database)) == (1, True, [])
    assert (database.user(user.id).roles, database.user(user.id).active) == (["ROLE_ADMIN"], 1)
    assert run(runner, *words, "--force").exit_code == 0
    assert (database.user(user.id).roles, database.user(user.id).active) != (["ROLE_ADMIN"], 1)


@pytest.mark.parametrize("words", LOSSES.values(), ids=LOSSES)
def test_one_of_two_administrators_is_taken_without_force(
    runner: FlaskCliRunner, database: Database, words: tuple[str, ...]
) -> None:
    database.make_user("root", ["ROLE_ADMIN"])
    database.make_user("other", ["ROLE_GLOBAL_ADMIN"])
    assert run(runner, *words).exit_code == 0


# --- The terminal

ODD = ["a\u202eb", "\x1b[31mred", "x\ty", "two\nlines", "\u2028", "\u2066x", "\x9b31m", "=cmd"]


@pytest.mark.parametrize("name", ODD)
def test_no_name_moves_the_cursor_or_forges_a_column(runner: FlaskCliRunner, database: Database, name: str) -> None:
    database.make_user(name, ["ROLE_TEACHER"], firstname=name, lastname="", email=f"{name}@example.com")
    (line,) = run(runner, "list").output.splitlines()
    assert (len(line.split("\t")), line.replace("\t", "").isprintable()) == (6, True)
    for words in (
        ("grant-role", name, "ROLE_HR"),
        ("revoke-role", name, "ROLE_HR"),
        ("revoke-role", name, "ROLE_HR"),
        ("deactivate", name),
        ("activate", name),
        ("sign-out", name),
        ("show", name),
        ("delete", name),
        ("reset-totp", name),
        ("set-password", name, "--generate-password"),
        ("activate", f"{name}?"),
        ("create", name, "--email", "x", "--generate-password"),
    ):
        output = run(runner, *words).output
        assert output
        assert all(line.isprintable() for line in output.split("\n")), output


def test_no_role_is_taken_for_two(runner: FlaskCliRunner, database: Database) -> None:
    database.make_user("zoe", ["ODD ROLE_ADMIN", "ROLE_HR"])
    assert run(runner, "list").output.split("\t")[4].split(" ") == [r"ODD\x20ROLE_ADMIN", "ROLE_HR"]


@pytest.mark.parametrize(
    "words", [["-\x1b[31m"], ["--\u202e"], ["deactivate", "--\x9b31m"], ["import", "\x1b[31m"], ["\x1b[31m"]]
)
@pytest.mark.parametrize("group", ["users", "extra-fields", "jwt", "audit", "poort"])
def test_no_word_of_a_script_moves_the_cursor(app: Flask, group: str, words: list[str]) -> None:
    done = app.test_cli_runner().invoke(args=[group, *words])
    refused = 1 if (group, words[0]) == ("users", "import") else 2  # the name of a file is no usage error
    assert (done.exit_code, all(line.isprintable() for line in done.output.split("\n"))) == (refused, True), done.output


NO_TEXT = "\udcff"  # how Python represents the byte FF of a command line

BYTES = {
    "user name": ("create", NO_TEXT, "--email", "a@example.com", "--generate-password"),
    "e-mail": ("create", "zoe", "--email", f"{NO_TEXT}@example.com", "--generate-password"),
    "first name": ("create", "zoe", "--email", "a@example.com", "--firstname", NO_TEXT, "--generate-password"),
    "role": ("create", "zoe", "--email", "a@example.com", "--role", NO_TEXT, "--generate-password"),
    "search": ("list", "--search", NO_TEXT),
    "user": ("deactivate", NO_TEXT),
}


@pytest.mark.parametrize("words", BYTES.values(), ids=BYTES)
def test_word_that_is_no_text_is_refused(runner: FlaskCliRunner, database: Database, words: tuple[str, ...]) -> None:
    done = run(runner, *words)
    assert (done.exit_code, isinstance(done.exception, SystemExit), database.rows(User)) == (1, True, [])
    assert done.output.startswith("Error: ")


def test_password_that_is_no_text_is_refused(runner: FlaskCliRunner, database: Database) -> None:
    database.make_user("zoe")
    done = runner.invoke(args=["users", "set-password", "zoe", "--password-stdin"], input=b"\xff\n")
    assert (done.exit_code, "not UTF-8" in done.output) == (2, True)


@pytest.mark.parametrize("failure", [IntegrityError, OperationalError])
def test_database_that_refuses_is_one_sentence(
    runner: FlaskCliRunner, database: Database, monkeypatch: pytest.MonkeyPatch, failure: type[DBAPIError]
) -> None:
    database.make_user("zoe")

    def refuse(*_given: object) -> None:
        raise failure("UPDATE", {}, Exception("Duplicate entry \x1b[31m\u202e of the account secret@host"))

    monkeypatch.setattr(UserTable, "hold", refuse)
    done = run(runner, "deactivate", "zoe")
    assert (done.exit_code, isinstance(done.exception, SystemExit)) == (1, True)
    assert re.fullmatch(r"Error: The database [^\n]+\n", done.output)
    assert done.output[:-1].isprintable()
    assert ("secret@host" in done.output) == (failure is IntegrityError)


@pytest.mark.parametrize("name", ODD)
def test_no_value_of_a_file_moves_the_cursor(runner: FlaskCliRunner, import_rows: Any, database: Database, name: str) -> None:
    rows = [{"username": name, "email": name, "roles": [name], "api_token": name, name: name}] * 2
    output = import_rows(rows).output
    assert all(line.isprintable() for line in output.split("\n")), output
    assert runner.invoke(args=["audit", "tail"]).exit_code == 0
    assert database.rows(User) == []
