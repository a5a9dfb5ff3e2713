"""A server under load while its database fails over, and what was seen, as tables and bounds. For every kind of database."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session

from benchmarks.commands import ROOT
from benchmarks.ground import Ground, lay
from benchmarks.ha.load import GOOD, LATER, OK, FailoverClients
from benchmarks.services import free_port
from benchmarks.serving import Server, clean_environment
from benchmarks.soak_bounds import wrong_rows
from config import parse_settings
from models import User
from models.audit_record import AuditRecord
from models.database import continue_after_given_ids, engine_options
from models.user import SOFT_DELETED

USERS = 100
#: Low, since the load signs in without pause: this proof is not about hashing.
COST = 4
MOST_SECONDS_TO_RETURN = 10
WRITES = frozenset(("change", "create", "refresh", "sign out"))
_BEGUN = time.monotonic()
#: Kind, begin, end, status, and whether it has Retry-After; see load.Load.
Answer = Sequence[Any]


@dataclass
class Failover:
    """One failover: when the writer went away, and when the next one was ready, in seconds of the monotonic clock."""

    name: str
    down_at: float
    ready_at: float = 0
    #: Until when answers belong to it.
    end: float = 0
    #: How long the return may take.
    most_seconds: float = MOST_SECONDS_TO_RETURN


@dataclass
class Proof:
    """What was seen. `checks` holds bounds of one kind of database: name, finding, and whether it held."""

    failovers: list[Failover] = field(default_factory=list)
    checks: list[tuple[str, str, bool]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    error_lines: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @contextmanager
    def failover(self, name: str, seconds: float) -> Iterator[Failover]:
        """Time a failover. The block sets `ready_at`. Afterwards, the load goes on for some seconds."""
        event = Failover(name, time.monotonic())
        say(name)
        yield event
        time.sleep(max(0, event.ready_at + seconds - time.monotonic()))
        event.end = time.monotonic()
        self.failovers.append(event)

    def check(self, name: str, found: object, *, held: bool) -> None:
        """Add a bound of this kind of database."""
        self.checks.append((name, str(found), held))


@contextmanager
def serving(
    folder: Path, database_url: str, proof: Proof, afterwards: Callable[[Ground], None] = lambda _: None, **more: str
) -> Iterator[Ground]:
    """Serve a database under load in this context. Then call `afterwards`, and judge every answer against the rows."""
    ground = lay(folder, database_url, COST)
    with (folder / ".env").open("a") as settings:
        settings.write("".join(f"{name}={value}\n" for name, value in (more | {"REFRESH_TOKEN_TTL": "86400"}).items()))
    say("laid")
    ground.fill(USERS)
    _continue_counting(database_url)
    server, until = ground.server("poort"), folder / "until"
    server.start()
    try:
        server.sign_in("admin", ground.password)
        given = {"port": server.port, "password": ground.password, "token": server.token}
        load = FailoverClients("failover", **given, users=USERS, until=str(until))
        try:
            yield ground
        finally:
            until.touch()
            say("end of the load")
            proof.result = load.result()
            say("checks over HTTP done")
        afterwards(ground)
        log = (folder / "poort.log").read_text().splitlines()
        proof.error_lines = [line for line in log if "unexpected failure" in line or line.startswith("Traceback")]
        proof.lost = wrong_rows(proof.result["users"], _rows(database_url)) + _missing_audit(proof.result["audit"], database_url)
    finally:
        server.stop()


def say(what: str) -> None:
    """Print what happens now to standard error, with the seconds since the start."""
    print(f"{time.monotonic() - _BEGUN:5.0f} s  {what}", file=sys.stderr, flush=True)


def run_command(ground: Ground, *words: str) -> tuple[float, str]:
    """Run `bin/poort …`, and return its seconds and its output, which begins with its status if it failed."""
    begun = time.monotonic()
    command = (sys.executable, "bin/poort", *words)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, env=clean_environment(**ground.settings)
    )
    failed = f"status {done.returncode}: " if done.returncode else ""
    return time.monotonic() - begun, f"{failed}{done.stdout}{done.stderr}"


def start_another(ground: Ground) -> float:
    """Start another server on the same database, and return the seconds until its first answer."""
    other = Server("poort", ground.folder, ground.settings, port=free_port())
    try:
        return other.start()
    finally:
        other.stop()


def print_tables(title: str, proof: Proof) -> bool:
    """Print the failovers, the answers and the bounds. Returns whether all bounds held."""
    answers = proof.result["answers"]
    columns = (
        "failover",
        "writer gone to next one ready",
        "ready to first good sign-in",
        "to first good write",
        "no good write for",
    )
    print(f"\n## {title}\n\n| {' | '.join(columns)} |\n|---|---|---|---|---|")
    for event in proof.failovers:
        took = [_returned(answers, event, {"sign in"}), _returned(answers, event, WRITES), _gap(answers, event)]
        print(
            f"| {event.name} | {event.ready_at - event.down_at:.1f} s | "
            + " | ".join(f"{seconds:.1f} s" for seconds in took)
            + " |"
        )
    print("\n| answers | good | 503 with Retry-After | others | median | slowest |\n|---|---|---|---|---|---|")
    for kind in sorted({answer[0] for answer in answers}):
        print(_row_of(kind, [answer for answer in answers if answer[0] == kind]))
    print("\n| bound | found | |\n|---|---|---|")
    found = [*_bounds(proof), *proof.checks]
    for name, what, held in found:
        print(f"| {name} | {what} | {'held' if held else '**broken**'} |")
    return all(held for *_, held in found)


def is_good(answer: Answer) -> bool:
    """Tell whether an answer is what a client wants."""
    return bool(answer[3] == GOOD.get(answer[0], OK))


def _is_clean(answer: Answer) -> bool:
    return is_good(answer) or (answer[3] == LATER and answer[4])


def _returned(answers: Sequence[Answer], event: Failover, kinds: set[str] | frozenset[str]) -> float:
    """Return the seconds from the next writer's readiness to the first good answer that began after the last one was gone."""
    ends = [
        end
        for kind, begun, end, *_ in (a for a in answers if is_good(a))
        if kind in kinds and begun > event.down_at and end < event.end
    ]
    return max(0, min(ends) - event.ready_at) if ends else float("inf")


def _gap(answers: Sequence[Answer], event: Failover) -> float:
    """Return the longest time without a good write during a failover."""
    ends = [a[2] for a in answers if a[0] in WRITES and is_good(a) and event.down_at - 1 < a[2] < event.end]
    ends = sorted([event.down_at, *ends, event.end])  # a slow machine may have no write in the second before
    return max((later - sooner for sooner, later in pairwise(ends)), default=float("inf"))


def _row_of(kind: str, answers: Sequence[Answer]) -> str:
    good, later = [a for a in answers if is_good(a)], [a for a in answers if a[3] == LATER and a[4]]
    took = sorted((end - begun) * 1000 for _, begun, end, *_ in answers)
    others = len(answers) - len(good) - len(later)
    return f"| {kind} | {len(good):,} | {len(later):,} | {others} | {took[len(took) // 2]:.0f} ms | {took[-1]:,.0f} ms |"


def _bounds(proof: Proof) -> Iterator[tuple[str, str, bool]]:
    answers, faults = proof.result["answers"], proof.result["faults"]
    for event in proof.failovers:
        seconds = max(_returned(answers, event, {"sign in"}), _returned(answers, event, WRITES))
        yield f"{event.name}: good again within {event.most_seconds} s", f"{seconds:.1f} s", seconds <= event.most_seconds
    others = Counter(f"{kind}: {status}" for kind, _, _, status, _ in (a for a in answers if not _is_clean(a)))
    yield "answers that are neither good nor 503 with Retry-After: 0", _listed(others), not others
    audit = sum(proof.result["audit"].values())
    yield (
        f"acknowledged writes lost, of {len(proof.result['users'])} rows and {audit:,} audit rows: 0",
        _listed(Counter(proof.lost)),
        not proof.lost,
    )
    named = f"sessions lost, or ended tokens accepted, of {proof.result['ended']:,}: 0"
    yield named, _listed(Counter(faults)), not faults
    yield "unexpected failures in the log: 0", _listed(Counter(proof.error_lines)), not proof.error_lines


def _listed(things: "Counter[str]") -> str:
    return f"{things.total()} ({', '.join(f'{number} x {thing}' for thing, number in things.most_common(5))})" if things else "0"


def _engine(database_url: str) -> Engine:
    """Return an engine that gives up a host as soon as the server does."""
    url = parse_settings({"DATABASE_URL": database_url}).database_url
    return create_engine(url, **engine_options(url))


def _continue_counting(database_url: str) -> None:
    engine = _engine(database_url)
    with Session(engine) as session:
        continue_after_given_ids(session, User.__table__)
        session.commit()
    engine.dispose()


def _rows(database_url: str) -> dict[str, tuple[str | None, bool]]:
    engine = _engine(database_url)
    with engine.connect() as connection:
        found = connection.execute(select(User.username, User.firstname, User.active)).all()
    engine.dispose()
    return {row.username: (row.firstname, row.active == SOFT_DELETED) for row in found}


def _missing_audit(acknowledged: Mapping[str, int], database_url: str) -> list[str]:
    """Return one line for each user and event of which the audit has fewer rows than were acknowledged."""
    engine = _engine(database_url)
    with engine.connect() as connection:
        columns = AuditRecord.event, AuditRecord.username
        found = {
            f"{event} {name}": number
            for event, name, number in connection.execute(select(*columns, func.count()).group_by(*columns))
        }
    engine.dispose()
    return [f"audit of {name}" for name, number in acknowledged.items() if found.get(name, 0) < number]
