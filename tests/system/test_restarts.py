"""Reloads, restarts and killed workers under load, as in production: behind nginx, on a socket that outlives gunicorn."""

import os
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from load import Load
from system.proxied import SITE_WITHOUT_LIMITS, Proxied, serve_behind_nginx, serve_on_a_socket
from system.serving import Home, Server

pytest_plugins = ("system.fixtures",)


class Clients(Load):
    """Clients: three read, one creates users, one signs in. Their answers are counted."""

    def __init__(self, asked: Server | Proxied, password: str, username: str = "new") -> None:
        self.asked, self.password, self.username = asked, password, username
        self.headers = {"Authorization": f"Bearer {asked.sign_in('admin', password)[2]['token']}"}
        self.statuses: Counter[int] = Counter()
        self.created: list[str] = []
        super().__init__(self.read, self.read, self.read, self.create, self.sign_in)

    def ask(self, *request: object) -> int:
        try:
            status = self.asked.request(*request, **self.headers)[0]
        except OSError:  # no answer, or part of one; a killed process is gone a moment later
            status = 0
            time.sleep(0.1)
        self.statuses[status] += 1
        return status

    def read(self) -> None:
        while self.goes_on():
            self.ask("GET", "/api/users/1")

    def create(self) -> None:
        number = 0
        while self.goes_on():
            number += 1
            body = {"username": f"{self.username}{number}", "email": f"new{number}@example.com"}
            if self.ask("POST", "/api/users", body) == 201:
                self.created.append(body["username"])

    def sign_in(self) -> None:
        while self.goes_on():
            self.ask("POST", "/api/authentication_token", {"username": "admin", "password": self.password})


def usernames(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / "var" / "poort.db")) as database:
        return {name for (name,) in database.execute("SELECT username FROM user")}


def reload(server: Server) -> None:
    before = server.all_workers()
    server.process.send_signal(signal.SIGHUP)
    server.wait_until(lambda: len(server.workers()) == 2 and not server.workers() & before)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of deploy/poort.socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "gunicorn.sock"))
        listener.listen(4096)
        yield listener


@pytest.mark.services
def test_no_request_fails_while_workers_are_replaced_and_the_server_restarts(tmp_path: Path, listener: socket.socket) -> None:
    serving = serve_behind_nginx(tmp_path, listener, SITE_WITHOUT_LIMITS)
    proxied = next(serving)
    try:
        with Clients(proxied, proxied.password) as load:
            reload(proxied.server)
            created_by_then = len(load.created)
            assert proxied.server.stop() == 0
            proxied.server.start()
            time.sleep(0.5)
    finally:
        serving.close()
    assert load.statuses.keys() == {200, 201}, load.statuses
    assert len(load.created) > created_by_then > 0
    assert set(load.created) <= usernames(tmp_path)


def test_a_killed_worker_takes_with_it_what_it_was_at_and_no_more(home: Home) -> None:
    password = home.set_up()
    server = home.serve(WEB_CONCURRENCY="2")
    try:
        with Clients(server, password) as load:
            time.sleep(0.5)
            before = server.all_workers()
            # Half-written settings wait for the next reload; they must not keep a worker from being replaced.
            (home.folder / ".env.local").write_text("JWT_TOKEN_TTL=soo")
            os.kill(min(before), signal.SIGKILL)
            server.wait_until(lambda: len(server.workers()) == 2 and server.workers() != before)
            time.sleep(0.5)
            server.wait_until(lambda: {line["process"] for line in server.log_lines if "route" in line} >= server.workers())
        assert load.statuses.pop(0, 0) <= len(load.threads)
        assert load.statuses.keys() == {200, 201}, load.statuses
        with Clients(server, password, "newer") as later:
            time.sleep(0.2)
    finally:
        assert server.stop() == 0
    assert later.statuses.keys() == {200, 201}, "later clients notice nothing"
    assert set(load.created + later.created) <= usernames(home.folder)
    assert [line["level"] for line in server.log_lines if "was sent SIGKILL" in line["message"]] == ["error"]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_fails_where_workers_have_answered_enough_and_others_take_over(home: Home, workers: int) -> None:
    """Two workers at once, and a single one: each ends only when its replacement takes requests."""
    password = home.set_up()
    limits = "--max-requests 100 --max-requests-jitter 5"
    server = serve_on_a_socket(
        home,
        WEB_CONCURRENCY=str(workers),
        GUNICORN_CMD_ARGS=limits,
        LOGIN_THROTTLING_MAX_ATTEMPTS="0",
        TRUSTED_PROXIES="127.0.0.1",
    )
    try:
        first = server.all_workers(workers)
        with Clients(server, password) as load:
            server.wait_until(lambda: server.log.count("a new worker takes the place of one") >= 2 * workers)
            server.wait_until(lambda: len(server.workers()) == workers and not server.workers() & first)
    finally:
        assert server.stop() == 0
    assert load.statuses.keys() == {200, 201}, load.statuses
    assert set(load.created) <= usernames(home.folder)


def test_a_reload_keeps_the_socket_and_refuses_what_cannot_be_used(home: Home) -> None:
    password = home.set_up()
    server = serve_on_a_socket(home, WEB_CONCURRENCY="2", TRUSTED_PROXIES="127.0.0.1")
    try:
        before = server.socket.stat()
        reload(server)
        after = server.socket.stat()
        assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode), "nginx and all workers keep using this socket"
        token = {"Authorization": f"Bearer {server.sign_in('admin', password)[2]['token']}"}
        server.wait_until(lambda: server.request("GET", "/api/me", **token)[0] == 200 and both_have_answered(server))
        workers = server.all_workers()
        spoiled = ((".env.local", "JWT_TOKEN_TTL=soon\n"), ("config/jwt/private.pem", "half a key"))
        for number, (name, text) in enumerate(spoiled, 1):
            (home.folder / ".env.local").unlink(missing_ok=True)
            (home.folder / name).write_text(text)
            server.process.send_signal(signal.SIGHUP)
            server.wait_until(lambda: server.log.count("nothing is reloaded: ") == number)  # noqa: B023 - called at once
        assert server.request("GET", "/api/me", **token)[2]["username"] == "admin"
        assert server.workers() == workers
    finally:
        assert server.stop() == 0
    assert after.st_mode & 0o777 == 0o660


def both_have_answered(server: Server) -> bool:
    """Tell whether both workers have answered, and so have read the key."""
    return {line["process"] for line in server.log_lines if str(line.get("route")).startswith("/api/me")} >= server.workers()
