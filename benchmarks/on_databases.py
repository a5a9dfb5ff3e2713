"""Measure requests per second on PostgreSQL and MariaDB, with the peers on the same database."""

from pathlib import Path

from benchmarks.database_servers import STARTERS
from benchmarks.figures import Figures
from benchmarks.ground import Ground, lay_with_peers
from benchmarks.plan import Plan
from benchmarks.rates import ask_amid_writes, measure_round, warm_up
from benchmarks.serving import running

NAMES = ("poort", "tutorial", "fastapi", "tuned")


def measure(plan: Plan, folder: Path) -> Figures:
    """Measure one kind of database after the other. The names of figures end with the kind."""
    figures = Figures()
    for kind, start in STARTERS.items():
        if kind not in plan.left_out:
            database = start()
            try:
                found = _measure(plan, kind, lay_with_peers(folder / f"rates-{kind}", database.create_database()))
            finally:
                database.stop()
            figures |= {f"{name}/{kind}": values for name, values in found.items()}
    return figures


def _measure(plan: Plan, kind: str, ground: Ground) -> Figures:
    figures, servers = Figures(), [ground.server(name) for name in NAMES]
    with running(*servers):
        warm_up(ground, servers)
        for number in range(plan.rounds):
            plan.say(f"rates on {kind}, round {number + 1} of {plan.rounds}")
            measure_round(plan, figures, servers, number)
            ask_amid_writes(plan, figures, servers[0])
    return figures
