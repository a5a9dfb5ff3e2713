"""Failovers of a Galera cluster under load: a node that is killed, one that hangs, and one that loses the others."""

import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import create_engine, select

from benchmarks.ha.galera_nodes import NODES, Cluster, Node, start_galera
from benchmarks.ha.proof import Proof, say, serving
from benchmarks.ha.two_nodes import prove_two_nodes
from benchmarks.soak_bounds import wrong_rows
from models import User
from models.user import SOFT_DELETED

TITLE = "MariaDB, a Galera cluster of three nodes"
STEADY_SECONDS = 2
#: How long the load goes on after a node is gone. The others need five seconds to notice it.
AFTER_SECONDS = 14
#: The same for a node that hangs: statements that wait for it give up after 16 s (docs/operations.md).
AFTER_SECONDS_HUNG, MOST_SECONDS_HUNG = 22, 20
#: A node that came back must be the one that is written to again after this time.
MOST_SECONDS_TO_RETURN = 20


def prove() -> Proof:
    """Run everything. Raises NotInstalled."""
    proof = Proof()
    with ExitStack() as stack:
        cluster = start_galera()
        stack.callback(cluster.stop)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="poort-ha-")))
        say("three nodes")
        prove_two_nodes(cluster, folder / "two-nodes", proof)
        with serving(folder / "ground", cluster.url(), proof):
            time.sleep(STEADY_SECONDS)
            strays = sum(map(connections_to, cluster.nodes[1:]))
            proof.check("connections to other nodes than the first: 0", strays, held=not strays)
            _fail_over(cluster, proof)
        for node in cluster.nodes:
            lost = wrong_rows(proof.result["users"], _rows(node))
            proof.check(f"acknowledged writes that {node.name} lacks: 0", lost[:3] or 0, held=not lost)
    return proof


def _fail_over(cluster: Cluster, proof: Proof) -> None:
    first = cluster.nodes[0]
    _lose(proof, "kill -9 of the first node", lambda: first.signal(signal.SIGKILL))
    _wait_for_return(cluster, proof, "it is started again", lambda: cluster.restart(first))
    with proof.failover("the first node hangs (SIGSTOP)", AFTER_SECONDS_HUNG) as event:
        event.ready_at, event.most_seconds = event.down_at, MOST_SECONDS_HUNG
        first.signal(signal.SIGSTOP)
    _wait_for_return(cluster, proof, "it goes on", lambda: first.signal(signal.SIGCONT))
    _lose(proof, "the first node loses the others", lambda: first.isolate(is_alone=True))
    _wait_for_return(cluster, proof, "it finds them again", lambda: first.isolate(is_alone=False))


def _lose(proof: Proof, name: str, happen: Callable[[], object]) -> None:
    """Let the first node fail. Nothing needs to be promoted, so the seconds count from then on."""
    with proof.failover(name, AFTER_SECONDS) as event:
        event.ready_at = event.down_at
        happen()


def _wait_for_return(cluster: Cluster, proof: Proof, name: str, happen: Callable[[], object]) -> None:
    """Let the first node come back, and wait until writes have left the second one."""
    say(name)
    happen()
    cluster.nodes[0].wait_for(NODES)
    begun = time.monotonic()
    while _writes(cluster.nodes[1]) and time.monotonic() - begun < MOST_SECONDS_TO_RETURN:
        time.sleep(0.5)
    seconds = time.monotonic() - begun
    held = seconds < MOST_SECONDS_TO_RETURN
    proof.check(f"{name}: all writes are made there after {MOST_SECONDS_TO_RETURN} s at most", f"{seconds:.1f} s", held=held)


def _writes(node: Node) -> bool:
    """Tell whether clients of a node commit changes within a second."""
    before = int(node.status("replicated"))
    time.sleep(1)
    return int(node.status("replicated")) > before


def connections_to(node: Node) -> int:
    """Return how many connections Poort has to a node."""
    return int(node.ask("SELECT count(*) FROM information_schema.processlist WHERE db = 'poort' AND id <> connection_id()"))


def _rows(node: Node) -> dict[str, tuple[str | None, bool]]:
    engine = create_engine(f"{node.driver_url}poort")
    with engine.connect() as connection:
        found = connection.execute(select(User.username, User.firstname, User.active)).all()
    engine.dispose()
    return {row.username: (row.firstname, row.active == SOFT_DELETED) for row in found}
