"""Creating, changing and deleting users: what is stored, and what happens in races."""
# ruff: noqa: RUF001 - look-alikes are what is tested

from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest
from answers import name_in, signed_in_as
from factories import Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import literal_column, select

from models import AccessUrlRelUser, User, UserAuthSource, UserRelUser
from models.user_table import UserTable

MERGE_PATCH = "application/merge-patch+json"
NEW = {"username": "Newcomer", "email": "New@Example.com", "plainPassword": "secret"}
TAKEN = [{"propertyPath": "username", "message": "This value is already used.", "code": "23bd9dbf-6b9b-41cd-a99e-4844bcf3077f"}]


def blind_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the check for a taken name find nothing, as when a concurrent request is faster."""
    looks, is_taken = iter([False]), UserTable.is_taken

    def look(*given: Any) -> bool:
        first = next(looks, None)
        return is_taken(*given) if first is None else first

    monkeypatch.setattr(UserTable, "is_taken", look)


@pytest.fixture
def headers(app: Flask, database: Database) -> dict[str, str]:
    return bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))


@pytest.fixture
def patch_headers(headers: dict[str, str]) -> dict[str, str]:
    return headers | {"Content-Type": MERGE_PATCH}


@pytest.fixture
def created(client: FlaskClient, headers: dict[str, str]) -> Any:
    """The answer to the request that creates NEW."""
    return client.post("/api/users", headers=headers, json=NEW)


def test_created_user_can_sign_in(client: FlaskClient, created: Any) -> None:
    answer = client.post("/api/authentication_token", json={"username": "newcomer", "password": "secret"})
    assert (created.status_code, answer.status_code) == (201, 200)


def test_created_user_is_where_location_says(client: FlaskClient, headers: dict[str, str], created: Any) -> None:
    assert created.headers["Location"] == created.headers["Content-Location"] == f"/api/users/{created.json['id']}"
    assert client.get(created.headers["Location"], headers=headers).json == created.json


def test_created_user_has_the_rows_that_chamilo_needs(database: Database, created: Any) -> None:
    user_id = created.json["id"]
    assert [(row.access_url_id, row.user_id) for row in database.rows(AccessUrlRelUser)][-1] == (1, user_id)
    assert [(row.authentication, row.url_id, row.user_id) for row in database.rows(UserAuthSource)][-1] == (
        "platform",
        1,
        user_id,
    )


def test_created_user_has_the_columns_that_chamilo_needs(database: Database, clock: Clock, created: Any) -> None:
    user = database.user(created.json["id"])
    assert (user.username, user.username_canonical, user.email_canonical) == ("Newcomer", "newcomer", "new@example.com")
    assert (user.created_at, user.updated_at, user.expires_at) == (clock(), clock(), clock())
    assert (user.locale, user.timezone, user.website, user.biography, user.active, user.status) == (
        "en_US",
        "Europe/Paris",
        "",
        "",
        1,
        5,
    )
    assert (len(user.salt), len(user.uuid), user.uuid[6] >> 4, user.roles) == (40, 16, 4, [])
    assert user.password_updated_at == clock()


def stored(database: Database, column: str, user_id: int) -> Any:
    """Return the raw value of a column."""
    with database.session() as session:
        return session.scalar(select(literal_column(column)).select_from(User).where(User.id == user_id))


def test_stored_dates_are_utc_without_a_zone(database: Database, created: Any) -> None:
    user = database.user(created.json["id"])
    assert str(stored(database, "created_at", user.id))[:19] == user.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def test_stored_roles_are_json(client: FlaskClient, database: Database, headers: dict[str, str]) -> None:
    answer = client.post("/api/users", headers=headers, json=NEW | {"roles": ["ROLE_STUDENT"]})
    assert stored(database, "roles", answer.json["id"]) == '["ROLE_STUDENT"]'


def test_user_without_a_password_cannot_sign_in(client: FlaskClient, headers: dict[str, str]) -> None:
    client.post("/api/users", headers=headers, json={"username": "new", "email": "new@example.com"})
    assert client.post("/api/authentication_token", json={"username": "new", "password": "x"}).status_code == 401


@pytest.mark.usefixtures("created")
@pytest.mark.parametrize("username", ["newcomer", "NEWCOMER", "Newcomer"])
def test_taken_name_is_422_in_any_case(client: FlaskClient, headers: dict[str, str], username: str) -> None:
    answer = client.post("/api/users", headers=headers, json=NEW | {"username": username})
    assert (answer.status_code, answer.json["violations"]) == (422, TAKEN)


@pytest.mark.usefixtures("created")
@pytest.mark.parametrize("username", ["newcomér", "newcomer ", "ｎewcomer"])
def test_similar_name_is_free(client: FlaskClient, headers: dict[str, str], username: str) -> None:
    assert name_in(client.post("/api/users", headers=headers, json=NEW | {"username": username}), 201) == username


@pytest.mark.usefixtures("created")
def test_email_need_not_be_unique(client: FlaskClient, headers: dict[str, str]) -> None:
    assert name_in(client.post("/api/users", headers=headers, json=NEW | {"username": "other"}), 201) == "other"


@pytest.mark.usefixtures("created")
def test_lost_race_for_a_new_name_is_422(
    client: FlaskClient, database: Database, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blind_once(monkeypatch)
    answer = client.post("/api/users", headers=headers, json=NEW)
    assert (answer.status_code, answer.json["violations"]) == (422, TAKEN)
    assert [user.username for user in database.rows(User)] == ["admin", "Newcomer"]


@pytest.mark.usefixtures("created")
def test_lost_race_for_another_name_is_422(
    client: FlaskClient, database: Database, patch_headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = database.make_user("other")
    blind_once(monkeypatch)
    answer = client.patch(f"/api/users/{other.id}", headers=patch_headers, json={"username": "NEWCOMER"})
    assert (answer.status_code, answer.json["violations"]) == (422, TAKEN)
    assert database.user(other.id).username == "other"


def test_own_name_may_change_its_case(client: FlaskClient, patch_headers: dict[str, str], created: Any) -> None:
    answer = client.patch(created.headers["Location"], headers=patch_headers, json={"username": "NEWCOMER"})
    assert (answer.status_code, answer.json["username"]) == (200, "NEWCOMER")


@pytest.mark.usefixtures("created")
def test_violations_come_in_the_order_of_the_contract(client: FlaskClient, headers: dict[str, str]) -> None:
    body = {"username": "newcomer", "email": "x", "firstname": "x" * 65}
    answer = client.post("/api/users", headers=headers, json=body)
    assert [(v["propertyPath"], v["message"]) for v in answer.json["violations"]] == [
        ("username", "This value is already used."),
        ("firstname", "This value is too long. It should have 64 characters or less."),
        ("email", "This value is not a valid email address."),
    ]


@pytest.mark.parametrize("username", ["", " ", "\t\n", "\u00a0"])
def test_blank_name_is_422(client: FlaskClient, headers: dict[str, str], username: str) -> None:
    answer = client.post("/api/users", headers=headers, json=NEW | {"username": username})
    assert (answer.status_code, answer.json["violations"][0]["code"]) == (422, "c1051bb4-d103-4f74-8988-acbcafc7fdc3")


def test_put_merges_like_patch(client: FlaskClient, database: Database, headers: dict[str, str]) -> None:
    user = database.make_user("other", firstname="Old", lastname="Name")
    client.put(f"/api/users/{user.id}", headers=headers, json={"firstname": "New"})
    assert (database.user(user.id).firstname, database.user(user.id).lastname) == ("New", "Name")


def test_password_change_is_dated(client: FlaskClient, database: Database, patch_headers: dict[str, str], clock: Clock) -> None:
    user = database.make_user("other", password="old")
    clock.advance(60)
    client.patch(f"/api/users/{user.id}", headers=patch_headers, json={"plainPassword": "new"})
    assert database.user(user.id).password_updated_at == clock()
    assert client.post("/api/authentication_token", json={"username": "other", "password": "old"}).status_code == 401
    assert signed_in_as(client.post("/api/authentication_token", json={"username": "other", "password": "new"})) == "other"


@pytest.mark.parametrize(("password", "status"), [("x" * 4096, 200), ("x" * 4097, 422), ("é" * 2048, 200), ("é" * 2049, 422)])
def test_password_over_4096_bytes_is_422(
    client: FlaskClient, database: Database, patch_headers: dict[str, str], password: str, status: int
) -> None:
    user = database.make_user("other")
    assert client.patch(f"/api/users/{user.id}", headers=patch_headers, json={"plainPassword": password}).status_code == status


def test_password_is_in_no_answer(client: FlaskClient, headers: dict[str, str], created: Any) -> None:
    listed = client.get("/api/users", headers=headers)
    assert not any(word in answer.text for answer in (created, listed) for word in ("secret", "$2y$", "plainPassword", "salt"))


@pytest.mark.parametrize("content_type", ["application/json", "application/ld+json", "text/plain", "application/json-patch+json"])
def test_patch_of_another_media_type_is_415(
    client: FlaskClient, database: Database, headers: dict[str, str], content_type: str
) -> None:
    user = database.make_user("other")
    answer = client.patch(f"/api/users/{user.id}", headers=headers | {"Content-Type": content_type}, data=b"{}")
    assert answer.status_code == 415


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null", b"\xff", b'{"a":1}x'])
def test_what_is_no_object_is_400(client: FlaskClient, database: Database, patch_headers: dict[str, str], body: bytes) -> None:
    user = database.make_user("other")
    answer = client.patch(f"/api/users/{user.id}", headers=patch_headers, data=body)
    assert (answer.status_code, answer.json["@type"]) == (400, "hydra:Error")


def test_soft_deleted_user_stays_for_administrators(
    client: FlaskClient, database: Database, patch_headers: dict[str, str]
) -> None:
    user = database.make_user("other")
    deleted = client.delete(f"/api/users/{user.id}", headers=patch_headers)
    edited = client.patch(f"/api/users/{user.id}", headers=patch_headers, json={"firstname": "Still"})
    assert (deleted.status_code, deleted.data, edited.json["active"], edited.json["firstname"]) == (204, b"", -2, "Still")


def test_soft_deleted_name_stays_taken(client: FlaskClient, database: Database, headers: dict[str, str]) -> None:
    user = database.make_user("other")
    client.delete(f"/api/users/{user.id}", headers=headers)
    assert client.post("/api/users", headers=headers, json=NEW | {"username": "OTHER"}).status_code == 422


def test_hard_delete_removes_the_user_and_what_hangs_on_it(make_app: Callable[..., Flask], database: Database) -> None:
    app, admin, user = make_app(USER_DELETE_MODE="hard"), database.make_user("admin", ["ROLE_ADMIN"]), database.make_user("other")
    database.link(user, admin, 3)
    database.link(admin, user, 8)
    path, headers, client = f"/api/users/{user.id}", bearer(app, admin), app.test_client()
    assert (client.delete(path, headers=headers).status_code, client.get(path, headers=headers).status_code) == (204, 404)
    assert database.rows(UserRelUser) == []
    assert {row.user_id for table in (AccessUrlRelUser, UserAuthSource) for row in database.rows(table)} == {admin.id}


def test_hard_deleted_name_is_free(make_app: Callable[..., Flask], database: Database) -> None:
    app, admin, user = make_app(USER_DELETE_MODE="hard"), database.make_user("admin", ["ROLE_ADMIN"]), database.make_user("other")
    headers, client = bearer(app, admin), app.test_client()
    client.delete(f"/api/users/{user.id}", headers=headers)
    assert name_in(client.post("/api/users", headers=headers, json=NEW | {"username": "other"}), 201) == "other"
