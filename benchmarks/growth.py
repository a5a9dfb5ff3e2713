"""Time the same requests with 1,000 to 1,000,000 users, on three databases, over one connection."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.database_servers import STARTERS
from benchmarks.figures import Figures, add, median
from benchmarks.goals import DATABASES
from benchmarks.ground import Ground, lay
from benchmarks.plan import Plan
from benchmarks.seeding import RARE
from benchmarks.services import Server as DatabaseServer
from benchmarks.serving import WAIT_SECONDS, Server, running

ITEMS_PER_PAGE = 30

#: Requests per round, fewer if they are slow.
REQUESTS = 40
WARM_UP = 2
FEWEST = 3
LONGEST_SECONDS = 1.5


def measure(plan: Plan, folder: Path) -> Figures:
    """Measure each kind of database: one that stays small and one that grows, in turns."""
    figures = Figures()
    for kind in DATABASES:
        if kind not in plan.left_out:
            with _database(kind) as new_url:
                small, large = (lay(folder / f"{kind}-{size}", new_url()) for size in ("small", "large"))
                small.fill(plan.sizes[0])
                for size in plan.sizes:
                    plan.say(f"growth, {kind}, {size:,} users")
                    large.fill(size)
                    _compare(plan, figures, kind, size, small, large)
    return figures


@contextmanager
def _database(kind: str) -> Iterator[Callable[[], str]]:
    """Run a database server. Yields a function that creates an empty database and returns its URL."""
    if kind == "sqlite":
        yield lambda: ""
        return
    server: DatabaseServer = STARTERS[kind]()
    try:
        yield server.create_database
    finally:
        server.stop()


def _compare(plan: Plan, figures: Figures, kind: str, size: int, small: Ground, large: Ground) -> None:
    servers = {f"{kind}/{size}": (large, large.server("poort")), f"{kind}/{size} beside": (small, small.server("poort"))}
    with running(*(server for _, server in servers.values())):
        for ground, server in servers.values():
            server.sign_in("admin", ground.password)
        for number in range(-1, plan.rounds):
            for what in requests_at(size):
                for name in plan.turned(list(servers), max(number, 0)):
                    path = requests_at(size if name == f"{kind}/{size}" else plan.sizes[0])[what]
                    milliseconds = Connection(servers[name][1]).milliseconds(path)
                    if number >= 0:  # round -1 is the warm-up
                        add(figures, f"{name}/{what}", milliseconds)


def requests_at(size: int) -> dict[str, str]:
    """Return the paths to request with this many users. The search finds one user."""
    last = -(-size // ITEMS_PER_PAGE)
    return {
        "first page": "/api/users",
        "item": f"/api/users/{size // 2}",
        "search": f"/api/users?search={RARE}",
        "last page": f"/api/users?page={last}",
        "ordered by lastname": "/api/users?order[lastname]=asc",
        "ordered, last page": f"/api/users?order[lastname]=asc&page={last}",
    }


class Connection:
    """A persistent connection with little overhead."""

    def __init__(self, server: Server) -> None:
        """Connect to a server."""
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in server.headers.items())
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def milliseconds(self, path: str) -> float:
        """Request a path several times, close, and return the median. Raises RuntimeError if an answer is not 200."""
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self._headers}\r\n".encode()
        times: list[float] = []
        with self._socket:
            while len(times) < WARM_UP + REQUESTS and (len(times) < WARM_UP + FEWEST or sum(times) < LONGEST_SECONDS):
                begun = time.perf_counter()
                self._exchange(request)
                times.append(time.perf_counter() - begun)
        return median(times[WARM_UP:]) * 1000

    def _exchange(self, request: bytes) -> None:
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{request[:100]!r}: {received[:500]!r}")
        missing = int(head.lower().partition(b"content-length:")[2].split(None, 1)[0]) - len(body)
        while missing > 0:
            missing -= len(self._receive())

    def _receive(self) -> bytes:
        part = self._socket.recv(262_144)
        if not part:
            raise RuntimeError("the server closed the connection")
        return part
