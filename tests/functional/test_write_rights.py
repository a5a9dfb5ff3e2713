"""A caller who loses a right between authentication and write cannot write.

Each write is tried with each event in that gap, on each database.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from factories import START, TABLES, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from models import AccessUrlRelUser, SignInSession, ThrottledLogin, User, UserAuthSource
from models.token_validity import end_all_tokens, revoke
from security.verified_tokens import session_key
from security.write_guard import WriteGuard

pytestmark = pytest.mark.slow

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
INVALID = (401, {"code": 401, "message": "Invalid JWT Token"})
REFUSED = (401, {"code": 401, "message": "Invalid credentials."})
DENIED = (403, {"error": "Access Denied."})

NEW = {"username": "new", "email": "new@example.com", "firstname": "N", "lastname": "N"}

#: Requests of `me` about `they`: method, path, document, and whether only an administrator may send them.
WRITES: dict[str, tuple[str, str, Any, bool]] = {
    "create": ("POST", "/api/users", NEW | {"plainPassword": "another"}, True),
    "create in a portal": ("POST", "/api/access_urls/1/user", NEW | {"password": "another"}, True),
    "replace": ("PUT", "/api/users/{they}", {"phone": "1"}, True),
    "update": ("PATCH", "/api/users/{they}", {"plainPassword": "another"}, True),
    "set a password": ("PATCH", "/api/users/{they}/password", {"password": "another"}, True),
    "delete": ("DELETE", "/api/users/{they}", None, True),
    "update oneself": ("PATCH", "/api/users/{me}", {"plainPassword": "another"}, False),
    "set one's own password": ("PATCH", "/api/users/{me}/password", {"password": "another"}, False),
    "begin a second factor": ("POST", "/api/me/totp", {"password": "secret"}, False),
    "end the token": ("POST", "/api/token/invalidate", None, False),
    "end all tokens": ("POST", "/api/token/invalidate-all", None, False),
    "end a session": ("DELETE", "/api/me/sessions/{session}", None, False),
    "end all sessions": ("DELETE", "/api/me/sessions", None, False),
}


class Person:
    """A signed-in user with a session, and their requests."""

    def __init__(self, app: Flask, database: Database, *roles: str) -> None:
        self.user, self.they = database.make_user("me", roles, password="secret"), database.make_user("they")
        self.client = app.test_client()
        given = self.client.post("/api/authentication_token", json={"username": "me", "password": "secret"}).json
        self.headers = {"Authorization": f"Bearer {given['token']}"}
        self.session_id = database.rows(SignInSession)[0].id

    def ask(self, method: str, path: str, document: Any, _for_administrators: bool = False) -> TestResponse:
        path = path.format(me=self.user.id, they=self.they.id, session=self.session_id)
        content_type = MERGE_PATCH if method == "PATCH" else {"Content-Type": "application/json"}
        headers = self.headers | (content_type if document is not None else {})
        return self.client.open(path, method=method, headers=headers, json=document)


EVENTS: dict[str, tuple[Callable[[Session, Person], Any], tuple[int, Any]]] = {
    "sign-out everywhere": (lambda other, me: end_all_tokens(other, me.user.id, "me", START), INVALID),
    "end of the session": (lambda other, me: revoke(other, session_key(me.session_id), 2**40, START), INVALID),
    "deactivation": (lambda other, me: other.execute(update(User).where(User.id == me.user.id).values(active=0)), REFUSED),
    "lock": (lambda other, me: other.execute(update(User).where(User.id == me.user.id).values(locked=True)), REFUSED),
    "end of the account": (
        lambda other, me: other.execute(update(User).where(User.id == me.user.id).values(expiration_date=START)),
        REFUSED,
    ),
    "rename": (
        lambda other, me: other.execute(
            update(User).where(User.id == me.user.id).values(username="renamed", username_canonical="renamed")
        ),
        REFUSED,
    ),
    "removal": (lambda other, me: remove(other, me.user.id), REFUSED),
}


def remove(session: Session, user_id: int) -> None:
    for table in (AccessUrlRelUser, UserAuthSource):
        session.execute(delete(table).where(table.user_id == user_id))
    session.execute(delete(User).where(User.id == user_id))


@pytest.fixture
def with_sessions(shared_app: Callable[..., Flask]) -> Flask:
    return shared_app(REFRESH_TOKEN_TTL="1000")


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch, database: Database) -> Callable[[Callable[[Session], Any]], dict[str, Any]]:
    """Let something happen right before the transaction of a write begins; return the rows after it."""

    def happens(change: Callable[[Session], Any]) -> dict[str, Any]:
        begin, after = WriteGuard.begin, {}

        def late(guard: WriteGuard, session: Session, *given: Any) -> Any:
            session.rollback()
            if not after:
                with database.session() as other:
                    change(other)
                after.update(content(database))
            return begin(guard, session, *given)

        monkeypatch.setattr(WriteGuard, "begin", late)
        return after

    return happens


def content(database: Database) -> dict[str, Any]:
    """Return all stored rows except those of the throttle, which has its own transactions."""
    with database.engine.connect() as connection:
        return {
            table.__tablename__: [tuple(row) for row in connection.execute(select(table.__table__))]
            for table in TABLES
            if table is not ThrottledLogin
        }


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize(("event", "refusal"), EVENTS.values(), ids=EVENTS)
def test_write_ends_with_the_right_of_its_caller(
    with_sessions: Flask, database: Database, meanwhile: Any, write: Any, event: Any, refusal: tuple[int, Any]
) -> None:
    me = Person(with_sessions, database, "ROLE_ADMIN")
    after = meanwhile(lambda other: event(other, me))
    answer = me.ask(*write)
    assert (answer.status_code, answer.json) == refusal
    assert content(database) == after


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_administrator_who_is_demoted_meanwhile_writes_what_others_may(
    with_sessions: Flask, database: Database, meanwhile: Any, write: Any
) -> None:
    me = Person(with_sessions, database, "ROLE_ADMIN")
    database.make_user("another", ["ROLE_ADMIN"])
    after = meanwhile(lambda other: other.execute(update(User).where(User.id == me.user.id).values(roles=["ROLE_STUDENT"])))
    answer = me.ask(*write)
    if write[-1]:
        assert (answer.status_code, answer.json) == DENIED
        assert content(database) == after
    else:
        assert answer.status_code in {200, 204}


@pytest.mark.parametrize("document", [{"roles": ["ROLE_ADMIN"]}, {"username": "other"}])
def test_administrator_who_is_demoted_meanwhile_keeps_nothing_of_an_administrators_change(
    with_sessions: Flask, database: Database, meanwhile: Any, document: dict[str, Any]
) -> None:
    me = Person(with_sessions, database, "ROLE_ADMIN")
    database.make_user("another", ["ROLE_ADMIN"])
    after = meanwhile(lambda other: other.execute(update(User).where(User.id == me.user.id).values(roles=["ROLE_STUDENT"])))
    answer = me.ask("PATCH", "/api/users/{me}", document)
    assert (answer.status_code, answer.json) == DENIED
    assert content(database) == after


def test_user_who_becomes_the_last_administrator_meanwhile_keeps_the_role(
    app: Flask, client: FlaskClient, database: Database, meanwhile: Any
) -> None:
    me = database.make_user("me", ["ROLE_ADMIN"])
    they = database.make_user("they", ["ROLE_ADMIN"], locked=True)

    def swap(other: Session) -> None:
        other.execute(update(User).where(User.id == they.id).values(locked=False))

    meanwhile(swap)
    answer = client.patch(f"/api/users/{they.id}", headers=bearer(app, me) | MERGE_PATCH, json={"roles": []})
    assert (answer.status_code, database.user(they.id).roles) == (200, []), "`me` is another user"


def test_other_administrator_who_is_lost_meanwhile_is_not_counted_on(
    app: Flask, client: FlaskClient, database: Database, meanwhile: Any
) -> None:
    me, they = database.make_user("me", ["ROLE_ADMIN"]), database.make_user("they", ["ROLE_ADMIN"])
    after = meanwhile(lambda other: other.execute(update(User).where(User.id == they.id).values(active=0)))
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me) | MERGE_PATCH, json={"roles": []})
    assert (answer.status_code, answer.json) == (403, {"error": "The last administrator cannot lose that role."})
    assert content(database) == after


def test_deadlock_is_tried_again(app: Flask, client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    me, begin, tries = database.make_user("me", password="secret"), WriteGuard.begin, []

    def fall(guard: WriteGuard, session: Session, *given: Any) -> Any:
        held = begin(guard, session, *given)
        tries.append(held)
        if len(tries) < 3:
            raise deadlock_of(database.kind)
        return held

    monkeypatch.setattr(WriteGuard, "begin", fall)
    answer = client.patch(f"/api/users/{me.id}", headers=bearer(app, me) | MERGE_PATCH, json={"phone": "1"})
    assert (answer.status_code, database.user(me.id).phone, len(tries)) == (200, "1", 3)


def deadlock_of(kind: str) -> OperationalError:
    """Make the error that a database raises in the victim of a deadlock."""
    orig: Any = Exception(1213, "Deadlock found") if kind != "postgresql" else Exception("deadlock detected")
    if kind == "postgresql":
        orig.sqlstate = "40P01"
    return OperationalError("UPDATE", {}, orig)


ROUNDS = 20


def test_two_administrators_who_demote_each_other_leave_one(app: Flask, database: Database) -> None:
    database.make_user("student", ["ROLE_STUDENT"])
    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            pair = [database.make_user(f"{name}{number}", ["ROLE_ADMIN"]) for name in ("a", "b")]
            barrier = Barrier(2)

            def demote(me: User, they: User, barrier: Barrier = barrier) -> int:
                client, headers = app.test_client(), bearer(app, me) | MERGE_PATCH
                barrier.wait(30)
                return client.patch(f"/api/users/{they.id}", headers=headers, json={"roles": []}).status_code

            statuses = sorted(pool.map(demote, pair, reversed(pair)))
            left = [user for user in map(database.user, (pair[0].id, pair[1].id)) if user.roles]
            assert (len(left), statuses[0], statuses[1] in {401, 403}) == (1, 200, True), statuses
            with database.session() as session:
                session.execute(update(User).where(User.id == left[0].id).values(roles=[]))
