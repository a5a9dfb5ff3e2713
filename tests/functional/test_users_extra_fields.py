"""Extra fields of users in our own schema: the filter of lists, commands, files; the same on each database."""

import csv
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from factories import START, Database, bearer
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blueprints.users.operations import DELETE
from models import AuditRecord, ExtraField, ExtraFieldValue, User
from models.extra_fields import ExtraFields, UnknownExtraField, comparable, insert_field
from models.user_table import UserTable

UNEQUAL = "Extra field variables and values must have the same length."
TOO_MANY = "Too many search terms."

#: As in a campus's examples, by user name.
VALUES: dict[str, dict[str, str]] = {
    "teacher.uno": {"legal_id": "AB-12", "internal_note": "secret"},
    "alumna.dos": {"legal_id": "ab-12", "department": "sales"},
    "both.tres": {"department": "Sales"},
    "nowhere": {"department": ""},
}
FIELDS = ("legal_id", "department", "internal_note")


def create_fields(database: Database, *names: str) -> dict[str, int]:
    with database.session() as session:
        for name in names:
            insert_field(session, name, None, START)
    return {field.variable: field.id for field in database.rows(ExtraField)}


def give(database: Database, user: User, **values: str | None) -> None:
    """Set values of a user by field name."""
    fields = ExtraFields()
    with database.session() as session:
        ids = fields.resolve(session, values)
        fields.write_values(session, user.id, {ids[name]: value for name, value in values.items()}, START)


def values_in(database: Database) -> dict[tuple[int, int], str]:
    return {(row.user_id, row.field_id): row.value for row in database.rows(ExtraFieldValue)}


@pytest.fixture
def headers(app: Flask, database: Database) -> dict[str, str]:
    """Those of an administrator, beside four users with values."""
    create_fields(database, *FIELDS)
    for username, values in VALUES.items():
        give(database, database.make_user(username), **values)
    return bearer(app, database.make_user("root.admin", ["ROLE_ADMIN"]))


def pair(variable: str, value: str) -> str:
    return f"extrafield[]={quote(variable)}&extrafieldvalue[]={quote(value)}"


def found(client: FlaskClient, headers: dict[str, str], query: str) -> list[str]:
    answer = client.get(f"/api/users?{query}", headers=headers)
    assert answer.status_code == 200, answer.json
    names = [member["username"] for member in answer.json["hydra:member"]]
    assert answer.json["hydra:totalItems"] == len(names)
    return names


def refusal(client: FlaskClient, headers: dict[str, str], query: str) -> str:
    answer = client.get(f"/api/users?{query}", headers=headers)
    assert (answer.status_code, answer.json["@type"], answer.json["hydra:title"]) == (400, "hydra:Error", "An error occurred")
    return answer.json["hydra:description"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (pair("department", "sales"), ["alumna.dos", "both.tres"]),
        (pair("LEGAL_ID", "AB-12"), ["teacher.uno", "alumna.dos"]),
        (f"{pair('department', 'sales')}&{pair('legal_id', 'AB-12')}", ["alumna.dos"]),
        (f"{pair('department', 'sales')}&{pair('Department ', 'SALES')}", ["alumna.dos", "both.tres"]),
        (f"{pair('department', 'sales')}&{pair('department', 'care')}", []),
        (pair("dépärtment", "sÁles"), ["alumna.dos", "both.tres"]),
        (pair("department", "sales  "), ["alumna.dos", "both.tres"]),
        (pair("department", "\uff53\uff41les"), ["alumna.dos", "both.tres"]),
        (pair("department", " sales"), []),
        (pair("department", "sale"), []),
        (pair("department", "%"), []),
        (pair("department", "sale_"), []),
        (pair("department", "' OR 1=1 --"), []),
        (pair("department", "\0"), []),
        ("extrafield[]=department&extrafieldvalue[]=%FF", []),
        (pair("department", ""), ["nowhere"]),
        (pair("legal_id", ""), []),
        (pair("internal_note", "SECRET"), ["teacher.uno"]),
        ("extrafield=department&extrafieldvalue=sales", ["alumna.dos", "both.tres"]),
        ("extrafield=department&extrafieldvalue[]=sales", ["alumna.dos", "both.tres"]),
        ("extrafield[0]=department&extrafieldvalue[]=sales", ["alumna.dos", "both.tres"]),
        ("extrafield[7]=department&extrafieldvalue[7]=sales", ["alumna.dos", "both.tres"]),
        ("extrafield[a]=department&extrafieldvalue[a]=sales", ["alumna.dos", "both.tres"]),
        (
            "extrafield[0]=legal_id&extrafield[1]=department&extrafieldvalue[1]=sales&extrafieldvalue[0]=ab-12",
            ["alumna.dos"],
        ),
        ("extrafield=internal_note&extrafield=department&extrafieldvalue=x&extrafieldvalue=sales", ["alumna.dos", "both.tres"]),
        (f"{pair('department', 'sales')}&search=tres", ["both.tres"]),
        (f"{pair('department', 'sales')}&search=uno", []),
        (f"{pair('department', 'sales')}&isActive=1", ["alumna.dos", "both.tres"]),
        (f"{pair('department', 'sales')}&order[username]=desc", ["both.tres", "alumna.dos"]),
    ],
)
def test_query_finds(client: FlaskClient, headers: dict[str, str], query: str, names: list[str]) -> None:
    assert found(client, headers, query) == names


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("extrafield[]=department", UNEQUAL),
        ("extrafield=department", UNEQUAL),
        ("extrafieldvalue[]=sales", UNEQUAL),
        ("extrafieldvalue=", UNEQUAL),
        ("extrafield[]=nope", UNEQUAL),
        ("extrafield[]=department&extrafield[]=legal_id&extrafieldvalue[]=sales", UNEQUAL),
        ("extrafield[0]=department&extrafieldvalue[1]=sales", UNEQUAL),
        ("extrafield[a]=department&extrafieldvalue[]=sales", UNEQUAL),
        ("extrafield[0][]=department&extrafieldvalue[0][]=sales", UNEQUAL),
        ("extrafield[]=department&extrafieldvalue[0][]=sales", UNEQUAL),
        (pair("nope", "1"), 'Extra field "nope" not found.'),
        (pair("", "1"), 'Extra field "" not found.'),
        (pair("dépärt", ""), 'Extra field "dépärt" not found.'),
        (pair("department%", "sales"), 'Extra field "department%" not found.'),
        (f"{pair('department', 'sales')}&{pair('First', '')}&{pair('second', '')}", 'Extra field "First" not found.'),
        ("&".join([pair("department", "sales")] * 21), TOO_MANY),
        ("&".join([pair("nope", "x")] * 21), TOO_MANY),
        (f"{'&'.join([pair('department', 'sales')] * 19)}&search=a&email=b", TOO_MANY),
        ("&".join(pair(f"nope{number}", "") for number in range(21)), TOO_MANY),
    ],
)
def test_query_is_refused(client: FlaskClient, headers: dict[str, str], query: str, message: str) -> None:
    assert refusal(client, headers, query) == message


def test_twenty_terms_are_looked_for_and_empty_values_are_none(client: FlaskClient, headers: dict[str, str]) -> None:
    twenty = [pair("department", "sales")] * 20
    assert found(client, headers, "&".join(twenty)) == ["alumna.dos", "both.tres"]
    assert found(client, headers, "&".join([*twenty, pair("department", "")])) == []
    assert found(client, headers, "&".join([pair("department", "")] * 30)) == ["nowhere"]


def test_twenty_different_pairs_are_looked_for(client: FlaskClient, database: Database, headers: dict[str, str]) -> None:
    names = [f"field{number}" for number in range(20)]
    create_fields(database, *names)
    user = database.make_user("all")
    give(database, user, **{name: name.upper() for name in names})
    assert found(client, headers, "&".join(pair(name, name) for name in names)) == ["all"]
    give(database, user, field7=None)
    assert found(client, headers, "&".join(pair(name, name) for name in names)) == []


def test_failure_has_the_shape_that_is_accepted(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.get(f"/api/users?{pair('nope', '1')}", headers=headers | {"Accept": "application/json"})
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert answer.get_json(force=True)["detail"] == 'Extra field "nope" not found.'


def test_totals_pages_and_links_hold(client: FlaskClient, headers: dict[str, str]) -> None:
    query = pair("department", "sales")
    first = client.get(f"/api/users?{query}&itemsPerPage=1", headers=headers).json
    assert ([member["username"] for member in first["hydra:member"]], first["hydra:totalItems"]) == (["alumna.dos"], 2)
    following = first["hydra:view"]["hydra:next"]
    assert following == ("/api/users?extrafield%5B%5D=department&extrafieldvalue%5B%5D=sales&itemsPerPage=1&page=2")
    second = client.get(following, headers=headers).json
    assert ([member["username"] for member in second["hydra:member"]], second["hydra:totalItems"]) == (["both.tres"], 2)
    assert client.get(f"/api/users?{query}&itemsPerPage=0", headers=headers).json["hydra:totalItems"] == 2


@pytest.mark.parametrize("role", ["ROLE_TEACHER", "ROLE_HR", "ROLE_SESSION_MANAGER", "ROLE_GLOBAL_ADMIN"])
@pytest.mark.usefixtures("headers")
def test_privileged_caller_filters(app: Flask, client: FlaskClient, database: Database, role: str) -> None:
    caller = bearer(app, database.make_user("caller", [role]))
    assert found(client, caller, pair("department", "sales")) == ["alumna.dos", "both.tres"]


@pytest.mark.parametrize(
    "query",
    [
        pair("nope", "1"),
        pair("internal_note", "secret"),
        pair("department", "no such value"),
        "extrafield[]=department",
        "extrafieldvalue[0][x]=1",
        "&".join([pair("department", "sales")] * 30),
    ],
)
@pytest.mark.usefixtures("headers")
def test_others_find_nothing_out(app: Flask, client: FlaskClient, database: Database, query: str) -> None:
    me = database.make_user("me", ["ROLE_STUDENT"])
    database.link(me, database.make_user("friend"), 3)
    assert found(client, bearer(app, me), query) == ["me", "friend"]


def test_value_of_any_length_is_compared_whole(client: FlaskClient, database: Database, headers: dict[str, str]) -> None:
    user = database.make_user("long")
    for long in ("x" * 335, "x" * 336, "x" * 400, "é" * 3000):
        give(database, user, department=f"{long}Y  ")
        assert found(client, headers, pair("department", f"{long}y")) == ["long"]
        for other in (long, f"{long}z", f"{long}yy", comparable(f"{long}y") + "0"):
            assert found(client, headers, pair("department", other)) == []


def test_form_of_a_long_value_is_no_value() -> None:
    long = comparable("x" * 336)
    assert (len(long), comparable("x" * 337) != long, comparable(long) != long) == (400, True, True)
    assert comparable("x" * 335) == "x" * 335


def test_filter_is_documented_and_not_in_the_search_template(client: FlaskClient, headers: dict[str, str]) -> None:
    mapping = client.get("/api/users", headers=headers).json["hydra:search"]["hydra:mapping"]
    assert not [line for line in mapping if line["variable"].startswith("extra")]
    parameters = client.get("/api/docs.json").json["paths"]["/api/users"]["get"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in parameters}
    texts = {"type": "array", "items": {"type": "string"}}
    assert schemas["extrafield[]"] == schemas["extrafieldvalue[]"] == texts


# --- The tables


def test_names_are_unique_without_case_and_accents(database: Database) -> None:
    create_fields(database, "Département")
    with pytest.raises(IntegrityError):
        create_fields(database, "departement ")


def test_fields_are_resolved_by_name(database: Database) -> None:
    ids = create_fields(database, *FIELDS)
    with database.session() as session:
        assert ExtraFields().resolve(session, ["LEGAL_ID", "department"]) == {
            "LEGAL_ID": ids["legal_id"],
            "department": ids["department"],
        }
        with pytest.raises(UnknownExtraField, match=r"^first$"):
            ExtraFields().resolve(session, ["legal_id", "first", "second"])


def test_values_are_set_changed_and_removed(database: Database) -> None:
    ids, user = create_fields(database, *FIELDS), database.make_user("zoe")
    give(database, user, legal_id="1", department="")
    give(database, user, legal_id="Zwei", department=None, internal_note=None)
    assert values_in(database) == {(user.id, ids["legal_id"]): "Zwei"}


def test_values_of_many_are_inserted(database: Database) -> None:
    ids, users = create_fields(database, "badge"), [database.make_user(name) for name in ("one", "two")]
    with database.session() as session:
        ExtraFields().insert_values(session, [(user.id, ids["badge"], user.username) for user in users], START)
        ExtraFields().insert_values(session, [], START)
    assert sorted(values_in(database).values()) == ["one", "two"]


@pytest.mark.parametrize(("mode", "left"), [("hard", 4), ("soft", 6)])
def test_values_go_with_a_user_who_is_deleted_for_good(
    make_app: Any, database: Database, headers: dict[str, str], mode: str, left: int
) -> None:
    app = make_app(USER_DELETE_MODE=mode)
    (user,) = [row for row in database.rows(User) if row.username == "alumna.dos"]
    assert app.test_client().delete(f"/api/users/{user.id}", headers=headers).status_code == DELETE.status
    assert len(values_in(database)) == left


def test_value_is_found_in_an_index(database: Database) -> None:
    ids = create_fields(database, "badge", "other")
    with database.session() as session:
        rows = [{"username": f"user{number}", "email": "x@example.com"} for number in range(3000)]
        UserTable(is_campus=False).insert_many(session, rows, START)
        users = session.scalars(select(User.id)).all()
        values = [(user_id, field_id, f"value {user_id}") for user_id in users for field_id in ids.values()]
        ExtraFields().insert_values(session, values, START)
    with Session(database.engine) as session:
        session.execute(text("ANALYZE TABLE extra_field_value" if database.kind in {"mariadb", "mysql"} else "ANALYZE"))
        chosen = select(User.id).where(*ExtraFields().matching(session, [("badge", "value 7")]))
        statement = chosen.compile(database.engine, compile_kwargs={"literal_binds": True})
        word = "EXPLAIN QUERY PLAN" if database.kind == "sqlite" else "EXPLAIN"
        plan = str(session.execute(text(f"{word} {statement}")).all())
    assert "ix_extra_field_value_folded" in plan, plan


# --- Commands


def run(runner: FlaskCliRunner, *words: str) -> Any:
    return runner.invoke(args=["extra-fields", *words])


def events(database: Database) -> list[tuple[str, Any]]:
    return [(record.event, record.details) for record in database.rows(AuditRecord)]


def test_field_is_created_and_listed(runner: FlaskCliRunner, database: Database) -> None:
    done = run(runner, "create", "Legal_Id", "--label", "Legal\tnumber")
    assert (done.exit_code, done.output) == (0, "Extra field Legal_Id created.\n"), done.output
    assert run(runner, "create", "badge").exit_code == 0
    give(database, database.make_user("zoe"), legal_id="")
    assert run(runner, "list").output == "badge\t\t0\nLegal_Id\tLegal\\tnumber\t1\n"
    assert events(database)[0] == ("extra_field_created", {"fields": ["extra:Legal_Id"]})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["LÉGAL_id "], "There is an extra field 'LÉGAL_id ' already."),
        (["  "], "VARIABLE must not be blank."),
        (["x" * 256], "VARIABLE has more than 255 characters."),
        (["\udcff"], "VARIABLE contains half a surrogate pair."),
        (["badge", "--label", "x" * 256], "--label has more than 255 characters."),
    ],
)
def test_field_is_not_created(runner: FlaskCliRunner, database: Database, words: list[str], sentence: str) -> None:
    create_fields(database, "legal_id")
    done = run(runner, "create", *words)
    assert (done.exit_code, done.output) == (1, f"Error: {sentence}\n")
    assert (len(database.rows(ExtraField)), events(database)) == (1, [])


def test_value_is_set_and_removed_with_an_event_each(runner: FlaskCliRunner, database: Database) -> None:
    ids, user = create_fields(database, "legal_id"), database.make_user("zoe")
    key, changed = (user.id, ids["legal_id"]), ("user_changed", {"fields": ["extra:LEGAL_ID"]})
    for value, said in (("AB-12", "zoe has the value in LEGAL_ID.\n"), ("", "zoe has the value in LEGAL_ID.\n")):
        done = run(runner, "set", "zoe", "LEGAL_ID", value)
        assert (done.exit_code, done.output, values_in(database)) == (0, said, {key: value})
    assert run(runner, "set", "zoe", "LEGAL_ID", "").output == "zoe has the value in LEGAL_ID already.\n"
    assert run(runner, "set", "zoe", "LEGAL_ID", "--unset").output == "zoe has no value in LEGAL_ID.\n"
    assert run(runner, "set", "zoe", "LEGAL_ID", "--unset").output == "zoe has no value in LEGAL_ID already.\n"
    assert (values_in(database), events(database)) == ({}, [changed] * 3)
    assert "AB-12" not in str([vars(record) for record in database.rows(AuditRecord)])


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["zoe", "nope", "1"], 1, "There is no extra field 'nope'."),
        (["zoe", "\udcff", "1"], 1, r"There is no extra field '\udcff'."),
        (["nobody", "legal_id", "1"], 1, "There is no user 'nobody'."),
        (["zoe", "legal_id", "\udcff"], 1, "VALUE contains half a surrogate pair."),
        (["zoe", "legal_id"], 2, "Give either a value or --unset."),
        (["zoe", "legal_id", "1", "--unset"], 2, "Give either a value or --unset."),
    ],
)
def test_value_is_not_set(runner: FlaskCliRunner, database: Database, words: list[str], code: int, sentence: str) -> None:
    create_fields(database, "legal_id")
    database.make_user("zoe")
    done = run(runner, "set", *words)
    assert (done.exit_code, sentence in done.output, values_in(database), events(database)) == (code, True, {}, [])


@pytest.mark.parametrize("words", [["-\x1b[31m"], ["create", "a\u202e\x1b[31m"], ["set", "\x9b31m", "\u2028", "1"]])
def test_no_word_moves_the_cursor(runner: FlaskCliRunner, words: list[str]) -> None:
    for _ in range(2):
        assert all(line.isprintable() for line in run(runner, *words).output.split("\n"))
    assert all(cell.isprintable() for cell in run(runner, "list").output.replace("\t", "").split("\n"))


# --- Files

ODD_FIELDS = {'an "odd", name\n\\x': "\\N", "empty": "", "extra:nested": 'a\r\nb,"c"', "formula": "=1+1", "Légal": " ab "}


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_exported_values_read_back_identically(runner: FlaskCliRunner, database: Database, tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"first.{suffix}", tmp_path / f"second.{suffix}"
    create_fields(database, *ODD_FIELDS)
    give(database, database.make_user("odd"), **ODD_FIELDS)
    give(database, database.make_user("half"), Légal="x" * 5000)
    database.make_user("none")
    before = {(row.user_id, row.value): row.value_folded for row in database.rows(ExtraFieldValue)}
    assert runner.invoke(args=["users", "export", str(first)]).exit_code == 0
    database.clean()
    create_fields(database, *reversed(ODD_FIELDS))
    done = runner.invoke(args=["users", "import", str(first)])
    assert done.exit_code == 0, done.output
    runner.invoke(args=["users", "export", str(second)])
    assert first.read_bytes() == second.read_bytes()
    assert {(row.user_id, row.value): row.value_folded for row in database.rows(ExtraFieldValue)} == before


def test_columns_of_files_are_named_after_the_fields(runner: FlaskCliRunner, database: Database, tmp_path: Path) -> None:
    create_fields(database, "Zip", "badge")
    give(database, database.make_user("zoe"), zip="9000")
    for suffix in ("json", "csv"):
        runner.invoke(args=["users", "export", str(tmp_path / f"users.{suffix}")])
    (user,) = json.loads((tmp_path / "users.json").read_text())
    assert {name: value for name, value in user.items() if name.startswith("extra:")} == {"extra:Zip": "9000"}
    header, row = csv.reader((tmp_path / "users.csv").read_text().splitlines())
    assert (header[-2:], row[-2:]) == (["extra:badge", "extra:Zip"], ["", "9000"])


def import_text(runner: FlaskCliRunner, tmp_path: Path, name: str, content: str) -> Any:
    (tmp_path / name).write_text(content)
    return runner.invoke(args=["users", "import", str(tmp_path / name)])


def test_file_brings_values_by_any_spelling_of_a_name(runner: FlaskCliRunner, database: Database, tmp_path: Path) -> None:
    ids = create_fields(database, "legal_id", "badge")
    rows = "username,email,extra:LEGAL_ID,extra:badge\none,one@example.com,1,\ntwo,two@example.com,\\E,\\N\n"
    assert import_text(runner, tmp_path, "users.csv", rows).exit_code == 0
    more = [{"username": "three", "email": "three@example.com", "extra:Legal_Id": "3", "extra:badge": None}]
    assert import_text(runner, tmp_path, "users.json", json.dumps(more)).exit_code == 0
    users = {user.username: user.id for user in database.rows(User)}
    assert values_in(database) == {
        (users[name], ids["legal_id"]): value for name, value in (("one", "1"), ("two", ""), ("three", "3"))
    }


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.csv", "username,email,extra:nope\none,one@example.com,\n", "line 2: extra:nope: is not an extra field"),
        ("a.csv", "username,email,extra:\none,one@example.com,1\n", "line 2: extra:: is not an extra field"),
        (
            "a.csv",
            "username,email,extra:badge,extra:BADGE\none,one@example.com,1,2\n",
            "line 2: extra:BADGE: appears twice",
        ),
        (
            "a.csv",
            "username,email,extra:badge\none,one@example.com,1\ntwo,two@example.com,2,3\n",
            "line 3: -: has more cells than the header",
        ),
        (
            "a.json",
            '[{"username":"one","email":"one@example.com","extra:nope":"1"}]',
            "index 0: extra:nope: is not an extra field",
        ),
        (
            "a.json",
            r'[{"username":"a","email":"a@example.com","extra:\ud800":"1"}]',
            r"index 0: extra:\ud800: is not an extra field",
        ),
        (
            "a.json",
            r'[{"username":"a","email":"a@example.com","extra:\u0000":"1"}]',
            r"index 0: extra:\x00: is not an extra field",
        ),
        ("a.json", '[{"username":"one","email":"one@example.com","extra:badge":1}]', "index 0: extra:badge: must be text"),
        ("a.json", '[{"username":"one","email":"one@example.com","extra:badge":["1"]}]', "index 0: extra:badge: must be text"),
        ("a.json", '[{"username":"one","email":"one@example.com","extra:badge":"\\u0000"}]', "extra:badge: contains a NUL"),
        ("a.json", '[{"username":"one","email":"one@example.com","extra:badge":"\\ud800"}]', "extra:badge: contains half"),
        ("a.json", '[{"username":"one","email":"one@example.com","extra":{"badge":"1"}}]', "index 0: extra: is not a column"),
    ],
)
def test_fault_of_a_file_is_named_and_nothing_written(
    runner: FlaskCliRunner, database: Database, tmp_path: Path, name: str, content: str, fault: str
) -> None:
    create_fields(database, "badge")
    done = import_text(runner, tmp_path, name, content)
    assert (done.exit_code, fault in done.output) == (1, True), done.output
    assert (database.rows(User), values_in(database), events(database)) == ([], {}, [])
