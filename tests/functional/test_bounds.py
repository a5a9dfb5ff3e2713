"""Limits on input: texts, bodies of sign-in and refresh, search terms."""

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from answers import body_of, name_in, names_in
from factories import START, Database, bearer
from flask import Flask
from flask.testing import FlaskClient

MERGE_PATCH = "application/merge-patch+json"
SIGN_IN, REFRESH = "/api/authentication_token", "/api/token/refresh"
MOST_BYTES = 16 * 1024


def too_long(name: str, length: int) -> list[dict[str, str]]:
    message = f"This value is too long. It should have {length} characters or less."
    return [{"propertyPath": name, "message": message, "code": "d94b19cc-114f-4f44-9cc4-4138e80a87b9"}]


@pytest.mark.parametrize("character", ["x", "\N{GRINNING FACE}"])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_biography_has_twenty_thousand_characters(
    app: Flask, client: FlaskClient, database: Database, method: str, character: str
) -> None:
    me = database.make_user("me")
    headers = bearer(app, me, content_type=MERGE_PATCH if method == "PATCH" else "application/json")
    path = f"/api/users/{me.id}"
    refused = client.open(path, method=method, headers=headers, json={"biography": character * 20_001})
    assert (refused.status_code, refused.json["violations"]) == (422, too_long("biography", 20_000))
    assert database.user(me.id).biography == ""
    taken = client.open(path, method=method, headers=headers, json={"biography": character * 20_000})
    assert body_of(taken)["biography"] == character * 20_000
    assert database.user(me.id).biography == character * 20_000


def test_new_user_has_no_longer_biography(app: Flask, client: FlaskClient, database: Database) -> None:
    headers = bearer(app, database.make_user("me", ["ROLE_ADMIN"]))
    body = {"username": "bob", "email": "bob@example.com", "biography": "x" * 20_001}
    answer = client.post("/api/users", headers=headers, json=body)
    assert (answer.status_code, answer.json["violations"]) == (422, too_long("biography", 20_000))


def test_longer_biography_of_a_campus_may_be_sent_back_and_not_changed(
    app: Flask, client: FlaskClient, database: Database
) -> None:
    biography = "x" * 30_000
    me, path = database.make_user("me", biography=biography), "/api/users/{}"
    headers = bearer(app, me, content_type=MERGE_PATCH, accept="application/json")
    record = client.get(path.format(me.id), headers=headers).json
    assert name_in(client.patch(path.format(me.id), headers=headers, json=record | {"firstname": "Me"})) == "me"
    assert (database.user(me.id).biography, database.user(me.id).firstname) == (biography, "Me")
    for changed in (biography + "x", biography[:-1], biography.upper()):
        answer = client.patch(path.format(me.id), headers=headers, json={"biography": changed})
        assert (answer.status_code, answer.json["violations"]) == (422, too_long("biography", 20_000))
    assert database.user(me.id).biography == biography


def test_longer_biography_of_somebody_else_is_a_new_one(app: Flask, client: FlaskClient, database: Database) -> None:
    biography = "x" * 30_000
    database.make_user("other", biography=biography)
    me = database.make_user("me")
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={"biography": biography})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "email", ["x" * 101, "x" * 60 + "@" + "x" * 60 + ".com", "@" * 101, "a@example." + "x" * 1_000_000], ids=len
)
def test_longer_email_is_too_long_and_nothing_else(app: Flask, client: FlaskClient, database: Database, email: str) -> None:
    me = database.make_user("me")
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me, content_type=MERGE_PATCH), json={"email": email})
    assert (answer.status_code, answer.json["violations"]) == (422, too_long("email", 100))


@pytest.fixture
def stranger(make_app: Callable[..., Flask], database: Database) -> FlaskClient:
    database.make_user("alice", password="secret")
    return make_app(REFRESH_TOKEN_TTL="3600", LOGIN_THROTTLING_MAX_ATTEMPTS="0").test_client()


def sent(client: FlaskClient, path: str, body: Any, *, is_chunked: bool) -> tuple[int, Any, int]:
    """Send a body, with or without Content-Length; return the status, the answer, and how many bytes were left unread."""
    stream = io.BytesIO(body)
    environ = {"CONTENT_LENGTH": str(len(body))} if not is_chunked else {"wsgi.input_terminated": True}
    answer = client.post(
        path, input_stream=stream, headers={"Content-Type": "application/json"}, environ_overrides=environ, buffered=True
    )
    return answer.status_code, answer.json, len(body) - stream.tell()


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("path", [SIGN_IN, REFRESH])
def test_body_of_a_stranger_over_sixteen_kibibytes_is_413(stranger: FlaskClient, path: str, is_chunked: bool) -> None:
    body = json.dumps({"username": "alice", "password": "wrong", "refresh_token": "unknown"}).encode()
    assert sent(stranger, path, body.ljust(MOST_BYTES), is_chunked=is_chunked)[0] == 401
    for length in (MOST_BYTES + 1, 10 * MOST_BYTES, 2 * 1024 * 1024):
        status, answer, unread = sent(stranger, path, body.ljust(length), is_chunked=is_chunked)
        assert (status, list(answer)) == (413, ["error"])
        assert unread >= length - MOST_BYTES - 1
    whole = sent(stranger, "/api/users", body.ljust(2 * 1024 * 1024), is_chunked=False)
    assert whole[0] == 401


def terms(name: str, number: int) -> str:
    return "&".join(f"{name}[]=a{n}" for n in range(number))


@pytest.mark.parametrize("name", ["username", "firstname", "lastname", "email"])
def test_more_than_twenty_terms_are_400(app: Flask, client: FlaskClient, database: Database, name: str) -> None:
    headers = bearer(app, database.make_user("me", ["ROLE_ADMIN"]))
    assert names_in(client.get(f"/api/users?{terms(name, 20)}", headers=headers)) == []
    answer = client.get(f"/api/users?{terms(name, 21)}", headers=headers)
    assert (answer.status_code, answer.mimetype, answer.json) == (
        400,
        "application/ld+json",
        {
            "@context": "/api/contexts/Error",
            "@type": "hydra:Error",
            "hydra:title": "An error occurred",
            "hydra:description": "Too many search terms.",
        },
    )
    assert client.get(f"/api/users?{terms(name, 335)}", headers=headers).status_code == 400
    as_json = client.get(f"/api/users?{terms(name, 21)}", headers=headers | {"Accept": "application/json"})
    assert (as_json.status_code, as_json.json["detail"]) == (400, "Too many search terms.")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("&".join(terms(name, 5) for name in ("username", "firstname", "lastname", "email")), 200),
        ("&".join(terms(name, 5) for name in ("username", "firstname", "lastname", "email")) + "&search=x", 400),
        ("&".join(terms(name, 5) for name in ("username", "firstname", "lastname", "email")) + "&search=+", 200),
        (terms("search", 100), 200),
        ("&".join(["username[]="] * 100), 200),
        (terms("nothing", 100), 200),
        ("&".join(f"username[x{n}]=a" for n in range(100)), 200),
        ("&".join(f"username[{n}]=a" for n in range(21)), 400),
        ("&".join(["username[]=same"] * 21), 400),
        ("&".join(["username=last"] * 100), 200),
        (quote("username[]") + "=a&" + terms("username", 20), 400),
    ],
)
def test_terms_of_all_filters_count_together(
    app: Flask, client: FlaskClient, database: Database, query: str, status: int
) -> None:
    headers = bearer(app, database.make_user("me", ["ROLE_ADMIN"]))
    assert client.get(f"/api/users?{query}", headers=headers).status_code == status


def test_terms_that_a_caller_cannot_use_do_not_count(app: Flask, client: FlaskClient, database: Database) -> None:
    headers = bearer(app, database.make_user("me"))
    assert names_in(client.get(f"/api/users?{terms('email', 100)}", headers=headers)) == ["me"]
    assert names_in(client.get(f"/api/users?{terms('email', 100)}&{terms('username', 20)}", headers=headers)) == []
    assert client.get(f"/api/users?{terms('username', 21)}", headers=headers).status_code == 400


def test_a_stranger_is_not_told_about_terms(app: Flask, client: FlaskClient, database: Database) -> None:
    assert client.get(f"/api/users?{terms('username', 21)}").status_code == 401
    inactive = bearer(app, database.make_user("me", active=0, expires_at=START))
    assert client.get(f"/api/users?{terms('username', 21)}", headers=inactive).status_code == 401
