"""Measure reads at a fixed rate, idle and while 16 clients sign in without pause."""

import time
from typing import Any

from benchmarks.clients import Clients
from benchmarks.figures import Figures, add, percentile
from benchmarks.ground import Ground
from benchmarks.plan import Plan
from benchmarks.serving import Server, running
from benchmarks.sign_ins import CORES, FILLING_SECONDS, limit_of, rate_of, start_clients

CLIENTS = 16
RATES = (50, 300)
#: The rate for peers, which are measured once, for the chart.
RATE_OF_PEERS = 50
PEERS = ("tutorial", "fastapi")
#: A percentile of few reads means little, and peers finish all their sign-ins at once now and then.
TIMES_AS_LONG = 4
TIMES_AS_LONG_FOR_PEERS = 12


def measure(plan: Plan, ground: Ground) -> Figures:
    """Measure Poort at both rates, also with clients that ignore Retry-After, and the peers once."""
    figures, poort = Figures(), ground.server("poort")
    with limit_of(ground) as limit:
        with running(poort):
            poort.sign_in("admin", ground.password)
            _idle(figures, poort, RATES[-1], 1)
            figures.clear()  # of the warm-up
            for number in range(plan.rounds):
                plan.say(f"storm, round {number + 1} of {plan.rounds}")
                add(figures, "limit", limit())
                for rate in RATES:
                    _idle(figures, poort, rate, plan.seconds * TIMES_AS_LONG)
                    _storm(figures, poort, ground, rate, plan.seconds * TIMES_AS_LONG)
                _storm(figures, poort, ground, RATES[0], plan.seconds * TIMES_AS_LONG / 2, kind="rude storm")
        for name in PEERS:
            plan.say(f"storm, {name}")
            server = ground.server(name)
            with running(server):
                server.sign_in("admin", ground.password)
                _idle(figures, server, RATE_OF_PEERS, plan.seconds * TIMES_AS_LONG)
                _storm(figures, server, ground, RATE_OF_PEERS, plan.seconds * TIMES_AS_LONG_FOR_PEERS)
    return figures


def _idle(figures: Figures, server: Server, rate: int, seconds: float) -> None:
    used = server.cpu_seconds()
    found = _read(server, rate, seconds)
    used = server.cpu_seconds() - used + found["cpu_seconds"]
    _record(figures, f"{server.name}/{rate}/idle", found)
    # The share of the machine that sign-ins cannot have while these reads go on: the server's and the reading client's.
    add(figures, f"{server.name}/{rate}/idle/cpu", used / seconds / CORES)


def _storm(figures: Figures, server: Server, ground: Ground, rate: int, seconds: float, kind: str = "storm") -> None:
    of = f"{server.name}/{rate}/{kind}"
    storm = start_clients(server, ground, CLIENTS, FILLING_SECONDS + seconds, obeys=kind == "storm")
    time.sleep(FILLING_SECONDS)
    _record(figures, of, _read(server, rate, seconds))
    done = storm.result()
    add(figures, f"{of}/sign-ins", rate_of(done))
    add(figures, f"{of}/refused", sum(done["others"].values()))


def _read(server: Server, rate: int, seconds: float) -> dict[str, Any]:
    head = "".join(f"{name}: {value}\r\n" for name, value in server.headers.items())
    requests = [f"GET /api/users/{number} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n" for number in range(1, 1001)]
    return Clients("read", port=server.port, requests=requests, per_second=rate, seconds=seconds).result()


def _record(figures: Figures, of: str, found: dict[str, Any]) -> None:
    add(figures, f"{of}/p50", percentile(found["latencies_ms"], 50))
    add(figures, f"{of}/p99", percentile(found["latencies_ms"], 99))
    add(figures, f"{of}/failed", found["failed"])
