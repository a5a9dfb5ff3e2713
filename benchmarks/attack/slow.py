"""A stranger holds connections with requests that never end, or with answers that it never reads, and reopens those that end."""

import asyncio
import math
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.attack.line import Line
from benchmarks.attack.victim import serving
from benchmarks.ground import lay
from benchmarks.soak_load import Connection, request_bytes

HEADS = BODIES = 100
UNREAD = 50
HEAD = b"POST /api/authentication_token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le"
BODY = HEAD + b'ngth: 1000\r\nContent-Type: application/json\r\n\r\n{"username": '
ASKED = b"GET /nope HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100
#: The buffer of a client that does not read, in bytes. The server is busy until it is full.
LEAST_BUFFER = 4096
TRIES, SECONDS = 200, 10
LONGEST_SECONDS = 1
#: Seconds before a closed connection is reopened.
PAUSE_SECONDS = 0.1
MOST_MILLISECONDS = 100


def stall(folder: Path) -> Iterator[Line]:
    """Time requests of /healthz during the attack."""
    with serving(lay(folder / "ground")) as server:
        opened, took = asyncio.run(_stall_and_try(server.port))
    what = (
        f"slowest of {len(took)} answers of /healthz with {HEADS} heads and {BODIES} bodies that stall (opened {opened:,} times)"
        f" and {UNREAD} silent readers"
    )
    yield Line(what, max(took), MOST_MILLISECONDS, " ms")


async def _stall_and_try(port: int) -> tuple[int, list[float]]:
    opened: list[bytes] = []
    stalled = [asyncio.create_task(_hold(port, begun, opened)) for begun in [HEAD] * HEADS + [BODY] * BODIES]
    stalled += [asyncio.create_task(_never_read(port)) for _ in range(UNREAD)]
    await asyncio.sleep(1)
    took, until = [], time.monotonic() + SECONDS
    while (begun := time.monotonic()) < until:
        took.append(await _time_healthz(port))
        await asyncio.sleep(max(0, begun + SECONDS / TRIES - time.monotonic()))
    for task in stalled:
        task.cancel()
    await asyncio.gather(*stalled, return_exceptions=True)
    return len(opened), took


async def _hold(port: int, begun: bytes, opened: list[bytes]) -> None:
    """Repeatedly begin a request and wait until the server closes the connection."""
    while True:
        opened.append(begun)
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(begun)
                await reader.read()
            finally:
                writer.close()
        await asyncio.sleep(PAUSE_SECONDS)


async def _never_read(port: int) -> None:
    """Repeatedly ask, and read nothing, until the server resets the connection."""
    loop = asyncio.get_running_loop()
    while True:
        with suppress(OSError), socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LEAST_BUFFER)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            while True:
                await loop.sock_sendall(client, ASKED)
        await asyncio.sleep(PAUSE_SECONDS)


async def _time_healthz(port: int) -> float:
    """Return the milliseconds of an answer on a new connection; infinite if it is not 200 or takes a second."""
    connection, begun, status = Connection(port), time.monotonic(), 0
    with suppress(TimeoutError):
        status, _, _ = await asyncio.wait_for(connection.ask(request_bytes("GET", "/healthz")), LONGEST_SECONDS)
    connection.close()
    return (time.monotonic() - begun) * 1000 if status == 200 else math.inf  # noqa: PLR2004
