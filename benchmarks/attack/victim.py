"""Run the attacked server, sign tokens for it, and send it requests."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import jwt

from benchmarks.ground import Ground
from benchmarks.serving import Server, clean_environment, running
from benchmarks.soak_load import Connection
from config import load_settings
from security.keys.files import KeyFiles

#: Tokens are backdated, so that the current second does not matter, and outlast an attack.
AGE_SECONDS, LIFETIME_SECONDS = 10, 3600


@contextmanager
def serving(ground: Ground, **settings: str) -> Iterator[Server]:
    """Run Poort on a ground with additional settings."""
    server = ground.server("poort")
    server = replace(server, environment={**server.environment, **settings})
    with running(server):
        yield server


class Signer:
    """Signs tokens with the private key of a ground, which is cheaper than signing in, and as a thief of the key can."""

    def __init__(self, ground: Ground) -> None:
        """Read the current key."""
        settings = load_settings(clean_environment(**ground.settings))
        self._pair = KeyFiles(settings.jwt_secret_key, settings.jwt_public_key, settings.jwt_passphrase).load()
        self._numbers = itertools.count()

    @property
    def kid(self) -> str:
        """Return the id of the key."""
        return self._pair.kid

    def token(self, username: str, age_seconds: int = AGE_SECONDS) -> str:
        """Sign a unique token."""
        issued_at = int(time.time()) - age_seconds
        claims = {"iat": issued_at, "exp": issued_at + LIFETIME_SECONDS, "username": username, "jti": f"{next(self._numbers)}"}
        return jwt.encode(claims, self._pair.signing_key, "RS256", {"kid": self._pair.kid})


async def ask_all(port: int, requests: Iterable[bytes], clients: int) -> Counter[int]:
    """Send each request once, on this many connections. Returns the number of answers by status; 0 means none."""
    left, statuses = iter(requests), Counter[int]()

    async def work(connection: Connection) -> None:
        for request in left:
            statuses[(await connection.ask(request))[0]] += 1
        connection.close()

    await asyncio.gather(*(work(Connection(port)) for _ in range(clients)))
    return statuses


async def ask_for(seconds: float, port: int, make_request: Callable[[], bytes], clients: int) -> Counter[int]:
    """Send requests without pause for some seconds."""
    until = time.monotonic() + seconds
    requests = iter(lambda: make_request() if time.monotonic() < until else None, None)
    return await ask_all(port, requests, clients)


def failures(statuses: Counter[int]) -> int:
    """Count the requests that got no answer or a 5xx."""
    return sum(number for status, number in statuses.items() if status == 0 or status >= 500)  # noqa: PLR2004
