"""GET /api/me, PATCH /api/users/{id}/password, POST /api/access_urls/{id}/user, and the password policy."""

from collections.abc import Callable
from typing import Any

import pytest
from answers import name_in, signed_in_as
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient

from models import AccessUrl, AccessUrlRelUser, User, UserAuthSource

MERGE_PATCH = "application/merge-patch+json"
TOO_SHORT, TOO_COMMON = "9ff3fdc4-b214-49db-8718-39c315e33d45", "d9bcdbfe-a9d6-4bfa-a8ff-da5fd93e0f6d"


def set_password(client: FlaskClient, headers: dict[str, str], user_id: int, body: Any) -> Any:
    return client.patch(f"/api/users/{user_id}/password", headers=headers | {"Content-Type": MERGE_PATCH}, json=body)


def codes(answer: Any) -> list[str]:
    return [violation["code"] for violation in answer.get_json(force=True)["violations"]]


def test_me_is_who_asks(app: Flask, client: FlaskClient, database: Database) -> None:
    user = database.make_user("zoe", ["ROLE_TEACHER", "ROLE_HR"], firstname="Zoe", lastname="Z", email="zoe@example.com")
    assert list(client.get("/api/me", headers=bearer(app, user)).get_json(force=True).items()) == [
        ("@context", "/api/contexts/CurrentUserProfile"),
        ("@id", "/api/me"),
        ("@type", "CurrentUserProfile"),
        ("id", user.id),
        ("username", "zoe"),
        ("firstname", "Zoe"),
        ("lastname", "Z"),
        ("fullName", "Zoe Z"),
        ("email", "zoe@example.com"),
        ("locale", "en_US"),
        ("timezone", "Europe/Paris"),
        ("roles", ["ROLE_HR", "ROLE_TEACHER", "ROLE_USER"]),
    ]


def test_full_name_of_the_nameless_is_the_username(app: Flask, client: FlaskClient, database: Database) -> None:
    user = database.make_user("zoe", [], firstname=None, lastname=None)
    assert client.get("/api/me.json", headers=bearer(app, user)).json["fullName"] == "zoe"


def test_me_needs_a_token(client: FlaskClient) -> None:
    assert client.get("/api/me").status_code == 401


@pytest.mark.parametrize("force", [True, False])
def test_own_password_is_set(app: Flask, client: FlaskClient, database: Database, force: bool) -> None:
    user = database.make_user("zoe", [])
    answer = set_password(client, bearer(app, user), user.id, {"password": "new one", "forcePasswordChangeAtNextLogin": force})
    signed_in = client.post("/api/authentication_token", json={"username": "zoe", "password": "new one"})
    assert (answer.status_code, signed_in.status_code) == (200, 200)
    assert (database.user(user.id).password_requested_at is not None) is force


def test_only_an_admin_sets_anothers_password(app: Flask, client: FlaskClient, database: Database) -> None:
    zoe, max_, admin = database.make_user("zoe", []), database.make_user("max", []), database.make_user("admin", ["ROLE_ADMIN"])
    body = {"password": "new one"}
    assert set_password(client, bearer(app, max_), zoe.id, body).status_code == 403
    assert name_in(set_password(client, bearer(app, admin), zoe.id, body)) == "zoe"
    assert set_password(client, bearer(app, admin), 999_999, body).status_code == 404


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "Invalid JSON body."),
        (b"[]", "Invalid JSON body."),
        (b"{}", 'Missing "password".'),
        (b'{"password": ""}', 'Missing "password".'),
        (b'{"password": 5}', 'Missing "password".'),
    ],
)
def test_unreadable_password_body_is_400(app: Flask, client: FlaskClient, database: Database, body: bytes, text: str) -> None:
    user = database.make_user("zoe", [])
    headers = bearer(app, user) | {"Content-Type": MERGE_PATCH}
    answer = client.patch(f"/api/users/{user.id}/password", headers=headers, data=body)
    assert (answer.status_code, answer.json) == (400, {"error": text})


def test_over_long_password_is_422(app: Flask, client: FlaskClient, database: Database) -> None:
    user = database.make_user("zoe", [])
    assert set_password(client, bearer(app, user), user.id, {"password": "é" * 3000}).status_code == 422


def test_policy_holds_everywhere(make_app: Callable[..., Flask], database: Database) -> None:
    app = make_app(PASSWORD_MIN_LENGTH="9", PASSWORD_REFUSE_COMMON="1")
    client, admin = app.test_client(), database.make_user("admin", ["ROLE_ADMIN"])
    headers = bearer(app, admin)
    new = {"username": "zoe", "email": "zoe@example.com"}
    for answer in (
        client.post("/api/users", headers=headers, json=new | {"plainPassword": "Password"}),
        client.put(f"/api/users/{admin.id}", headers=headers, json={"plainPassword": "Password"}),
        client.patch(
            f"/api/users/{admin.id}", headers=headers | {"Content-Type": MERGE_PATCH}, json={"plainPassword": "Password"}
        ),
        set_password(client, headers, admin.id, {"password": "Password"}),
        client.post("/api/access_urls/1/user", headers=headers, json=new | {"password": "Password"}),
    ):
        assert (answer.status_code, codes(answer)) == (422, [TOO_SHORT, TOO_COMMON])
    refused = app.test_cli_runner().invoke(args=["users", "set-password", "admin", "--password-stdin"], input="Password\n")
    assert (refused.exit_code, "too short" in refused.output) == (1, True)


def test_policy_is_off_by_default(app: Flask, client: FlaskClient, database: Database) -> None:
    user = database.make_user("zoe", [])
    assert name_in(set_password(client, bearer(app, user), user.id, {"password": "1"})) == "zoe"


@pytest.mark.parametrize(
    ("status", "role"),
    [(1, "TEACHER"), (3, "SESSION_MANAGER"), (4, "HR"), (5, "STUDENT"), (17, "STUDENT_BOSS"), (20, "INVITEE"), (None, "STUDENT")],
)
def test_role_of_a_portals_user_comes_from_the_status(
    app: Flask, client: FlaskClient, database: Database, status: int | None, role: str
) -> None:
    headers = bearer(app, database.make_user("manager", ["ROLE_SESSION_MANAGER"]))
    body = {"username": "zoe", "email": "zoe@example.com", "password": "secret", "roles": ["ROLE_ADMIN"], "active": 0}
    answer = client.post("/api/access_urls/1/user", headers=headers, json=body | ({"status": status} if status else {}))
    assert (answer.status_code, answer.get_json(force=True)["roles"]) == (201, [f"ROLE_{role}", "ROLE_USER"])
    assert database.user(answer.get_json(force=True)["id"]).status == (status or 5)
    assert signed_in_as(client.post("/api/authentication_token", json={"username": "zoe", "password": "secret"})) == "zoe"


def test_portals_user_is_in_that_portal(app: Flask, client: FlaskClient, database: Database) -> None:
    with database.session() as session:
        session.add(AccessUrl(id=2, url="http://two.example/", description="", active=1, created_by=1))
        session.commit()
    headers = bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))
    user_id = client.post(
        "/api/access_urls/2/user", headers=headers, json={"username": "zoe", "email": "z@example.com"}
    ).get_json(force=True)["id"]
    links = [(link.access_url_id, link.user_id) for link in database.rows(AccessUrlRelUser) if link.user_id == user_id]
    sources = [(source.url_id, source.authentication) for source in database.rows(UserAuthSource) if source.user_id == user_id]
    assert (links, sources) == ([(2, user_id)], [(2, "platform")])


@pytest.mark.parametrize("url_id", ["999", "0", "01", "one"])
def test_unknown_portal_is_404(app: Flask, client: FlaskClient, database: Database, url_id: str) -> None:
    headers = bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))
    answer = client.post(f"/api/access_urls/{url_id}/user", headers=headers, json={})
    assert (answer.status_code, answer.json) == (404, {"error": "Access URL not found."})


def test_only_managers_add_to_a_portal(app: Flask, client: FlaskClient, database: Database) -> None:
    headers = bearer(app, database.make_user("zoe", ["ROLE_TEACHER"]))
    assert client.post("/api/access_urls/1/user", headers=headers, json={}).status_code == 403
    assert len(database.rows(User)) == 1


def test_unknown_status_is_422(app: Flask, client: FlaskClient, database: Database) -> None:
    headers = bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))
    body = {"username": "zoe", "email": "zoe@example.com", "status": 2}
    answer = client.post("/api/access_urls/1/user", headers=headers, json=body)
    assert (answer.status_code, codes(answer)) == (422, ["8e179f1b-97aa-4560-a02f-2a8b42e49df7"])
