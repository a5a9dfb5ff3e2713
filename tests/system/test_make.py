"""`make serve` and `make setup` in a copy of the project: the first run makes everything, the second changes nothing."""

import hashlib
import json
import math
import os
import pty
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import pytest
from databases import EACH_KIND, Databases
from redis import Redis
from sqlalchemy import create_engine, inspect, text
from system.serving import FLASK, START_SECONDS, Server, clean_environment, run_python

from benchmarks.services import RedisServer
from config.settings import ROOT, parse_settings
from deploy import demo

LEFT_OUT = (
    ".git",
    ".venv",
    ".env",
    ".env.local",
    "var",
    "*.pem",
    "tests",
    "node_modules",
    "*.pyc.*",  # files that other processes are writing
    ".*_cache",
    ".hypothesis",
    "site",
    ".site-pages",
)
REFUSED = "has a `user` table that Poort did not make: it may be a Chamilo campus. Nothing was written. Point DATABASE_URL at an empty database, or set DATABASE_SCHEMA=chamilo."


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project as a clone has it, with the packages of this one, and compiled as this one."""
    project = tmp_path / "project"
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (project / ".venv").mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith("."):
            (project / ".venv" / entry.name).symlink_to(entry)
    (project / ".venv" / ".pins").touch()
    return project


def make(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], check=False, capture_output=True, text=True, cwd=project, env=clean_environment(**variables)
    )


def serve(project: Path, **variables: str) -> Server:
    return Server(["make", "serve"], project, clean_environment(**variables)).start()


def fingerprint(project: Path) -> dict[str, str]:
    """Return hashes of the files and all rows: what a second run must not change."""
    files = [project / ".env", *(project / "config" / "jwt").glob("*.pem")]
    prints = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    with closing(sqlite3.connect(project / "var" / "poort.db")) as database:
        return prints | {"rows": "\n".join(database.iterdump())}


@pytest.mark.quiet
def test_make_serve_sets_up_and_serves_and_a_second_run_changes_nothing(project: Path) -> None:
    server = serve(project)
    try:
        passwords = re.findall(r"^admin password: (\S+)$", server.log, re.MULTILINE)
        assert len(passwords) == 1
        assert len(passwords[0]) >= 16
        status, _, body = server.sign_in("admin", passwords[0])
        assert (status, list(body)) == (200, ["token"])
        status, _, body = server.request("GET", "/api/users", Authorization=f"Bearer {body['token']}")
        assert (status, [member["username"] for member in body["hydra:member"]]) == (200, ["admin"])
    finally:
        server.stop()
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((project / "var" / "poort.db").stat().st_mode) == 0o600
    secrets = dict(re.findall(r"^(JWT_PASSPHRASE|APP_SECRET)=(.+)$", (project / ".env").read_text(), re.MULTILINE))
    assert [len(secret) for secret in secrets.values()] == [64, 64]
    assert len(set(secrets.values())) == 2
    with closing(sqlite3.connect(project / "var" / "poort.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    before, seconds = fingerprint(project), [math.inf]
    while min(seconds) >= 2 and len(seconds) <= 3:  # a slow start is tried again, because the machine may be busy
        server = serve(project)
        seconds.append(server.seconds_to_first_answer)
        assert "password" not in server.log
        server.stop()
    assert fingerprint(project) == before
    assert min(seconds) < 2, seconds


class Terminal(Server):
    """A server whose output goes to a pseudo-terminal."""

    def start(self) -> "Terminal":
        ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self.environment | {"PORT": str(self.port)},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.screen = ""
        Thread(target=self._read, args=(ours,), daemon=True).start()
        self.wait_until(lambda: "}'\n\n" in self.screen, START_SECONDS)
        return self

    def _read(self, ours: int) -> None:
        with suppress(OSError), os.fdopen(ours, "rb", buffering=0) as output:  # fails once the other end is closed
            while part := output.read(65536):
                self.screen += part.decode(errors="replace").replace("\r\n", "\n")

    @property
    def log(self) -> str:
        return self.screen


def on_terminal(project: Path, goal: str, **variables: str) -> Terminal:
    return Terminal(["make", goal], project, clean_environment(NO_COLOR="1", **variables)).start()


def test_make_serve_ends_its_start_on_a_terminal_with_a_block(project: Path, tmp_path: Path) -> None:
    server = on_terminal(project, "serve")
    try:
        # The block is there only once the server listens.
        assert server.request("GET", "/healthz")[0] == 200
        before, _, block = server.screen.partition("\nPoort is running.\n")
        assert [line.partition(":")[0] for line in before.splitlines()] == ["settings written", "key pair written"]
        password = re.findall(r"Password: +(\S+) +shown once; `bin/poort users set-password admin` makes a new one", block)[0]
        assert f"http://127.0.0.1:{server.port} " in block
        assert "off; `APP_ENABLE_API_ENTRYPOINT=1 make serve` switches it on" in block
        command = "".join(block.partition("terminal:\n\n")[2].partition("}'\n")[:2])
        assert password in command
        done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True, cwd=tmp_path)
        assert list(json.loads(done.stdout)) == ["token"]
    finally:
        server.stop()

    server = on_terminal(project, "serve")
    server.stop()
    assert server.screen.startswith("\nPoort is running.\n")
    assert "was shown by the first start" in server.screen


def test_make_demo_serves_made_up_users_and_leaves_the_real_server_alone(project: Path, tmp_path: Path) -> None:
    elsewhere = {"DATABASE_URL": f"sqlite:///{tmp_path}/real.db", "GUNICORN_CMD_ARGS": "--bind 0.0.0.0:1"}
    for _ in range(2):
        server = on_terminal(project, "demo", **elsewhere)
        try:
            status, _, body = server.sign_in("ada", demo.PASSWORD)
            assert (status, list(body)) == (200, ["token", "refresh_token", "refresh_token_expiration"])
            bearer = {"Authorization": f"Bearer {body['token']}"}
            assert server.request("GET", "/api/users", **bearer)[2]["hydra:totalItems"] == 51
            assert server.request("GET", "/")[2]["explorer"] == {"enabled": True, "path": "/api"}
            assert [server.sign_in(name, demo.PASSWORD)[0] for name in ("carol", "away", "expired")] == [200, 401, 401]
        finally:
            server.stop()
        assert f"http://127.0.0.1:{server.port} " in server.screen
        assert "`POORT_ENV_FILE=var/demo/.env bin/poort users set-password admin`" in server.screen
    made = {path.relative_to(project).as_posix() for path in project.glob("**/*.pem")}
    assert made == {"var/demo/config/jwt/private.pem", "var/demo/config/jwt/public.pem"}
    assert [path for path in (project / ".env", project / "var" / "poort.db", tmp_path / "real.db") if path.exists()] == []
    assert stat.S_IMODE((project / "var" / "demo" / ".env").stat().st_mode) == 0o600


def test_make_setup_serves_nothing(project: Path) -> None:
    done = make(project, "setup")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^admin password: \S+$", done.stdout, re.MULTILINE)
    before = fingerprint(project)
    done = make(project, "setup")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert fingerprint(project) == before


def test_make_alone_lists_the_goals(project: Path) -> None:
    done = make(project)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["make", goal]
        for goal in (
            *("help", "serve", "demo", "setup", "check", "test", "mutants", "lint"),
            *(
                "wheel",
                "docs",
                "bench",
                "bench-timing",
                "soak",
                "ha",
                "attack",
                "upgrade-rehearsal",
                "container-rehearsal",
                "pins",
            ),
        )
    ]


def test_an_env_of_chamilo_is_used_where_it_is(project: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("JWT_PASSPHRASE=of_chamilo\nAPP_ENV=prod\n")
    assert make(project, "setup", POORT_ENV_FILE=str(tmp_path / ".env")).returncode == 0
    assert not (project / ".env").exists()
    assert (tmp_path / "config" / "jwt" / "private.pem").exists()


def test_new_env_writes_over_nothing(project: Path) -> None:
    (project / ".env").write_text("mine")
    subprocess.run([project / "bin" / "new-env"], check=True, capture_output=True)
    assert (project / ".env").read_text() == "mine"
    assert not list(project.glob(".env.[0-9]*"))


def test_a_bad_setting_stops_make_serve_with_one_sentence(project: Path) -> None:
    done = make(project, "serve", WEB_CONCURRENCY="many")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == "poort: WEB_CONCURRENCY must be a whole number from 1 to 256, not 'many'."
    assert "Traceback" not in done.stderr


# --- Databases of other programs, and database servers


@pytest.fixture(params=EACH_KIND)
def url(request: pytest.FixtureRequest, databases: Databases) -> str:
    """The URL of an empty database."""
    return databases.empty_url(request.param)


@pytest.fixture
def tables(url: str) -> Iterator[object]:
    engine = create_engine(parse_settings({"DATABASE_URL": url}).database_url)
    with engine.begin() as connection:
        quoted = connection.dialect.identifier_preparer.quote("user")
        connection.execute(text(f"CREATE TABLE {quoted} (id INTEGER, username VARCHAR(100))"))
        connection.execute(text(f"INSERT INTO {quoted} VALUES (1, 'admin')"))

    def content() -> object:
        with engine.connect() as connection:
            rows = connection.execute(text(f"SELECT * FROM {quoted}")).all()
        return sorted(inspect(engine).get_table_names()), rows

    yield content
    engine.dispose()


@pytest.mark.parametrize("way", ["flask db upgrade", "make serve"])
def test_a_database_with_somebody_elses_users_is_refused_and_nothing_written(
    project: Path, url: str, tables: object, way: str, tmp_path: Path
) -> None:
    def content() -> object:
        return Path(url.removeprefix("sqlite:///")).read_bytes() if url.startswith("sqlite") else tables()

    before = content()
    if way == "make serve":
        done = make(project, "serve", DATABASE_URL=url)
        assert not list((project / "config" / "jwt").glob("*.pem"))
    else:
        done = run_python((*FLASK, "db", "upgrade"), tmp_path, clean_environment(DATABASE_URL=url))
        assert done.returncode == 1
    assert done.returncode != 0
    assert REFUSED in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
    assert ":p@" not in done.stderr
    assert content() == before


def test_make_serve_sets_up_any_database(project: Path, url: str) -> None:
    server = serve(project, DATABASE_URL=url)
    try:
        password = re.findall(r"^admin password: (\S+)$", server.log, re.MULTILINE)[0]
        assert list(server.sign_in("admin", password)[2]) == ["token"]
    finally:
        server.stop()
    driver = {"mysql": "mysql", "postgresql": "postgresql"}.get(url.split(":", maxsplit=1)[0].split("+", maxsplit=1)[0])
    assert [file.name for file in (project / ".venv").glob(".requirements-*")] == (
        [f".requirements-{driver}.txt"] if driver else []
    )


@pytest.mark.services
def test_make_serve_installs_what_redis_needs_and_counts_there(project: Path, redis: RedisServer) -> None:
    server = serve(project, REDIS_URL=redis.url)
    try:
        with Redis.from_url(redis.url) as client:
            client.flushdb()
            assert server.sign_in("admin", "wrong")[0] == 401
            assert len(client.keys("poort:throttle:*")) == 3
    finally:
        server.stop()
    assert [file.name for file in (project / ".venv").glob(".requirements-*")] == [".requirements-redis.txt"]
    assert redis.password not in server.log


def test_flask_db_upgrade_goes_to_all_heads_and_makes_no_user(url: str, tmp_path: Path) -> None:
    for _ in range(2):
        done = run_python((*FLASK, "db", "upgrade"), tmp_path, clean_environment(DATABASE_URL=url))
        assert done.returncode == 0, done.stderr
        assert "password" not in done.stdout
    engine = create_engine(parse_settings({"DATABASE_URL": url}).database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM poort_alembic_version")).scalar() == 2
        quoted = connection.dialect.identifier_preparer.quote("user")
        assert connection.execute(text(f"SELECT count(*) FROM {quoted}")).scalar() == 0
    engine.dispose()


def test_the_scripts_are_executable() -> None:
    for name in ("bin/console", "bin/new-env", "bin/poort", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name
