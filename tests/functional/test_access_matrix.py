"""Every role against every relation to another user: who lists, views, edits and deletes whom.

The expected answers are written from contract 5 and share nothing with blueprints/users/policy.py.
"""

from typing import Any

import pytest
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient

from models import User

ADMINS = {"ROLE_ADMIN", "ROLE_GLOBAL_ADMIN"}

#: Who lists everyone, with everything that is readable; HR because it includes TEACHER.
SEES_EVERYONE = ADMINS | {"ROLE_TEACHER", "ROLE_SESSION_MANAGER", "ROLE_HR"}

ROLES = (
    "ROLE_STUDENT",
    "ROLE_TEACHER",
    "ROLE_QUESTION_MANAGER",
    "ROLE_STUDENT_BOSS",
    "ROLE_INVITEE",
    "ROLE_SESSION_MANAGER",
    "ROLE_HR",
    "ROLE_ADMIN",
    "ROLE_GLOBAL_ADMIN",
    None,
)

#: relation: the links (from, to, type) between me, them and a third, and whether it alone makes them listed and viewable.
RELATIONS: dict[str, tuple[list[tuple[str, str, int]], bool, bool]] = {
    "own": ([], True, True),
    "friend": ([("me", "they", 3)], True, True),
    "friend the other way": ([("they", "me", 3)], True, True),
    "friend of a friend": ([("me", "third", 3), ("third", "they", 3)], False, True),
    "friend of a friend, all ways turned": ([("third", "me", 3), ("they", "third", 3)], False, True),
    "friend of a deleted friend": ([("me", "third", 6), ("third", "they", 3)], False, False),
    "friend of a boss": ([("me", "third", 8), ("third", "they", 3)], False, False),
    "boss": ([("me", "they", 8)], True, True),
    "boss the other way": ([("they", "me", 8)], True, True),
    "deleted friend": ([("me", "they", 6)], False, False),
    "deleted friend the other way": ([("they", "me", 6)], False, False),
    "good friend, of another type": ([("me", "they", 4)], True, False),
    "stranger": ([], False, False),
}

CASES = [(role, relation) for role in ROLES for relation in RELATIONS]

matrix = pytest.mark.parametrize(("role", "relation"), CASES)


@pytest.fixture
def people(database: Database, role: str | None, relation: str) -> tuple[User, User]:
    """The caller with the role, and the other one, linked as the relation says."""
    me = database.make_user("me", [role] if role else [])
    they = me if relation == "own" else database.make_user("they", ["ROLE_STUDENT"])
    named = {"me": me, "they": they, "third": database.make_user("third")}
    for user, friend, relation_type in RELATIONS[relation][0]:
        database.link(named[user], named[friend], relation_type)
    return me, they


@matrix
def test_list_shows_whom_the_contract_says(
    app: Flask, client: FlaskClient, people: tuple[User, User], role: str | None, relation: str
) -> None:
    me, they = people
    members = client.get("/api/users", headers=bearer(app, me)).json["hydra:member"]
    assert (they.id in [member["id"] for member in members]) == (role in SEES_EVERYONE or RELATIONS[relation][1])


@matrix
def test_item_is_viewed_by_whom_the_contract_says(
    app: Flask, client: FlaskClient, people: tuple[User, User], role: str | None, relation: str
) -> None:
    me, they = people
    answer = client.get(f"/api/users/{they.id}", headers=bearer(app, me))
    assert_allowed(answer, allowed=role in ADMINS or RELATIONS[relation][2], status=200)


@matrix
def test_item_is_edited_by_whom_the_contract_says(
    app: Flask, client: FlaskClient, database: Database, people: tuple[User, User], role: str | None, relation: str
) -> None:
    me, they = people
    headers = bearer(app, me, content_type="application/merge-patch+json")
    answer = client.patch(f"/api/users/{they.id}", headers=headers, json={"firstname": "New"})
    allowed = role in ADMINS or relation == "own"
    assert_allowed(answer, allowed=allowed, status=200)
    assert database.user(they.id).firstname == ("New" if allowed else None)


@matrix
def test_item_is_deleted_by_whom_the_contract_says(
    app: Flask, client: FlaskClient, database: Database, people: tuple[User, User], role: str | None, relation: str
) -> None:
    me, they = people
    answer = client.delete(f"/api/users/{they.id}", headers=bearer(app, me))
    refusal = "You cannot delete this user" if role in ADMINS else "Access Denied."
    assert_allowed(answer, allowed=role in ADMINS and relation != "own", status=204, refusal=refusal)
    assert database.user(they.id).active == (-2 if answer.status_code == 204 else 1)


@pytest.mark.parametrize("role", ROLES)
def test_only_administrators_create(app: Flask, client: FlaskClient, database: Database, role: str | None) -> None:
    headers = bearer(app, database.make_user("me", [role] if role else []))
    answer = client.post("/api/users", headers=headers, json={"username": "new", "email": "new@example.com"})
    assert_allowed(answer, allowed=role in ADMINS, status=201)


def assert_allowed(answer: Any, *, allowed: bool, status: int, refusal: str = "Access Denied.") -> None:
    if allowed:
        assert answer.status_code == status
    else:
        assert (answer.status_code, answer.json) == (403, {"error": refusal})


TO_ONESELF = "You cannot grant yourself the global admin role."
TO_OTHERS = "Only a global admin registered in the topmost access URL may grant the global admin role."

#: who grants ROLE_GLOBAL_ADMIN to whom, and what refuses it; None where nothing does.
GRANTS = {
    ("ROLE_ADMIN", "self"): TO_ONESELF,
    ("ROLE_ADMIN", "other"): TO_OTHERS,
    ("ROLE_ADMIN", "new"): TO_OTHERS,
    ("ROLE_ADMIN", "holder"): "Access Denied.",
    ("ROLE_GLOBAL_ADMIN", "self"): None,
    ("ROLE_GLOBAL_ADMIN", "other"): None,
    ("ROLE_GLOBAL_ADMIN", "new"): None,
    ("ROLE_GLOBAL_ADMIN", "holder"): None,
}


@pytest.mark.parametrize("spelling", ["ROLE_GLOBAL_ADMIN", " role_global_admin\t"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize(("granter", "receiver"), GRANTS)
def test_global_admin_is_granted_as_the_contract_says(
    app: Flask, client: FlaskClient, database: Database, granter: str, receiver: str, method: str, spelling: str
) -> None:
    me = database.make_user("me", [granter])
    holder = database.make_user("holder", ["ROLE_GLOBAL_ADMIN"])
    ids = {"self": me.id, "other": database.make_user("other").id, "holder": holder.id}
    headers = bearer(app, me, content_type="application/merge-patch+json" if method == "PATCH" else "application/json")
    body = {"username": receiver, "email": "new@example.com", "roles": ["ROLE_TEACHER", spelling]}
    if receiver == "new":
        answer = client.post("/api/users", headers=bearer(app, me), json=body)
    else:
        answer = client.open(f"/api/users/{ids[receiver]}", method=method, headers=headers, json=body)
    refusal = GRANTS[granter, receiver]
    if refusal is None:
        assert answer.json["roles"] == ["ROLE_TEACHER", "ROLE_GLOBAL_ADMIN", "ROLE_USER"]
    else:
        assert (answer.status_code, answer.json) == (403, {"error": refusal})
        assert [user.username for user in database.rows(User) if "ROLE_GLOBAL_ADMIN" in user.roles] == ["holder"]


@pytest.mark.parametrize("role", [role for role in ROLES if role not in ADMINS])
def test_nobody_else_grants_anything(app: Flask, client: FlaskClient, database: Database, role: str | None) -> None:
    me = database.make_user("me", [role] if role else [])
    headers = bearer(app, me, content_type="application/merge-patch+json")
    answer = client.patch(f"/api/users/{me.id}", headers=headers, json={"roles": ["ROLE_GLOBAL_ADMIN"]})
    assert answer.status_code == 200
    assert database.user(me.id).roles == me.roles
