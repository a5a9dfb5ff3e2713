"""Replay every recorded case against the application on each database; the cases of throttle.jsonl with a fixed clock.

The cases of Chamilo 3 run on SQLite alone, since no database decides what is different about them.

The cases of the other areas run once for each database, in the order of the files, since later cases build on earlier
ones; each test then looks at one case.
"""

import functools
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
import replay
from databases import EACH_KIND, Databases
from factories import CONTRACT, Clock, Database, dispose, settings_for
from flask import Flask
from redis import Redis
from werkzeug.test import run_wsgi_app

from app import create_app, utc_now
from benchmarks.services import RedisServer
from models import User

HOST = ("127.0.0.1", 8000)


FOLDERS = {"2": CONTRACT / "transcripts", "3": CONTRACT / "transcripts-3"}


def read_cases(area: str, version: str = "2") -> dict[str, dict[str, Any]]:
    lines = (FOLDERS[version] / f"{area}.jsonl").read_text().splitlines()
    return {case["name"]: case for case in map(json.loads, lines)}


CASES = {version: {area: read_cases(area, version) for area in replay.AREAS} for version in FOLDERS}
NAMES = {version: [(area, name) for area, cases in of.items() for name in cases] for version, of in CASES.items()}
THROTTLE_CASES = read_cases("throttle")

#: By the text of `before`: the requests to send before a case, or the case that it follows.
BEFORE = {
    "a fresh throttle and 9 failures of bob": ("fail", ["bob"] * 9),
    "a fresh throttle and 10 failures of bob; the request carries a token of bob": ("fail", ["bob"] * 10),
    "a fresh throttle and 55 failures with 55 user names from one address": ("fail", [f"nobody{n}" for n in range(55)]),
    "a fresh throttle and 55 requests with the bearer a.b.c": ("bear", ["Bearer a.b.c"] * 55),
    "a fresh throttle and 12 requests with the bearer a.b.c": ("bear", ["Bearer a.b.c"] * 12),
    "a fresh throttle and 55 requests without a token": ("bear", [""] * 55),
    "a fresh throttle and 12 requests with an expired token": ("bear", ["Bearer {{expired}}"] * 12),
    "after throttle_user_12": ("after", ["throttle_user_12"]),
    "a fresh throttle, then the cases in order": ("in order", []),
    "after throttle_9bad_then_good, whose success resets nothing, and further failures of bob: 10 in all before this one": (
        "after, and fail",
        ["throttle_9bad_then_good"],
    ),
}


def wsgi_exchange(app: Flask) -> Any:
    """Return a replacement for replay.exchange that calls the application as gunicorn does, without a connection."""

    def exchange(host: str, port: int, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> tuple[Any, ...]:
        raw_path, _, query = path.encode().decode("latin-1").partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": path,
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.1",
            "HTTP_HOST": f"{host}:{port}",
            "wsgi.url_scheme": "http",
            "wsgi.input_terminated": True,
        }
        for name, text in headers:
            key, value = name.upper().replace("-", "_"), text.encode().decode("latin-1").strip(" \t")
            key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        if "HTTP_TRANSFER_ENCODING" in environ:
            body = b"".join(body.split(b"\r\n")[1::2])
        elif body or method in {"POST", "PUT", "PATCH"}:
            environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"], environ["wsgi.errors"] = replay.io.BytesIO(body), replay.io.StringIO()
        answer, status, got = run_wsgi_app(app.wsgi_app, environ, buffered=True)
        low = {name.lower(): ", ".join(got.getlist(name)) for name in got.keys()}  # noqa: SIM118 - of Headers, not a dict
        return int(status.split()[0]), low, b"".join(answer)

    return exchange


@pytest.fixture(scope="module")
def mismatches(databases: Databases) -> Any:
    """Return the differences of each case on a kind of database; the first call runs all cases of a version in order."""

    @functools.cache
    def of(kind: str, version: str) -> dict[tuple[str, str], list[str]]:
        database = databases.fresh(kind)
        database.load_contract_users()
        variables = {"CHAMILO_VERSION": version, "LOGIN_THROTTLING_MAX_ATTEMPTS": "0"}
        app = create_app(settings_for(DATABASE_URL=database.url, **variables), utc_now)
        player = replay.Replay("http://{}:{}".format(*HOST), CONTRACT / "jwt")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(replay, "exchange", wsgi_exchange(app))
            found = {(area, name): play(player, case) for area, cases in CASES[version].items() for name, case in cases.items()}
        dispose(app)
        return found

    return of


def play(player: replay.Replay, case: dict[str, Any]) -> list[str]:
    """Return the differences; an error in one case must not stop the others."""
    try:
        return player.run(case)[0]
    except (ValueError, IndexError, LookupError) as error:
        return [repr(error)]


@pytest.mark.parametrize(("area", "name"), NAMES["2"])
@pytest.mark.parametrize("kind", EACH_KIND)
def test_recorded_case_holds(mismatches: Any, kind: str, area: str, name: str) -> None:
    assert mismatches(kind, "2")[area, name] == [], f"{CASES['2'][area][name]}"


@pytest.mark.parametrize(("area", "name"), NAMES["3"])
def test_recorded_case_of_chamilo_3_holds(mismatches: Any, area: str, name: str) -> None:
    assert mismatches("sqlite", "3")[area, name] == [], f"{CASES['3'][area][name]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", THROTTLE_CASES)
def test_recorded_throttle_case_holds(
    app: Flask, database: Database, clock: Clock, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    play_throttle_case(app, database, clock, name, monkeypatch)


@pytest.mark.services
@pytest.mark.parametrize("name", THROTTLE_CASES)
def test_recorded_throttle_case_holds_on_redis(
    databases: Databases, redis: RedisServer, clock: Clock, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = databases.shared("sqlite")
    app = create_app(settings_for(DATABASE_URL=database.url, REDIS_URL=redis.url), clock)
    with Redis.from_url(redis.url) as client:
        client.flushdb()
    play_throttle_case(app, database, clock, name, monkeypatch)
    dispose(app)


def play_throttle_case(app: Flask, database: Database, clock: Clock, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database.load_contract_users()
    clock.now = datetime.now(UTC)
    monkeypatch.setattr(replay, "time", clock_as_time_module(clock))
    monkeypatch.setattr(replay, "exchange", wsgi_exchange(app))
    player = replay.Replay("http://{}:{}".format(*HOST), CONTRACT / "jwt")
    prepare(player, name)
    assert player.run(THROTTLE_CASES[name])[0] == []


def prepare(player: replay.Replay, name: str) -> None:
    """Send the requests that come before a case."""
    kind, what = BEFORE[THROTTLE_CASES[name]["before"]]
    if kind == "in order":
        for earlier in list(THROTTLE_CASES)[: list(THROTTLE_CASES).index(name)]:
            send(player, THROTTLE_CASES[earlier])
    if kind.startswith("after"):
        prepare(player, what[0])
        send(player, THROTTLE_CASES[what[0]])
    if kind == "after, and fail":
        fail("bob")
    for word in what if kind == "fail" else ():
        fail(word)
    for header in what if kind == "bear" else ():
        bear(player, header)


def send(player: replay.Replay, case: dict[str, Any]) -> None:
    different, _ = player.run(case)
    assert different == [], case["name"]


def fail(username: str) -> None:
    body = json.dumps({"username": username, "password": "no"}).encode()
    status, *_ = replay.exchange(*HOST, "POST", "/api/authentication_token", [("Content-Type", "application/json")], body)
    assert status == 401


def bear(player: replay.Replay, authorization: str) -> None:
    expired = {"header": '{"typ":"JWT","alg":"RS256"}', "payload": '{"iat":1,"exp":2,"username":"alice"}', "sign": "RS256"}
    value = authorization.replace("{{expired}}", player.signer.build(expired))
    status, *_ = replay.exchange(*HOST, "GET", "/api/users/2", [("Authorization", value)] if value else [], b"")
    assert status == 401


def clock_as_time_module(clock: Clock) -> Any:
    class Time:
        @staticmethod
        def time() -> float:
            return clock().timestamp()

    return Time


def test_every_before_has_a_recipe() -> None:
    assert {case["before"] for case in THROTTLE_CASES.values()} == set(BEFORE)


@pytest.mark.parametrize("name", ["users.json", "passwords.json"])
def test_fixture_names_are_unique(name: str) -> None:
    given = json.loads((CONTRACT / name).read_text())
    usernames = [entry["username"] for entry in given] if isinstance(given, list) else list(given)
    assert len(set(usernames)) == len(usernames)


def test_fixture_users_are_stored_as_given(database: Database) -> None:
    database.load_contract_users()
    given = json.loads((CONTRACT / "users.json").read_text())
    users = {user.id: user for user in database.rows(User)}
    assert [(u["id"], u["username"], u["password_hash"], u["salt"], u["roles"], u["active"]) for u in given] == [
        (i, users[i].username, users[i].password, users[i].salt, users[i].roles, users[i].active) for i in sorted(users)
    ]
