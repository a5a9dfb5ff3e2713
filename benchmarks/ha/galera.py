"""Prove that Poort outlives nodes of a Galera cluster. `python -m benchmarks.ha.galera` exits with 1 if a promise is broken."""

import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.ground import Ground, lay
from benchmarks.ha.galera_load import Answer, Load
from benchmarks.ha.galera_nodes import NODES, Cluster, Node, start_galera
from benchmarks.ha.galera_truth import wrong_rows, wrong_tokens
from benchmarks.ha.two_nodes import conflicts, revocations, stale_reads
from benchmarks.serving import Server, running

#: The seconds after which everything works again: Galera itself needs five to notice that a node is gone.
MOST_SECONDS = 10
#: The same for a node that hangs: statements under way on it end after 16 s.
MOST_SECONDS_HUNG = 20
CLIENTS = 6


class Finding(NamedTuple):
    """A row of the table: what was tried, what was found, and whether that is as promised."""

    tried: str
    found: str
    held: bool


class Poorts:
    """Two servers with the same keys, as on two hosts."""

    def __init__(self, ground: Ground, urls: tuple[str, str]) -> None:
        self.servers: list[Server] = []
        for number, url in enumerate(urls):
            folder = ground.folder / f"host{number + 1}"
            folder.mkdir(exist_ok=True)
            more = {"DATABASE_URL": url, "REFRESH_TOKEN_TTL": "3600", "REFRESH_TOKEN_MAX_SESSIONS": "1000"}
            self.servers.append(Server("poort", folder, ground.settings | more))
        self.password = ground.password

    @contextmanager
    def serving(self) -> Iterator[list[Server]]:
        """Start both, and sign in."""
        with running(*self.servers):
            for server in self.servers:
                server.sign_in("admin", self.password)
            yield self.servers


def run() -> list[Finding]:
    """Start the cluster, and try everything. Raises NotInstalled."""
    cluster = start_galera()
    try:
        with tempfile.TemporaryDirectory(prefix="poort-ha-") as made:
            ground = lay(Path(made) / "ground", cluster.url(), cost=4)
            return [*through_two_nodes(cluster, ground), *with_one_writer(cluster, ground)]
    finally:
        cluster.stop()


def through_two_nodes(cluster: Cluster, ground: Ground) -> Iterator[Finding]:
    """Let the servers write through different nodes, which nobody should do, but which happens while they change nodes."""
    stale, read = stale_reads(cluster)
    yield Finding("reads of node 2 right after a commit on node 1, without wsrep_sync_wait", f"{stale} of {read} outdated", True)
    with Poorts(ground, (cluster.url_of(0), cluster.url_of(1))).serving() as servers:
        accepted, tried = revocations(cluster, servers, ground.password)
        yield Finding(
            "tokens revoked through node 1, used at once through node 2", f"{accepted} of {tried} accepted", not accepted
        )
        seen = conflicts(*servers)
        yield Finding("answers to writes of the same rows through two nodes", _counted(seen.answers), not _unclean(seen.answers))
        yield Finding("of these, acknowledged and lost", str(len(seen.lost)), not seen.lost)


def with_one_writer(cluster: Cluster, ground: Ground) -> Iterator[Finding]:
    """Let both servers use the first node, and let it die, hang and lose its network under load."""
    with Poorts(ground, (cluster.url(), cluster.url())).serving() as servers:
        first, *others = cluster.nodes
        strays = sum(clients_of(node) for node in others)
        yield Finding("connections to other nodes than the first", str(strays), not strays)
        names = [f"client{number}" for number in range(CLIENTS)]
        with Load(names, [server.port for server in servers], servers[0].token, ground.password) as load:
            time.sleep(1)
            yield _failover(load, "the first node is killed (kill -9)", lambda: first.signal(signal.SIGKILL), MOST_SECONDS)
            yield _return(cluster, "it comes back", lambda: cluster.restart(first))
            yield _failover(load, "it hangs (SIGSTOP)", lambda: first.signal(signal.SIGSTOP), MOST_SECONDS_HUNG)
            yield _return(cluster, "it goes on (SIGCONT)", lambda: _go_on(first))
            yield _failover(load, "it loses the other nodes", lambda: first.isolate(is_alone=True), MOST_SECONDS)
            yield _return(cluster, "it finds them again", lambda: _reconnect(first))
        yield Finding("all answers meanwhile", _counted(load.answers), not _unclean(load.answers))
        wrong = [line for node in cluster.nodes for line in wrong_rows(node, load.expected)]
        wrong += [line for server in servers for line in wrong_tokens(server, load.expected)]
        yield Finding("acknowledged writes that are lost, on any node", "; ".join(wrong[:5]) or "0", not wrong)


def _failover(load: Load, what: str, happen: Callable[[], object], most: float) -> Finding:
    happen()
    seconds = load.wait_until_back(time.monotonic())
    time.sleep(1)
    return Finding(what, f"sign-ins and all writes are back after {seconds:.1f} s", seconds <= most)


def _return(cluster: Cluster, what: str, happen: Callable[[], object]) -> Finding:
    happen()
    begun, first = time.monotonic(), cluster.nodes[0]
    while not clients_of(first) and time.monotonic() - begun < MOST_SECONDS_HUNG:
        time.sleep(0.1)
    seconds = time.monotonic() - begun
    return Finding(f"{what}, and takes writes", f"is used again after {seconds:.1f} s", seconds < MOST_SECONDS_HUNG)


def _go_on(node: Node) -> None:
    node.signal(signal.SIGCONT)
    node.wait_for(NODES)


def _reconnect(node: Node) -> None:
    node.isolate(is_alone=False)
    node.wait_for(NODES)


def clients_of(node: Node) -> int:
    """Return how many connections Poort has to a node."""
    return int(node.ask("SELECT count(*) FROM information_schema.processlist WHERE db = 'poort' AND id <> connection_id()"))


def _unclean(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if not answer.is_clean]


def _counted(answers: list[Answer]) -> str:
    found = Counter(f"{answer.status}" if answer.is_clean else f"**{answer.kind} {answer.status}**" for answer in answers)
    return ", ".join(f"{number:,} x {what}" for what, number in sorted(found.items()))


def print_table(findings: list[Finding]) -> bool:
    """Print the findings as a table. Returns whether all promises held."""
    print("| tried | found | |\n|---|---|---|")
    for finding in findings:
        print(f"| {finding.tried} | {finding.found} | {'held' if finding.held else '**broken**'} |")
    return all(finding.held for finding in findings)


if __name__ == "__main__":
    sys.exit(0 if print_table(run()) else 1)
