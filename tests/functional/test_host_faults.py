"""Faults of a host: the clock jumps, keys are unusable, the log cannot be written. On SQLite alone."""

import errno
import io
import logging
from pathlib import Path

import pytest
from answers import signed_in_as
from factories import Clock, Database, dispose, settings_for
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from config.logging import JsonFormatter

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

DAY = 86_400


@pytest.fixture
def client(database: Database, client: FlaskClient) -> FlaskClient:
    database.make_user("alice", ["ROLE_ADMIN"], password="secret")
    return client


def sign_in(client: FlaskClient, password: str = "secret") -> TestResponse:
    return client.post("/api/authentication_token", json={"username": "alice", "password": password})


def token_of(client: FlaskClient) -> dict[str, str]:
    answer = sign_in(client)
    assert answer.status_code == 200, answer.json
    return {"Authorization": f"Bearer {answer.json['token']}"}


def asks(client: FlaskClient, headers: dict[str, str]) -> int:
    return client.get("/api/me", headers=headers).status_code


def test_clock_that_jumps_back_refuses_older_tokens_until_their_time_has_come(client: FlaskClient, clock: Clock) -> None:
    before = token_of(client)
    assert asks(client, before) == 200
    clock.advance(-600)
    during = token_of(client)
    assert [asks(client, before), asks(client, during)] == [401, 200], "a token from the future is refused"
    clock.advance(600)
    assert [asks(client, before), asks(client, during)] == [200, 200]


def test_clock_that_jumps_forward_ends_tokens_and_nothing_for_good(client: FlaskClient, clock: Clock) -> None:
    before = token_of(client)
    clock.advance(DAY)
    assert asks(client, before) == 401
    during = token_of(client)
    assert asks(client, during) == 200
    clock.advance(-DAY)
    assert [asks(client, before), asks(client, during), asks(client, token_of(client))] == [200, 401, 200]


@pytest.mark.parametrize("seconds", [-DAY, DAY])
def test_throttle_outlives_no_jump(client: FlaskClient, clock: Clock, seconds: int) -> None:
    def guesses() -> list[bool]:
        return [sign_in(client, "wrong").json["message"].startswith("Too many") for _ in range(11)]

    assert guesses() == [False] * 10 + [True]
    clock.advance(seconds)
    assert guesses() == [False] * 10 + [True], "a new window, as long as any"
    clock.advance(60)
    assert signed_in_as(sign_in(client)) == "alice"


def test_server_whose_keys_are_gone_says_so_and_recovers(database: Database, clock: Clock, tmp_path: Path) -> None:
    """A new worker starts with unusable keys; a running one keeps its keys (tests/unit/test_key_set.py)."""
    database.make_user("alice", ["ROLE_ADMIN"], password="secret")
    pair, files = settings_for(), {name: tmp_path / f"{name}.pem" for name in ("private", "public")}
    app = create_app(
        settings_for(DATABASE_URL=database.url, JWT_SECRET_KEY=str(files["private"]), JWT_PUBLIC_KEY=str(files["public"])), clock
    )
    client = app.test_client()
    files["private"].write_bytes(Path(pair.jwt_secret_key).read_bytes()[:900])
    answer = sign_in(client)
    assert (answer.status_code, answer.json) == (503, {"error": "The keys cannot be used at the moment."})
    assert answer.headers["Retry-After"] == "5"
    assert client.get("/readyz").json["failing"] == ["keys"]
    files["private"].write_bytes(Path(pair.jwt_secret_key).read_bytes())
    files["private"].chmod(0o600)
    files["public"].write_bytes(Path(pair.jwt_public_key).read_bytes())
    assert asks(client, token_of(client)) == 200
    dispose(app)


class FullDisk(io.StringIO):
    """Standard error as a file on a full disk."""

    refused = 0

    def write(self, _text: str) -> int:
        self.refused += 1
        raise OSError(errno.ENOSPC, "No space left on device")


def test_log_that_cannot_be_written_refuses_nothing(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = FullDisk()
    monkeypatch.setattr("sys.stderr", stream)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)
    monkeypatch.setattr(logging.getLogger("poort.access"), "level", logging.INFO)
    headers = token_of(client)
    body = {"username": "newcomer", "email": "newcomer@example.com"}
    statuses = [asks(client, headers), client.post("/api/users", json=body, headers=headers).status_code]
    assert [*statuses, sign_in(client, "wrong").status_code] == [200, 201, 401]
    assert stream.refused > 4, "one line for each request, and the audit lines"
