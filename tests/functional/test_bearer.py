"""Requests with a bearer token: the header, the times in the token, and the row of its user."""

from datetime import UTC, datetime

import pytest
from answers import name_in, names_in
from factories import Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient

from models import User

MISSING = {"code": 401, "message": "JWT Token not found"}
INVALID = {"code": 401, "message": "Invalid JWT Token"}
EXPIRED = {"code": 401, "message": "Expired JWT Token"}
REFUSED = {"code": 401, "message": "Invalid credentials."}


@pytest.fixture
def token(app: Flask, database: Database) -> str:
    return bearer(app, database.make_user("alice", ["ROLE_ADMIN"]))["Authorization"].split()[1]


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "BeArEr {}", "Bearer {} "])
def test_scheme_is_read_in_any_case(client: FlaskClient, token: str, form: str) -> None:
    assert names_in(client.get("/api/users", headers={"Authorization": form.format(token)})) == ["alice"]


@pytest.mark.parametrize(
    "form",
    [
        "",
        "{}",
        "Bearer",
        "Bearer ",
        "Bearer  {}",
        "Bearer\t{}",
        "Bearer {} x",
        "Bearer {},",
        ", ,x",
        "Basic {}",
        "Bearer,{}",
        "Token {}",
        ",",
        " , ",
    ],
)
def test_other_header_is_no_token(client: FlaskClient, token: str, form: str) -> None:
    answer = client.get("/api/users", headers={"Authorization": form.format(token)})
    assert (answer.status_code, answer.json, answer.headers["WWW-Authenticate"]) == (401, MISSING, "Bearer")


@pytest.mark.parametrize("place", ["/api/users?bearer={0}&token={0}&jwt={0}", "/api/users?access_token={0}"])
def test_token_elsewhere_is_not_looked_at(client: FlaskClient, token: str, place: str) -> None:
    client.set_cookie("access_token_cookie", token)
    client.set_cookie("BEARER", token)
    assert client.get(place.format(token)).json == MISSING


def test_token_is_good_to_its_last_second(client: FlaskClient, clock: Clock, token: str) -> None:
    answers = []
    for seconds in (3599, 1):
        clock.advance(seconds)
        answers.append(client.get("/api/users", headers={"Authorization": f"Bearer {token}"}))
    assert (answers[0].status_code, answers[1].status_code, answers[1].json) == (200, 401, EXPIRED)


def test_token_of_the_future_is_invalid(client: FlaskClient, clock: Clock, token: str) -> None:
    clock.advance(-1)
    assert client.get("/api/users", headers={"Authorization": f"Bearer {token}"}).json == INVALID


def test_token_from_before_1970_is_good(app: Flask, client: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user("alice")
    long = int(clock().timestamp()) + 60
    old = app.extensions["poort"].tokens.issue("alice", [], issued_at=datetime.fromtimestamp(-1, UTC), ttl_seconds=long)
    headers = {"Authorization": f"Bearer {old}"}
    assert name_in(client.get("/api/me", headers=headers)) == "alice"
    assert client.post("/api/token/invalidate-all", headers=headers).status_code == 204
    assert client.get("/api/me", headers=headers).status_code == 401


def test_skew_gives_leeway_both_ways(make_app: object, database: Database, clock: Clock) -> None:
    app = make_app(JWT_CLOCK_SKEW="5")
    headers, statuses = bearer(app, database.make_user()), []
    for seconds in (-5, 3609, 1):
        clock.advance(seconds)
        statuses.append(app.test_client().get("/api/users", headers=headers).status_code)
    assert statuses == [200, 200, 401]


def test_roles_come_from_the_row_not_the_token(app: Flask, client: FlaskClient, database: Database) -> None:
    user = database.make_user("alice")
    forged = app.extensions["poort"].tokens.issue("alice", ["ROLE_GLOBAL_ADMIN"])
    answer = client.post("/api/users", headers={"Authorization": f"Bearer {forged}"}, json={})
    assert (answer.status_code, user.roles) == (403, [])


def test_roles_that_are_taken_away_are_gone_at_once(app: Flask, client: FlaskClient, database: Database) -> None:
    user = database.make_user("alice", ["ROLE_ADMIN"])
    headers = bearer(app, user)
    with database.session() as session:
        session.get_one(User, user.id).roles = []
    assert client.post("/api/users", headers=headers, json={}).status_code == 403


def test_deleted_user_has_no_token(app: Flask, client: FlaskClient, database: Database) -> None:
    headers = bearer(app, database.make_user())
    database.clean()
    answer = client.get("/api/users", headers=headers)
    assert (answer.status_code, answer.json) == (401, REFUSED)


@pytest.mark.parametrize("role", ["ROLE_ADMIN", "role_admin"])
def test_stored_role_counts_in_any_case(app: Flask, client: FlaskClient, database: Database, role: str) -> None:
    headers = bearer(app, database.make_user("alice", [role]))
    assert client.post("/api/users", headers=headers, json={}).status_code == 422


def test_name_in_another_case_is_the_same_user(app: Flask, client: FlaskClient, database: Database) -> None:
    user = database.make_user("Alice")
    token = app.extensions["poort"].tokens.issue("aLICE", [])
    assert name_in(client.get(f"/api/users/{user.id}", headers={"Authorization": f"Bearer {token}"})) == "Alice"


@pytest.mark.parametrize("path", ["/api/users", "/api/users/1", "/api/users/999999"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nobody_learns_which_users_exist(client: FlaskClient, path: str, method: str) -> None:
    assert client.open(path, method=method).status_code == 401
