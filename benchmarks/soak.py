"""Load a server while it is reloaded, killed and given new keys (`make soak`). Exits with 1 if a bound is broken."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from benchmarks.clients import Clients
from benchmarks.commands import ROOT
from benchmarks.database_servers import STARTERS
from benchmarks.figures import percentile
from benchmarks.ground import Ground, lay
from benchmarks.ha.soak_failovers import FAILOVERS
from benchmarks.serving import clean_environment, pss_megabytes
from benchmarks.soak_bounds import Seen, Worker, bounds, wrong_rows
from benchmarks.soak_load import MixedClients
from config import parse_settings
from models import User
from models.database import continue_after_given_ids
from models.user import SOFT_DELETED

USERS = 3_000
#: When each event begins, as a fraction of the run. The warm-up is that of the last workers, before the weighing.
EVENTS = (
    (0.04, "reload"), (0.09, "kill"), (0.14, "reload"), (0.19, "rotate"), (0.25, "reload"), (0.30, "kill"), (0.35, "reload"),
    (0.40, "reload"), (0.44, "warm-up"),
)  # fmt: skip
WEIGHING_AT = 0.64
FAILOVER_AT = 0.42
#: What the log says while the database is away.
OUTAGE_LINES = (
    *("the database cannot be used", "the throttle's store cannot be reached", "the keys of other hosts cannot be read"),
    "Exception during reset or similar",  # of SQLAlchemy's pool, for a connection that broke
)
#: Reads per second of the warm-up, of users and pages in turn, which fills the caches.
WARM_UP_RATE = 500
EVENT_TIMEOUT_SECONDS = 40
SAMPLE_EVERY_SECONDS = 1


class Soak:
    """A run: a server, and what was observed."""

    def __init__(self, ground: Ground, minutes: float, fail_over: Callable[[], None] | None = None) -> None:
        self.ground, self._fail_over = ground, fail_over
        self.failovers: list[tuple[float, float]] = []
        self.server = ground.server("poort")
        self.seconds = minutes * 60
        self.kills: list[float] = []
        self.missing: list[str] = []
        self._begun = 0.0

    def run(self) -> Seen:
        """Run everything, and return the observations."""
        self.server.start()
        try:
            self.server.sign_in("admin", self.ground.password)
            given = {"port": self.server.port, "password": self.ground.password, "token": self.server.token}
            load = MixedClients("mixed", **given, users=USERS, seconds=self.seconds)
            self._begun = time.monotonic()
            events = {
                "reload": self._reload,
                "kill": self._kill,
                "rotate": self._rotate,
                "warm-up": self._warm_up,
                "failover": self._fail,
            }
            for at, event in sorted((*EVENTS, (FAILOVER_AT, "failover"))) if self._fail_over else EVENTS:
                self._sleep_until(at)
                self._say(event)
                events[event]()
            self._sleep_until(WEIGHING_AT)
            self._say("weighing")
            workers = self._weigh()
            done = load.result()
        finally:
            self.server.stop()
        rows = read_rows(self.ground.database_url)
        wrong = wrong_rows(done["users"], rows)
        return Seen(done["answers"], self.kills, workers, wrong, self._error_lines(), self.missing, self.failovers)

    def _sleep_until(self, part: float) -> None:
        time.sleep(max(0, self._begun + part * self.seconds - time.monotonic()))

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._begun:5.0f} s  {what}", file=sys.stderr, flush=True)

    def _reload(self) -> None:
        before = set(self.server.workers())
        self._signal(signal.SIGHUP)
        self._wait("reload", lambda workers: not workers & before)

    def _kill(self) -> None:
        before = set(self.server.workers())
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        self.kills.append(time.monotonic())
        self._wait("kill", lambda workers: victim not in workers)

    def _rotate(self) -> None:
        command = (sys.executable, "-m", "flask", "--app", "wsgi", "jwt", "rotate-key")
        environment = clean_environment(**self.ground.settings)
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment)
        if done.returncode:
            self.missing.append(f"rotate: {done.stderr.strip()}")

    def _fail(self) -> None:
        begun = time.monotonic()
        assert self._fail_over
        self._fail_over()
        self.failovers.append((begun, time.monotonic()))

    def _signal(self, number: signal.Signals) -> None:
        assert self.server.process is not None
        self.server.process.send_signal(number)

    def _wait(self, event: str, reached: Callable[[set[int]], bool]) -> None:
        """Wait until there are two workers and `reached` is true for them."""
        deadline = time.monotonic() + EVENT_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):  # a worker has ended meanwhile
                workers = self.server.workers()
                if len(workers) == 2 and reached(set(workers)):  # noqa: PLR2004
                    return
            time.sleep(0.1)
        self.missing.append(event)

    def _warm_up(self) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in self.server.headers.items())
        paths = [path for number in range(1, USERS + 1) for path in (f"/{number}", f"?page={number % (USERS // 30) + 1}")]
        requests = [f"GET /api/users{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n" for path in paths]
        seconds = (WEIGHING_AT - EVENTS[-1][0]) * self.seconds - 1
        found = Clients("read", port=self.server.port, requests=requests, per_second=WARM_UP_RATE, seconds=seconds).result()
        if found["failed"]:
            self.missing.append(f"{found['failed']} reads of the warm-up failed")

    def _weigh(self) -> list[Worker]:
        workers = [Worker(pid) for pid in self.server.workers()]
        # Stop before the end, when clients finish.
        while time.monotonic() < self._begun + self.seconds - 2 * SAMPLE_EVERY_SECONDS:
            for worker in workers:
                try:
                    worker.pss.append(pss_megabytes(worker.pid))
                    worker.descriptors.append(len(list(Path(f"/proc/{worker.pid}/fd").iterdir())))
                except OSError:
                    self.missing.append(f"worker {worker.pid} ended by itself")
                    return workers
            time.sleep(SAMPLE_EVERY_SECONDS)
        if not workers or not workers[0].pss:
            self.missing.append("weighing, for which a busy machine left no time")
            return []
        return workers

    def _error_lines(self) -> list[str]:
        lines = (self.ground.folder / "poort.log").read_text().splitlines()
        said = [json.loads(line) for line in lines if line.startswith("{")]
        explained = OUTAGE_LINES if self.failovers else ()
        errors = [line["message"] for line in said if line["level"] in {"error", "critical"} and "SIGKILL" not in line["message"]]
        return [message for message in errors if not message.startswith(explained)] + [
            line for line in lines if line.startswith("Traceback")
        ]


def continue_counting(database_url: str) -> None:
    """Let PostgreSQL give new users ids above those of the filled ones."""
    engine = create_engine(parse_settings({"DATABASE_URL": database_url}).database_url)
    with Session(engine) as session:
        continue_after_given_ids(session, User.__table__)
        session.commit()
    engine.dispose()


def read_rows(database_url: str) -> dict[str, tuple[str | None, bool]]:
    """Return first name and deletion of the users that clients created, by user name."""
    engine = create_engine(parse_settings({"DATABASE_URL": database_url}).database_url)
    with engine.connect() as connection:
        found = connection.execute(select(User.username, User.firstname, User.active).where(User.username.like("soak%"))).all()
    engine.dispose()
    return {row.username: (row.firstname, row.active == SOFT_DELETED) for row in found}


@contextmanager
def database(kind: str) -> Iterator[str]:
    """Run a database server, and yield the URL of an empty database; an empty URL for SQLite."""
    if kind == "sqlite":
        yield ""
        return
    server = STARTERS[kind]()
    try:
        yield server.create_database()
    finally:
        server.stop()


def print_tables(seen: Seen) -> bool:
    """Print the requests, the workers' memory and each bound. Returns whether all bounds held."""
    print("| requests | number | median ms | p99 ms | slowest ms |\n|---|---|---|---|---|")
    for kind in sorted({answer[0] for answer in seen.answers}):
        took = [(ended - begun) * 1000 for name, begun, ended, _ in seen.answers if name == kind]
        print(f"| {kind} | {len(took):,} | {percentile(took, 50):.1f} | {percentile(took, 99):.1f} | {max(took):.0f} |")
    print("\n| worker | memory, first quarter | last quarter | descriptors at the least |\n|---|---|---|---|")
    for worker in seen.workers:
        first, last = (f"{min(part):.1f} to {max(part):.1f} MB" for part in worker.quarters(worker.pss))
        print(f"| {worker.pid} | {first} | {last} | {min(worker.descriptors)} |")
    print("\n| bound | found | |\n|---|---|---|")
    found = bounds(seen)
    for name, what, held in found:
        print(f"| {name} | {what} | {'held' if held else '**broken**'} |")
    return all(held for *_, held in found)


def main() -> None:
    """Prepare, run and print. Exits with 1 if a bound is broken."""
    parser = argparse.ArgumentParser("make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="at least 2, because each of eight events takes some seconds")
    parser.add_argument("--database", choices=("sqlite", *STARTERS), default="sqlite")
    parser.add_argument("--failover", action="store_true", help=f"let the database fail over once; with {', '.join(FAILOVERS)}")
    parser.add_argument("--keep-log", type=Path, metavar="FILE", help="copy the server's log to this file at the end")
    options = parser.parse_args()
    if options.failover and options.database not in FAILOVERS:
        parser.error(f"--failover needs --database {' or '.join(FAILOVERS)}")
    running = FAILOVERS[options.database]() if options.failover else database(options.database)
    with tempfile.TemporaryDirectory(prefix="poort-soak-") as made, running as found:
        url, fail_over = (found, None) if isinstance(found, str) else found
        ground = lay(Path(made) / "ground", url)
        ground.fill(USERS)
        continue_counting(ground.database_url)
        soak = Soak(ground, options.minutes, fail_over)
        try:
            seen = soak.run()
        finally:
            if options.keep_log:
                options.keep_log.write_bytes((ground.folder / "poort.log").read_bytes())
        held = print_tables(seen)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
