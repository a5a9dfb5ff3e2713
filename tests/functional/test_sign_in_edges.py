"""Around the hash of a sign-in: concurrent changes, transactions, and timing."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from factories import COST, Clock, Database, bearer, dispose, settings_for
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from models import db
from models.passwords import hash_password, verify_password
from security import sign_in
from security.errors import BadCredentials
from security.fair_queue import Requester

REFUSED = {"code": 401, "message": "Invalid credentials."}
SHA1_OF_SECRET = "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4"


def post(client: FlaskClient, password: str = "secret") -> Any:
    return client.post("/api/authentication_token", json={"username": "alice", "password": password})


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_user_who_is_deleted_while_the_password_is_hashed_is_refused(
    make_app: Callable[..., Flask], database: Database, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    app = make_app(USER_DELETE_MODE=mode)
    alice, admin = database.make_user("alice", password="secret"), database.make_user("root", ["ROLE_ADMIN"])
    answers = []

    def delete_meanwhile(*arguments: str, **options: bool) -> bool:
        good = verify_password(*arguments, **options)
        request = {"path": f"/api/users/{alice.id}", "headers": bearer(app, admin)}
        thread = threading.Thread(target=lambda: answers.append(app.test_client().delete(**request).status_code))
        thread.start()
        thread.join()
        return good

    monkeypatch.setattr(sign_in, "verify_password", delete_meanwhile)
    answer = post(app.test_client())
    assert (answers, answer.status_code, answer.json) == ([204], 401, REFUSED)


@pytest.fixture
def sleeping(database: Database, clock: Clock) -> Iterator[tuple[Flask, list[tuple[float, bool]]]]:
    """An application, with the seconds that it slept and whether a transaction was open then."""
    slept: list[tuple[float, bool]] = []

    def sleep(seconds: float) -> None:
        slept.append((seconds, db.session().in_transaction()))
        clock.advance(seconds)

    app = create_app(settings_for(DATABASE_URL=database.url), clock, sleep)
    yield app, slept
    dispose(app)


def test_no_transaction_is_open_while_a_sign_in_waits_for_the_next_second(
    sleeping: tuple[Flask, list[tuple[float, bool]]], database: Database, clock: Clock
) -> None:
    app, slept = sleeping
    alice, client = database.make_user("alice", password="secret"), app.test_client()
    clock.advance(0.25)
    assert client.post("/api/token/invalidate-all", headers=bearer(app, alice)).status_code == 204
    assert (post(client).status_code, slept) == (200, [(0.75, False)])


def test_sign_in_waits_five_times_and_no_longer_than_two_seconds(
    database: Database, clock: Clock, make_app: Callable[..., Flask]
) -> None:
    app, slept = make_app(), []
    alice = database.make_user("alice", password="secret")
    app.test_client().post("/api/token/invalidate-all", headers=bearer(app, alice))
    stuck = create_app(settings_for(DATABASE_URL=database.url), clock, slept.append)
    statuses = []
    for behind in (0, -1, -0.001):
        clock.advance(behind)
        slept.clear()
        statuses.append((post(stuck.test_client()).status_code, list(slept)))
    dispose(stuck)
    assert statuses == [(503, [1.0] * 5), (503, [2.0] * 5), (503, [])]


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The costs of the hashes that were computed only to take time."""
    calls: list[list[int]] = []
    monkeypatch.setattr(sign_in, "spend_time", lambda costs: calls.append(list(costs)))
    return calls


@pytest.mark.parametrize("password", ["secret", "wrong"])
@pytest.mark.parametrize("state", [{}, {"locked": True}, {"active": 0}])
def test_refused_account_with_an_old_hash_takes_the_time_of_a_new_one(
    client: FlaskClient, database: Database, spent: list[list[int]], state: dict[str, Any], password: str
) -> None:
    database.make_user(password_hash=SHA1_OF_SECRET, salt="", **state)
    is_good = password == "secret" and not state
    assert post(client, password).status_code == (200 if is_good else 401)
    assert spent == ([] if is_good else [[COST]])


@pytest.mark.parametrize("state", [{}, {"locked": True}])
def test_refused_account_with_a_cheaper_hash_takes_the_time_of_a_new_one(
    make_app: Callable[..., Flask], database: Database, spent: list[list[int]], state: dict[str, Any]
) -> None:
    client = make_app(PASSWORD_HASH_COST="6").test_client()
    database.make_user(password_hash=hash_password("secret", 4), **state)
    assert post(client, "secret" if state else "wrong").status_code == 401
    assert spent == [[4, 5]]


@pytest.mark.parametrize("password", ["", "x" * 4097])
def test_password_that_is_not_looked_at_takes_the_time_of_one_hash(
    client: FlaskClient, database: Database, spent: list[list[int]], password: str
) -> None:
    database.make_user(password="secret")
    assert (post(client, password).json, spent) == (REFUSED, [[COST]])


def test_hash_that_is_too_costly_is_not_checked_and_takes_the_time_of_one_hash(
    client: FlaskClient, database: Database, spent: list[list[int]], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    user = database.make_user(password_hash="$2y$17$" + "a" * 53)
    monkeypatch.setattr(sign_in, "verify_password", None)
    assert (post(client).json, spent) == (REFUSED, [[COST]])
    (record,) = [record for record in caplog.records if record.name == "security.sign_in"]
    assert (record.levelname, record.user_id) == ("ERROR", user.id)


def test_signed_in_user_s_password_is_checked_and_its_old_hash_stays(app: Flask, database: Database, clock: Clock) -> None:
    database.make_user(password_hash=SHA1_OF_SECRET, salt="")
    sign_ins, requester = app.extensions["poort"].sign_ins, Requester()
    with app.app_context():
        signed_in = sign_ins.authenticate(db.session(), "alice", "secret", requester, clock())
        assert not db.session().in_transaction()
        assert str(signed_in.new_hash).startswith("$2y$")
        sign_ins.verify_password(db.session(), "alice", "secret", requester, clock())
        with pytest.raises(BadCredentials):
            sign_ins.verify_password(db.session(), "alice", "wrong", requester, clock())
