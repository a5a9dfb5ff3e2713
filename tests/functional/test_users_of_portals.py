"""POST /api/access_urls/{id}/user stand-alone: defaults, types, the order of the checks, races, and mail."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from answers import body_of
from factories import START, TABLES, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from mail_server import mail_server
from prometheus_client import CollectorRegistry
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from benchmarks.services import free_port
from blueprints.mail import OUTCOMES
from deploy.metrics.counters import Metrics, count_requests
from models import AccessUrl, ExtraFieldValue, User
from models.extra_fields import ExtraFields, insert_field
from security.write_guard import WriteGuard

PATH = "/api/access_urls/1/user"
NEW = {"username": "zoe", "email": "zoe@example.org"}
NAME_TAKEN, EMAIL_TAKEN = (409, "username_already_exists"), (409, "email_already_exists")


@pytest.fixture
def headers(app: Flask, database: Database) -> dict[str, str]:
    return bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))


@pytest.fixture
def field(database: Database) -> None:
    with database.session() as session:
        insert_field(session, "legal_id", None, START)
        insert_field(session, "0", None, START)


def told(answer: Any) -> tuple[int, Any]:
    """Return the status and the text of a refusal."""
    said = answer.get_json(force=True)
    return answer.status_code, said.get("error", said.get("hydra:description"))


def content(database: Database) -> dict[str, Any]:
    """Return all that is stored."""
    with database.engine.connect() as connection:
        return {table.__tablename__: [tuple(row) for row in connection.execute(select(table.__table__))] for table in TABLES}


def values(database: Database) -> list[str]:
    return [row.value for row in database.rows(ExtraFieldValue)]


# --- Defaults


@pytest.mark.parametrize("empty", [{}, {"locale": None, "timezone": None}, {"locale": "", "timezone": ""}])
def test_language_and_time_zone_are_those_of_the_settings(
    make_app: Callable[..., Flask], app: Flask, headers: dict[str, str], empty: dict[str, Any]
) -> None:
    user = body_of(app.test_client().post(PATH, headers=headers, json=NEW | empty), 201)
    assert (user["locale"], user["timezone"]) == ("en_US", "Europe/Paris")
    client = make_app(DEFAULT_LOCALE="nl", DEFAULT_TIMEZONE="Asia/Tokyo").test_client()
    second = {"username": "second", "email": "second@example.org"}
    user = body_of(client.post(PATH, headers=headers, json=second | empty), 201)
    assert (user["locale"], user["timezone"]) == ("nl", "Asia/Tokyo")


def test_default_language_is_that_of_every_new_user(
    make_app: Callable[..., Flask], database: Database, headers: dict[str, str]
) -> None:
    app = make_app(DEFAULT_LOCALE="nl", DEFAULT_TIMEZONE="Asia/Tokyo")
    made = body_of(app.test_client().post("/api/users", headers=headers, json=NEW), 201)
    arguments = ["users", "create", "max", "--email", "max@example.org", "--generate-password"]
    assert app.test_cli_runner().invoke(args=arguments).exit_code == 0
    users = [database.user(made["id"]), database.rows(User)[-1]]
    assert [(user.locale, user.timezone) for user in users] == [("nl", "Asia/Tokyo")] * 2


@pytest.mark.parametrize("given", [{}, {"status": None}, {"status": 5}])
def test_status_is_a_students_by_default(
    client: FlaskClient, database: Database, headers: dict[str, str], given: dict[str, Any]
) -> None:
    user = body_of(client.post(PATH, headers=headers, json=NEW | given), 201)
    assert (user["roles"], database.user(user["id"]).status) == (["ROLE_STUDENT", "ROLE_USER"], 5)


@pytest.mark.parametrize("password", [None, ""])
def test_user_without_a_password_signs_in_when_one_is_set(
    client: FlaskClient, headers: dict[str, str], password: str | None
) -> None:
    user = body_of(client.post(PATH, headers=headers, json=NEW | {"password": password}), 201)
    for guess in ("", "x"):
        assert client.post("/api/authentication_token", json={"username": "zoe", "password": guess}).status_code in {400, 401}
    change = {"json": {"password": "secret"}, "content_type": "application/merge-patch+json"}
    assert client.patch(f"/api/users/{user['id']}/password", headers=headers, **change).status_code == 200
    assert client.post("/api/authentication_token", json={"username": "zoe", "password": "secret"}).status_code == 200


def test_unknown_keys_are_ignored(client: FlaskClient, database: Database, headers: dict[str, str]) -> None:
    more = {"plainPassword": "x", "roles": ["ROLE_ADMIN"], "active": 0, "accessUrlId": 9, "website": "x", "id": 7, "phone": 5}
    user = body_of(client.post(PATH, headers=headers, json=NEW | more), 201)
    row = database.user(user["id"])
    assert (row.active, row.password, row.website, list(row.roles)) == (1, "", "", ["ROLE_STUDENT"])


# --- Types

OF_TYPE = 'The type of the "{}" attribute must be "{}", "{}" given.'


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"username": None}, OF_TYPE.format("username", "string", "NULL")),
        ({"locale": 5}, OF_TYPE.format("locale", "string", "integer")),
        ({"status": "5"}, OF_TYPE.format("status", "int", "string")),
        ({"status": True}, OF_TYPE.format("status", "int", "boolean")),
        ({"status": 2**63}, OF_TYPE.format("status", "int", "double")),
        ({"sendEmail": None}, OF_TYPE.format("sendEmail", "bool", "NULL")),
        ({"sendEmail": 1}, OF_TYPE.format("sendEmail", "bool", "integer")),
        ({"extraFields": "x"}, OF_TYPE.format("extraFields", "array", "string")),
        ({"extraFields": 1}, OF_TYPE.format("extraFields", "array", "integer")),
        ({"extraFields": {"nope": 1}}, OF_TYPE.format("extraFields", "string", "integer")),
        ({"extraFields": {"nope": True}}, OF_TYPE.format("extraFields", "string", "boolean")),
        ({"extraFields": {"nope": ["x"]}}, OF_TYPE.format("extraFields", "string", "array")),
        ({"extraFields": [{}]}, OF_TYPE.format("extraFields", "string", "array")),
        ({"extraFields": {"nope": "a\0"}}, 'The "extraFields" attribute must not contain a NUL character.'),
        ({"extraFields": {"\0": None}}, 'The "extraFields" attribute must not contain a NUL character.'),
        ({"extraFields": ["x"] * 501}, 'The "extraFields" attribute must not have more than 500 entries.'),
    ],
)
def test_wrong_type_is_400_before_everything_that_needs_values(
    client: FlaskClient, headers: dict[str, str], given: dict[str, Any], text: str
) -> None:
    answer = client.post(PATH, headers=headers, json={"username": "", "email": "x", **given})
    assert (*told(answer), answer.get_json(force=True)["@type"]) == (400, text, "hydra:Error")


@pytest.mark.parametrize("status", [0, 2, 6, 99, -1])
def test_status_without_a_role_is_422(client: FlaskClient, headers: dict[str, str], status: int) -> None:
    answer = client.post(PATH, headers=headers, json=NEW | {"status": status})
    (violation,) = answer.get_json(force=True)["violations"]
    assert (answer.status_code, violation["propertyPath"], violation["message"], violation["code"]) == (
        422,
        "status",
        "The value you selected is not a valid choice.",
        "8e179f1b-97aa-4560-a02f-2a8b42e49df7",
    )


# --- Extra fields


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"legal_id": "AB-12"}, ["AB-12"]),
        ({"LEGAL_ID ": "AB-12"}, ["AB-12"]),
        ({"legal_id": ""}, [""]),
        ({"legal_id": None}, []),
        (["first"], ["first"]),
        ([None], []),
        ({}, []),
        ([], []),
        (None, []),
    ],
)
@pytest.mark.usefixtures("field")
def test_values_of_extra_fields_are_stored(
    client: FlaskClient, database: Database, headers: dict[str, str], given: Any, stored: list[str]
) -> None:
    assert client.post(PATH, headers=headers, json=NEW | {"extraFields": given}).status_code == 201
    assert values(database) == stored


@pytest.mark.usefixtures("field")
def test_user_is_found_by_the_value(client: FlaskClient, headers: dict[str, str]) -> None:
    client.post(PATH, headers=headers, json=NEW | {"extraFields": {"legal_id": "AB-12"}})
    found = client.get("/api/users.json?extrafield[]=legal_id&extrafieldvalue[]=ab-12", headers=headers).json
    assert [user["username"] for user in found] == ["zoe"]


@pytest.mark.parametrize(("given", "name"), [({"legal_id": "x", "nope": "y"}, "nope"), (["a", "b"], "1"), ({"": None}, "")])
@pytest.mark.usefixtures("field")
def test_unknown_field_is_400_and_nothing_is_written(
    client: FlaskClient, database: Database, headers: dict[str, str], given: Any, name: str
) -> None:
    before = content(database)
    answer = client.post(PATH, headers=headers, json=NEW | {"extraFields": given})
    assert (answer.status_code, answer.json) == (400, {"error": f"ExtraField '{name}' not found for users."})
    assert content(database) == before


@pytest.mark.usefixtures("field")
def test_failure_of_a_value_leaves_no_user(
    client: FlaskClient, database: Database, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the server went away"))

    before = content(database)
    monkeypatch.setattr(ExtraFields, "write_values", fail)
    assert client.post(PATH, headers=headers, json=NEW | {"extraFields": {"legal_id": "x"}}).status_code >= 500
    assert content(database) == before


# --- Taken names and addresses


@pytest.mark.parametrize("active", [1, 0, -2])
def test_name_and_address_stay_taken(client: FlaskClient, database: Database, headers: dict[str, str], active: int) -> None:
    database.make_user("Max", email="Max@Example.org", active=active)
    answers = [
        client.post(PATH, headers=headers, json={"username": name, "email": "MAX@example.ORG"}) for name in ("mAX", "free")
    ]
    assert list(map(told, answers)) == [NAME_TAKEN, EMAIL_TAKEN]


def test_other_accents_are_another_address(client: FlaskClient, database: Database, headers: dict[str, str]) -> None:
    database.make_user("max", email="zoé@example.org")
    assert client.post(PATH, headers=headers, json=NEW).status_code == 201


def test_taken_address_is_no_matter_of_other_operations(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post(PATH, headers=headers, json=NEW).status_code == 201
    assert client.post("/api/users", headers=headers, json=NEW | {"username": "other"}).status_code == 201


@pytest.mark.parametrize(
    ("taken", "refusal"),
    [
        ({"username": "ZOE", "email": "other@example.org"}, NAME_TAKEN),
        ({"username": "other", "email": "ZOE@example.org"}, EMAIL_TAKEN),
        ({"username": "ZOE", "email": "ZOE@example.org"}, NAME_TAKEN),
    ],
)
def test_what_is_taken_meanwhile_is_409(
    client: FlaskClient,
    database: Database,
    headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    taken: dict[str, str],
    refusal: tuple[int, str],
) -> None:
    begin, after = WriteGuard.begin, []

    def late(guard: WriteGuard, session: Any, *given: Any) -> Any:
        session.rollback()
        if not after:
            database.make_user(**taken)
            after.append(content(database))
        return begin(guard, session, *given)

    monkeypatch.setattr(WriteGuard, "begin", late)
    assert told(client.post(PATH, headers=headers, json=NEW)) == refusal
    assert content(database) == after[0]


@pytest.mark.parametrize(
    ("bodies", "refusal"),
    [
        ([{"username": f"racer{number}", "email": f"{'aA'[number % 2]}@example.org"} for number in range(8)], EMAIL_TAKEN),
        ([{"username": "racer", "email": f"{number}@example.org"} for number in range(8)], NAME_TAKEN),
    ],
    ids=["one address", "one name"],
)
def test_of_parallel_requests_one_wins(
    app: Flask, database: Database, headers: dict[str, str], bodies: list[dict[str, str]], refusal: tuple[int, str]
) -> None:
    barrier = Barrier(len(bodies))

    def create(body: dict[str, str]) -> Any:
        client = app.test_client()
        barrier.wait(30)
        answer = client.post(PATH, headers=headers, json=body)
        return told(answer) if answer.status_code != 201 else (201, None)

    with ThreadPoolExecutor(len(bodies)) as pool:
        outcomes = sorted(pool.map(create, bodies), key=str)
    assert outcomes == [(201, None), *[refusal] * (len(bodies) - 1)]
    assert len(database.rows(User)) == 2


# --- The order of the checks


def test_each_check_comes_before_those_below(
    app: Flask, client: FlaskClient, database: Database, headers: dict[str, str]
) -> None:
    database.make_user("taken", email="taken@example.org")
    teacher = bearer(app, database.make_user("teacher", ["ROLE_TEACHER"]))
    nowhere, as_json = "/api/access_urls/9/user", {"content_type": "application/json"}
    assert told(client.post(nowhere, headers=teacher, data="{", **as_json)) == (403, "Access Denied.")
    assert told(client.post(nowhere, headers=headers, data="{", **as_json)) == (404, "Access URL not found.")
    assert told(client.post(PATH, headers=headers, data="{", **as_json)) == (400, "Syntax error")
    body: dict[str, Any] = {"username": "taken", "email": "nothing", "extraFields": {"nope": "x"}, "sendEmail": True}
    assert client.post(PATH, headers=headers, json=body).status_code == 422
    body["email"] = "taken@example.org"
    assert told(client.post(PATH, headers=headers, json=body)) == NAME_TAKEN
    body["username"] = "free"
    assert told(client.post(PATH, headers=headers, json=body)) == EMAIL_TAKEN
    body["email"] = "free@example.org"
    assert told(client.post(PATH, headers=headers, json=body)) == (400, "ExtraField 'nope' not found for users.")
    body["extraFields"] = {}
    assert told(client.post(PATH, headers=headers, json=body)) == (501, "Sending mail is not configured.")
    body["sendEmail"] = False
    assert client.post(PATH, headers=headers, json=body).status_code == 201


def test_read_only_server_writes_nothing(make_app: Callable[..., Flask], database: Database, headers: dict[str, str]) -> None:
    before = content(database)
    assert make_app(READ_ONLY="1").test_client().post(PATH, headers=headers, json=NEW).status_code == 503
    assert content(database) == before


# --- Mail


@pytest.mark.parametrize("dsn", ["", "null://null"])
def test_mail_that_cannot_be_sent_is_501_only_if_it_is_asked_for(
    make_app: Callable[..., Flask], database: Database, headers: dict[str, str], caplog: pytest.LogCaptureFixture, dsn: str
) -> None:
    client, before = make_app(MAILER_DSN=dsn).test_client(), content(database)
    answer = client.post(PATH, headers=headers, json=NEW | {"sendEmail": True})
    assert (answer.status_code, answer.json, content(database)) == (501, {"error": "Sending mail is not configured."}, before)
    with caplog.at_level(logging.INFO):
        user = body_of(client.post(PATH, headers=headers, json=NEW), 201)
    lines = [record for record in caplog.records if record.name == "blueprints.users.portal_users"]
    assert [line.getMessage() for line in lines] == ["no mail is sent to a new user: MAILER_DSN is not set"]
    assert (vars(lines[0])["user_id"], "zoe@" in caplog.text) == (user["id"], False)
    caplog.clear()
    assert client.post(PATH, headers=headers, json={"username": "m", "email": "m@x.org", "sendEmail": False}).status_code == 201
    assert "no mail is sent" not in caplog.text


@pytest.mark.parametrize("given", [{}, {"sendEmail": True}])
def test_mail_is_sent_after_the_user_is_stored(
    make_app: Callable[..., Flask], database: Database, headers: dict[str, str], given: dict[str, Any]
) -> None:
    with database.session() as session:
        session.execute(update(AccessUrl).values(url="https://campus.example.org:8443/x/"))
    name = "zoe\r\nBcc: other@example.org"
    with mail_server() as box:
        client = make_app(MAILER_DSN=box.dsn).test_client()
        body = {"username": name, "email": "zoe@example.org", "password": "s3cret-of-hers", "firstname": name, **given}
        assert client.post(PATH, headers=headers, json=body).status_code == 201
        for refused in (NEW, NEW | {"username": "x"}, NEW | {"username": ""}):
            assert client.post(PATH, headers=headers, json=refused).status_code >= 400
        (message,) = box.wait()
        silent = {"username": "m", "email": "m@example.org", "sendEmail": False}
        assert client.post(PATH, headers=headers, json=silent).status_code == 201
        client.application.extensions["poort"].mailer.close()
    assert (len(box.messages), box.recipients, message["Bcc"]) == (1, ["zoe@example.org"], None)
    assert message["Subject"] == "You are registered on campus.example.org"
    assert message.get_content().splitlines()[-2:] == [
        "User name: zoe Bcc: other@example.org",
        "https://campus.example.org:8443/x/",
    ]
    assert "s3cret" not in message.as_string()
    with database.session() as session:
        session.execute(update(AccessUrl).values(url="http://localhost/"))


def test_failed_mail_changes_no_answer_and_is_counted(make_app: Callable[..., Flask], headers: dict[str, str]) -> None:
    app, registry = make_app(MAILER_DSN=f"smtp://127.0.0.1:{free_port()}"), CollectorRegistry()
    count_requests(app, Metrics(registry))
    assert app.test_client().post(PATH, headers=headers, json=NEW | {"sendEmail": True}).status_code == 201
    app.extensions["poort"].mailer.close()
    counted = {outcome: registry.get_sample_value("poort_mails_total", {"outcome": outcome}) for outcome in OUTCOMES}
    assert counted == {"delivered": 0, "failed": 1, "dropped": 0}
