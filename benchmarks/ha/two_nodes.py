"""Two servers that use two nodes of a Galera cluster at the same time: stale reads, revoked tokens, conflicting writes."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from sqlalchemy import Connection, create_engine

from benchmarks.ground import lay
from benchmarks.ha.galera_nodes import Cluster, Node
from benchmarks.ha.load import CREATED, DENIED, LATER, NO_CONTENT, OK
from benchmarks.ha.proof import COST, Proof, say
from benchmarks.serving import Server, running

#: A database of its own.
NAME = "two_nodes"
READS = 100
TOKENS = 25
SECONDS = 4
#: Properties of one user, each with the server that changes it.
PROPERTIES = (("firstname", 0), ("lastname", 1), ("phone", 0), ("address", 1))
GOOD = ("PATCH 200", "PATCH 503", "POST 201", "POST 422", "POST 503")


@dataclass
class Conflicts:
    """What happened to writes of the same rows. An answer is `503` only if it says when to come back."""

    answers: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


def prove_two_nodes(cluster: Cluster, folder: Path, proof: Proof) -> None:
    """Let two servers write through different nodes. Nobody should; but it happens for moments while they change nodes."""
    cluster.nodes[0].ask(f"CREATE DATABASE {NAME} CHARACTER SET utf8mb4")
    stale, read = stale_reads(cluster)
    proof.check(
        "reads on node 2 after a commit on node 1 that were outdated without wsrep_sync_wait", f"{stale} of {read}", held=True
    )
    ground = lay(folder, cluster.url(NAME), COST)
    servers = []
    for number in range(2):
        home = folder / f"host{number}"
        home.mkdir()
        # With sessions, two tokens of one second differ.
        sessions = {"REFRESH_TOKEN_TTL": "3600", "REFRESH_TOKEN_MAX_SESSIONS": "1000"}
        servers.append(Server("poort", home, ground.settings | sessions | {"DATABASE_URL": cluster.url_of(number, NAME)}))
    with running(*servers):
        for server in servers:
            server.sign_in("admin", ground.password)
        say("revocations through two nodes")
        accepted, tried = revocations(cluster, servers, ground.password)
        proof.check("tokens revoked through node 1 that node 2 still accepted: 0", f"{accepted} of {tried}", held=not accepted)
        say("conflicts of two nodes")
        seen = conflicts(*servers)
    others = [answer for answer in seen.answers if answer not in GOOD]
    proof.check("writes of the same rows through two nodes: good, or 503 with Retry-After", dict(seen.answers), held=not others)
    proof.check("of these, acknowledged and lost: 0", seen.lost[:3] or 0, held=not seen.lost)


def stale_reads(cluster: Cluster) -> tuple[int, int]:
    """Write on the first node and read on the second one at once. Return how many reads were outdated, and of how many."""
    with busy(cluster), _connect(cluster.nodes[0]) as writing, _connect(cluster.nodes[1]) as reading:
        reading.exec_driver_sql("SET wsrep_sync_wait = 0")  # models/database.py has set it
        stale = 0
        for number in range(1, READS + 1):
            writing.exec_driver_sql("REPLACE INTO ha_proof VALUES (0, %s)", (number,))
            stale += reading.exec_driver_sql("SELECT v FROM ha_proof WHERE k = 0").scalar() != number
    return stale, READS


def revocations(cluster: Cluster, servers: Sequence[Server], password: str) -> tuple[int, int]:
    """End tokens at one server, and use each at the other one at once. Return how many it accepted, and of how many."""
    (first, second), tokens = servers, []
    for _ in range(TOKENS):
        body = json.dumps({"username": "admin", "password": password}).encode()
        _, answer = first.ask("POST", "/api/authentication_token", body, Content_Type="application/json")
        tokens.append(json.loads(answer)["token"])
    accepted = 0
    with busy(cluster):
        for token in tokens:
            bearer = f"Bearer {token}"
            assert second.ask("GET", "/api/me", Authorization=bearer)[0] == OK
            assert first.ask("POST", "/api/token/invalidate", Authorization=bearer)[0] == NO_CONTENT
            accepted += second.ask("GET", "/api/me", Authorization=bearer)[0] != DENIED
    return accepted, TOKENS


def conflicts(*servers: Server) -> Conflicts:
    """Change one user through both servers, and create users of the same names."""
    seen, until = Conflicts(), time.monotonic() + SECONDS
    changing = [Changing(servers[number], name, seen) for name, number in PROPERTIES]
    creating = [Creating(server, seen) for server in servers]
    works = [*(one.work for one in changing), *(one.work for one in creating)]
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work, until) for work in works]:
            future.result()
    user = json.loads(servers[0].ask("GET", "/api/users/1")[1])
    seen.lost += [f"{one.name} is {user[one.name]}, not {one.possible}" for one in changing if user[one.name] not in one.possible]
    made = [username for one in creating for username in one.made]
    seen.lost += [f"{username} was created twice" for username in made if made.count(username) > 1]
    for username in made:
        found = json.loads(servers[1].ask("GET", f"/api/users?username={username}")[1])
        seen.lost += [] if [user["username"] for user in found].count(username) == 1 else [f"{username} is missing"]
    return seen


class Changing:
    """A client that changes one property of user 1."""

    def __init__(self, server: Server, name: str, seen: Conflicts) -> None:
        self.name, self.possible = name, [""]
        self._server, self._seen = server, seen

    def work(self, until: float) -> None:
        """Change it again and again."""
        number = 0
        while time.monotonic() < until:
            value = f"{self.name}{(number := number + 1)}"
            status = note(self._seen, self._server, "PATCH", "/api/users/1", {self.name: value})
            self.possible = [value] if status == OK else [*self.possible, value]


class Creating:
    """A client that creates users. Other clients try the same names."""

    def __init__(self, server: Server, seen: Conflicts) -> None:
        self.made: list[str] = []
        self._server, self._seen = server, seen

    def work(self, until: float) -> None:
        """Create one after the other."""
        number = 0
        while time.monotonic() < until:
            name = f"same{(number := number + 1)}"
            if note(self._seen, self._server, "POST", "/api/users", {"username": name, "email": "same@example.com"}) == CREATED:
                self.made.append(name)


def note(seen: Conflicts, server: Server, method: str, path: str, document: object) -> int:
    """Send a request, and count the answer."""
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, json.dumps(document), server.headers | {"Content-Type": content_type})
        response = connection.getresponse()
        is_vague = response.status == LATER and "Retry-After" not in response.headers
    finally:
        connection.close()
    seen.answers[f"{method} {response.status}{' without Retry-After' if is_vague else ''}"] += 1
    return response.status


@contextmanager
def busy(cluster: Cluster) -> Iterator[None]:
    """Let the first node commit large transactions, which other nodes apply later."""
    ended = threading.Event()

    def write() -> None:
        with _connect(cluster.nodes[0]) as connection:
            while not ended.is_set():
                connection.exec_driver_sql("UPDATE ha_proof SET v = v + 1 WHERE k > 0")

    with _connect(cluster.nodes[0]) as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS ha_proof (k INT PRIMARY KEY, v INT)")
        connection.exec_driver_sql("INSERT IGNORE INTO ha_proof SELECT seq, 0 FROM seq_1_to_1000")
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _connect(node: Node) -> Iterator[Connection]:
    engine = create_engine(f"{node.driver_url}{NAME}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()
