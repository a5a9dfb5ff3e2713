"""Concurrent refreshes over real connections: one family, one successor, and nothing survives the end of a session."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from answers import body_of
from factories import Clock, Database
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from blueprints.auth.refreshing import MOST_REFRESHES
from models import AuditRecord, RefreshToken, SignInSession

pytestmark = pytest.mark.slow

RACERS = 100
ROUNDS = 30

ON = {"REFRESH_TOKEN_TTL": "1000"}


@pytest.fixture
def refreshing(make_app: Callable[..., Flask], database: Database) -> Flask:
    database.make_user(password="secret")
    return make_app(**ON)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(RACERS) as pool:
        yield pool


def sign_in(client: FlaskClient) -> dict[str, Any]:
    return client.post("/api/authentication_token", json={"username": "alice", "password": "secret"}).json


def refresh(client: FlaskClient, token: str) -> TestResponse:
    return client.post("/api/token/refresh", json={"refresh_token": token})


def as_bearer(given: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {given['token']}"}


def is_good(client: FlaskClient, given: dict[str, Any]) -> bool:
    status = client.get("/api/me", headers=as_bearer(given)).status_code
    assert status in {200, 401}
    return status == 200


def at_once(pool: ThreadPoolExecutor, app: Flask, *calls: Callable[[FlaskClient], TestResponse]) -> list[TestResponse]:
    """Run each call with its own client and thread, all starting together."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[FlaskClient], TestResponse]) -> TestResponse:
        client = app.test_client()
        barrier.wait(30)
        return call(client)

    return list(pool.map(run, calls))


def test_of_a_hundred_sixty_get_one_successor_and_the_others_are_told_to_wait(
    refreshing: Flask, database: Database, clock: Clock, pool: ThreadPoolExecutor
) -> None:
    client = refreshing.test_client()
    first = sign_in(client)
    answers = at_once(pool, refreshing, *[lambda client: refresh(client, first["refresh_token"])] * RACERS)
    refused = [answer for answer in answers if answer.status_code == 429]
    answers = [answer for answer in answers if answer.status_code == 200]
    assert (len(answers), len(refused)) == (MOST_REFRESHES, RACERS - MOST_REFRESHES)
    assert {(answer.get_data(as_text=True), answer.headers["Retry-After"]) for answer in refused} == {
        ('{"error":"Too Many Requests"}', "60")
    }
    (successor,) = {answer.json["refresh_token"] for answer in answers}
    assert len({answer.json["refresh_token_expiration"] for answer in answers}) == 1
    assert successor != first["refresh_token"]
    assert (len(database.rows(SignInSession)), len(database.rows(RefreshToken))) == (1, 2)
    noted = [record.event for record in database.rows(AuditRecord)]
    assert noted == ["sign_in"] + ["token_refreshed"] * MOST_REFRESHES
    assert all(is_good(client, answer.json) for answer in answers)
    clock.advance(60)
    third = body_of(refresh(client, successor))
    assert third["refresh_token"] not in {first["refresh_token"], successor}
    assert refresh(client, first["refresh_token"]).status_code == 401


def test_refresh_against_signing_out_everywhere(refreshing: Flask, database: Database, pool: ThreadPoolExecutor) -> None:
    def sign_out(given: dict[str, Any]) -> Callable[[FlaskClient], TestResponse]:
        return lambda client: client.post("/api/token/invalidate-all", headers=as_bearer(given))

    race(refreshing, database, pool, sign_out)


def test_refresh_against_the_end_of_its_session(refreshing: Flask, database: Database, pool: ThreadPoolExecutor) -> None:
    def end(given: dict[str, Any]) -> Callable[[FlaskClient], TestResponse]:
        (session,) = refreshing.test_client().get("/api/me/sessions", headers=as_bearer(given)).json
        return lambda client: client.delete(f"/api/me/sessions/{session['id']}", headers=as_bearer(given))

    race(refreshing, database, pool, end)


def test_refresh_against_the_end_of_its_token(refreshing: Flask, database: Database, pool: ThreadPoolExecutor) -> None:
    def invalidate(given: dict[str, Any]) -> Callable[[FlaskClient], TestResponse]:
        return lambda client: client.post("/api/token/invalidate", headers=as_bearer(given))

    race(refreshing, database, pool, invalidate)


def race(
    app: Flask,
    database: Database,
    pool: ThreadPoolExecutor,
    ending: Callable[[dict[str, Any]], Callable[[FlaskClient], TestResponse]],
) -> None:
    """Race two refreshes of one token against what ends it, many times: whichever comes first, no token stays valid."""
    client = app.test_client()
    for _ in range(ROUNDS):
        first = sign_in(client)

        def again(client: FlaskClient, token: str = first["refresh_token"]) -> TestResponse:
            return refresh(client, token)

        *refreshed, ended = at_once(pool, app, again, again, ending(first))
        assert (ended.status_code, {answer.status_code for answer in refreshed} <= {200, 401}) == (204, True)
        given = [first, *(answer.json for answer in refreshed if answer.status_code == 200)]
        assert [is_good(client, tokens) for tokens in given] == [False] * len(given)
        assert {refresh(client, tokens["refresh_token"]).status_code for tokens in given} == {401}
        assert (database.rows(SignInSession), database.rows(RefreshToken)) == ([], [])


def test_ten_sign_ins_at_once_leave_as_many_sessions_as_are_allowed(
    make_app: Callable[..., Flask], database: Database, pool: ThreadPoolExecutor
) -> None:
    app = make_app(**ON, REFRESH_TOKEN_MAX_SESSIONS="3")
    database.make_user(password="secret")
    given = [answer.json for answer in at_once(pool, app, *[post_sign_in] * 10)]
    client = app.test_client()
    assert len(database.rows(SignInSession)) == 3
    assert sum(is_good(client, tokens) for tokens in given) == 3
    assert sum(refresh(client, tokens["refresh_token"]).status_code == 200 for tokens in given) == 3


def post_sign_in(client: FlaskClient) -> TestResponse:
    return client.post("/api/authentication_token", json={"username": "alice", "password": "secret"})


def test_tokens_of_a_family_that_race_after_its_time_end_it_once(
    refreshing: Flask, database: Database, clock: Clock, pool: ThreadPoolExecutor
) -> None:
    client = refreshing.test_client()
    first = sign_in(client)
    second = refresh(client, first["refresh_token"]).json
    clock.advance(11)
    answers = at_once(pool, refreshing, *[lambda client: refresh(client, first["refresh_token"])] * 20)
    assert {answer.status_code for answer in answers} == {401}
    assert [record.event for record in database.rows(AuditRecord)].count("refresh_token_reused") == 1
    assert (is_good(client, second), refresh(client, second["refresh_token"]).status_code) == (False, 401)
