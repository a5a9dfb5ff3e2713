"""Metrics of requests: each counts once, under labels that no client can invent."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyotp
import pytest
from answers import body_of, signed_in_as
from databases import Databases
from factories import Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from load import occupied, wait_until_inside
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import OperationalError

from benchmarks.services import free_port
from blueprints.users import routes
from deploy.metrics.counters import OUTCOMES, SIGN_IN, TOKEN_FAILURES, Metrics, RequestCounter, count_requests
from models import User

PATH = "/api/authentication_token"
REQUESTS = "poort_http_request_duration_seconds_count"


@pytest.fixture
def database(databases: Databases) -> Database:
    """SQLite alone: these tests hardly use the database."""
    return databases.shared("sqlite")


class Counted:
    """An application with metrics, and the counts so far."""

    def __init__(self, app: Flask) -> None:
        self.app, self.client, self._registry = app, app.test_client(), CollectorRegistry()
        count_requests(app, Metrics(self._registry))

    def __call__(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(name, labels)

    def labels(self, name: str) -> list[dict[str, str]]:
        """Return the labels of all series of a metric that are not zero."""
        return [
            dict(sample.labels)
            for metric in self._registry.collect()
            for sample in metric.samples
            if sample.name == name and sample.value
        ]

    def sign_in(self, username: str = "alice", password: str = "secret", **more: str) -> int:
        return self.client.post(PATH, json={"username": username, "password": password} | more).status_code


@pytest.fixture
def make_counted(make_app: Callable[..., Flask]) -> Callable[..., Counted]:
    return lambda **variables: Counted(make_app(**variables))


@pytest.fixture
def counted(make_counted: Callable[..., Counted], database: Database) -> Counted:
    database.make_user(password="secret")
    return make_counted()


def test_request_counts_under_its_route_and_status(counted: Counted, database: Database) -> None:
    headers = bearer(counted.app, database.make_user("admin", ["ROLE_ADMIN"]))
    for path in ("/api/users/1", "/api/users/2.json", "/api/users/999999"):
        counted.client.get(path, headers=headers)
    found = {(labels["route"], labels["status"]) for labels in counted.labels(REQUESTS)}
    route = "/api/users/<segment:user_id><suffix:suffix>"
    assert found <= {(route, "200"), (route, "404")}
    assert sum(counted(REQUESTS, method="GET", route=route, status=status) or 0 for status in ("200", "404")) == 3


def test_duration_is_that_of_the_request(counted: Counted) -> None:
    counted.sign_in()
    labels = {"method": "POST", "route": PATH, "status": "200"}
    seconds = counted("poort_http_request_duration_seconds_sum", **labels)
    assert 0.001 < seconds < 5
    buckets = [counted("poort_http_request_duration_seconds_bucket", le=le, **labels) for le in ("0.001", "10.0", "+Inf")]
    assert buckets == [0, 1, 1]


def test_nobody_can_make_up_a_series(counted: Counted) -> None:
    for number in range(20):
        counted.client.open(f"/odd/{number}?x={number}", method=f"ODD{number}", headers={"X-Request-Id": str(number)})
        counted.client.get(f"/api/users/alice{number}")
        counted.client.get(f"/api/users.odd{number}")
        counted.sign_in(f"name{number}")
    assert {tuple(labels.values()) for labels in counted.labels(REQUESTS)} == {
        ("other", "none", "404"),
        ("GET", "/api/users/<segment:user_id><suffix:suffix>", "401"),
        ("GET", "/api/users<suffix:suffix>", "404"),
        ("POST", PATH, "401"),
    }


def test_endpoint_of_the_sign_in_is_the_one_that_is_counted(app: Flask) -> None:
    assert [rule.rule for rule in app.url_map.iter_rules() if rule.endpoint == SIGN_IN] == [PATH]


def wrong(counted: Counted) -> int:
    return counted.sign_in(password="wrong")


def malformed(counted: Counted) -> int:
    return counted.client.post(PATH, json={"username": 1}).status_code


def without_room(counted: Counted) -> int:
    hashing = counted.app.extensions["poort"].hashing
    with occupied(hashing):
        return counted.sign_in()


SIGN_INS: dict[str, tuple[Callable[[Counted], int], int]] = {
    "success": (Counted.sign_in, 200),
    "bad_credentials": (wrong, 401),
    "malformed": (malformed, 400),
    "unavailable": (without_room, 503),
}


@pytest.mark.parametrize("outcome", SIGN_INS)
def test_sign_in_counts_by_how_it_ended(make_counted: Callable[..., Counted], database: Database, outcome: str) -> None:
    database.make_user(password="secret")
    counted = make_counted(PASSWORD_HASH_QUEUE="0")
    act, status = SIGN_INS[outcome]
    assert act(counted) == status
    assert counted.labels("poort_sign_ins_total") == [{"outcome": outcome}]
    assert counted("poort_sign_ins_total", outcome=outcome) == 1
    assert counted.labels("poort_token_failures_total") == []


def test_name_at_which_a_hundred_sign_ins_fail_counts_once(make_counted: Callable[..., Counted]) -> None:
    counted = make_counted(LOGIN_THROTTLING_MAX_ATTEMPTS="1000")
    found = [(counted.sign_in("bob", "wrong"), counted("poort_attacked_names_total")) for _ in range(102)]
    assert [total for _, total in found] == [0] * 99 + [1] * 3


def test_throttled_sign_in_counts_as_such(make_counted: Callable[..., Counted], database: Database) -> None:
    database.make_user(password="secret")
    counted = make_counted(LOGIN_THROTTLING_MAX_ATTEMPTS="2")
    for _ in range(5):
        counted.sign_in(password="wrong")
    found = [counted("poort_sign_ins_total", outcome=outcome) for outcome in ("bad_credentials", "throttled")]
    assert (found, counted("poort_throttled_total")) == ([2, 3], 3)


def test_second_factor_that_is_asked_for_is_no_failure(counted: Counted, database: Database, clock: Clock) -> None:
    headers = bearer(counted.app, database.rows(User)[0])
    begun = counted.client.post("/api/me/totp", json={"password": "secret"}, headers=headers)
    code = pyotp.TOTP(begun.json["secret"]).at(clock())
    assert body_of(counted.client.put("/api/me/totp", json={"totp": code}, headers=headers))["backupCodes"]
    assert counted.client.post("/api/me/totp/backup-codes", json={"totp": code}, headers=headers).status_code == 403
    assert counted.sign_in() == 401
    assert counted.labels("poort_sign_ins_total") == [{"outcome": "code_required"}]
    assert counted.labels("poort_token_failures_total") == [], "the token was good, the password was not"


def test_failure_that_nobody_foresaw_counts_as_failed(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = type(counted.app.extensions["poort"].tokens)
    monkeypatch.setattr(tokens, "issue", lambda *_args, **_kwargs: 1 / 0)
    assert counted.sign_in() == 500
    assert counted.labels("poort_sign_ins_total") == [{"outcome": "failed"}]


def headers_for(counted: Counted, database: Database, clock: Clock, kind: str) -> dict[str, str]:
    user = database.make_user("eve", active=0 if kind == "user_refused" else 1)
    if kind == "missing":
        return {}
    headers = bearer(counted.app, user)
    if kind == "invalid":
        return {"Authorization": headers["Authorization"][:-6] + "AAAAAA"}
    if kind == "expired":
        clock.advance(3601)
    return headers


@pytest.mark.parametrize("kind", ["missing", "invalid", "expired", "user_refused"])
def test_refused_token_counts_by_what_was_wrong(counted: Counted, database: Database, clock: Clock, kind: str) -> None:
    headers = headers_for(counted, database, clock, kind)
    assert counted.client.get("/api/me", headers=headers).status_code == 401
    assert counted.labels("poort_token_failures_total") == [{"kind": kind}]
    assert counted.labels("poort_sign_ins_total") == []


def test_refused_refresh_token_counts_by_what_was_wrong(
    make_counted: Callable[..., Counted], database: Database, clock: Clock
) -> None:
    database.make_user(password="secret")
    counted = make_counted(REFRESH_TOKEN_TTL="1000")
    token = counted.client.post(PATH, json={"username": "alice", "password": "secret"}).json["refresh_token"]
    for seconds in (0, 60):
        clock.advance(seconds)
        counted.client.post("/api/token/refresh", json={"refresh_token": token})
    counted.client.post("/api/token/refresh", json={"refresh_token": "x"})
    counted.client.post("/api/token/refresh", json={})
    kinds = {labels["kind"] for labels in counted.labels("poort_token_failures_total")}
    assert kinds == {"refresh_reused", "refresh_invalid", "refresh_missing"}


def test_series_of_a_few_are_there_from_the_start(counted: Counted) -> None:
    assert {counted("poort_sign_ins_total", outcome=outcome) for outcome in OUTCOMES.values()} == {0}
    assert {counted("poort_token_failures_total", kind=kind) for kind in TOKEN_FAILURES.values()} == {0}
    assert {counted("poort_unavailable_total", part=part) for part in ("database", "keys")} == {0}


def test_hashing_is_counted_and_its_queue_is_seen(make_counted: Callable[..., Counted], database: Database) -> None:
    database.make_user(password="secret")
    counted = make_counted(PASSWORD_HASH_QUEUE="1")
    hashing = counted.app.extensions["poort"].hashing
    with ThreadPoolExecutor(1) as pool:
        with occupied(hashing):
            waiting = pool.submit(counted.app.test_client().post, PATH, json={"username": "alice", "password": "secret"})
            wait_until_inside(hashing, 2)
            assert counted("poort_password_hash_queue_depth") == 2
            assert counted.sign_in() == 503
        assert signed_in_as(waiting.result()) == "alice"
    assert counted("poort_password_hash_queue_depth") == 0
    assert counted("poort_password_hash_refused_total") == 1
    assert counted("poort_password_hash_turns_total") == 2
    assert counted("poort_password_hash_wait_seconds_total") == hashing.waited_seconds_total > 0


def test_what_a_part_counts_is_counted_once_by_many_threads(counted: Counted) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: counted.app.test_client().post(PATH, json={"username": "a", "password": "b"}), range(24)))
    assert counted("poort_password_hash_turns_total") == counted.app.extensions["poort"].hashing.turns_total


def test_store_that_is_down_is_counted(make_counted: Callable[..., Counted], database: Database) -> None:
    database.make_user(password="secret")
    counted = make_counted(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert counted.sign_in() == 200
    assert counted("poort_throttle_unavailable_total") == 1


def test_database_and_keys_that_are_down_are_counted(
    counted: Counted, make_counted: Callable[..., Counted], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = bearer(counted.app, database.make_user("admin", ["ROLE_ADMIN"]))

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(routes, "paginate", fail)
    assert counted.client.get("/api/users", headers=headers).status_code == 503
    assert counted.labels("poort_unavailable_total") == [{"part": "database"}]
    without_keys = make_counted(JWT_SECRET_KEY="/nowhere/private.pem")
    assert without_keys.sign_in() == 503
    assert without_keys.labels("poort_unavailable_total") == [{"part": "keys"}]
    assert without_keys.labels("poort_sign_ins_total") == [{"outcome": "unavailable"}]


def test_connections_that_are_held_are_seen(counted: Counted, database: Database) -> None:
    headers = bearer(counted.app, database.make_user("admin", ["ROLE_ADMIN"]))
    assert counted("poort_database_connections_in_use") == 0
    counted.client.get("/api/me", headers=headers)
    assert counted("poort_database_connections_in_use") >= 1


def test_count_that_cannot_be_written_changes_no_answer(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RequestCounter, "_of_kind", fail)
    assert counted.sign_in() == 200
    assert "a request is not counted: No space left on device" in caplog.messages


def test_there_is_no_metrics_page_among_the_routes(client: FlaskClient) -> None:
    assert client.get("/metrics").status_code == 404
