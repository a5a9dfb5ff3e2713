"""Keys rotate under real servers: no request fails, hosts accept each other's tokens, and a kill at any point leaves a usable set."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from subprocess import PIPE

import pytest
from factories import dispose
from flask import Flask
from load import PAUSE_SECONDS, Load
from system.serving import Home, Server

from app import create_app
from blueprints.parts import parts
from config import load_settings
from config.settings import ROOT
from security.keys.pair import load_key_pair

pytest_plugins = ("system.fixtures",)

PASSPHRASE = "long enough"


@pytest.fixture
def home(home: Home) -> Home:
    return home.write_env(JWT_PASSPHRASE=PASSPHRASE, PASSWORD_HASH_COST="4", LOGIN_THROTTLING_MAX_ATTEMPTS="0")


def bearer(server: Server, password: str) -> dict[str, str]:
    status, _, body = server.sign_in("admin", password)
    assert status == 200
    return {"Authorization": f"Bearer {body['token']}"}


def rotate(home: Home, *options: str) -> None:
    done = home.flask("jwt", "rotate-key", *options)
    assert done.returncode == 0, done.stderr


class Clients(Load):
    """Clients: some sign in, some read with each known token in turn."""

    def __init__(self, server: Server, password: str) -> None:
        self.server, self.password = server, password
        self.tokens = [bearer(server, password)]
        self.answers: list[tuple[str, int]] = []
        super().__init__(self.read, self.read, self.read, self.sign_in)

    def read(self) -> None:
        number = 0
        while self.goes_on():
            number += 1
            # The oldest token, the newest, and one in between.
            token = self.tokens[(0, -1, number % len(self.tokens))[number % 3]]
            self.answers.append(("read", self.server.request("GET", "/api/users/1", **token)[0]))

    def sign_in(self) -> None:
        while self.goes_on():
            status, _, body = self.server.sign_in("admin", self.password)
            self.answers.append(("sign in", status))
            if status == 200:
                self.tokens.append({"Authorization": f"Bearer {body['token']}"})


def test_three_rotations_under_load_fail_no_request(home: Home) -> None:
    password = home.set_up()
    server = home.serve(WEB_CONCURRENCY="2")
    try:
        with Clients(server, password) as load:
            for _ in range(3):
                rotate(home)
            after = bearer(server, password)
        kids = [key["kid"] for key in server.request("GET", "/.well-known/jwks.json")[2]["keys"]]
        answers = [server.request("GET", "/api/users/1", **token)[0] for token in (load.tokens[0], after)]
    finally:
        server.stop()
    assert answers == [200, 200]
    assert {status for _, status in load.answers} == {200}
    assert {kind for kind, _ in load.answers} == {"read", "sign in"}
    assert len(set(kids)) == 4
    workers = {line["process"] for line in server.log_lines if str(line.get("route")).startswith("/api/users/")}
    assert len(workers) == 2
    assert [line for line in server.log_lines if line["level"] in {"error", "critical"}] == []


def test_hosts_with_keys_of_their_own_believe_each_other(home: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    password = home.set_up()
    second = Home(tmp_path_factory.mktemp("second"))
    second.write_env(
        JWT_PASSPHRASE="another passphrase",
        PASSWORD_HASH_COST="4",
        LOGIN_THROTTLING_MAX_ATTEMPTS="0",
        DATABASE_URL=f"sqlite:///{home.folder}/var/poort.db",
    )
    assert second.flask("jwt", "generate-keypair").returncode == 0
    servers = [home.serve(WEB_CONCURRENCY="2"), second.serve(WEB_CONCURRENCY="2")]
    try:
        with closing(sqlite3.connect(home.folder / "var" / "poort.db")) as database:
            assert database.execute("SELECT count(*) FROM poort_verification_key").fetchone() == (2,), (
                "published before its first token"
            )
        tokens = [bearer(server, password) for server in servers]
        with ThreadPoolExecutor(2) as pool:
            rotation = pool.submit(rotate, second)
            statuses = set()
            while not wait([rotation], PAUSE_SECONDS).done:
                tokens.append(bearer(servers[1], password))
                statuses |= {servers[0].request("GET", "/api/users/1", **token)[0] for token in tokens[-2:]}
            rotation.result()
        tokens.append(bearer(servers[1], password))
        both = {server.request("GET", "/api/users/1", **token)[0] for server in servers for token in tokens for _ in range(2)}
        sets = [{key["kid"] for key in server.request("GET", "/.well-known/jwks.json")[2]["keys"]} for server in servers]
    finally:
        for server in servers:
            server.stop()
    assert (statuses, both) == ({200}, {200})
    assert sets[0] == sets[1]
    assert len(sets[0]) == 3


#: Runs `flask` in a child for each number that it reads, and kills the child before its nth step: opening, renaming or removing a
#: key file, or a transaction. Importing the application once saves a second for each of them.
KILLED = """
import gc, os, signal, sys
from sqlalchemy import Engine, event
from flask.cli import main
import app, commands
gc.freeze()
folder, flask_app = sys.argv[1:]

def run(last):
    steps = 0

    def step(*_):
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(name, given):
        if name in {"open", "os.rename", "os.remove", "os.chmod", "os.utime", "os.scandir", "fcntl.flock", "time.sleep"}:
            if name in {"fcntl.flock", "time.sleep"} or folder in str(given[0]):
                step()

    sys.addaudithook(audit)
    event.listen(Engine, "commit", step)
    event.listen(Engine, "begin", step)
    sys.argv = ["flask", "--app", flask_app, "jwt", "rotate-key", "--wait", "0.01", "--bits", "2048"]
    signal.alarm(30)
    main()

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        run(int(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def rotate_killed(home: Home) -> Iterator[Callable[[int], int]]:
    """Rotate the keys in a process that is killed before its nth step; return its exit status."""
    command = [sys.executable, "-c", KILLED, str(home.folder / "config" / "jwt"), str(ROOT / "wsgi.py")]
    forking = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, bufsize=1, cwd=ROOT, env=home.environment())
    with forking:

        def rotate_once(step: int) -> int:
            print(step, file=forking.stdin)
            return int(forking.stdout.readline())

        yield rotate_once
    assert forking.returncode == 0


def start_in_process(home: Home) -> Flask:
    """Do what a start does: check and publish the keys, then sign and verify."""
    app = create_app(load_settings(home.environment()))
    with app.app_context():
        parts().check_keys()
        parts().keys.announce()
    return app


def assert_usable(home: Home, tokens: list[str]) -> str:
    """Assert that a start succeeds and accepts the tokens; return a token that it signs."""
    app = start_in_process(home)
    try:
        made = app.extensions["poort"].tokens
        token: str = made.issue("admin", [])
        assert [made.verify(one)["username"] for one in (*tokens, token)] == ["admin"] * (len(tokens) + 1)
    finally:
        dispose(app)
    folder = home.folder / "config" / "jwt"
    load_key_pair(str(folder / "private.pem"), str(folder / "public.pem"), PASSPHRASE)
    assert (folder / "public.pem").stat().st_mode & 0o777 == 0o644
    assert (folder / "private.pem").stat().st_mode & 0o777 == 0o600
    return token


def test_kill_at_any_point_of_a_rotation_leaves_a_usable_set(home: Home, rotate_killed: Callable[[int], int]) -> None:
    password, killed_at = home.set_up(), 0
    tokens = [assert_usable(home, [])]
    private = home.folder / "config" / "jwt" / "private.pem"
    changed = 0
    while True:
        killed_at += 1
        before = private.read_bytes()
        status = rotate_killed(killed_at)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        changed += private.read_bytes() != before
        tokens.append(assert_usable(home, tokens))
        if killed_at % 10 == 0:
            server = home.serve(WEB_CONCURRENCY="2")
            try:
                for token in (*tokens, bearer(server, password)["Authorization"].split()[1]):
                    assert server.request("GET", "/api/users/1", Authorization=f"Bearer {token}")[2]["username"] == "admin"
            finally:
                assert server.stop() == 0
    assert killed_at > 20, "there are more than 20 points to kill it at"
    assert changed, "some kills came after the new key took over"
    assert_usable(home, tokens)
    left = sorted(file.name for file in private.parent.iterdir() if file.name.startswith("."))
    assert left == [".lock"], "the rotation that ran to its end cleaned up"
