"""Which fields a caller can read and write, by role."""

from datetime import UTC, datetime
from typing import Any

import pytest
from answers import body_of
from factories import START, Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient

from models import User

READ = [
    "illustrationUrl",
    "id",
    "username",
    "firstname",
    "lastname",
    "website",
    "biography",
    "locale",
    "timezone",
    "email",
    "expired",
    "expiresAt",
    "phone",
    "address",
    "lastLogin",
    "roles",
    "active",
    "fullName",
    "passwordUpdatedAt",
]
PUBLIC = ["illustrationUrl", "id", "username", "firstname", "lastname", "fullName"]
FILLED = {
    "firstname": "Alice",
    "lastname": "Liddell",
    "phone": "1",
    "address": "2",
    "last_login": START,
    "password_updated_at": START,
}
MERGE_PATCH = "application/merge-patch+json"


@pytest.mark.parametrize(
    ("role", "fields"), [("ROLE_ADMIN", READ), ("ROLE_TEACHER", READ), ("ROLE_STUDENT", PUBLIC), ("ROLE_STUDENT_BOSS", PUBLIC)]
)
def test_list_shows_the_fields_of_the_role(
    app: Flask, client: FlaskClient, database: Database, role: str, fields: list[str]
) -> None:
    headers = bearer(app, database.make_user("me", [role], **FILLED))
    assert list(client.get("/api/users", headers=headers).json["hydra:member"][0]) == ["@id", "@type", *fields]


def test_item_shows_all_that_is_readable_to_a_friend(app: Flask, client: FlaskClient, database: Database) -> None:
    me, friend = database.make_user("me"), database.make_user("friend", **FILLED)
    database.link(me, friend, 3)
    answer = client.get(f"/api/users/{friend.id}", headers=bearer(app, me, accept="application/json"))
    assert list(answer.json) == READ


def test_fields_without_a_value_are_left_out(app: Flask, client: FlaskClient, database: Database) -> None:
    me = database.make_user("me")
    answer = client.get(f"/api/users/{me.id}", headers=bearer(app, me, accept="application/json"))
    assert set(READ) - set(answer.json) == {"firstname", "lastname", "phone", "address", "lastLogin", "passwordUpdatedAt"}


def test_full_name_of_nobody_is_one_space(app: Flask, client: FlaskClient, database: Database) -> None:
    me = database.make_user("me")
    assert client.get(f"/api/users/{me.id}", headers=bearer(app, me)).json["fullName"] == " "


#: A valid value for every column of the table and every property on the wire.
EVERYTHING: dict[str, Any] = {
    **{column.name: "1" for column in User.__table__.columns},
    "id": 1000,
    "firstname": "New",
    "lastname": "Name",
    "email": "new@example.com",
    "website": "https://new.example.com",
    "biography": "New.",
    "locale": "de_DE",
    "timezone": "UTC",
    "phone": "1",
    "address": "2",
    "plainPassword": "newpass",
    "username": "newname",
    "expired": True,
    "expiresAt": "2031-01-01T00:00:00+00:00",
    "roles": ["ROLE_TEACHER"],
    "active": -1,
    "status": 1,
    "locked": True,
    "lastLogin": "2031-01-01T00:00:00+00:00",
    "passwordUpdatedAt": "2031-01-01T00:00:00+00:00",
    "illustrationUrl": "/img/evil.svg",
    "fullName": "Evil",
    "isActive": False,
    "@id": "/api/users/1000",
}

SELF_EDIT = {"firstname", "lastname", "email", "website", "biography", "locale", "timezone", "phone", "address"}
FOLLOWS = {
    "firstname_folded",
    "lastname_folded",
    "email_folded",
    "email_canonical",
    "password",
    "password_updated_at",
    "updated_at",
}
ADMIN_EDIT = SELF_EDIT | {"username", "expired", "expires_at", "roles"}


@pytest.mark.parametrize(
    ("role", "changed"),
    [("ROLE_STUDENT", SELF_EDIT | FOLLOWS), ("ROLE_ADMIN", ADMIN_EDIT | FOLLOWS | {"username_folded", "username_canonical"})],
)
def test_patch_of_every_column_changes_what_the_contract_allows(
    app: Flask, client: FlaskClient, database: Database, clock: Clock, role: str, changed: set[str]
) -> None:
    me = database.make_user("me", [role])
    database.make_user("another", ["ROLE_ADMIN"])  # the last administrator could not lose the role
    clock.advance(10)
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json=EVERYTHING)
    assert body_of(answer)["id"] == me.id
    now = database.user(me.id)
    assert {name for name in vars(now) if not name.startswith("_") and getattr(now, name) != getattr(me, name)} == changed


def test_post_of_every_column_sets_what_the_contract_allows(app: Flask, client: FlaskClient, database: Database) -> None:
    headers = bearer(app, database.make_user("me", ["ROLE_ADMIN"]))
    body = client.post("/api/users", headers=headers | {"Accept": "application/json"}, json=EVERYTHING).json
    user = database.user(body["id"])
    assert (user.active, user.status, user.locked, user.last_login, user.api_token, user.mfa_secret) == (
        1,
        5,
        False,
        None,
        None,
        None,
    )


def test_client_may_send_back_the_record_it_read(app: Flask, client: FlaskClient, database: Database) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"], **FILLED)
    record = client.get(f"/api/users/{me.id}", headers=bearer(app, me)).json
    answer = client.put(f"/api/users/{me.id}", headers=bearer(app, me), json=record | {"id": str(me.id)})
    assert answer.json == record


def test_ignored_keys_are_not_even_read(app: Flask, client: FlaskClient, database: Database) -> None:
    me = database.make_user("me")
    headers = bearer(app, me, content_type=MERGE_PATCH)
    answer = client.patch(f"/api/users/{me.id}", headers=headers, json={"roles": 7, "username": [], "firstname": "A"})
    assert (answer.status_code, answer.json["firstname"]) == (200, "A")


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2030-01-01T00:00:00+02:00", datetime(2029, 12, 31, 22, tzinfo=UTC)),
        ("2030-01-01T00:00:00Z", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01t00:00:00.999-00:30", datetime(2030, 1, 1, 0, 30, tzinfo=UTC)),
    ],
)
def test_dates_are_converted_to_utc(app: Flask, client: FlaskClient, database: Database, sent: str, stored: datetime) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"])
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={"expiresAt": sent})
    assert answer.json["expiresAt"] == stored.isoformat()
    assert database.user(me.id).expires_at == stored


@pytest.mark.parametrize("sent", ["tomorrow", "2030-13-01T00:00:00Z", "0999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", ""])
def test_what_is_no_date_is_400(app: Flask, client: FlaskClient, database: Database, sent: str) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"])
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={"expiresAt": sent})
    assert answer.status_code == 400


@pytest.mark.parametrize("date", ["1000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_dates_at_the_ends_of_time_are_kept(app: Flask, client: FlaskClient, database: Database, date: str) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"])
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={"expiresAt": date})
    assert (answer.status_code, answer.json["expiresAt"]) == (200, date.replace("Z", "+00:00"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("website", None, 'The type of the "website" attribute must be "string", "NULL" given.'),
        ("firstname", 1, 'The type of the "firstname" attribute must be "string", "integer" given.'),
        ("firstname", 1.5, 'The type of the "firstname" attribute must be "string", "double" given.'),
        ("firstname", True, 'The type of the "firstname" attribute must be "string", "boolean" given.'),
        ("firstname", [], 'The type of the "firstname" attribute must be "string", "array" given.'),
        ("firstname", {}, 'The type of the "firstname" attribute must be "string", "array" given.'),
        ("expired", 1, 'The type of the "expired" attribute must be "bool", "integer" given.'),
        ("expired", "true", 'The type of the "expired" attribute must be "bool", "string" given.'),
    ],
)
def test_wrong_type_is_named_as_php_names_it(
    app: Flask, client: FlaskClient, database: Database, name: str, value: Any, message: str
) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"])
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={name: value})
    assert (answer.status_code, answer.json["hydra:description"]) == (400, message)


LENGTHS = {
    "username": 100,
    "firstname": 64,
    "lastname": 64,
    "website": 255,
    "locale": 10,
    "timezone": 64,
    "phone": 64,
    "address": 250,
}


@pytest.mark.parametrize("character", ["x", "é", "\N{GRINNING FACE}"])
@pytest.mark.parametrize("name", LENGTHS)
def test_length_is_counted_in_characters(app: Flask, client: FlaskClient, database: Database, name: str, character: str) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"])
    path, headers = f"/api/users/{me.id}", bearer(app, me, content_type=MERGE_PATCH)
    too_long = client.patch(path, headers=headers, json={name: character * (LENGTHS[name] + 1)})
    assert too_long.json["violations"] == [
        {
            "propertyPath": name,
            "message": f"This value is too long. It should have {LENGTHS[name]} characters or less.",
            "code": "d94b19cc-114f-4f44-9cc4-4138e80a87b9",
        }
    ]
    assert body_of(client.patch(path, headers=headers, json={name: character * LENGTHS[name]}))[name] == character * LENGTHS[name]


#: Texts that have broken databases: longer in lower case, or with characters that some database refuses.
ODD_TEXTS = [
    "a\0b",
    "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}" * 100,
    "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 60,
    "\ufeffx",
    "\u202ex",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize("name", ["username", "firstname", "biography", "plainPassword"])
def test_odd_text_is_no_server_error(app: Flask, client: FlaskClient, database: Database, name: str, text: str) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"])
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={name: text})
    assert answer.status_code in {200, 400, 422}


def test_email_that_grows_in_lower_case_is_no_server_error(app: Flask, client: FlaskClient, database: Database) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"])
    email = "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}" * 30 + "@" + "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}" * 20 + ".com"
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={"email": email})
    assert answer.status_code in {200, 422}


@pytest.mark.parametrize("value", [None, ""])
def test_empty_password_changes_nothing(app: Flask, client: FlaskClient, database: Database, value: str | None) -> None:
    me = database.make_user("me", password="secret")
    client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={"plainPassword": value})
    assert (database.user(me.id).password, database.user(me.id).password_updated_at) == (me.password, None)


def test_roles_are_cleaned_before_they_are_stored(app: Flask, client: FlaskClient, database: Database) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"])
    roles = [" role_admin ", "ROLE_ADMIN", "ROLE_USER", "ROLE_CURRENT_COURSE_TEACHER", "role_hr"]
    client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={"roles": roles})
    assert database.user(me.id).roles == ["ROLE_ADMIN", "ROLE_HR"]
