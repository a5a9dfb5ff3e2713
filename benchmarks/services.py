"""Start MariaDB, PostgreSQL, Redis and nginx for tests and benchmarks, each in a temporary folder on a free port.

Every `start_…` returns a `Program`, whose `stop()` ends it by its process id and removes its folder. Raises NotInstalled,
and DidNotStart.
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
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

START_TIMEOUT_SECONDS = 60

#: Which of the processes that run tests this is, and how many there are (pytest-xdist).
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

Started = TypeVar("Started", bound="Program")


class NotInstalled(Exception):
    """A program is not installed on this machine."""


class DidNotStart(Exception):
    """A program ended or timed out before it answered. The message holds what it wrote."""


@dataclass
class Program:
    """A running program and its temporary folder."""

    name: str
    process: subprocess.Popen[bytes]
    folder: Path
    stop_signal: signal.Signals = field(default=signal.SIGTERM, kw_only=True)

    def stop(self) -> None:
        """Stop the program and remove its folder. A second call does nothing."""
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """Return what the program has written so far."""
        return (self.folder / "log").read_text(errors="replace")


@dataclass
class Server(Program):
    """A database server: `address` is a DATABASE_URL without its database, `driver_url` a URL for SQLAlchemy."""

    address: str
    driver_url: str
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def create_database(self) -> str:
        """Create an empty database and return its DATABASE_URL."""
        name = f"poort_{os.getpid()}_{next(self.numbers)}"
        options = "ENCODING 'UTF8' TEMPLATE template0" if self.name == "postgresql" else "CHARACTER SET utf8mb4"
        engine = create_engine(self.driver_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} {options}"))
        engine.dispose()
        return f"{self.address}/{name}"


@dataclass
class RedisServer(Program):
    """A Redis with a password, on a TCP port and a unix socket."""

    port: int
    password: str

    @property
    def url(self) -> str:
        """Return the REDIS_URL of its TCP port."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Return the REDIS_URL of its unix socket."""
        return f"unix://:{self.password}@{self.folder}/socket"


def start_mariadb(*more: str) -> Server:
    """Start a MariaDB on the loopback that accepts root without a password; `more` are further options."""
    program, installer = find_program("mariadbd"), find_program("mariadb-install-db")
    folder = Path(tempfile.mkdtemp(prefix="poort-mariadb-"))
    as_root = ["--user=root"] if os.getuid() == 0 else []
    data, port = folder / "data", free_port()
    # A MariaDB that starts removes what others have in its folder of temporary files, so each has its own.
    places = (f"--datadir={data}", f"--tmpdir={folder}")
    run([installer, "--no-defaults", *places, "--auth-root-authentication-method=normal", "--skip-test-db", *as_root])
    process = spawn(
        [
            *(program, "--no-defaults", f"--datadir={data}", f"--socket={folder}/socket", f"--pid-file={folder}/pid"),
            *("--bind-address=127.0.0.1", f"--port={port}", f"--tmpdir={folder}", "--skip-grant-tables", "--skip-name-resolve"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=64M"),
            *("--innodb-log-file-size=16M", "--max-connections=300", "--performance-schema=OFF", *as_root, *more),
        ],
        folder,
    )
    server = Server("mariadb", process, folder, f"mysql://root@127.0.0.1:{port}", f"mysql+pymysql://root@127.0.0.1:{port}/mysql")
    return ready(server)


def start_postgresql() -> Server:
    """Start a PostgreSQL on the loopback that asks for no password."""
    program, installer = find_program("postgres", *newest_postgresql()), find_program("initdb", *newest_postgresql())
    folder = Path(tempfile.mkdtemp(prefix="poort-postgresql-"))
    data, port, as_user = folder / "data", free_port(), as_postgres(folder) if os.getuid() == 0 else []
    options = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
    run([*as_user, installer, "-D", str(data), *options])
    settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "max_connections": "300"}
    settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
    set_options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    process = spawn([*as_user, program, "-D", str(data), "-p", str(port), *set_options], folder)
    url = f"//postgres@127.0.0.1:{port}"
    urls = f"postgresql:{url}", f"postgresql+psycopg:{url}/postgres"
    return ready(Server("postgresql", process, folder, *urls, stop_signal=signal.SIGINT))


def newest_postgresql() -> list[str]:
    """Return the folder of the programs of the newest PostgreSQL that Debian has installed, if there is one."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    return [str(folder) for folder in folders[-1:]]


def as_postgres(folder: Path) -> list[str]:
    """Give a folder to the user `postgres`, and return the words that run a command as that user: root may not run PostgreSQL."""
    owner = pwd.getpwnam("postgres")
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return [find_program("setpriv"), f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]


def start_redis(port: int = 0, password: str = "") -> RedisServer:
    """Start a Redis without persistence. Pass the port and password of an earlier one to take its place."""
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


def start_nginx(site: str, port: int, user: str = "root") -> Program:
    """Start an nginx with two workers of `user`. `site` is the content of its `http` block, `port` one that it listens on."""
    program, folder = find_program("nginx"), Path(tempfile.mkdtemp(prefix="poort-nginx-"))
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = f"pid {folder}/pid;\nerror_log {folder}/error.log info;\nworker_processes 2;\ndaemon off;\nevents {{}}\n"
    as_root = f"user {user};\n" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"{as_root}{main}http {{\n{temporary}{site}\n}}\n")
    command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    run([*command, "-t"])
    return listening(Program("nginx", spawn(command, folder), folder, stop_signal=signal.SIGQUIT), port)


def find_program(name: str, *places: str) -> str:
    """Return the path of a program, also of one in /usr/sbin. Raises NotInstalled."""
    path = shutil.which(name, path=os.pathsep.join([*places, os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin"]))
    if path is None:
        raise NotInstalled(f"{name} is not installed")
    return path


def free_port(given: set[int] = set()) -> int:  # noqa: B006 - shared by all calls
    """Return a free port of the loopback; another program may take it before the caller does.

    It is below those that the kernel gives clients, and each process that runs tests draws from ports of its own, none twice.
    """
    while True:
        port = 12_000 + secrets.randbelow(20_000 // WORKERS) * WORKERS + WORKER
        if port not in given:
            given.add(port)
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                return port


def run(command: list[str]) -> None:
    """Run a set-up command to its end. Raises DidNotStart with its output."""
    done = subprocess.run(command, check=False, capture_output=True, cwd="/", text=True, timeout=START_TIMEOUT_SECONDS)
    if done.returncode:
        raise DidNotStart(f"{command}: {done.stdout}{done.stderr}")


def spawn(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a server that writes its log to the folder. Ctrl-C in the terminal does not reach it."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)


def listening(program: Started, port: int) -> Started:
    """Wait until a program listens on a port. Raises DidNotStart with its log."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while program.process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return program
        time.sleep(0.02)
    log = program.log
    program.stop()
    raise DidNotStart(f"{program.name}: {log}")


def ready(server: Server) -> Server:
    """Wait until a database server accepts connections. Raises DidNotStart with its log."""
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
