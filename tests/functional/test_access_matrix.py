"""Every role against every relation to another user: who lists, views, edits and deletes whom.

The expected answers are written by hand (docs/compatibility.md) and share no code with blueprints/users/policy.py.
"""

import pytest
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models import User

ADMINS = {"ROLE_ADMIN", "ROLE_GLOBAL_ADMIN"}

#: Roles that list every user, with every readable field; HR because it includes TEACHER.
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

#: By relation: links (from, to, type) between me, them and a third user; whether it alone makes them listed; and viewable.
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

matrix = pytest.mark.parametrize("role", ROLES)


@pytest.fixture
def me(database: Database, role: str | None) -> User:
    """The caller, who has the role."""
    return database.make_user("me", [role] if role else [])


@pytest.fixture
def others(database: Database, me: User) -> dict[str, User]:
    """One user for each relation, linked to the caller directly or through a third user."""
    others = {}
    for number, (relation, (links, *_)) in enumerate(RELATIONS.items()):
        named = {"me": me, "they": me if relation == "own" else database.make_user(f"they{number}", ["ROLE_STUDENT"])}
        if any("third" in link for link in links):
            named["third"] = database.make_user(f"third{number}")
        for user, friend, relation_type in links:
            database.link(named[user], named[friend], relation_type)
        others[relation] = named["they"]
    return others


@matrix
def test_list_shows_whom_the_contract_says(
    app: Flask, client: FlaskClient, me: User, others: dict[str, User], role: str | None
) -> None:
    answer = client.get("/api/users", headers=bearer(app, me)).json
    listed = {member["id"] for member in answer["hydra:member"]}
    assert answer["hydra:totalItems"] == len(listed), "all are on one page"
    assert {relation: they.id in listed for relation, they in others.items()} == {
        relation: role in SEES_EVERYONE or is_listed for relation, (_, is_listed, _) in RELATIONS.items()
    }


@matrix
def test_item_is_viewed_by_whom_the_contract_says(
    app: Flask, client: FlaskClient, me: User, others: dict[str, User], role: str | None
) -> None:
    headers = bearer(app, me)
    outcomes = {relation: outcome_of(client.get(path_of(they), headers=headers)) for relation, they in others.items()}
    assert outcomes == {
        relation: (200, others[relation].username) if role in ADMINS or is_viewed else DENIED
        for relation, (_, _, is_viewed) in RELATIONS.items()
    }


@matrix
def test_item_is_edited_by_whom_the_contract_says(
    app: Flask, client: FlaskClient, database: Database, me: User, others: dict[str, User], role: str | None
) -> None:
    headers = bearer(app, me, content_type="application/merge-patch+json")
    body = {"firstname": "New"}
    outcomes = {
        relation: outcome_of(client.patch(path_of(they), headers=headers, json=body)) for relation, they in others.items()
    }
    allowed = {relation: role in ADMINS or relation == "own" for relation in RELATIONS}
    assert outcomes == {
        relation: (200, others[relation].username) if is_allowed else DENIED for relation, is_allowed in allowed.items()
    }
    assert {relation: database.user(they.id).firstname for relation, they in others.items()} == {
        relation: "New" if is_allowed else None for relation, is_allowed in allowed.items()
    }


@matrix
def test_item_is_deleted_by_whom_the_contract_says(
    app: Flask, client: FlaskClient, database: Database, me: User, others: dict[str, User], role: str | None
) -> None:
    headers = bearer(app, me)
    outcomes = {relation: outcome_of(client.delete(path_of(they), headers=headers)) for relation, they in others.items()}
    allowed = {relation: role in ADMINS and relation != "own" for relation in RELATIONS}
    refusal = (403, {"error": "You cannot delete this user"}) if role in ADMINS else DENIED
    assert outcomes == {relation: (204, None) if is_allowed else refusal for relation, is_allowed in allowed.items()}
    assert {relation: database.user(they.id).active for relation, they in others.items()} == {
        relation: -2 if is_allowed else 1 for relation, is_allowed in allowed.items()
    }


DENIED = (403, {"error": "Access Denied."})


def path_of(user: User) -> str:
    return f"/api/users/{user.id}"


def outcome_of(answer: TestResponse) -> tuple[int, object]:
    """Return the status, and the name of the user in the body, the body of a refusal, or None."""
    body = answer.json if answer.data else None
    return answer.status_code, body["username"] if answer.status_code == 200 else body


@pytest.mark.parametrize("role", ROLES)
def test_only_administrators_create(app: Flask, client: FlaskClient, database: Database, role: str | None) -> None:
    headers = bearer(app, database.make_user("me", [role] if role else []))
    answer = client.post("/api/users", headers=headers, json={"username": "new", "email": "new@example.com"})
    if role in ADMINS:
        assert (answer.status_code, answer.json["username"]) == (201, "new")
    else:
        assert (answer.status_code, answer.json) == DENIED


TO_ONESELF = "You cannot grant yourself the global admin role."
TO_OTHERS = "Only a global admin registered in the topmost access URL may grant the global admin role."

#: By granter and receiver of ROLE_GLOBAL_ADMIN: the text of the refusal, or None if it is granted.
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
    assert (answer.status_code, answer.json["username"]) == (200, "me")
    assert database.user(me.id).roles == me.roles
