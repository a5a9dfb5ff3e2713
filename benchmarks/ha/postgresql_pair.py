"""Two PostgreSQL servers, a primary and a synchronous streaming standby, that take turns: one dies, the other is promoted."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from benchmarks.ha.network import Network
from benchmarks.services import (
    START_TIMEOUT_SECONDS,
    DidNotStart,
    as_postgres,
    find_program,
    free_port,
    newest_postgresql,
    run,
    spawn,
)
from benchmarks.serving import children_of

_SLOT = "poort_standby"
#: Commits wait until any standby has written them to disk.
_SYNCHRONOUS = {"synchronous_standby_names": "*"}
_ALONE = {"synchronous_standby_names": ""}


@dataclass
class Node:
    """A PostgreSQL, which runs in the network of `network`, or on the loopback."""

    name: str
    folder: Path
    network: Network | None = None
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        """Return the address at which this host reaches it."""
        return self.network.inner if self.network else "127.0.0.1"

    @property
    def data(self) -> Path:
        """Return its folder of data."""
        return self.folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [*self.as_user, _program("postgres"), "-D", str(self.data), "-p", str(self.port)]
        places = {"listen_addresses": "*", "unix_socket_directories": str(self.folder), "max_connections": "200"}
        quick = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "wal_keep_size": "64MB"}
        options = [word for name, value in (places | quick).items() for word in ("-c", f"{name}={value}")]
        prefix = self.network.prefix if self.network else []
        self.process = spawn([*prefix, *command, *options], self.folder)
        self.wait_until(lambda: self.ask("SELECT 1") == 1)

    def ask(self, statement: str, database: str = "postgres") -> Any:
        """Run a statement on a connection of its own, and return the first value of its result."""
        url = f"postgresql+psycopg://postgres@/{database}?host={self.folder}&port={self.port}"
        engine = create_engine(
            url, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 2, "application_name": "proof"}
        )
        try:
            with engine.connect() as connection:
                found = connection.execute(text(statement))
                return found.scalar() if found.returns_rows else None
        finally:
            engine.dispose()

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait until something is true of the server. Raises DidNotStart with its log."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            with suppress(OperationalError):
                if reached():
                    return
            time.sleep(0.05)
        raise DidNotStart(f"{self.name}: {(self.folder / 'log').read_text(errors='replace')[-10000:]}")

    def set(self, settings: dict[str, str]) -> None:
        """Change settings. A running server reads them at once."""
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """Kill the server and all of its processes, so that nothing is written any more."""
        assert self.process is not None
        pid = self.process.pid
        for process in (pid, *children_of(pid)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop the server in order: its standby gets everything first, and all connections end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)

    def promote(self) -> None:
        """Promote this standby, and wait until it takes writes. It waits for no standby, since it has none."""
        self.set(_ALONE)
        run([*self.as_user, _program("pg_ctl"), "promote", "-w", "-D", str(self.data)])

    def clients(self) -> int:
        """Return the number of connections from Poort."""
        return int(self.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'poort'"))

    @property
    def as_user(self) -> list[str]:
        """Return the words that run a command as the owner of the folder."""
        return as_postgres(self.folder) if os.getuid() == 0 else []


class Pair:
    """A primary and its standby. `primary` and `standby` change places."""

    def __init__(self, folder: Path, network: Network | None) -> None:
        self.folder = folder
        self.primary = Node("first", folder / "first", network)
        self.standby = Node("second", folder / "second")
        self.nodes = [self.primary, self.standby]

    def start(self) -> None:
        """Start both, with an empty database `poort`."""
        self.folder.chmod(0o755)
        for node in self.nodes:
            node.folder.mkdir()
        first = self.primary
        run(
            [
                *first.as_user,
                _program("initdb"),
                "-D",
                str(first.data),
                "-U",
                "postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ]
        )
        with (first.data / "pg_hba.conf").open("a") as file:
            file.write("host all all all trust\nhost replication all all trust\n")
        first.start()
        first.ask("CREATE DATABASE poort")
        self.add_standby()

    @property
    def url(self) -> str:
        """Return the DATABASE_URL that lists both."""
        hosts = ",".join(f"{node.address}:{node.port}" for node in self.nodes)
        return f"postgresql://postgres@{hosts}/poort?target_session_attrs=read-write&application_name=poort"

    def add_standby(self) -> None:
        """Copy the primary to the other server, and let it stream through a slot of its own. Then commits wait for it."""
        there = ("-h", self._seen_from(self.standby), "-p", str(self.primary.port), "-U", "postgres")
        options = ("--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--create-slot", f"--slot={_SLOT}")
        prefix = self.standby.network.prefix if self.standby.network else []
        shutil.rmtree(self.standby.data, ignore_errors=True)
        run([*prefix, *self.standby.as_user, _program("pg_basebackup"), *there, "-D", str(self.standby.data), *options])
        self.standby.start()
        self.wait_for_standby()

    def wait_for_standby(self) -> None:
        """Let commits wait for the standby from the moment at which it streams."""
        self.primary.wait_until(
            lambda: self.primary.ask("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 1
        )
        self.primary.set(_SYNCHRONOUS)
        self.primary.wait_until(
            lambda: self.primary.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1
        )

    def fail_over(self) -> None:
        """Promote the standby. The former primary is the standby from now on, whatever its state."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def follow(self) -> None:
        """Start the former primary, which has been stopped in order, as the standby of the new one."""
        self.primary.ask(f"SELECT pg_create_physical_replication_slot('{_SLOT}', true) "
                         f"WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{_SLOT}')")  # fmt: skip
        conninfo = f"host={self._seen_from(self.standby)} port={self.primary.port} user=postgres"
        self.standby.set({"primary_conninfo": conninfo, "primary_slot_name": _SLOT} | _ALONE)
        (self.standby.data / "standby.signal").touch()
        self.standby.start()
        self.wait_for_standby()

    def _seen_from(self, node: Node) -> str:
        """Return the primary's address as a node reaches it."""
        return node.network.outer if node.network else self.primary.address

    def stop(self) -> None:
        """Stop both and remove their folders."""
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.process.send_signal(signal.SIGQUIT)
                node.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def start_pair(network: Network | None = None) -> Pair:
    """Start a primary and its synchronous standby. Raises NotInstalled and DidNotStart."""
    pair = Pair(Path(tempfile.mkdtemp(prefix="poort-pair-")), network)
    try:
        pair.start()
    except BaseException:
        pair.stop()
        raise
    return pair


def _program(name: str) -> str:
    return find_program(name, *newest_postgresql())
