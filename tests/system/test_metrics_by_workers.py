"""/metrics of a real gunicorn: on its own port, the sum over its workers, even after they were replaced or killed."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from installed import needed
from prometheus_client.parser import text_string_to_metric_families
from system.serving import GUNICORN, HEALTHY, WAIT_SECONDS, Home, Server

from benchmarks.services import find_program, free_port
from config.settings import ROOT

REQUESTS = "poort_http_request_duration_seconds_count"
LISTENING = "0A"


class Metered(Server):
    """A server with two workers and a metrics port."""

    @property
    def metrics_port(self) -> int:
        return int(self.environment["METRICS_PORT"])

    def text(self, path: str = "/metrics") -> str:
        connection = HTTPConnection("127.0.0.1", self.metrics_port, timeout=WAIT_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.read().decode() if response.status == 200 else f"{response.status} {response.getheader('Server')}"
        finally:
            connection.close()

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all series with a name and some labels."""
        samples = [sample for family in text_string_to_metric_families(self.text()) for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())

    def served(self) -> float:
        return self.total(REQUESTS, route="/healthz")

    def workers_cpu_seconds(self) -> float:
        return self.total("process_cpu_seconds_total", process="worker")

    def workers(self) -> set[int]:
        return children(self.process.pid) - {self.exporter()}

    def exporter(self) -> int:
        (owner,) = {pid for pid in children(self.process.pid) if self.metrics_port in {port for _, port in listeners(pid)}}
        return owner

    def folders(self) -> set[Path]:
        """Return the folders of the files in which the workers count."""
        maps = "".join(Path(f"/proc/{worker}/maps").read_text() for worker in self.workers())
        return {Path(folder) for folder in re.findall(r"/dev/shm/poort-metrics-[^/\s]+", maps)}

    def has_replaced(self, workers: set[int]) -> bool:
        """Say whether two new workers listen and none of the given ones is left."""
        now = self.workers()
        listening = {pid for pid in now if self.port in {port for _, port in listeners(pid)}}
        return len(listening) == 2 and not workers & now

    def ask_both_workers(self) -> int:
        """Send requests until both workers have answered some; return how many were sent."""
        for number in range(1, 500):
            assert self.request("GET", "/healthz")[2] == HEALTHY
            if number % 10 == 0:
                asked = {line["process"] for line in self.log_lines if line.get("route") == "/healthz"}
                if asked >= self.all_workers():
                    return number
        raise AssertionError("the kernel gave one worker nothing")


def children(parent: int) -> set[int]:
    return {int(pid) for task in Path(f"/proc/{parent}/task").iterdir() for pid in (task / "children").read_text().split()}


def resident_bytes(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()


def listeners(process: int) -> set[tuple[str, int]]:
    """Return the addresses (as the kernel writes them) and ports on which a process listens."""
    inodes = set()
    with suppress(FileNotFoundError):  # the process has ended
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError):  # the descriptor was closed meanwhile
                inodes |= set(re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink())))
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    places = [row[1].split(":") for row in rows if row[3] == LISTENING and row[9] in inodes]
    return {(address, int(port, 16)) for address, port in places}


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start(home: Home) -> Metered:
    server = Metered(GUNICORN, home.folder, home.environment(WEB_CONCURRENCY="2", METRICS_PORT=str(free_port()))).start()
    eventually(lambda: server.has_replaced(set()))  # one worker alone answers as soon as it listens
    return server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder that is set up once and then copied."""
    home = Home(tmp_path_factory.mktemp("model")).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4")
    home.set_up()
    return home


@pytest.fixture
def home(model: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(model.folder, tmp_path / "home"))


@pytest.fixture(scope="module")
def metered(model: Home) -> Iterator[Metered]:
    server = start(model)
    yield server
    server.stop()


def test_requests_of_both_workers_are_summed(metered: Metered) -> None:
    before = metered.served()
    asked = metered.ask_both_workers()
    assert metered.served() == before + asked
    assert metered.total("poort_workers") == 2
    assert metered.sign_in("admin", "wrong")[0] == 401
    assert metered.total("poort_sign_ins_total", outcome="bad_credentials") == 1
    assert metered.total("poort_password_hash_turns_total") == 1


def test_processes_are_seen_from_outside(metered: Metered) -> None:
    master, exporter = metered.process.pid, metered.exporter()
    for process, pids in {"master": {master}, "metrics": {exporter}, "worker": metered.workers()}.items():
        files = max(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
        assert abs(metered.total("process_open_fds", process=process) - files) <= 3, "one opens while the other is counted"
        limit = {resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] for pid in pids}
        assert {metered.total("process_max_fds", process=process)} == limit
        resident = sum(resident_bytes(pid) for pid in pids)
        assert metered.total("process_resident_memory_bytes", process=process) == pytest.approx(resident, rel=0.1)
        assert 0 < metered.total("process_proportional_memory_bytes", process=process) < resident
        assert metered.total("process_virtual_memory_bytes", process=process) > resident
        started = metered.total("process_start_time_seconds", process=process)
        assert started == pytest.approx(max(Path(f"/proc/{pid}").stat().st_mtime for pid in pids), abs=2)


def test_connections_starts_and_the_age_of_the_key_are_seen(metered: Metered) -> None:
    with ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(socket.create_connection(("127.0.0.1", metered.port)))
        eventually(lambda: metered.total("poort_open_connections") >= 20)
    eventually(lambda: metered.total("poort_open_connections") < 20)
    changed = (metered.folder / "config" / "jwt" / "private.pem").stat().st_mtime
    assert metered.total("poort_signing_key_changed_timestamp_seconds") == changed
    assert metered.total("poort_worker_starts_total") == 2


def test_nobody_beyond_this_machine_can_ask(metered: Metered) -> None:
    assert listeners(metered.exporter()) == {("0100007F", metered.metrics_port)}
    assert metered.request("GET", "/metrics")[0] == 404
    assert metered.text("/") == "404 poort", "it does not disclose versions"


def test_prometheus_finds_nothing_to_object_to(metered: Metered) -> None:
    promtool = needed(lambda: find_program("promtool"))
    done = subprocess.run([promtool, "check", "metrics"], check=False, capture_output=True, text=True, input=metered.text())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_refused_readiness_is_counted(metered: Metered) -> None:
    key = metered.folder / "config" / "jwt" / "private.pem"
    key.rename(key.with_name("away"))
    try:
        assert metered.request("GET", "/readyz")[0] == 503
    finally:
        key.with_name("away").rename(key)
    assert metered.total(REQUESTS, route="/readyz", status="503") == 1


def test_port_that_is_taken_stops_the_start(metered: Metered) -> None:
    said = Home(metered.folder).fails_to_serve(METRICS_PORT=str(metered.metrics_port))
    assert f"METRICS_PORT {metered.metrics_port} cannot be used on 127.0.0.1: Address already in use." in said


def test_counts_outlive_the_workers_that_counted(home: Home) -> None:
    server = start(home)
    try:
        asked = server.ask_both_workers()
        killed = server.workers()
        used = [server.workers_cpu_seconds()]
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
            used += [server.workers_cpu_seconds() for _ in range(20)]
        eventually(lambda: server.has_replaced(killed))
        used.append(server.workers_cpu_seconds())
        assert used == sorted(used), "the time of ended workers stays"
        assert used[0] > 0.01
        assert server.total("poort_worker_starts_total") == 4
        assert server.total("poort_workers") == 2
        assert server.served() == asked, "nothing is lost, and nothing counted twice"
        asked += server.ask_both_workers()
        assert server.served() == asked

        (folder,) = server.folders()
        assert len(list(folder.glob("counter_*"))) == 2, "new workers reuse the files of those that ended"

        exporter, before = server.exporter(), server.all_workers()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.has_replaced(before))
        assert server.total("poort_workers") == 2
        assert server.exporter() == exporter
        asked += server.ask_both_workers()
        assert server.served() == asked

        os.kill(exporter, signal.SIGKILL)
        eventually(lambda: exporter not in children(server.process.pid))
        server.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: any(server.metrics_port in dict(map(reversed, listeners(pid))) for pid in children(server.process.pid))
        )
        assert server.served() == asked
    finally:
        assert server.stop() == 0
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        server.text()


def test_it_does_not_outlive_a_master_that_is_killed(home: Home) -> None:
    server = start(home)
    try:
        eventually(lambda: server.total("poort_workers") == 2)
        exporter, (folder,) = server.exporter(), server.folders()
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(WAIT_SECONDS)
    eventually(lambda: not Path(f"/proc/{exporter}").exists() and not folder.exists())
    with pytest.raises(ConnectionRefusedError):
        server.text()


def test_settings_that_hup_reads_switch_it_on_and_off(home: Home) -> None:
    server = Metered(GUNICORN, home.folder, home.environment(WEB_CONCURRENCY="1")).start()
    try:
        pids = children(server.process.pid) | {server.process.pid}
        ports = {port for pid in pids for _, port in listeners(pid)}
        assert (len(pids), ports) == (2, {server.port}), "by default there is no metrics process and no port"
        server.environment["METRICS_PORT"] = str(free_port())
        (home.folder / ".env.local").write_text(f"METRICS_PORT={server.metrics_port}\n")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.metrics_port in {port for pid in children(server.process.pid) for _, port in listeners(pid)})
        eventually(lambda: server.total("poort_workers") == 1)
        (home.folder / ".env.local").unlink()
        server.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: (
                not {pid for pid in children(server.process.pid) if server.metrics_port in dict(map(reversed, listeners(pid)))}
            )
        )
    finally:
        assert server.stop() == 0


def test_library_is_not_even_loaded_where_nothing_is_counted(home: Home) -> None:
    show = f"import runpy, sys; runpy.run_path({GUNICORN[-2]!r}); import wsgi; print('prometheus_client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", show], check=True, capture_output=True, text=True, cwd=ROOT, env=home.environment()
    )
    assert done.stdout == "False\n"
