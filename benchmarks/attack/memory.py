"""A student overwrites a biography with 100 MB of text in all, and reads every version in every format."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from benchmarks.attack.line import Line
from benchmarks.attack.victim import Signer, ask_all, serving
from benchmarks.ground import lay
from benchmarks.serving import Server, pss_megabytes
from benchmarks.soak_load import request_bytes
from rest.formats import FORMATS

USERS, CLIENTS = 100, 8
STUDENT, STUDENT_ID = "user2", 2
#: Bodies just below the limit of a body, which may be refused, and biographies of the longest allowed text, with four bytes
#: per character.
LARGE, LARGE_BYTES = 40, 1_040_000
ALLOWED, ALLOWED_CHARACTERS = 725, 20_000
WARM_UP = 200
MOST_MEGABYTES = 50


def fill_memory(folder: Path) -> Iterator[Line]:
    """Compare the memory of the workers before and after."""
    ground = lay(folder / "ground")
    ground.fill(USERS)
    token = Signer(ground).token(STUDENT)
    reads = [request_bytes("GET", f"/api/users{path}.{name}", token) for name in FORMATS for path in (f"/{STUDENT_ID}", "")]
    with serving(ground) as server:
        asyncio.run(ask_all(server.port, reads * WARM_UP, CLIENTS))
        before = _weigh(server)
        statuses = asyncio.run(ask_all(server.port, _requests(token, reads), CLIENTS))
        growth = max(now - then for now, then in zip(_weigh(server), before, strict=True))
    yield Line("memory a worker gained (PSS)", growth, MOST_MEGABYTES, " MB")
    sent = sum(statuses.values())
    yield Line(f"requests answered 200, of {sent:,}", statuses[200], sent - LARGE, is_least=True)


def _weigh(server: Server) -> list[float]:
    return [pss_megabytes(worker) for worker in sorted(server.workers())]


def _requests(token: str, reads: list[bytes]) -> Iterator[bytes]:
    """Yield each write, followed by the reads."""
    for number in range(LARGE + ALLOWED):
        text = (
            f"{number:06}".ljust(LARGE_BYTES, "x") if number < LARGE else f"{number:06}".ljust(ALLOWED_CHARACTERS, "\U0001f600")
        )
        yield request_bytes("PATCH", f"/api/users/{STUDENT_ID}", token, {"biography": text})
        yield from reads
