"""Real MariaDB, PostgreSQL, Redis and nginx for the tests, in folders and on ports of their own; never those of the machine.

Each is a `Program`, which `start_…` returns; `stop()` ends it by its own process id and removes its folder. Where the
program is not installed they raise `NotInstalled`.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

START_TIMEOUT_SECONDS = 60

#: Which of the processes that run tests this is, and how many there are (pytest-xdist).
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

Found = TypeVar("Found")
Started = TypeVar("Started", bound="Program")


class NotInstalled(Exception):
    """The program of a service is not on this machine."""


class DidNotStart(Exception):
    """A server ended, or said nothing, before it could be used; with what it wrote."""


@dataclass
class Program:
    """A running program with a folder of its own."""

    name: str
    process: subprocess.Popen[bytes]
    folder: Path
    stop_signal: signal.Signals = field(default=signal.SIGTERM, kw_only=True)

    def stop(self) -> None:
        """End the program and remove its files; a second time does nothing."""
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@dataclass
class Server(Program):
    """A database server: `address` is its URL without a database, `driver_url` one that SQLAlchemy can open."""

    address: str
    driver_url: str
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def create_database(self) -> str:
        """Make an empty database and return its URL, as DATABASE_URL has it."""
        name = f"poort_{os.getpid()}_{next(self.numbers)}"
        options = "ENCODING 'UTF8' TEMPLATE template0" if self.name == "postgresql" else "CHARACTER SET utf8mb4"
        engine = create_engine(self.driver_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} {options}"))
        engine.dispose()
        return f"{self.address}/{name}"


@dataclass
class RedisServer(Program):
    """A Redis that asks for a password; by TCP and by a unix socket."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://:{self.password}@{self.folder}/socket"


def start_mariadb() -> Server:
    """Start a MariaDB that anyone on loopback may use as root."""
    server, installer = find_program("mariadbd"), find_program("mariadb-install-db")
    folder = Path(tempfile.mkdtemp(prefix="poort-mariadb-"))
    as_root = ["--user=root"] if os.getuid() == 0 else []
    data, port = folder / "data", free_port()
    run([installer, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", *as_root])
    process = spawn(
        [
            *(server, "--no-defaults", f"--datadir={data}", f"--socket={folder}/socket", f"--pid-file={folder}/pid"),
            *("--bind-address=127.0.0.1", f"--port={port}", f"--tmpdir={folder}", "--skip-grant-tables", "--skip-name-resolve"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=64M"),
            *("--innodb-log-file-size=16M", "--max-connections=300", "--performance-schema=OFF", *as_root),
        ],
        folder,
    )
    server = Server("mariadb", process, folder, f"mysql://root@127.0.0.1:{port}", f"mysql+pymysql://root@127.0.0.1:{port}/mysql")
    return ready(server)


def start_postgresql() -> Server:
    """Start a PostgreSQL that trusts anyone on loopback; as the user `postgres` where we are root, whom it refuses."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name.partition(".")[0]))
    places = [str(place) for place in places[-1:]]
    server, installer = find_program("postgres", *places), find_program("initdb", *places)
    folder = Path(tempfile.mkdtemp(prefix="poort-postgresql-"))
    data, port, other_user = folder / "data", free_port(), []
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        other_user = [find_program("setpriv"), f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    run(
        [
            *other_user,
            installer,
            "-D",
            str(data),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]
    )
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "300",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    process = spawn([*other_user, server, "-D", str(data), "-p", str(port), *options], folder)
    url = f"//postgres@127.0.0.1:{port}"
    server = Server(
        "postgresql", process, folder, f"postgresql:{url}", f"postgresql+psycopg:{url}/postgres", stop_signal=signal.SIGINT
    )
    return ready(server)


def start_redis(port: int = 0, password: str = "") -> RedisServer:
    """Start a Redis that writes nothing to the disk; on the port and with the password of one that was, where they are given."""
    program, folder = find_program("redis-server"), Path(tempfile.mkdtemp(prefix="poort-redis-"))
    port, password = port or free_port(), password or secrets.token_hex(16)
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "unixsocket": f"{folder}/socket",
        "dir": str(folder),
        "requirepass": password,
        "save": "",
        "appendonly": "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    server = RedisServer("redis", spawn([program, *words], folder), folder, port, password)
    return listening(server, port)


def start_nginx(site: str, port: int) -> Program:
    """Start an nginx of two workers with what belongs into its `http` block; `port` is one that the site listens on."""
    program, folder = find_program("nginx"), Path(tempfile.mkdtemp(prefix="poort-nginx-"))
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = f"pid {folder}/pid;\nerror_log {folder}/error.log info;\nworker_processes 2;\ndaemon off;\nevents {{}}\n"
    as_root = "user root;\n" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"{as_root}{main}http {{\n{temporary}{site}\n}}\n")
    command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    run([*command, "-t"])
    return listening(Program("nginx", spawn(command, folder), folder, stop_signal=signal.SIGQUIT), port)


STARTERS: dict[str, Callable[[], Server]] = {"mariadb": start_mariadb, "postgresql": start_postgresql}


def find_program(name: str, *places: str) -> str:
    """Return the path of a program; system programs are not on everyone's PATH. Raises NotInstalled."""
    path = shutil.which(name, path=os.pathsep.join([*places, os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin"]))
    if path is None:
        raise NotInstalled(f"{name} is not installed")
    return path


def needed(make: Callable[[], Found]) -> Found:
    """Return what `make` finds or starts; skips where it is not installed, or fails where it must be."""
    try:
        return make()
    except NotInstalled as reason:
        (pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip)(str(reason))


def free_port() -> int:
    """Return a port of loopback that nobody listens on.

    Another program may take it before the caller does, so the port is below those that the kernel gives to
    clients (32768 and up), and each process that runs tests draws from ports of its own.
    """
    while True:
        port = 12_000 + secrets.randbelow(20_000 // WORKERS) * WORKERS + WORKER
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def run(command: list[str]) -> None:
    """Run a program of the set-up to its end. Raises DidNotStart with what it wrote."""
    done = subprocess.run(command, check=False, capture_output=True, cwd="/", text=True, timeout=START_TIMEOUT_SECONDS)
    if done.returncode:
        raise DidNotStart(f"{command}: {done.stdout}{done.stderr}")


def spawn(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a server whose log goes to its folder; signals of the terminal are not for it."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)


def listening(program: Started, port: int) -> Started:
    """Wait until a program listens. Raises DidNotStart with its log."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while program.process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return program
        time.sleep(0.02)
    log = program.log
    program.stop()
    raise DidNotStart(f"{program.name}: {log}")


def ready(server: Server) -> Server:
    """Wait until a server answers. Raises DidNotStart with its log."""
    engine = create_engine(server.driver_url)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    try:
        while server.process.poll() is None and time.monotonic() < deadline:
            try:
                with engine.connect():
                    return server
            except OperationalError:
                time.sleep(0.1)
    finally:
        engine.dispose()
    log = server.log
    server.stop()
    raise DidNotStart(f"{server.name}: {log}")
