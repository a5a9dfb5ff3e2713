"""The throttle of sign-ins counts for all workers together."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from system.serving import Home

pytest_plugins = ("system.fixtures",)

WRONG = {"code": 401, "message": "Invalid credentials."}


@pytest.fixture
def home(home: Home) -> Home:
    return home.write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4", LOGIN_THROTTLING_INTERVAL="3600")


def failures(home: Home) -> int:
    with closing(sqlite3.connect(home.folder / "var" / "poort.db")) as database:
        return int(database.execute("SELECT count(*) FROM track_e_login_record WHERE NOT success").fetchone()[0])


def test_the_eleventh_failure_is_refused_whichever_worker_it_meets(home: Home) -> None:
    password = home.set_up()
    server = home.serve(WEB_CONCURRENCY="2")
    try:
        answers = [server.sign_in("admin", "wrong") for _ in range(30)]
        right = server.sign_in("admin", password)
    finally:
        server.stop()
    assert [answer[2] for answer in answers[:10]] == [WRONG] * 10
    for status, headers, body in (*answers[10:], right):
        assert status == 401
        assert body == {"code": 401, "message": "Too many failed login attempts, please try again in 60 minutes."}
        assert 3590 < int(headers["retry-after"]) <= 3600
    workers = [line["process"] for line in server.log_lines if line.get("route") == "/api/authentication_token"]
    assert len(workers) == 31
    assert len(set(workers[10:])) == 2, "both workers refused"


def test_of_a_hundred_guesses_at_once_ten_are_hashed(home: Home) -> None:
    home.set_up()
    server = home.serve(WEB_CONCURRENCY="2")
    try:
        with ThreadPoolExecutor(100) as pool:
            answers = list(pool.map(lambda number: server.sign_in("admin", f"guess {number}"), range(100)))
    finally:
        server.stop()
    assert {answer[0] for answer in answers} == {401}
    messages = [answer[2]["message"] for answer in answers]
    assert (messages.count("Invalid credentials."), sum(text.startswith("Too many") for text in messages)) == (10, 90)
    assert failures(home) == 10
