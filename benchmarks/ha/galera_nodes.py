"""Start a Galera cluster of three MariaDB nodes on loopback ports, and let its nodes die, hang, leave and come back."""

import getpass
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.services import START_TIMEOUT_SECONDS, DidNotStart, NotInstalled, find_program, free_port, run, spawn

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
NODES = 3
USER = "mysql"

_SMALL = (
    *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=48M"),
    *("--innodb-log-file-size=16M", "--max-connections=300", "--performance-schema=OFF", "--skip-name-resolve"),
)
#: What Galera needs (https://mariadb.com/kb/en/configuring-mariadb-galera-cluster/).
_NEEDED = ("--binlog-format=ROW", "--default-storage-engine=InnoDB", "--innodb-autoinc-lock-mode=2", "--wsrep-on=ON")

#: Galera's record of a node's position, at its beginning.
_STATE = "# GALERA saved state\nversion: 2.1\nuuid:    {uuid}\nseqno:   0\nsafe_to_bootstrap: 1\n"


class DidNotAnswer(Exception):
    """A node refused a statement, or a connection."""


@dataclass
class Node:
    """One node: a MariaDB that takes no password, with ports of its own for clients, the group and state transfers."""

    name: str
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    port: int = field(default_factory=free_port)
    group_port: int = field(default_factory=free_port)
    increment_port: int = field(default_factory=free_port)
    snapshot_port: int = field(default_factory=free_port)

    @property
    def driver_url(self) -> str:
        """Return a URL for SQLAlchemy."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/"

    @property
    def log(self) -> str:
        """Return what the node has written since it was started last."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self, peers: "list[Node]") -> None:
        """Start the node. Without peers it begins a new cluster."""
        (self.folder / "log").touch()
        address = "gcomm://" + ",".join(f"127.0.0.1:{peer.group_port}" for peer in peers)
        places = (f"--wsrep-cluster-address={address}", f"--wsrep-start-position={self._position()}")
        self.process = spawn([*self._command(), *places], self.folder)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the node's process: SIGKILL, SIGSTOP or SIGCONT."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def stop(self) -> None:
        """Stop the node. Its folder stays."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, statement: str) -> str:
        """Run a statement, also on a node that has lost its cluster. Return the last column of the last row."""
        client = [find_program("mariadb"), "--no-defaults", "-h127.0.0.1", f"-P{self.port}", "-uroot", "--connect-timeout=2"]
        command = [*client, "--batch", "--skip-column-names", "--execute", statement]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
        if done.returncode:
            raise DidNotAnswer(f"{self.name}: {done.stderr}")
        return done.stdout.rstrip("\n").rpartition("\n")[2].rpartition("\t")[2]

    def status(self, name: str) -> str:
        """Return a status variable of Galera; empty if the node does not answer."""
        with suppress(DidNotAnswer, subprocess.TimeoutExpired):
            return self.ask(f"SHOW STATUS LIKE 'wsrep_{name}'")
        return ""

    def isolate(self, *, is_alone: bool) -> None:
        """Cut the node off from the other nodes, as if its network had failed, or connect it again."""
        self.ask(f"SET GLOBAL wsrep_provider_options = 'gmcast.isolate={int(is_alone)}'")

    def wait_for(self, size: int) -> None:
        """Wait until the node takes writes in a cluster of this size. Raises DidNotStart with its log."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            if self.status("ready") == "ON" and self.status("cluster_size") == str(size):
                return
            time.sleep(0.1)
        raise DidNotStart(f"{self.name}: {self.log[-30000:]}")

    def _command(self) -> list[str]:
        provider = (
            f"gmcast.listen_addr=tcp://127.0.0.1:{self.group_port};ist.recv_addr=127.0.0.1:{self.increment_port};gcache.size=32M"
        )
        return [
            *(find_program("mariadbd"), "--no-defaults", f"--datadir={self.folder}/data", f"--tmpdir={self.folder}"),
            *(f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid"),
            *(f"--port={self.port}", "--bind-address=127.0.0.1", f"--wsrep-provider={PROVIDER}"),
            *(f"--wsrep-provider-options={provider}", "--wsrep-cluster-name=poort"),
            *(f"--wsrep-node-name={self.name}", "--wsrep-node-address=127.0.0.1", "--wsrep-sst-method=rsync"),
            *(f"--wsrep-sst-receive-address=127.0.0.1:{self.snapshot_port}", *_NEEDED, *_SMALL, f"--user={_user()}"),
        ]

    def _position(self) -> str:
        """Return how far the node's data are, as Debian's unit finds out before a start."""
        found = re.search(r"^uuid: +(\S+)\nseqno: +(\d+)", (self.folder / "data/grastate.dat").read_text(), re.MULTILINE)
        if found:
            return f"{found[1]}:{found[2]}"
        command = [*self._command(), "--wsrep-recover", "--log-error-verbosity=3"]  # the node did not end in order
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", timeout=START_TIMEOUT_SECONDS)
        recovered = re.search(r"WSREP: Recovered position:\s*(\S+)", done.stdout + done.stderr)
        return recovered[1] if recovered else ""


@dataclass
class Cluster:
    """Three nodes in a temporary folder. Poort writes to the first one that takes writes."""

    folder: Path
    nodes: list[Node]

    def url(self, name: str = "poort") -> str:
        """Return the DATABASE_URL that lists all nodes in their order."""
        return f"mysql://root@{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}/{name}"

    def url_of(self, number: int, name: str = "poort") -> str:
        """Return the DATABASE_URL of one node alone."""
        return f"mysql://root@127.0.0.1:{self.nodes[number].port}/{name}"

    def restart(self, node: Node) -> None:
        """Start a node that has ended, and wait until it takes writes again."""
        others = [other for other in self.nodes if other is not node]
        node.start(others)
        node.wait_for(NODES)

    def stop(self) -> None:
        """Stop all nodes and remove the folder."""
        for node in self.nodes:
            node.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def start_galera() -> Cluster:
    """Start three nodes and create the empty database `poort`. Raises NotInstalled and DidNotStart."""
    installer = find_program("mariadb-install-db")
    find_program("rsync")
    if not PROVIDER.exists():
        raise NotInstalled(f"{PROVIDER} is missing (Debian's package galera-4)")
    folder = Path(tempfile.mkdtemp(prefix="poort-galera-"))
    cluster = Cluster(folder, [Node(f"node{number}", folder / f"node{number}") for number in range(1, NODES + 1)])
    try:
        first = cluster.nodes[0]
        shutil.chown(folder, _user())
        first.folder.mkdir()
        options = ("--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=16M")
        places = (f"--datadir={first.folder}/data", f"--tmpdir={folder}", f"--user={getpass.getuser()}")
        run([installer, "--no-defaults", *places, *options])
        (first.folder / "data/grastate.dat").write_text(_STATE.format(uuid=uuid.uuid1()))
        _give(folder)
        _prepare(cluster)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def _prepare(cluster: Cluster) -> None:
    """Begin with one node, and give the others copies of its data: then none needs a transfer of all data."""
    first, *others = cluster.nodes
    first.start([])
    first.wait_for(1)
    first.ask("CREATE DATABASE poort CHARACTER SET utf8mb4")
    first.stop()
    for node in others:
        shutil.copytree(first.folder / "data", node.folder / "data")
        state = node.folder / "data/grastate.dat"
        state.write_text(state.read_text().replace("safe_to_bootstrap: 1", "safe_to_bootstrap: 0"))
    _give(cluster.folder)
    for number, node in enumerate(cluster.nodes):
        node.start(cluster.nodes[:number])
        node.wait_for(number + 1)


def _user() -> str:
    """Return the user that runs the nodes: Debian's, as the script of state transfers does not work as root."""
    return USER if os.getuid() == 0 else getpass.getuser()


def _give(folder: Path) -> None:
    if os.getuid() == 0:
        run(["chown", "-R", f"{USER}:", str(folder)])
