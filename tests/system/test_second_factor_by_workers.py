"""A code of the second factor is good once, whichever worker gets it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
from system.serving import Home, Server

pytest_plugins = ("system.fixtures",)


def code_of(secret: str, step: int = 0) -> str:
    """Return the code that an app shows now, or some steps of 30 seconds later."""
    return pyotp.TOTP(secret).at(datetime.now(UTC) + timedelta(seconds=30 * step))


def ask(server: Server, token: str, method: str, body: dict[str, str]) -> Any:
    status, _, answer = server.request(method, "/api/me/totp", body, Authorization=f"Bearer {token}")
    assert status == 200, answer
    return answer


@pytest.mark.parametrize("kind", ["totp", "backup code"])
def test_of_many_at_once_with_one_code_one_gets_in(home: Home, kind: str) -> None:
    password = home.set_up()
    # All are let through and hashed, however slow the machine is.
    roomy = {"LOGIN_THROTTLING_MAX_ATTEMPTS": "0", "PASSWORD_HASH_QUEUE": "60", "PASSWORD_HASH_WAIT": "60"}
    server = home.serve(WEB_CONCURRENCY="2", **roomy)
    try:
        token = server.sign_in("admin", password)[2]["token"]
        secret = ask(server, token, "POST", {"password": password})["secret"]
        backup_codes = ask(server, token, "PUT", {"totp": code_of(secret)})["backupCodes"]
        # That code is used up; the next one is valid already.
        code = code_of(secret, 1) if kind == "totp" else backup_codes[0]
        credentials = {"username": "admin", "password": password}
        with ThreadPoolExecutor(60) as pool:
            answers = list(
                pool.map(lambda _: server.request("POST", "/api/authentication_token", credentials | {"totp": code}), range(60))
            )
    finally:
        server.stop()
    assert sorted(status for status, *_ in answers) == [200] + [401] * 59
    assert {body["message"] for status, _, body in answers if status == 401} == {"Invalid credentials."}
    workers = {line["process"] for line in server.log_lines if line.get("route") == "/api/authentication_token"}
    assert len(workers) == 2
    assert [text for text in (secret, *backup_codes) if text in server.log] == []
