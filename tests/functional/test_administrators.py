"""What administrators may not do to each other, to the last administrator, and with role names; on each database."""

from collections.abc import Callable
from typing import Any

import pytest
from answers import body_of, name_in
from factories import START, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models import User

MERGE_PATCH = "application/merge-patch+json"
DENIED = (403, {"error": "Access Denied."})
LAST = (403, {"error": "The last administrator cannot lose that role."})

Ask = Callable[..., TestResponse]


@pytest.fixture
def ask(app: Flask, client: FlaskClient) -> Ask:
    """Send a request from one user about another: `ask(me, "PATCH", they, {…})`, optionally to a subpath."""

    def asked(me: User, method: str, they: User, document: Any = None, behind: str = "") -> TestResponse:
        content_type = MERGE_PATCH if method == "PATCH" else "application/json"
        headers = bearer(app, me, content_type=content_type)
        return client.open(f"/api/users/{they.id}{behind}", method=method, headers=headers, json=document)

    return asked


def outcome(answer: TestResponse) -> tuple[int, Any]:
    return answer.status_code, answer.json


@pytest.fixture
def admin(database: Database) -> User:
    return database.make_user("admin", ["ROLE_ADMIN"])


@pytest.fixture
def owner(database: Database) -> User:
    return database.make_user("owner", ["ROLE_GLOBAL_ADMIN", "ROLE_TEACHER"])


TAKEOVERS = {
    "user name": {"username": "mine"},
    "case of the user name": {"username": "Owner"},
    "e-mail": {"email": "mine@example.com"},
    "roles": {"roles": ["ROLE_TEACHER"]},
    "more roles": {"roles": ["ROLE_TEACHER", "ROLE_GLOBAL_ADMIN", "ROLE_HR"]},
    "password": {"plainPassword": "mine"},
    "password among what is harmless": {"phone": "1", "plainPassword": "mine"},
}


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("document", TAKEOVERS.values(), ids=TAKEOVERS)
def test_administrator_takes_no_global_administrator_over(
    ask: Ask, database: Database, admin: User, owner: User, document: dict[str, Any], method: str
) -> None:
    assert outcome(ask(admin, method, owner, document)) == DENIED
    assert vars(database.user(owner.id)).items() >= {"username": "owner", "password": "", "phone": None}.items()
    assert database.user(owner.id).roles == owner.roles


@pytest.mark.parametrize(
    ("method", "behind", "document"),
    [("PATCH", "/password", {"password": "mine"}), ("PATCH", "/password", {}), ("DELETE", "", None)],
)
def test_administrator_neither_deletes_nor_sets_the_password_of_a_global_one(
    ask: Ask, database: Database, admin: User, owner: User, method: str, behind: str, document: Any
) -> None:
    assert outcome(ask(admin, method, owner, document, behind)) == DENIED
    assert (database.user(owner.id).active, database.user(owner.id).password) == (1, "")


def test_administrator_changes_the_rest_of_a_global_one_and_sends_whole_records_back(
    ask: Ask, database: Database, admin: User, owner: User
) -> None:
    record = ask(admin, "GET", owner).json
    document = record | {"phone": "+32", "roles": [" role_teacher", "ROLE_USER", "role_global_admin"], "plainPassword": ""}
    answer = ask(admin, "PUT", owner, document)
    shown = ["ROLE_TEACHER", "ROLE_GLOBAL_ADMIN", "ROLE_USER"]
    assert (answer.status_code, answer.json["phone"], answer.json["roles"]) == (200, "+32", shown)
    assert name_in(ask(admin, "PATCH", owner, {"expired": True})) == "owner"
    assert database.user(owner.id).phone == "+32"


def test_global_administrators_and_oneself_change_everything(ask: Ask, database: Database, owner: User) -> None:
    other = database.make_user("other", ["ROLE_GLOBAL_ADMIN"])
    assert name_in(ask(other, "PATCH", owner, {"email": "new@example.com", "plainPassword": "new"})) == "owner"
    assert name_in(ask(other, "PATCH", owner, {"password": "newer"}, "/password")) == "owner"
    assert name_in(ask(other, "PATCH", other, {"username": "renamed"})) == "renamed"
    assert ask(owner, "PATCH", database.user(other.id), {"roles": []}).status_code in {200, 401}


def test_global_administrator_deletes_another(ask: Ask, database: Database, owner: User) -> None:
    other = database.make_user("other", ["ROLE_GLOBAL_ADMIN"])
    assert ask(other, "DELETE", owner).status_code == 204


LOSSES = {"of all": [], "to another": ["ROLE_TEACHER"]}


@pytest.mark.parametrize("role", ["ROLE_ADMIN", "ROLE_GLOBAL_ADMIN"])
@pytest.mark.parametrize("roles", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("password", ["", "new"])
def test_last_administrator_keeps_the_role(
    ask: Ask, database: Database, app: Flask, role: str, roles: list[str], password: str
) -> None:
    me = database.make_user("me", [role])
    for name, columns in {
        "inactive": {"active": 0},
        "deleted": {"active": -2},
        "locked": {"locked": True},
        "expired": {"expiration_date": START},
    }.items():
        database.make_user(name, ["ROLE_ADMIN", "ROLE_GLOBAL_ADMIN"], **columns)
    database.make_user("lookalike", ["ROLE_ADMINISTRATIVE", "ROLE_ADMIN_"])
    turns = app.extensions["poort"].hashing.turns_total
    assert outcome(ask(me, "PATCH", me, {"roles": roles, "plainPassword": password})) == LAST
    assert database.user(me.id).roles == [role]
    assert app.extensions["poort"].hashing.turns_total == turns, "every refusal comes before the hash"
    assert body_of(ask(me, "PATCH", me, {"roles": [role, "ROLE_HR"]}))["roles"] == [role, "ROLE_HR", "ROLE_USER"]


@pytest.mark.parametrize("other", ["ROLE_ADMIN", "ROLE_GLOBAL_ADMIN"])
def test_one_of_two_administrators_may_lose_the_role(ask: Ask, database: Database, admin: User, other: str) -> None:
    database.make_user("other", [other])
    assert body_of(ask(admin, "PATCH", admin, {"roles": ["ROLE_TEACHER"]}))["roles"] == ["ROLE_TEACHER", "ROLE_USER"]
    assert database.user(admin.id).roles == ["ROLE_TEACHER"]


def test_administrator_who_does_not_count_may_be_changed(ask: Ask, database: Database, admin: User) -> None:
    gone = database.make_user("gone", ["ROLE_ADMIN"], active=0)
    assert body_of(ask(admin, "PATCH", gone, {"roles": []}))["roles"] == ["ROLE_USER"]
    assert ask(admin, "DELETE", gone).status_code == 204


def test_global_administrator_may_become_an_administrator(ask: Ask, database: Database) -> None:
    me = database.make_user("me", ["ROLE_GLOBAL_ADMIN"])
    assert body_of(ask(me, "PATCH", me, {"roles": ["ROLE_ADMIN"]}))["roles"] == ["ROLE_ADMIN", "ROLE_USER"]


def test_own_deletion_keeps_its_text(ask: Ask, admin: User) -> None:
    assert outcome(ask(admin, "DELETE", admin)) == (403, {"error": "You cannot delete this user"})


NOT_A_CHOICE = {
    "propertyPath": "roles",
    "message": "The value you selected is not a valid choice.",
    "code": "8e179f1b-97aa-4560-a02f-2a8b42e49df7",
}


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "ADMIN",
        "ROLE_",
        "ROLE",
        "ROLE_A B",
        "ROLE_A-B",
        "ROLE_É",
        "role_h\u0131gh",
        "ROLE_ß",
        f"ROLE_{'A' * 61}",
        "ROLE_A\n\u202eB",
        "a:1:{i:0;}",
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_what_is_no_name_of_a_role_is_refused(
    app: Flask, client: FlaskClient, database: Database, admin: User, name: str, method: str
) -> None:
    content_type = MERGE_PATCH if method == "PATCH" else "application/json"
    document = {"username": "new", "email": "new@example.com", "roles": ["ROLE_TEACHER", name]}
    path = f"/api/users/{admin.id}" if method == "PATCH" else "/api/users"
    answer = client.open(path, method=method, headers=bearer(app, admin, content_type=content_type), json=document)
    assert (answer.status_code, answer.json["violations"]) == (422, [NOT_A_CHOICE])
    assert [user.roles for user in database.rows(User)] == [["ROLE_ADMIN"]]


@pytest.mark.parametrize("name", ["ROLE_A", " role_x_1 ", f"ROLE_{'9' * 60}", "ROLE_USER", "ROLE_CURRENT_COURSE_TEACHER"])
def test_name_of_a_role_is_taken(ask: Ask, database: Database, admin: User, name: str) -> None:
    they = database.make_user("they")
    assert name_in(ask(admin, "PATCH", they, {"roles": [name]})) == "they"


def test_name_that_the_row_holds_already_passes(ask: Ask, database: Database, admin: User) -> None:
    they = database.make_user("they", ["odd name", "ROLE_TEACHER"])
    record = ask(admin, "GET", they).json
    assert name_in(ask(admin, "PUT", they, record)) == "they"
    assert name_in(ask(admin, "PATCH", they, {"roles": ["Odd Name", "ROLE_HR"]})) == "they"
    assert ask(admin, "PATCH", they, {"roles": ["another odd name"]}).status_code == 422
