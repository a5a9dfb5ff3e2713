"""What a write of a user records, and the answer if the database refuses it for another reason than a taken name."""

from collections.abc import Callable
from typing import Any

import pytest
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import IntegrityError

from blueprints.users import writing
from blueprints.users.writing import save
from models import AuditRecord
from models.user_table import UserTable
from rest.problem import ValidationFailed

NEW = {"username": "newcomer", "email": "new@example.com"}


@pytest.fixture
def headers(app: Flask, database: Database) -> dict[str, str]:
    return bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))


@pytest.mark.parametrize(
    ("path", "given", "roles"),
    [
        ("/api/users", {}, []),
        ("/api/users", {"roles": ["ROLE_TEACHER", "ROLE_HR"]}, ["ROLE_TEACHER", "ROLE_HR"]),
        ("/api/access_urls/1/user", {}, ["ROLE_STUDENT"]),
    ],
)
def test_event_of_a_new_user_has_the_roles(
    client: FlaskClient, database: Database, headers: dict[str, str], path: str, given: dict[str, Any], roles: list[str]
) -> None:
    assert client.post(path, headers=headers, json=NEW | given).status_code == 201
    event = database.rows(AuditRecord)[-1]
    assert (event.event, event.username, event.details["roles"]) == ("user_created", "newcomer", roles)


def refused(*_arguments: object, **_options: object) -> None:
    raise IntegrityError("INSERT", {}, Exception("another constraint"))


def test_new_user_whom_another_constraint_refuses_is_no_taken_name(
    make_app: Callable[..., Flask], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    headers = bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))
    monkeypatch.setattr(writing, "enrol", refused)
    answer = app.test_client().post("/api/users", headers=headers, json=NEW)
    assert (answer.status_code, "violations" in answer.json) == (500, False)
    assert not any(row.event == "user_created" for row in database.rows(AuditRecord))


@pytest.mark.parametrize(
    ("username", "own_id", "failure"),
    [
        (None, None, IntegrityError),
        ("free", None, IntegrityError),
        ("taken", None, ValidationFailed),
        ("TAKEN", None, ValidationFailed),
        ("taken", "own", IntegrityError),
    ],
)
def test_only_a_taken_name_is_said_to_be_taken(database: Database, username: str | None, own_id: Any, failure: type) -> None:
    user = database.make_user("taken")
    with database.session() as session, pytest.raises(failure) as caught:
        save(session, UserTable(is_campus=False), refused, username, user.id if own_id else None)
    if failure is ValidationFailed:
        assert [violation.property_path for violation in caught.value.violations] == ["username"]
