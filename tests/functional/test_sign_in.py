"""POST /api/authentication_token: its answers, its rows, and its hashes."""
# ruff: noqa: RUF001 - look-alikes are what is tested

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from answers import signed_in_as
from factories import COST, START, Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models import TrackELogin, TrackELoginRecord
from security import sign_in

PATH = "/api/authentication_token"
REFUSED = (401, {"code": 401, "message": "Invalid credentials."})


def post(client: FlaskClient, username: Any = "alice", password: Any = "secret", **options: Any) -> TestResponse:
    return client.post(PATH, json={"username": username, "password": password}, **options)


def outcome(answer: TestResponse) -> tuple[int, Any]:
    return answer.status_code, answer.json


def test_token_is_all_there_is(client: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    answer = post(client)
    assert (answer.status_code, list(answer.json), answer.content_type) == (200, ["token"], "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


def test_token_lets_its_bearer_in(client: FlaskClient, database: Database) -> None:
    user = database.make_user(password="secret")
    headers = {"Authorization": f"Bearer {post(client).json['token']}"}
    assert client.get(f"/api/users/{user.id}", headers=headers).json["username"] == "alice"


def test_success_is_noted(client: FlaskClient, database: Database, clock: Clock) -> None:
    user = database.make_user("Alice", password="secret")
    clock.advance(5)
    post(client, "aLICE", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    (login,), (record,) = database.rows(TrackELogin), database.rows(TrackELoginRecord)
    assert database.user(user.id).last_login == clock()
    assert (login.login_user_id, login.login_date, login.user_ip, login.logout_date) == (user.id, clock(), "192.0.2.7", None)
    assert (record.username, record.login_date, record.user_ip, record.success) == ("Alice", clock(), "192.0.2.7", True)


@pytest.mark.parametrize(
    ("username", "noted"), [("alice", "alice"), ("nobody", "nobody"), ("n" * 200, "n" * 100), ("a\0b", "ab")]
)
def test_failure_is_noted(client: FlaskClient, database: Database, username: str, noted: str) -> None:
    user = database.make_user(password="secret")
    assert outcome(post(client, username, "wrong")) == REFUSED
    (record,) = database.rows(TrackELoginRecord)
    assert (record.username, record.success, database.rows(TrackELogin)) == (noted, False, [])
    assert database.user(user.id).last_login is None


@pytest.mark.parametrize("username", ["alice", "ALICE", "Alice"])
def test_case_of_the_name_does_not_matter(client: FlaskClient, database: Database, username: str) -> None:
    database.make_user("Alice", password="secret")
    assert signed_in_as(post(client, username)) == "Alice"


@pytest.mark.parametrize("username", ["alice ", " alice", "alicé", "alice\0", "ａlice", "ali\u00adce", "al%", "alic_"])
def test_nothing_else_is_forgiven(client: FlaskClient, database: Database, username: str) -> None:
    database.make_user("alice", password="secret")
    assert outcome(post(client, username)) == REFUSED


@pytest.mark.parametrize("password", ["secret", "ünï", "x" * 72, "x" * 73, "x" * 4096, "a\0b", " spaces ", "\N{GRINNING FACE}"])
def test_password_is_taken_as_it_comes(client: FlaskClient, database: Database, password: str) -> None:
    database.make_user(password=password)
    assert signed_in_as(post(client, password=password)) == "alice"
    assert outcome(post(client, password=password + "x")) == REFUSED


UNFIT = {
    "inactive": {"active": 0},
    "made inactive": {"active": -1},
    "soft-deleted": {"active": -2},
    "locked": {"locked": True},
    "expired": {"expiration_date": START},
}
FIT = {"will expire": {"expiration_date": START + timedelta(seconds=1)}, "marked expired": {"expired": True, "expires_at": START}}


@pytest.mark.parametrize("state", UNFIT)
def test_unfit_account_is_refused_like_a_wrong_password(client: FlaskClient, database: Database, state: str) -> None:
    database.make_user(password="secret", **UNFIT[state])
    assert outcome(post(client)) == REFUSED


@pytest.mark.parametrize("state", UNFIT)
def test_unfit_account_loses_its_token(app: Flask, client: FlaskClient, database: Database, state: str) -> None:
    user = database.make_user(**UNFIT[state])
    assert outcome(client.get(f"/api/users/{user.id}", headers=bearer(app, user))) == REFUSED


@pytest.mark.parametrize("state", FIT)
def test_other_dates_keep_nobody_out(client: FlaskClient, database: Database, state: str) -> None:
    database.make_user(password="secret", **FIT[state])
    assert signed_in_as(post(client)) == "alice"


def test_account_expires_at_its_second(app: Flask, client: FlaskClient, database: Database, clock: Clock) -> None:
    user = database.make_user(expiration_date=START + timedelta(seconds=10))
    headers, statuses = bearer(app, user), []
    for _ in range(2):
        clock.advance(9.5)
        statuses.append(client.get(f"/api/users/{user.id}", headers=headers).status_code)
    assert statuses == [200, 401]


def make_legacy(database: Database, name: str) -> str:
    """Insert the fixture user with an old kind of hash; return the password."""
    database.load_contract_users()
    return {"legsha": "shapass", "legbc4": "bc4pass", "legargon": "argonpass"}[name]


@pytest.mark.parametrize("name", ["legsha", "legargon"])
def test_old_hash_is_replaced_at_a_good_sign_in(client: FlaskClient, database: Database, name: str) -> None:
    password = make_legacy(database, name)
    assert signed_in_as(post(client, name, password)) == name
    (user,) = [user for user in database.rows(type(database.user(1))) if user.username == name]
    assert user.password.startswith(f"$2y${COST:02}$")
    assert user.password_updated_at is None
    assert signed_in_as(post(client, name, password)) == name


def test_hash_below_the_cost_is_replaced(make_app: Callable[..., Flask], database: Database) -> None:
    user = database.make_user(password="secret")
    client = make_app(PASSWORD_HASH_COST="5").test_client()
    assert signed_in_as(post(client)) == "alice"
    assert database.user(user.id).password.startswith("$2y$05$")


def test_hash_at_or_above_the_cost_is_kept(client: FlaskClient, database: Database) -> None:
    user = database.make_user(password="secret")
    post(client)
    assert database.user(user.id).password == user.password


def test_old_hash_is_kept_after_a_wrong_password(client: FlaskClient, database: Database) -> None:
    user = database.make_user(password_hash="5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", salt="")
    post(client, password="wrong")
    assert database.user(user.id).password == user.password


def test_md5_signs_in_only_where_it_is_allowed_and_is_replaced(
    client: FlaskClient, make_app: Callable[..., Flask], database: Database
) -> None:
    user = database.make_user(password_hash="5ebe2294ecd0e0f08eab7690d2a6ee69", salt="")
    assert outcome(post(client)) == REFUSED
    allowing = make_app(ALLOW_MD5="1").test_client()
    assert outcome(post(allowing, password="wrong")) == REFUSED
    assert post(allowing).status_code == 200
    assert database.user(user.id).password.startswith("$2y$")
    assert post(client).status_code == 200


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The costs of the hashes that were computed only to take time."""
    calls: list[list[int]] = []
    monkeypatch.setattr(sign_in, "spend_time", lambda costs: calls.append(list(costs)))
    return calls


def test_unknown_user_costs_one_hash(client: FlaskClient, spent: list[list[int]]) -> None:
    assert outcome(post(client, "nobody")) == REFUSED
    assert spent == [[COST]]


def test_known_user_costs_no_more(client: FlaskClient, database: Database, spent: list[list[int]]) -> None:
    database.make_user(password="secret")
    post(client, password="wrong")
    assert [cost for costs in spent for cost in costs] == []


@pytest.mark.parametrize("hashed", ["5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", "5ebe2294ecd0e0f08eab7690d2a6ee69", ""])
def test_cheap_old_hash_costs_as_much_as_a_new_one(
    client: FlaskClient, database: Database, spent: list[list[int]], hashed: str
) -> None:
    database.make_user(password_hash=hashed)
    post(client, password="wrong")
    assert spent == [[COST]]


def test_over_long_password_costs_one_hash(client: FlaskClient, database: Database, spent: list[list[int]]) -> None:
    database.make_user(password="secret")
    assert outcome(post(client, password="x" * 4097)) == REFUSED
    assert spent == [[COST]]


def test_unfit_account_costs_the_hash_that_was_checked(client: FlaskClient, database: Database, spent: list[list[int]]) -> None:
    database.make_user(password="secret", active=0)
    post(client)
    assert [cost for costs in spent for cost in costs] == []


@pytest.mark.parametrize(("username", "password"), [("", "x"), ("x", ""), ("", ""), ("x" * 4097, "x"), ("x" * 4096, "x")])
def test_empty_and_over_long_is_401(client: FlaskClient, username: str, password: str) -> None:
    assert outcome(post(client, username, password)) == REFUSED


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b"{", b"{}x", b"\xef\xbb\xbf{}", b'{"username":"\xff"}', b'{"a":' * 600, b'{"a":NaN}']
)
def test_what_is_no_json_object_is_400(client: FlaskClient, body: bytes) -> None:
    answer = client.post(PATH, data=body, content_type="application/json")
    assert outcome(answer) == (400, {"error": "Invalid JSON."})


@pytest.mark.parametrize(("levels", "status"), [(511, 401), (512, 400)])
def test_json_is_read_to_512_levels(client: FlaskClient, levels: int, status: int) -> None:
    body = '{"username":"a","password":"b","c":' + "[" * levels + "]" * levels + "}"
    assert client.post(PATH, data=body, content_type="application/json").status_code == status


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, 'The key "username" must be provided.'),
        ({"password": 1}, 'The key "username" must be provided.'),
        ({"username": "x"}, 'The key "password" must be provided.'),
        ({"username": 1}, 'The key "username" must be a string.'),
        ({"username": None, "password": "x"}, 'The key "username" must be a string.'),
        ({"username": "x", "password": ["x"]}, 'The key "password" must be a string.'),
    ],
)
def test_missing_and_wrong_keys_are_400(client: FlaskClient, body: dict[str, Any], text: str) -> None:
    assert outcome(client.post(PATH, json=body)) == (400, {"error": text})


def test_surrogate_is_no_text(client: FlaskClient) -> None:
    answer = client.post(PATH, data=json.dumps({"username": "\ud800", "password": "x"}), content_type="application/json")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data", None]
)
def test_other_media_type_is_415(client: FlaskClient, content_type: str | None) -> None:
    answer = client.post(PATH, data=b'{"username":"a","password":"b"}', content_type=content_type)
    assert (answer.status_code, list(answer.json)) == (415, ["error"])


@pytest.mark.parametrize("authorization", ["Bearer a.b.c", "Bearer", ", ,x", "Basic YTpi"])
def test_authorization_header_is_ignored(client: FlaskClient, database: Database, authorization: str) -> None:
    database.make_user(password="secret")
    assert signed_in_as(post(client, headers={"Authorization": authorization})) == "alice"


def test_password_never_gets_into_the_log(client: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    database.make_user(password="right-secret")
    with caplog.at_level("DEBUG"):
        post(client, password="right-secret")
        post(client, password="wrong-secret")
    assert "secret" not in "".join(str(vars(record)) for record in caplog.records)


def test_eleventh_failure_is_refused_until_the_window_ends(client: FlaskClient, database: Database, clock: Clock) -> None:
    database.make_user(password="secret")
    assert [post(client, password="no").json["message"] for _ in range(10)] == ["Invalid credentials."] * 10
    clock.advance(59)
    blocked = post(client)
    assert blocked.json["message"] == "Too many failed login attempts, please try again in 1 minute."
    assert blocked.headers["Retry-After"] == "1"
    clock.advance(1)
    assert signed_in_as(post(client)) == "alice"


def test_another_address_is_not_locked_out(client: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    for _ in range(11):
        post(client, password="no", environ_base={"REMOTE_ADDR": "192.0.2.66"})
    assert signed_in_as(post(client, environ_base={"REMOTE_ADDR": "192.0.2.7"})) == "alice"


@pytest.mark.parametrize("body", [b"{}", b"{", b'{"username":1}'])
def test_unreadable_requests_do_not_count(client: FlaskClient, database: Database, body: bytes) -> None:
    database.make_user(password="secret")
    for _ in range(60):
        client.post(PATH, data=body, content_type="application/json")
    assert signed_in_as(post(client)) == "alice"


def test_spoofed_address_shares_the_window(client: FlaskClient, database: Database) -> None:
    database.make_user(password="secret")
    for number in range(10):
        post(client, password="no", headers={"X-Forwarded-For": f"192.0.2.{number}"})
    assert "Too many" in post(client).json["message"]


def test_trusted_proxy_names_the_address(make_app: Callable[..., Flask], database: Database) -> None:
    client = make_app(TRUSTED_PROXIES="127.0.0.1").test_client()
    post(client, headers={"X-Forwarded-For": "198.51.100.1, 192.0.2.9"})
    assert [record.user_ip for record in database.rows(TrackELoginRecord)] == ["192.0.2.9"]


def test_interval_of_minutes_is_said_in_minutes(make_app: Callable[..., Flask], database: Database) -> None:
    client = make_app(LOGIN_THROTTLING_INTERVAL="121", LOGIN_THROTTLING_MAX_ATTEMPTS="1").test_client()
    database.make_user(password="secret")
    post(client, password="no")
    blocked = post(client)
    assert (blocked.json["message"], blocked.headers["Retry-After"]) == (
        "Too many failed login attempts, please try again in 3 minutes.",
        "121",
    )


def test_zero_switches_the_throttle_off(make_app: Callable[..., Flask], database: Database) -> None:
    client = make_app(LOGIN_THROTTLING_MAX_ATTEMPTS="0").test_client()
    database.make_user(password="secret")
    assert {post(client, password="no").json["message"] for _ in range(60)} == {"Invalid credentials."}


@pytest.mark.parametrize("address", ["x" * 5000, "192.0.2.1, " * 100, "2001:db8::" + "1" * 300, "a\0b"])
@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_address_of_a_proxy_is_cut_to_its_columns(
    make_app: Callable[..., Flask], database: Database, address: str, password: str
) -> None:
    database.make_user(password="secret")
    client = make_app(TRUSTED_PROXIES="127.0.0.1", REFRESH_TOKEN_TTL="1000").test_client()
    answer = client.post(
        "/api/authentication_token",
        json={"username": "alice", "password": password},
        environ_overrides={"HTTP_X_FORWARDED_FOR": address},
    )
    assert answer.status_code == (200 if password == "secret" else 401)
    stored = [row.user_ip for table in (TrackELogin, TrackELoginRecord) for row in database.rows(table)]
    assert stored
    assert all(len(user_ip) <= 45 for user_ip in stored)
