"""Change users at a fixed rate while something else is measured."""

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.clients import Clients
from benchmarks.serving import Server

PER_SECOND = 50
#: The changes go on for this long before and after the measurement, so that it lies within them.
MARGIN_SECONDS = 0.5


@contextmanager
def writing(server: Server, seconds: float) -> Iterator[None]:
    """Change another user's first name with every request, from a process of its own. Exits if a change fails."""
    head = "".join(f"{name}: {value}\r\n" for name, value in server.headers.items())
    span = seconds + 2 * MARGIN_SECONDS
    requests = [_change(head, 2 + number % 999) for number in range(int(span * PER_SECOND))]
    clients = Clients("read", port=server.port, requests=requests, per_second=PER_SECOND, seconds=span)
    yield
    if failed := clients.result()["failed"]:
        sys.exit(f"{server.name}: {failed} of {len(requests)} changes failed")


def _change(head: str, user_id: int) -> str:
    # A name that the user has already would change no row.
    body = json.dumps({"firstname": f"Ada {secrets.token_hex(2)}"})
    fields = f"Content-Type: application/merge-patch+json\r\nContent-Length: {len(body)}\r\n"
    return f"PATCH /api/users/{user_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}{fields}\r\n{body}"
