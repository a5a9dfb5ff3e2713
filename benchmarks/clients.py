"""Run clients in processes of their own: reads at a fixed rate, and sign-ins without pause.

They use uvloop if it is installed, to leave more of the processors to the server.

`python -m benchmarks.clients TASK` reads its arguments as JSON from standard input and prints its result as JSON.
"""

import asyncio
import gc
import json
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.commands import ROOT
from benchmarks.serving import clean_environment

# The soak runs without the packages of the benchmark.
_LOOP: Any = import_module("uvloop" if find_spec("uvloop") else "asyncio")

#: The most open connections. A request that must wait for a free one is timed from when it was due.
MOST_CONNECTIONS = 64
FIRST_CONNECTIONS = 8
#: A request without an answer this long after the last one was sent has failed.
DRAIN_SECONDS = 60

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


async def exchange(stream: Stream, request: bytes) -> tuple[int, bool, float]:
    """Send a request and read the answer. Returns its status, whether the connection stays open, and its Retry-After."""
    reader, writer = stream
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length:
        await reader.readexactly(int(length[1]))
    told = _RETRY_AFTER.search(head)
    return int(head[9:12]), _CLOSES.search(head) is None, float(told[1]) if told else 0


class Pool:
    """Open connections. The one unused for longest is next, so that all workers get requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: asyncio.Queue[Stream] = asyncio.Queue()
        self._open = 0

    async def take(self) -> Stream:
        """Return a free connection or a new one. At the limit, wait for the next free one."""
        if self._open < FIRST_CONNECTIONS or (self._free.empty() and self._open < MOST_CONNECTIONS):
            self._open += 1
            return await asyncio.open_connection("127.0.0.1", self._port)
        return await self._free.get()

    def give_back(self, stream: Stream) -> None:
        """Return a connection to the pool."""
        self._free.put_nowait(stream)

    def drop(self, stream: Stream | None) -> None:
        """Forget a connection that is closed or was never open."""
        self._open -= 1
        if stream:
            stream[1].close()


async def read_paced(port: int, requests: list[str], per_second: float, seconds: float) -> dict[str, Any]:
    """Send requests at fixed times, however long earlier ones take. Each is timed from when it was due."""
    pool, sent = Pool(port), [request.encode("latin-1") for request in requests]
    latencies, failed = [], 0

    async def read(request: bytes, due: float) -> None:
        nonlocal failed
        stream: Stream | None = None
        try:
            stream = await pool.take()
            status, stays, _ = await exchange(stream, request)
        except (OSError, EOFError):
            status, stays = 0, False
        (pool.give_back if stays and stream else pool.drop)(stream)  # type: ignore[arg-type]
        latencies.append((time.perf_counter() - due) * 1000)
        failed += status != 200  # noqa: PLR2004

    begun, used, tasks = time.perf_counter(), time.process_time(), []
    for number in range(int(per_second * seconds)):
        due = begun + number / per_second
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(read(sent[number % len(sent)], due)))
    _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
    return {
        "latencies_ms": latencies + [DRAIN_SECONDS * 1000.0] * len(late),
        "failed": failed + len(late),
        "cpu_seconds": time.process_time() - used,
    }


async def sign_in_without_rest(port: int, requests: list[str], seconds: float, *, obeys: bool) -> dict[str, Any]:
    """Run a client for each request, which repeats its sign-in without pause. Clients that obey wait for Retry-After.

    Returns the times of the 200 answers, in seconds, and the number of answers by other statuses.
    """
    good: list[float] = []
    others: dict[int, int] = {}
    begun = time.perf_counter()

    async def work(request: bytes) -> None:
        stream: Stream | None = None
        while time.perf_counter() - begun < seconds:
            stream, status, retry_after = await _exchange_or_fail(port, stream, request)
            moment = time.perf_counter() - begun
            if status == 200 and moment <= seconds:  # noqa: PLR2004 - later ones run with fewer clients
                good.append(moment)
            elif status != 200:  # noqa: PLR2004
                others[status] = others.get(status, 0) + 1
            if obeys and retry_after:
                await asyncio.sleep(min(retry_after, begun + seconds - time.perf_counter()))

    await asyncio.gather(*(work(request.encode("latin-1")) for request in requests))
    return {"good": good, "others": others}


async def _exchange_or_fail(port: int, stream: Stream | None, request: bytes) -> tuple[Stream | None, int, float]:
    """Return the connection if it stays open, the status, which is 0 for a failure, and Retry-After."""
    try:
        stream = stream or await asyncio.open_connection("127.0.0.1", port)
        status, stays, retry_after = await exchange(stream, request)
    except (OSError, EOFError):
        status, stays, retry_after = 0, False, 0.0
    if stream and not stays:
        stream[1].close()
        stream = None
    return stream, status, retry_after


TASKS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {"read": read_paced, "sign-in": sign_in_without_rest}


class Clients:
    """A process of clients. `result` waits for its end."""

    module = "benchmarks.clients"

    def __init__(self, task: str, **arguments: Any) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            (sys.executable, "-m", self.module, task),
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(arguments).encode())
        self._process.stdin.close()

    def result(self) -> dict[str, Any]:
        """Return its result."""
        assert self._process.stdout is not None
        found = self._process.stdout.read()
        if self._process.wait():
            sys.exit("the clients failed; see their messages above")
        result: dict[str, Any] = json.loads(found)
        return result


def main() -> None:
    """Run a task."""
    arguments = json.load(sys.stdin)
    gc.freeze()
    gc.disable()  # a pause of the client would count against the server
    json.dump(_LOOP.run(TASKS[sys.argv[1]](**arguments)), sys.stdout)


if __name__ == "__main__":
    main()
