"""The audit: each event writes one line and one row, or neither if it did not happen; and the commands that read it."""

import json
import logging
import os
import pwd
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from factories import START, Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from blueprints.users import writing
from config.logging import JsonFormatter
from models import AuditRecord, User
from models.audit_record import remove_records_before
from models.database import epoch_ms
from security.audit import AuditTrail, Event

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
CONSOLE = f"console:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """Return the audit lines so far, parsed from the log."""

    def read() -> list[dict[str, Any]]:
        written = [JsonFormatter().format(record) for record in caplog.records if record.name == "poort.audit"]
        assert [line for line in written if len(line.splitlines()) != 1 or not line.isascii()] == []
        return [json.loads(line) for line in written]

    return read


@pytest.fixture
def trail(app: Flask) -> AuditTrail:
    return app.extensions["poort"].audit


def sign_in(client: FlaskClient, username: str = "alice", password: str = "secret", **options: Any) -> Any:
    return client.post("/api/authentication_token", json={"username": username, "password": password}, **options)


def only(rows: list[Any]) -> Any:
    (row,) = rows
    return row


def fail_to_commit(*_arguments: object, **_options: object) -> None:
    raise OperationalError("COMMIT", {}, Exception("lost"))


def test_sign_in_says_who_and_from_where(client: FlaskClient, database: Database, lines: Any) -> None:
    user = database.make_user("Alice", password="secret")
    options = {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}, "headers": {"X-Request-Id": "r-1"}}
    sign_in(client, "aLICE", **options)
    row, line = only(database.rows(AuditRecord)), only(lines())
    assert (row.event, row.username, row.user_id, row.actor) == ("sign_in", "Alice", user.id, None)
    assert (row.address, row.request_id, row.reason, row.at_ms) == ("192.0.2.7", "r-1", None, int(START.timestamp() * 1000))
    assert (line["message"], line["username"], line["user_id"], line["address"]) == ("sign_in", "Alice", user.id, "192.0.2.7")
    assert (line["event"], line["details"]) == (row.event, row.details)


REFUSALS = {
    "unknown user": ({}, "nobody", "secret"),
    "wrong password": ({}, "alice", "wrong"),
    "inactive": ({"active": 0}, "alice", "secret"),
    "soft-deleted": ({"active": -2}, "alice", "secret"),
    "locked": ({"locked": True}, "alice", "secret"),
    "expired": ({"expiration_date": START}, "alice", "secret"),
    "over-long password": ({}, "alice", "x" * 4097),
    "an empty or over-long user name or password": ({}, "alice", ""),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusal_has_its_true_reason(client: FlaskClient, database: Database, lines: Any, reason: str) -> None:
    columns, username, password = REFUSALS[reason]
    database.make_user(password="secret", **columns)
    answer = sign_in(client, username, password)
    assert (answer.status_code, answer.json) == (401, {"code": 401, "message": "Invalid credentials."})
    row, line = only(database.rows(AuditRecord)), only(lines())
    assert (row.event, row.username, row.reason) == ("sign_in_refused", username, reason)
    assert (line["message"], line["username"], line["reason"]) == ("sign_in_refused", username, reason)


@pytest.mark.parametrize("username", ["", "a" * 4097])
def test_name_that_nobody_has_is_refused_before_it_is_looked_up(client: FlaskClient, database: Database, username: str) -> None:
    assert sign_in(client, username, "secret").status_code == 401
    assert only(database.rows(AuditRecord)).reason == "an empty or over-long user name or password"


def test_throttled_sign_in_is_a_line_of_its_own(make_app: Callable[..., Flask], database: Database, lines: Any) -> None:
    client = make_app(LOGIN_THROTTLING_MAX_ATTEMPTS="1").test_client()
    for _ in range(2):
        sign_in(client, "alice", "wrong")
    reasons = [line["reason"] for line in lines()]
    assert (reasons[0], reasons[1].startswith("Too many failed")) == ("unknown user", True)
    assert [row.reason for row in database.rows(AuditRecord)] == ["unknown user"]


# --- All or nothing


def test_change_that_fails_leaves_neither_row_nor_line(
    app: Flask, client: FlaskClient, database: Database, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, zoe = database.make_user("root", ["ROLE_ADMIN"]), database.make_user("zoe")
    record = writing.record_event
    monkeypatch.setattr(writing, "record_event", lambda *words, **more: (record(*words, **more), fail_to_commit()))
    headers = bearer(app, admin)
    statuses = [
        client.post("/api/users", headers=headers, json={"username": "new", "email": "new@example.com"}).status_code,
        client.patch(f"/api/users/{zoe.id}", headers=headers | MERGE_PATCH, json={"firstname": "Z"}).status_code,
        client.delete(f"/api/users/{zoe.id}", headers=headers).status_code,
    ]
    assert (statuses, len(database.rows(User)), database.user(zoe.id).active) == ([503] * 3, 2, 1)
    assert (database.rows(AuditRecord), lines()) == ([], [])


def test_event_without_a_row_stops_the_change(
    app: Flask, client: FlaskClient, database: Database, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, zoe = database.make_user("root", ["ROLE_ADMIN"]), database.make_user("zoe")
    monkeypatch.setattr("security.audit.write_record", fail_to_commit)
    answer = client.patch(f"/api/users/{zoe.id}", headers=bearer(app, admin) | MERGE_PATCH, json={"firstname": "Z"})
    assert (answer.status_code, database.user(zoe.id).firstname, lines()) == (503, None, [])


def test_lost_race_for_a_name_leaves_neither_row_nor_line(
    app: Flask, client: FlaskClient, database: Database, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = database.make_user("root", ["ROLE_ADMIN"])
    database.make_user("zoe")
    monkeypatch.setattr("blueprints.users.routes.validate_user", lambda *_arguments: None)
    body = {"username": "zoe", "email": "z@example.com"}
    assert client.post("/api/users", headers=bearer(app, admin), json=body).status_code == 422
    assert (database.rows(AuditRecord), lines()) == ([], [])


def test_line_waits_for_the_commit(database: Database, trail: AuditTrail, lines: Any) -> None:
    with Session(database.engine) as session:
        trail.record_with(session, Event(event="tried"))
        session.rollback()
        trail.record_with(session, Event(event="done"))
        assert lines() == []
        session.commit()
    assert [line["message"] for line in lines()] == ["done"]
    assert [row.event for row in database.rows(AuditRecord)] == ["done"]


def test_refusal_is_kept_though_the_view_rolls_back(client: FlaskClient, database: Database, lines: Any) -> None:
    assert sign_in(client, "alice", "wrong").status_code == 401
    assert (len(database.rows(AuditRecord)), len(lines())) == (1, 1)


def test_refusal_is_answered_and_logged_without_its_row(
    client: FlaskClient, database: Database, lines: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("security.audit.write_record", fail_to_commit)
    answer = sign_in(client, "alice", "wrong")
    assert (answer.status_code, answer.json) == (401, {"code": 401, "message": "Invalid credentials."})
    assert (database.rows(AuditRecord), only(lines())["reason"]) == ([], "unknown user")
    assert "an audit event has no row: OperationalError" in caplog.messages


def test_database_that_is_down_does_not_stop_the_line(clock: Clock, lines: Any) -> None:
    engine = create_engine("sqlite:////nowhere/poort.db")
    AuditTrail(lambda: engine, clock, writes_rows=True).record_now(Event(event="refused", username="alice"))
    assert only(lines())["username"] == "alice"


def test_read_only_server_writes_lines_alone(make_app: Callable[..., Flask], database: Database, lines: Any) -> None:
    database.make_user(password="secret")
    client = make_app(READ_ONLY="1").test_client()
    statuses = [sign_in(client).status_code, sign_in(client, password="wrong").status_code]
    assert (statuses, [line["message"] for line in lines()]) == ([200, 401], ["sign_in", "sign_in_refused"])
    assert database.rows(AuditRecord) == []


def test_level_of_the_log_takes_nothing_from_the_audit(client: FlaskClient, lines: Any) -> None:
    root, before = logging.getLogger(), logging.getLogger().level
    root.setLevel("ERROR")
    try:
        sign_in(client)
    finally:
        root.setLevel(before)
    assert len(lines()) == 1


# --- Input of strangers

ODD = {
    "line feed": ("a\nb", "a\nb"),
    "a line of their own": ('x"}\n{"message":"sign_in","username":"root', 'x"}\n{"message":"sign_in","username":"root'),
    "carriage return": ("a\r\nb", "a\r\nb"),
    "escape": ("a\x1b[31mb", "a\x1b[31mb"),
    "C1 control": ("a\x9b31mb", "a\x9b31mb"),
    "line separator": ("a\u2028b\u2029", "a\u2028b\u2029"),
    "right to left": ("a\u202eb\u2066", "a\u202eb\u2066"),
    "NUL": ("a\0b", r"a\x00b"),
    "surrogate": ("a\ud800b", r"a\ud800b"),
    "4096 characters": ("n" * 4096, "n" * 100),
    "beyond the first plane": ("\N{GRINNING FACE}" * 200, "\N{GRINNING FACE}" * 100),
    "quote": ("a\"'\\b", "a\"'\\b"),
    "delete": ("a\x7fb", "a\x7fb"),
}

UNSAFE = "\x7f\x1b\x9b\u2028\u2029\u202e\u2066\r\0"


@pytest.mark.parametrize("name", ODD)
def test_odd_name_is_one_line_and_one_row(
    runner: FlaskCliRunner, database: Database, app: Flask, trail: AuditTrail, lines: Any, name: str
) -> None:
    given, kept = ODD[name]
    with app.app_context():
        trail.record_now(Event(event="sign_in_refused", username=given, address="192.0.2.7", reason="unknown user"))
    assert (only(lines())["username"], only(database.rows(AuditRecord)).username) == (kept, kept)
    human, machine = (runner.invoke(args=["audit", "tail", *more]).output for more in ([], ["--json"]))
    assert (len(human.splitlines()), len(machine.splitlines())) == (1, 1)
    assert json.loads(machine)["username"] == kept
    assert f"username={kept!r}" in human
    assert [character for character in human + machine if character in UNSAFE] == []


@pytest.mark.parametrize("name", [name for name in ODD if name != "surrogate"])  # not JSON: 400
def test_odd_name_over_the_wire_is_one_row(client: FlaskClient, database: Database, lines: Any, name: str) -> None:
    given, kept = ODD[name]
    assert sign_in(client, given, "wrong").status_code == 401
    assert (only(lines())["username"], only(database.rows(AuditRecord)).username) == (kept, kept)


def test_odd_names_of_others_are_quoted_too(runner: FlaskCliRunner, app: Flask, trail: AuditTrail) -> None:
    with app.app_context():
        trail.record_now(
            Event(
                event="x",
                actor="a\x1b[2J",
                address="\x1b]0;",
                reason="r\u202e",
                request_id="\x9b",
                details={"f": ["\x1b", "\u2028", "\x7f"]},
            )
        )
    done = runner.invoke(args=["audit", "tail"])
    assert (done.exit_code, len(done.output.splitlines())) == (0, 1)
    assert [character for character in done.output if character in UNSAFE] == []


# --- Secrets are never written


def test_no_secret_is_written(
    client: FlaskClient, runner: FlaskCliRunner, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    admin = database.make_user("root", ["ROLE_ADMIN"], password="s3cret-of-root")
    token = sign_in(client, "root", "s3cret-of-root").json["token"]
    headers = {"Authorization": f"Bearer {token}"}
    sign_in(client, "root", "s3cret-wrong")
    sign_in(client, "nobody", "s3cret-unknown")
    new = {"username": "zoe", "email": "zoe@example.com", "plainPassword": "s3cret-new"}
    zoe = client.post("/api/users", headers=headers, json=new).get_json(force=True)["id"]
    client.patch(f"/api/users/{zoe}", headers=headers | MERGE_PATCH, json={"plainPassword": "s3cret-patched"})
    client.patch(f"/api/users/{zoe}/password", headers=headers | MERGE_PATCH, json={"password": "s3cret-set"})
    client.post(
        "/api/access_urls/1/user", headers=headers, json={"username": "max", "email": "m@example.com", "password": "s3cret-p"}
    )
    runner.invoke(args=["users", "set-password", "zoe", "--password-stdin"], input="s3cret-typed\n")
    hashes = [user.password for user in database.rows(User)]
    client.post("/api/token/invalidate", headers=headers)
    rows = [
        {column.name: getattr(row, column.name) for column in AuditRecord.__table__.columns} for row in database.rows(AuditRecord)
    ]
    logged = [JsonFormatter().format(record) for record in caplog.records]
    written = json.dumps(rows) + "".join(logged)
    assert (len(rows), admin.id in {row["user_id"] for row in rows}) == (9, True)
    assert [secret for secret in ("s3cret", token, token.rpartition(".")[2], *hashes) if secret in written] == []


# --- The actor


def test_actor_is_the_caller(app: Flask, client: FlaskClient, database: Database) -> None:
    admin, zoe = database.make_user("Root", ["ROLE_ADMIN"]), database.make_user("zoe")
    client.delete(f"/api/users/{zoe.id}", headers=bearer(app, admin), environ_base={"REMOTE_ADDR": "2001:db8::7"})
    row = only(database.rows(AuditRecord))
    assert (row.event, row.username, row.user_id, row.actor, row.address) == (
        "user_deleted",
        "zoe",
        zoe.id,
        "Root",
        "2001:db8::7",
    )


def test_actor_at_the_console_is_the_user_of_the_system(
    runner: FlaskCliRunner, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    database.make_user("zoe")
    runner.invoke(args=["users", "deactivate", "zoe"])
    row = only(database.rows(AuditRecord))
    assert (row.event, row.username, row.actor, row.address) == ("user_changed", "zoe", CONSOLE, None)
    assert row.details == {"fields": ["active"]}


def test_address_is_the_proxys_word_only_where_it_is_trusted(make_app: Callable[..., Flask], database: Database) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9"}
    for proxies in ("", "127.0.0.1"):
        sign_in(make_app(TRUSTED_PROXIES=proxies).test_client(), headers=headers)
    assert [row.address for row in database.rows(AuditRecord)] == ["127.0.0.1", "203.0.113.9"]


# --- bin/poort audit


@pytest.fixture
def five(app: Flask, database: Database, trail: AuditTrail, clock: Clock) -> Database:
    """A database with five events, one a day."""
    with app.app_context():
        for number in range(5):
            trail.record_now(Event(event=f"event_{number}"))
            clock.advance(86_400)
    return database


def events(output: str) -> list[str]:
    return [line.split()[1] for line in output.splitlines()]


def test_tail_shows_the_last_events_newest_last(runner: FlaskCliRunner, five: Database) -> None:  # noqa: ARG001
    assert events(runner.invoke(args=["audit", "tail"]).output) == [f"event_{number}" for number in range(5)]
    assert events(runner.invoke(args=["audit", "tail", "-n", "2"]).output) == ["event_3", "event_4"]
    assert runner.invoke(args=["audit", "tail", "-n", "0"]).output == ""


def test_line_of_tail_says_all_there_is(client: FlaskClient, runner: FlaskCliRunner, database: Database) -> None:
    user = database.make_user(password="secret")
    sign_in(client, headers={"X-Request-Id": "r-1"})
    assert runner.invoke(args=["audit", "tail"]).output == (
        f"2026-11-24T12:00:00.000+00:00 sign_in username='alice' user_id={user.id} address='127.0.0.1' "
        'details={"second_factor": "none"} request_id=\'r-1\'\n'
    )


def test_tail_as_json_is_one_object_a_line(client: FlaskClient, runner: FlaskCliRunner, database: Database) -> None:
    user = database.make_user(password="secret")
    sign_in(client, headers={"X-Request-Id": "r-1"})
    sign_in(client, password="wrong", headers={"X-Request-Id": "r-2"})
    first, second = (json.loads(line) for line in runner.invoke(args=["audit", "tail", "--json"]).output.splitlines())
    assert first == {
        "id": first["id"],
        "time": "2026-11-24T12:00:00.000+00:00",
        "event": "sign_in",
        "username": "alice",
        "user_id": user.id,
        "address": "127.0.0.1",
        "details": {"second_factor": "none"},
        "request_id": "r-1",
    }
    assert (second["id"] > first["id"], second["event"], second["reason"]) == (True, "sign_in_refused", "wrong password")


def follow(app: Flask, happenings: list[Callable[[], None]], *words: str) -> Any:
    """Run `tail --follow`; each poll runs one of the actions, and Ctrl-C ends it after the last."""
    turns = iter(happenings)

    def sleep(_seconds: float) -> None:
        happening = next(turns, None)
        if happening is None:
            raise KeyboardInterrupt
        happening()

    ours = app.extensions["poort"]
    app.extensions["poort"] = type(ours)(**{name: getattr(ours, name) for name in ours.__slots__} | {"sleep": sleep})
    try:
        return app.test_cli_runner().invoke(args=["audit", "tail", "--follow", *words])
    finally:
        app.extensions["poort"] = ours


def add(database: Database, event: str, record_id: int | None = None) -> None:
    with database.session() as session:
        session.add(AuditRecord(id=record_id, at_ms=0, event=event))


def test_follow_shows_what_comes_until_ctrl_c(app: Flask, five: Database) -> None:
    done = follow(app, [lambda: add(five, "new_1"), lambda: None, lambda: add(five, "new_2")], "-n", "1")
    assert (done.exit_code, events(done.output)) == (0, ["event_4", "new_1", "new_2"])


def test_follow_of_an_empty_table_starts_with_the_first_event(app: Flask, database: Database) -> None:
    done = follow(app, [lambda: add(database, "first")], "-n", "0")
    assert (done.exit_code, events(done.output)) == (0, ["first"])


def test_follow_shows_an_event_that_is_committed_behind_a_later_one(app: Flask, five: Database) -> None:
    last = max(row.id for row in five.rows(AuditRecord))
    done = follow(app, [lambda: add(five, "later", last + 7), lambda: add(five, "earlier", last + 3)], "-n", "0")
    assert events(done.output) == ["later", "earlier"]


def test_prune_removes_what_is_older_and_says_so(runner: FlaskCliRunner, five: Database) -> None:
    done = runner.invoke(args=["audit", "prune", "--older-than", "3"])
    assert (done.exit_code, done.output) == (0, "2 events removed.\n")
    assert [row.event for row in five.rows(AuditRecord)] == ["event_2", "event_3", "event_4", "audit_pruned"]
    pruned = five.rows(AuditRecord)[-1]
    assert (pruned.actor, pruned.details) == (CONSOLE, {"before": (START + timedelta(days=2)).isoformat()})


def test_prune_goes_in_chunks(runner: FlaskCliRunner, five: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("commands.audit"), "CHUNK", 2)
    assert runner.invoke(args=["audit", "prune", "--older-than", "1"]).output == "4 events removed.\n"
    assert [row.event for row in five.rows(AuditRecord)] == ["event_4", "audit_pruned"]


def test_prune_removes_the_oldest_events_first(database: Database) -> None:
    """What an interrupted one leaves has no gaps."""
    for days_old, record_id in ((1, 30), (2, 20), (3, 10)):
        with database.session() as session:
            session.add(AuditRecord(id=record_id, at_ms=epoch_ms(START - timedelta(days=days_old)), event="old"))
    with database.session() as session:
        assert remove_records_before(session, START, 1) == 1
    assert [row.id for row in database.rows(AuditRecord)] == [20, 30]


def test_id_of_a_pruned_event_is_not_given_again(app: Flask, five: Database, runner: FlaskCliRunner, clock: Clock) -> None:
    last = max(row.id for row in five.rows(AuditRecord))
    clock.advance(10 * 86_400)
    runner.invoke(args=["audit", "prune", "--older-than", "1"])
    sign_in(app.test_client())
    assert [row.id > last for row in five.rows(AuditRecord)] == [True, True]


@pytest.mark.parametrize("words", [[], ["--older-than", "0"], ["--older-than", "x"]])
def test_prune_needs_an_age(runner: FlaskCliRunner, five: Database, words: list[str]) -> None:
    assert runner.invoke(args=["audit", "prune", *words]).exit_code == 2
    assert len(five.rows(AuditRecord)) == 5


COMMANDS = [["tail"], ["prune", "--older-than", "1"]]


@pytest.mark.parametrize("words", COMMANDS)
def test_read_only_has_no_rows_to_read(make_app: Callable[..., Flask], words: list[str]) -> None:
    done = make_app(READ_ONLY="1").test_cli_runner().invoke(args=["audit", *words])
    assert (done.exit_code, "READ_ONLY" in done.output, len(done.output.splitlines())) == (1, True, 1)


@pytest.mark.parametrize("words", COMMANDS)
def test_missing_table_is_told(make_app: Callable[..., Flask], tmp_path: Any, words: list[str]) -> None:
    done = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/empty.db").test_cli_runner().invoke(args=["audit", *words])
    assert (done.exit_code, done.output) == (1, "Error: There is no table poort_audit; `bin/poort db upgrade` makes it.\n")


@pytest.mark.parametrize("words", COMMANDS)
def test_database_that_is_down_is_told(make_app: Callable[..., Flask], words: list[str]) -> None:
    app = make_app(DATABASE_URL="postgresql://nobody@127.0.0.1:1/poort")
    done = app.test_cli_runner().invoke(args=["audit", *words])
    assert (done.exit_code, done.output) == (
        1,
        "Error: The database cannot be used (OperationalError): `bin/poort doctor` says why.\n",
    )
