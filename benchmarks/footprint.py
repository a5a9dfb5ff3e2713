"""Measure the memory of a worker and the time of a start."""

from benchmarks.figures import Figures, add
from benchmarks.ground import Ground
from benchmarks.plan import Plan
from benchmarks.rates import CONNECTIONS, ask
from benchmarks.serving import pss_megabytes, running


def measure(plan: Plan, ground: Ground) -> Figures:
    """Start each server alone, send it requests for a while, and measure its two workers; in turns."""
    figures, servers = Figures(), ground.servers()
    for server in servers:
        with running(server):
            server.sign_in("admin", ground.password)
    for number in range(plan.rounds):
        plan.say(f"footprint, round {number + 1} of {plan.rounds}")
        for server in plan.turned(servers, number):
            try:
                add(figures, f"{server.name}/start", server.start())
                for what in ("item", "list"):
                    ask(server, what, CONNECTIONS[0], 1)
                weights = [pss_megabytes(pid) for pid in server.workers()]
                add(figures, f"{server.name}/pss", sum(weights) / len(weights))
            finally:
                server.stop()
    return figures
