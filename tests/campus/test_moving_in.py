"""`bin/poort users import --from-database` copies users, hashes and links into our own schema, and can be repeated."""

from typing import Any

import pytest
from answers import name_in, signed_in_as
from campus.campuses import Campus
from factories import Database, bearer
from flask.testing import FlaskCliRunner

from models import AccessUrl, AccessUrlRelUser, ExtraField, ExtraFieldValue, User, UserAuthSource, UserRelUser

pytestmark = pytest.mark.services


def move(runner: FlaskCliRunner, url: str) -> Any:
    return runner.invoke(args=["users", "import", "--from-database", url])


@pytest.fixture
def befriended(campus: Campus) -> Campus:
    campus.run(
        "INSERT INTO user_rel_user (user_id, friend_user_id, relation_type, created_at, updated_at) VALUES (2, 3, 3, NOW(), NOW())"
    )
    return campus


def test_users_hashes_and_links_arrive(befriended: Campus, runner: FlaskCliRunner, database: Database) -> None:
    done = move(runner, befriended.url)
    assert done.exit_code == 0, done.output
    theirs = befriended.run("SELECT id, username, password, salt, theme FROM `user` ORDER BY id")
    ours = [
        {"id": row.id, "username": row.username, "password": row.password, "salt": row.salt, "theme": row.theme}
        for row in database.rows(User)
    ]
    assert ours == theirs
    assert len(database.rows(AccessUrlRelUser)) == len(database.rows(UserAuthSource)) == len(theirs)
    assert [(link.user_id, link.friend_user_id, link.relation_type) for link in database.rows(UserRelUser)] == [(2, 3, 3)]
    assert [portal.url for portal in database.rows(AccessUrl)] == ["http://localhost/", "http://two.example/"]


def test_moving_again_changes_nothing(befriended: Campus, runner: FlaskCliRunner, database: Database) -> None:
    move(runner, befriended.url)
    before = [len(database.rows(table)) for table in (User, AccessUrlRelUser, UserAuthSource, UserRelUser, AccessUrl)]
    done = move(runner, befriended.url)
    assert "0 new links and 0 new values of extra fields" in done.output
    assert [len(database.rows(table)) for table in (User, AccessUrlRelUser, UserAuthSource, UserRelUser, AccessUrl)] == before


def test_who_is_here_already_stays_as_they_are(befriended: Campus, runner: FlaskCliRunner, database: Database) -> None:
    alice = database.make_user("Alice", ["ROLE_HR"], password="mine", id=3)
    move(runner, befriended.url)
    kept = database.user(alice.id)
    bob = next(user for user in database.rows(User) if user.username == "bob")
    assert (kept.username, kept.roles, kept.password) == ("Alice", ["ROLE_HR"], alice.password)
    assert bob.id != 3, "the id is taken in our schema"
    assert [(link.user_id, link.friend_user_id) for link in database.rows(UserRelUser)] == [(3, bob.id)]


def test_moved_user_signs_in(befriended: Campus, runner: FlaskCliRunner, database: Database, app: Any) -> None:
    move(runner, befriended.url)
    answer = app.test_client().post("/api/authentication_token", json={"username": "legsha", "password": "shapass"})
    assert signed_in_as(answer) == "legsha"
    assert name_in(app.test_client().get("/api/me", headers=bearer(app, database.user(2))))


@pytest.mark.parametrize("url", ["nonsense", "mysql://root:s3cret@127.0.0.1:1/none"])
def test_database_that_cannot_be_read_is_told(runner: FlaskCliRunner, database: Database, url: str) -> None:
    done = move(runner, url)
    assert (done.exit_code, "s3cret" in done.output, database.rows(User)) == (1, False, [])


def test_file_and_database_exclude_each_other(runner: FlaskCliRunner, database: Database) -> None:  # noqa: ARG001
    assert runner.invoke(args=["users", "import"]).exit_code == 2


def test_taken_ids_do_not_stop_the_move(befriended: Campus, runner: FlaskCliRunner, database: Database) -> None:
    for number in range(1, 9):
        database.make_user(f"ours{number}", [], id=number)
    done = move(runner, befriended.url)
    assert (done.exit_code, len(database.rows(User))) == (0, 60), done.output


def test_values_of_extra_fields_arrive_once(whole_campus: Campus, runner: FlaskCliRunner, database: Database) -> None:
    assert move(runner, whole_campus.url).exit_code == 0
    assert move(runner, whole_campus.url).exit_code == 0
    names = {field.id: field.variable for field in database.rows(ExtraField)}
    ours = {(row.user_id, names[row.field_id], row.value) for row in database.rows(ExtraFieldValue)}
    theirs = whole_campus.run(
        "SELECT item_id, variable, field_value FROM extra_field_values v JOIN extra_field f ON f.id = v.field_id"
        " WHERE f.item_type = 1 AND field_value IS NOT NULL"
    )
    assert ours == {(row["item_id"], row["variable"], row["field_value"]) for row in theirs}
    assert len(ours) >= 3


def test_of_fields_with_one_name_the_first_gives_its_spelling_and_values(
    whole_campus: Campus, runner: FlaskCliRunner, database: Database
) -> None:
    for field_id, name in ((407, "Unit"), (408, "UNIT")):
        whole_campus.run(
            "INSERT INTO extra_field (id, item_type, value_type, variable, created_at) VALUES (:id, 1, 1, :name, NOW())",
            id=field_id,
            name=name,
        )
        whole_campus.run(
            "INSERT INTO extra_field_values (field_id, item_id, field_value, created_at, updated_at)"
            " VALUES (:id, 302, :value, NOW(), NOW())",
            id=field_id,
            value=f"of {name}",
        )
    assert move(runner, whole_campus.url).exit_code == 0
    unit = next(field for field in database.rows(ExtraField) if field.variable_folded == "unit")
    values = [row.value for row in database.rows(ExtraFieldValue) if row.field_id == unit.id]
    assert (unit.variable, values) == ("Unit", ["of Unit"])


def test_links_come_in_chunks(
    befriended: Campus, runner: FlaskCliRunner, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.database.CHUNK", 10)
    assert (move(runner, befriended.url).exit_code, len(database.rows(AccessUrlRelUser))) == (0, 52)
