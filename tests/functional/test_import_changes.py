"""`bin/poort users import` into a database with users: what it changes, what it leaves alone, and how it goes on after a stop."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers import signed_in_as
from factories import COST, START, Database
from flask import Flask
from flask.testing import FlaskCliRunner
from sqlalchemy.exc import OperationalError

from commands.transfer import storing
from models import AccessUrlRelUser, AuditRecord, TokensValidAfter, User, UserAuthSource, UserTotal
from models.extra_fields import ExtraFields, insert_field
from models.passwords import hash_password
from security.audit import audit_log

Import = Callable[..., Any]


@pytest.fixture
def imported(runner: FlaskCliRunner, tmp_path: Path) -> Import:
    """Import rows as a CSV file, with options."""

    def run(rows: list[dict[str, Any]], *options: str) -> Any:
        text = io.StringIO()
        writer = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row))
        writer.writeheader()
        writer.writerows(rows)
        (tmp_path / "users.csv").write_text(text.getvalue() if rows else "username,email\n")
        return runner.invoke(args=["users", "import", str(tmp_path / "users.csv"), *options])

    return run


def given(name: str, **columns: Any) -> dict[str, Any]:
    return {"username": name, "email": f"{name}@example.com"} | columns


def by_name(database: Database) -> dict[str, User]:
    return {user.username: user for user in database.rows(User)}


def events(database: Database) -> list[tuple[str, str | None, Any]]:
    return [(row.event, row.username, row.details) for row in database.rows(AuditRecord)]


# --- Changes


def test_update_changes_what_the_file_gives_and_nothing_else(imported: Import, database: Database) -> None:
    zoe = database.make_user("zoe", ["ROLE_TEACHER"], firstname="Zoë", phone="1", password="secret")
    database.make_user("max", phone="2")
    done = imported(
        [given("ZOE", phone="7", firstname="", email="zoe@example.com") | {"username": "zoe"}, given("new")], "--update"
    )
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "2 users imported: 1 new, 1 changed, 0 as they were.")
    after = database.user(zoe.id)
    assert (after.phone, after.firstname, after.roles, after.password) == ("7", "Zoë", ["ROLE_TEACHER"], zoe.password)
    assert (by_name(database)["max"].phone, sorted(by_name(database))) == ("2", ["max", "new", "zoe"])
    assert events(database) == [
        ("user_changed", "zoe", {"fields": ["phone"]}),
        ("users_imported", None, {"number": 1, "changed": 1}),
    ]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_changes_are_summed_up_on_a_terminal_and_each_has_a_line_in_a_log_and_a_row(
    imported: Import, database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    for name in ("zoe", "max"):
        database.make_user(name, phone="1")
    monkeypatch.setattr("commands.transfer.file_import.is_log_screen", lambda: is_terminal)
    assert imported([given("zoe", phone="7"), given("max", phone="7")], "--update").exit_code == 0
    each = ["user_changed", "user_changed", "users_imported"]
    lines = [record.message for record in caplog.records if record.name == "poort.audit"]
    assert lines == (each[-1:] if is_terminal else each)
    assert [event for event, *_ in events(database)] == each
    audit_log.info("user_changed")
    assert caplog.records[-1].message == "user_changed", "only the import keeps quiet"


def test_without_update_another_value_is_a_fault_that_names_it(imported: Import, database: Database) -> None:
    database.make_user("zoe", phone="1")
    done = imported([given("new"), given("zoe", phone="2")])
    fault = "line 3: username: this user exists, with another phone; --update changes it"
    assert (done.exit_code, fault in done.output, sorted(by_name(database))) == (1, True, ["zoe"])


def test_users_as_they_are_in_the_file_are_left_alone(imported: Import, database: Database) -> None:
    database.make_user("zoe", ["ROLE_HR"], phone="1")
    done = imported([given("zoe", phone="1", roles="ROLE_HR"), given("new")])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "2 users imported: 1 new, 0 changed, 1 as they were.")
    assert events(database) == [("users_imported", None, {"number": 1})]


def test_dry_run_says_what_would_change_and_writes_nothing(imported: Import, database: Database) -> None:
    database.make_user("zoe", phone="1")
    done = imported([given("zoe", phone="2"), given("new")], "--update", "--dry-run")
    assert (done.exit_code, "1 new, 1 changed, 0 as they were. Nothing was written" in done.output) == (0, True)
    assert (sorted(by_name(database)), events(database)) == (["zoe"], [])


def test_roles_of_the_file_end_tokens_as_the_api_does(imported: Import, database: Database) -> None:
    database.make_user("zoe", ["ROLE_HR"], phone="1")
    database.make_user("max", phone="1")
    assert imported([given("zoe", roles="ROLE_TEACHER"), given("max", phone="2")], "--update").exit_code == 0
    assert [row.username_canonical for row in database.rows(TokensValidAfter)] == ["zoe"]


@pytest.mark.parametrize(("options", "word"), [((), "old"), (("--set-passwords",), "new")])
def test_passwords_of_known_users_are_set_only_if_told(
    imported: Import, app: Flask, database: Database, options: tuple[str, ...], word: str
) -> None:
    database.make_user("zoe", password="old")
    assert imported([given("zoe", password="new"), given("other", password="new")], "--update", *options).exit_code == 0
    for name, password in (("zoe", word), ("other", "new")):
        answer = app.test_client().post("/api/authentication_token", json={"username": name, "password": password})
        assert signed_in_as(answer) == name


def test_hash_of_the_file_counts_as_a_password(imported: Import, database: Database) -> None:
    zoe = database.make_user("zoe", password="old")
    row = given("zoe", password_hash=hash_password("new", COST))
    assert imported([row], "--update").exit_code == 0
    assert database.user(zoe.id).password == zoe.password
    assert imported([row], "--update", "--set-passwords").exit_code == 0
    assert database.user(zoe.id).password == row["password_hash"]


# --- Keys


def test_key_of_an_address_renames_its_user(imported: Import, database: Database) -> None:
    zoe = database.make_user("zoe", email="Zoe@Example.com")
    done = imported([given("zoé", email="zoe@example.com")], "--update", "--key", "email")
    assert (done.exit_code, database.user(zoe.id).username) == (0, "zoé")


def with_badges(database: Database, **badges: str) -> int:
    with database.session() as session:
        insert_field(session, "badge", None, START)
        field_id = ExtraFields().resolve(session, ["badge"])["badge"]
        for name, badge in badges.items():
            ExtraFields().write_values(session, by_name(database)[name].id, {field_id: badge}, START)
    return field_id


def test_key_of_an_extra_field_finds_its_user(imported: Import, database: Database) -> None:
    zoe = database.make_user("zoe", phone="1")
    database.make_user("max")
    with_badges(database, zoe="AB-1", max="AB-2")
    rows = [{"extra:badge": "ab-1", "username": "zoe", "email": "zoe@example.com", "phone": "7"}]
    done = imported(rows, "--update", "--key", "extra:badge")
    assert (done.exit_code, database.user(zoe.id).phone) == (0, "7"), done.output


def test_key_alone_is_enough_for_a_user_who_exists(imported: Import, database: Database) -> None:
    zoe = database.make_user("zoe", phone="1")
    with_badges(database, zoe="AB-1")
    assert imported([{"extra:badge": "AB-1", "phone": "7"}], "--update", "--key", "extra:badge").exit_code == 0
    assert database.user(zoe.id).phone == "7"
    done = imported([{"extra:badge": "AB-9", "phone": "7"}], "--update", "--key", "extra:badge")
    assert (done.exit_code, "line 2: username: " in done.output, "line 2: email: " in done.output) == (1, True, True)


def test_key_that_two_users_have_is_a_fault(imported: Import, database: Database) -> None:
    for name, user_id in (("one", 90), ("two", 40), ("three", 60)):
        database.make_user(name, email="same@example.com", id=user_id)
    done = imported([given("one", email="same@example.com")], "--update", "--key", "email")
    assert (done.exit_code, "line 2: email: 3 users have it: those with the ids 40 and 60" in done.output) == (1, True)


@pytest.mark.parametrize(
    ("key", "status", "word"),
    [("phone", 2, "extra:NAME"), ("extra:nope", 1, "no extra field 'nope'"), ("extra:\udcff", 1, "no extra field ")],
)
def test_key_that_is_none_is_refused(imported: Import, database: Database, key: str, status: int, word: str) -> None:  # noqa: ARG001
    done = imported([given("zoe")], "--key", key)
    assert (done.exit_code, word in done.output) == (status, True)


FAULTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "address": ([given("new", email="none")], "line 2: email: This value is not a valid email address."),
    "long name": ([given("new", firstname="x" * 65)], "line 2: firstname: "),
    "long biography": ([given("new", biography="x" * 20_001)], "line 2: biography: This value is too long."),
    "id of another": ([given("zoe", id=99_999)], "line 2: id: the user has the id"),
    "name of another": ([given("max", email="zoe@example.com")], "line 2: username: 'max' exists already"),
    "the same key": ([given("new"), given("NEW")], "line 3: username: "),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named_by_its_line_and_nothing_is_written(imported: Import, database: Database, name: str) -> None:
    database.make_user("zoe", phone="1")
    database.make_user("max")
    rows, fault = FAULTS[name]
    key = ["--key", "email"] if name == "name of another" else []
    done = imported([*rows, given("fine")], "--update", *key)
    assert (done.exit_code, fault in done.output, "1 fault; nothing was written." in done.output) == (1, True, True), done.output
    assert sorted(by_name(database)) == ["max", "zoe"]


def test_what_the_api_would_refuse_comes_in_as_it_was_exported(imported: Import, database: Database) -> None:
    assert imported([given("old", email="no address", biography="x" * 20_001)], "--as-exported").exit_code == 0
    assert by_name(database)["old"].email == "no address"


def test_unchanged_value_of_an_old_campus_may_stay_too_long(imported: Import, database: Database) -> None:
    database.make_user("zoe", biography="x" * 20_001, phone="1")
    assert imported([given("zoe", biography="x" * 20_001, phone="2")], "--update").exit_code == 0


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_wrong_delimiter_is_named(runner: FlaskCliRunner, database: Database, tmp_path: Path, delimiter: str, name: str) -> None:
    (tmp_path / "users.csv").write_text(f"username{delimiter}email\none{delimiter}one@example.com\n")
    done = runner.invoke(args=["users", "import", str(tmp_path / "users.csv")])
    assert (done.exit_code, f"{name} separate its columns" in done.output, database.rows(User)) == (1, True, [])


def test_line_of_a_row_is_the_one_on_which_it_begins(runner: FlaskCliRunner, database: Database, tmp_path: Path) -> None:
    text = 'username,email,biography\n\none,one@example.com,"two\nlines"\ntwo,none,"and\nmore"\n'
    (tmp_path / "users.csv").write_text(text)
    done = runner.invoke(args=["users", "import", str(tmp_path / "users.csv")])
    assert ("line 5: email: " in done.output, database.rows(User)) == (True, [])


UNMATCHED = {
    "never closed": ('"One\ntwo,two@example.com,Two\n', 4),
    "closed by the next": ('"One\ntwo,two@example.com,"Two"\n', 4),
    "closed too early": ('"One" or two\ntwo,two@example.com,Two\n', 4),
    "in the header": ("", 1),
}


@pytest.mark.parametrize(("rest", "line"), UNMATCHED.values(), ids=UNMATCHED)
def test_quotation_mark_without_its_partner_swallows_no_row(
    runner: FlaskCliRunner, database: Database, tmp_path: Path, rest: str, line: int
) -> None:
    header = "username,email,lastname\n" if rest else 'username,email,"lastname\n'
    (tmp_path / "users.csv").write_text(f'{header}nil,nil@example.com,"a\nb"\none,one@example.com,{rest}')
    done = runner.invoke(args=["users", "import", str(tmp_path / "users.csv")])
    assert done.output.endswith(f"cannot be read: the quotation marks of the row on line {line} do not match\n")
    assert (done.exit_code, database.rows(User)) == (1, [])


# --- Missing users


def test_missing_users_are_shown_and_deactivated_only_if_told(imported: Import, database: Database) -> None:
    rows = [given(database.make_user(f"user{number}").username) for number in range(20)]
    gone = database.make_user("gone")
    shown = imported(rows, "--deactivate-missing")
    assert (shown.exit_code, "Not in the file: 1 user of 21: gone" in shown.output, "--yes" in shown.output) == (0, True, True)
    assert database.user(gone.id).active == 1
    done = imported(rows, "--deactivate-missing", "--yes")
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "1 user deactivated.")
    assert [user.username for user in database.rows(User) if not user.active] == ["gone"]
    assert ("user_changed", "gone", {"fields": ["active"]}) in events(database)
    assert [row.username_canonical for row in database.rows(TokensValidAfter)] == ["gone"]


def test_more_than_a_tenth_needs_force(imported: Import, database: Database) -> None:
    names = [database.make_user(f"user{number}").username for number in range(3)]
    done = imported([given(names[0]), given("new")], "--deactivate-missing", "--yes")
    assert (done.exit_code, "--force" in done.output, "new" in by_name(database)) == (1, True, False)
    assert imported([given(names[0])], "--deactivate-missing", "--yes", "--force").exit_code == 0
    assert [user.username for user in database.rows(User) if not user.active] == names[1:]


def test_users_of_another_portal_are_not_missing(imported: Import, database: Database) -> None:
    database.make_user("here")
    elsewhere = database.make_user("elsewhere")
    with database.session() as session:
        for table in (AccessUrlRelUser, UserAuthSource):
            for row in session.query(table).filter_by(user_id=elsewhere.id):
                session.delete(row)
    assert imported([given("here")], "--deactivate-missing", "--yes", "--force").exit_code == 0
    assert database.user(elsewhere.id).active == 1


def test_last_administrator_is_never_missing(imported: Import, database: Database) -> None:
    database.make_user("root", ["ROLE_ADMIN"])
    database.make_user("gone")
    done = imported([given("here")], "--deactivate-missing", "--yes", "--force")
    assert (done.exit_code, "root is missing and stays active" in done.output) == (0, True)
    assert [user.username for user in database.rows(User) if not user.active] == ["gone"]


@pytest.mark.parametrize("loss", [{"roles": "ROLE_HR"}, {"active": "0"}, {"locked": "1"}, {"expiration_date": "2020-01-01"}])
def test_last_administrator_keeps_the_right(imported: Import, database: Database, loss: dict[str, str]) -> None:
    database.make_user("root", ["ROLE_ADMIN"])
    done = imported([given("root", **loss)], "--update")
    assert (done.exit_code, "line 2: username: no administrator would be left" in done.output) == (1, True), done.output
    database.make_user("other", ["ROLE_ADMIN"])
    assert imported([given("root", **loss)], "--update").exit_code == 0


# --- Stops


def test_stopped_import_says_how_far_it_came_and_goes_on(
    imported: Import, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [given(f"user{number:03}", phone=str(number)) for number in range(50)]
    monkeypatch.setattr("commands.transfer.pace._FIRST", 20)
    insert = storing.Storing._insert

    def interrupted(self: storing.Storing, chunk: Any) -> None:
        if any(row.columns["username"] == "user030" for row in chunk):
            raise KeyboardInterrupt
        insert(self, chunk)

    monkeypatch.setattr(storing.Storing, "_insert", interrupted)
    done = imported(rows)
    assert (done.exit_code, "Stopped after 20 of 50. Run the same command again" in done.output) == (1, True), done.output
    assert (len(by_name(database)), database.rows(UserTotal)[0].total, events(database)[-1][2]) == (20, 20, {"number": 20})
    monkeypatch.setattr(storing.Storing, "_insert", insert)
    assert imported(rows).output.splitlines()[-1] == "50 users imported: 30 new, 0 changed, 20 as they were."
    assert (len(by_name(database)), len(database.rows(AccessUrlRelUser)), database.rows(UserTotal)[0].total) == (50, 50, 50)


def test_failing_database_stops_it_in_one_sentence(imported: Import, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("s3cret"))

    monkeypatch.setattr(storing.Storing, "_insert", fail)
    done = imported([given("one")])
    assert (done.exit_code, "Stopped by Exception after 0 of 1." in done.output, "s3cret" in done.output) == (1, True, False)
    assert database.rows(User) == []


def test_no_transaction_is_open_while_a_password_is_hashed(
    imported: Import, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hashed(password: str, cost: int) -> str:
        database.make_user(f"meanwhile-{password}")  # needs the lock of SQLite
        return hash_password(password, cost)

    monkeypatch.setattr(storing, "hash_password", hashed)
    assert imported([given("one", password="a"), given("two", password="b")]).exit_code == 0
    assert sorted(by_name(database)) == ["meanwhile-a", "meanwhile-b", "one", "two"]


def test_database_takes_no_options_of_a_file(runner: FlaskCliRunner, database: Database) -> None:  # noqa: ARG001
    done = runner.invoke(args=["users", "import", "--from-database", "mysql://root@127.0.0.1:1/none", "--update"])
    assert (done.exit_code, "cannot be combined with" in done.output) == (2, True)
