"""Measure requests per second: wrk with two threads against each server in turn."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.commands import BESIDE, is_installed
from benchmarks.figures import Figures, add
from benchmarks.ground import Ground, expect_user
from benchmarks.plan import Plan
from benchmarks.serving import Server, running
from benchmarks.writes import writing

CONNECTIONS = (16, 64)
KINDS = ("item", "list")
SCRIPT = Path(__file__).with_name("items.lua")
HYDRA = "application/ld+json"
WARM_UP_SECONDS = 1

_RATE = re.compile(r"^Requests/sec: +([\d.]+)", re.MULTILINE)
_FAILED = re.compile(r"^ +(Non-2xx|Socket errors).*", re.MULTILINE)


def measure(plan: Plan, ground: Ground) -> Figures:
    """Measure items and lists of all servers, and of Poort also in its default format and while clients write."""
    servers, figures = ground.servers(), Figures()
    beside = [ground.server(name) for name in BESIDE if is_installed(name)]
    with running(*servers, *beside):
        warm_up(ground, [*servers, *beside])
        for number in range(plan.rounds):
            plan.say(f"rates, round {number + 1} of {plan.rounds}")
            for connections in CONNECTIONS:
                asked = [*servers, *beside] if connections == CONNECTIONS[0] else servers
                measure_round(plan, figures, asked, number, connections)
            for what in KINDS:
                add(figures, f"poort/{what}/JSON-LD", ask(servers[0], what, CONNECTIONS[0], plan.seconds, accept=HYDRA))
            ask_amid_writes(plan, figures, servers[0])
    return figures


def warm_up(ground: Ground, servers: list[Server]) -> None:
    """Sign in at servers, and have each load what it needs. Exits if one shows no user."""
    for server in servers:
        server.sign_in("admin", ground.password)
        expect_user(server)
        for what in KINDS:
            ask(server, what, CONNECTIONS[0], WARM_UP_SECONDS)


def measure_round(plan: Plan, figures: Figures, servers: list[Server], number: int, connections: int = CONNECTIONS[0]) -> None:
    """Measure items and lists of each server once."""
    for what in KINDS:
        for server in plan.turned(servers, number):
            add(figures, f"{server.name}/{what}/{connections}", ask(server, what, connections, plan.seconds))


def ask_amid_writes(plan: Plan, figures: Figures, server: Server) -> None:
    """Measure items and lists once while clients change users at a fixed rate."""
    for what in KINDS:
        with writing(server, plan.seconds):
            add(figures, f"{server.name}/{what}/amid writes", ask(server, what, CONNECTIONS[0], plan.seconds))


def ask(server: Server, what: str, connections: int, seconds: int, accept: str = "application/json") -> float:
    """Have wrk request users 1 to 1,000 in turn, or the first page. Returns the rate; exits if a request fails."""
    headers = server.headers | {"Accept": accept}
    fields = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    script = ["-s", str(SCRIPT)] if what == "item" else []
    command = [shutil.which("wrk") or "wrk", "-t2", "--timeout=10s", f"-c{connections}", f"-d{seconds}", *fields, *script]
    done = subprocess.run([*command, f"http://127.0.0.1:{server.port}/api/users"], check=True, capture_output=True, text=True)
    try:
        return read_rate(done.stdout)
    except ValueError as problem:
        sys.exit(f"{server.name}, {what}: {problem}")


def read_rate(said: str) -> float:
    """Return the requests per second that wrk reports. Raises ValueError if one failed, or none was answered."""
    rate = _RATE.search(said)
    if rate is None:
        raise ValueError(said)
    if failed := _FAILED.search(said):
        raise ValueError(failed[0].strip())
    if not float(rate[1]):  # a ratio to it would divide by zero in the report, minutes later
        raise ValueError("no request was answered in time")
    return float(rate[1])
