"""Extra fields beside a campus: Chamilo's tables, in its own collation. The numbers are those of the campus's examples."""

from typing import Any
from urllib.parse import quote

import pytest
from campus.campuses import Campus
from flask import Flask

from models.extra_fields import UnknownExtraField
from models.user_table import UserTable

# Nothing of this differs by the version of Chamilo.
pytestmark = [pytest.mark.services, pytest.mark.parametrize("campus", [2], indirect=True)]

UNEQUAL = "Extra field variables and values must have the same length."


def pair(variable: str, value: str) -> str:
    return f"extrafield[]={quote(variable)}&extrafieldvalue[]={quote(value)}"


def ask(campus: Campus, app: Flask, username: str, query: str) -> Any:
    return app.test_client().get(f"/api/users?{query}", headers=campus.headers_of(app, username))


def found(campus: Campus, query: str, username: str = "root.admin", portal: str = "1") -> list[int]:
    """Return the ids of the users in a list, all on one page."""
    answer = ask(campus, campus.app(ACCESS_URL_ID=portal), username, f"{query}&itemsPerPage=1000")
    assert answer.status_code == 200, answer.json
    ids = [member["id"] for member in answer.json["hydra:member"]]
    assert answer.json["hydra:totalItems"] == len(ids)
    return ids


def refusal(campus: Campus, query: str) -> str:
    answer = ask(campus, campus.app(), "root.admin", query)
    assert (answer.status_code, answer.json["@type"]) == (400, "hydra:Error")
    return answer.json["hydra:description"]


EXAMPLES = {
    "2.1": ("extrafield[]=department&extrafieldvalue[]=sales", [305, 306]),
    "2.2": ("extrafield[]=LEGAL_ID&extrafieldvalue[]=AB-12", [304, 305]),
    "2.3": (
        "extrafield[]=department&extrafieldvalue[]=sales&extrafield[]=legal_id&extrafieldvalue[]=AB-12",
        [305],
    ),
}

REFUSED = {
    "2.4": ("extrafield[]=department", UNEQUAL),
    "2.5": ("extrafield[]=nope&extrafieldvalue[]=1", 'Extra field "nope" not found.'),
    "2.5 internal": ("extrafield[]=internal_note&extrafieldvalue[]=1", 'Extra field "internal_note" not found.'),
}


@pytest.mark.parametrize("number", EXAMPLES)
def test_example_finds(whole_campus: Campus, number: str) -> None:
    query, ids = EXAMPLES[number]
    assert found(whole_campus, query) == ids


@pytest.mark.parametrize("number", REFUSED)
def test_example_is_refused(whole_campus: Campus, number: str) -> None:
    query, message = REFUSED[number]
    assert refusal(whole_campus, query) == message


@pytest.mark.parametrize("query", [query for query, _ in REFUSED.values()])
def test_example_2_6_is_ignored_for_a_student(whole_campus: Campus, query: str) -> None:
    assert found(whole_campus, query, "both.tres") == [306]


def test_example_2_6_of_an_administrator_of_the_other_portal(whole_campus: Campus) -> None:
    assert found(whole_campus, EXAMPLES["2.1"][0], "plain.admin", portal="2") == [305, 306]


def test_example_2_6_of_a_teacher_of_a_portal(whole_campus: Campus) -> None:
    assert found(whole_campus, EXAMPLES["2.1"][0], "teacher.uno") == [306]


def test_collation_decides_what_is_equal(whole_campus: Campus) -> None:
    whole_campus.run("UPDATE extra_field_values SET field_value = 'Société ' WHERE id = 423")
    for value in ("societe", "SOCIÉTÉ", "Société", "societe  "):
        assert found(whole_campus, pair("Départment", value)) == [305]
    for value in ("societ", "%", "societe_", " societe"):
        assert found(whole_campus, pair("department", value)) == []


def test_long_value_is_compared_whole(whole_campus: Campus) -> None:
    long = "x" * 3000
    whole_campus.run("UPDATE extra_field_values SET field_value = :long WHERE id = 423", long=f"{long}y")
    assert [found(whole_campus, pair("department", value)) for value in (f"{long}Y", f"{long}z", long)] == [[305], [], []]


def test_empty_value_is_no_null(whole_campus: Campus) -> None:
    whole_campus.run("UPDATE extra_field_values SET field_value = NULL WHERE id = 423")
    whole_campus.run("UPDATE extra_field_values SET field_value = '' WHERE id = 424")
    assert found(whole_campus, pair("department", "")) == [306]
    assert found(whole_campus, f"{pair('department', '')}&{pair('legal_id', 'ab-12')}") == []


def test_user_of_two_matching_values_is_listed_once(whole_campus: Campus) -> None:
    insert = "INSERT INTO extra_field_values (field_id, item_id, field_value, created_at, updated_at) VALUES (402, 305, :value, NOW(), NOW())"
    for value in ("Sales", "care"):
        whole_campus.run(insert, value=value)
    assert found(whole_campus, pair("department", "sales")) == [305, 306]
    assert found(whole_campus, f"{pair('department', 'sales')}&{pair('department', 'care')}") == [305]


def test_any_of_several_fields_of_one_name_counts(whole_campus: Campus) -> None:
    insert = "INSERT INTO extra_field (id, item_type, value_type, variable, visible_to_self, filter, created_at) VALUES (:id, 1, 1, 'Department', :seen, 1, NOW())"
    value = "INSERT INTO extra_field_values (field_id, item_id, field_value, created_at, updated_at) VALUES (:id, :user, 'sales', NOW(), NOW())"
    for field, user, seen in ((405, 301, 1), (406, 302, 0)):
        whole_campus.run(insert, id=field, seen=seen)
        whole_campus.run(value, id=field, user=user)
    assert found(whole_campus, pair("department", "sales")) == [301, 305, 306]


@pytest.mark.parametrize("flag", ["filter", "visible_to_self"])
def test_field_without_a_flag_is_not_found(whole_campus: Campus, flag: str) -> None:
    for value in ("0", "NULL"):
        whole_campus.run(f"UPDATE extra_field SET {flag} = {value} WHERE id = 402")
        assert refusal(whole_campus, pair("Department", "sales")) == 'Extra field "Department" not found.'


def test_more_filters_pages_and_totals_hold(whole_campus: Campus) -> None:
    app, query = whole_campus.app(), EXAMPLES["2.1"][0]
    page = ask(whole_campus, app, "root.admin", f"{query}&itemsPerPage=1&page=2&order[username]=desc").json
    assert ([member["id"] for member in page["hydra:member"]], page["hydra:totalItems"]) == ([305], 2)
    assert found(whole_campus, f"{query}&search=tres") == [306]
    assert found(whole_campus, f"{query}&isActive=0") == []


def test_old_names_of_columns_are_read(whole_campus: Campus) -> None:
    whole_campus.run("ALTER TABLE extra_field_values RENAME COLUMN field_value TO `value`")
    whole_campus.run("ALTER TABLE extra_field RENAME COLUMN item_type TO extra_field_type")
    assert found(whole_campus, EXAMPLES["2.3"][0]) == [305]


@pytest.mark.parametrize("gone", ["extra_field_values", "extra_field_values, extra_field_options, extra_field"])
def test_campus_without_the_tables_knows_no_field(whole_campus: Campus, gone: str) -> None:
    whole_campus.run(f"DROP TABLE {gone}")
    assert refusal(whole_campus, EXAMPLES["2.1"][0]) == 'Extra field "department" not found.'


def test_our_own_tables_are_neither_made_nor_missed(whole_campus: Campus) -> None:
    app = whole_campus.app()
    with app.app_context():
        app.extensions["poort"].check_table()
    assert whole_campus.run("SHOW TABLES LIKE 'extra_field_value'") == []
    done = app.test_cli_runner().invoke(args=["db", "check"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "The database fits.")


def test_commands_leave_the_fields_to_chamilo(whole_campus: Campus) -> None:
    before, runner = values(whole_campus), whole_campus.app().test_cli_runner()
    for words in (
        ["create", "x"],
        ["list"],
        ["set", "root.admin", "legal_id", "1"],
        ["set", "root.admin", "legal_id", "--unset"],
    ):
        done = runner.invoke(args=["extra-fields", *words])
        assert (done.exit_code, done.output.count("\n")) == (1, 1)
        assert (done.output.startswith("Error: Beside a campus"), values(whole_campus)) == (True, before)


# --- What the endpoint of a portal's users writes


def values(campus: Campus) -> list[tuple[Any, ...]]:
    rows = campus.run("SELECT field_id, item_id, field_value FROM extra_field_values ORDER BY field_id, item_id, id")
    return [tuple(row.values()) for row in rows]


def test_fields_are_resolved_whatever_their_flags(whole_campus: Campus) -> None:
    app = whole_campus.app()
    with app.app_context():
        fields, session = app.extensions["poort"].extra_fields, app.extensions["sqlalchemy"].session
        assert fields.resolve(session(), ["Legal_Id", "internal_note", "department"]) == {
            "Legal_Id": 401,
            "internal_note": 403,
            "department": 402,
        }
        with pytest.raises(UnknownExtraField, match=r"^first$"):
            fields.resolve(session(), ["legal_id", "first", "second"])


def test_values_are_changed_where_they_are_and_inserted_where_not(whole_campus: Campus) -> None:
    app = whole_campus.app()
    before = values(whole_campus)
    with app.app_context():
        fields, session = app.extensions["poort"].extra_fields, app.extensions["sqlalchemy"].session
        fields.write_values(session(), 304, {401: "Neu é", 402: "", 403: None}, whole_campus.clock())
        fields.write_values(session(), 307, {401: None}, whole_campus.clock())
        session.commit()
    changed = [row for row in values(whole_campus) if row not in before]
    assert changed == [(401, 304, "Neu é"), (402, 304, ""), (403, 304, None)]
    assert len(values(whole_campus)) == len(before) + 1
    (row,) = whole_campus.run("SELECT * FROM extra_field_values WHERE field_id = 402 AND item_id = 304")
    assert row["created_at"] == row["updated_at"] == whole_campus.clock().replace(tzinfo=None)
    (row,) = whole_campus.run("SELECT * FROM extra_field_values WHERE id = 421")
    assert (str(row["created_at"]), row["updated_at"]) == ("2026-09-22 10:00:00", whole_campus.clock().replace(tzinfo=None))


def test_file_brings_values_of_chamilos_fields(whole_campus: Campus, tmp_path: Any) -> None:
    (tmp_path / "users.csv").write_text("username,email,extra:LEGAL_ID\nneu,neu@example.com,Z-1\nnoch,noch@example.com,\n")
    app = whole_campus.app(PASSWORD_HASH_COST="4")
    before = len(values(whole_campus))
    done = app.test_cli_runner().invoke(args=["users", "import", str(tmp_path / "users.csv")])
    assert done.exit_code == 0, done.output
    with app.app_context():
        neu = UserTable(is_campus=True).find_account(app.extensions["sqlalchemy"].session(), "neu")
    assert (found(whole_campus, pair("legal_id", "z-1")), len(values(whole_campus))) == ([neu.id], before + 1)


def test_key_of_an_import_is_one_of_chamilos_fields(whole_campus: Campus, tmp_path: Any) -> None:
    (tmp_path / "users.csv").write_text("extra:internal_note,extra:department,phone\nSECRET,care,0470\n")
    runner = whole_campus.app(PASSWORD_HASH_COST="4").test_cli_runner()
    words = ("users", "import", str(tmp_path / "users.csv"), "--update", "--key", "extra:internal_note")
    done = runner.invoke(args=words)
    assert done.exit_code == 0, done.output
    assert (402, 304, "care") in values(whole_campus)
    assert whole_campus.run("SELECT id FROM `user` WHERE phone = '0470'") == [{"id": 304}]
    assert "0 changed, 1 as they were." in runner.invoke(args=words).output
    (tmp_path / "users.csv").write_text("extra:legal_id,phone\nAB-12,0471\n")
    done = runner.invoke(args=[*words[:-1], "extra:legal_id"])
    assert (done.exit_code, "2 users have it: those with the ids 304 and 305" in done.output) == (1, True), done.output


def test_of_several_values_of_a_user_the_smallest_is_the_key(whole_campus: Campus, tmp_path: Any) -> None:
    insert = "INSERT INTO extra_field_values (field_id, item_id, field_value, created_at, updated_at) VALUES (403, 305, :value, NOW(), NOW())"
    for value in ("one", "two"):
        whole_campus.run(insert, value=value)
    (tmp_path / "users.csv").write_text("extra:internal_note,phone\none,1\ntwo,2\n")
    words = ("users", "import", str(tmp_path / "users.csv"), "--update", "--key", "extra:internal_note")
    done = whole_campus.app().test_cli_runner().invoke(args=words)
    assert (done.exit_code, [line[:6] for line in done.output.splitlines()[:-1]]) == (1, ["line 3", "line 3"])
