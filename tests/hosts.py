"""Hosts with their own key folders, reduced to keys and tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path

from factories import Clock
from sqlalchemy import Engine

from security.errors import InvalidToken
from security.keys.files import KeyFiles
from security.keys.key_set import KeySet
from security.keys.pair import KeyPair, make_key_pair, write_key_pair
from security.tokens import AccessTokens

TTL = 3600


@cache
def pair_number(_number: int) -> tuple[bytes, bytes]:
    """Return one of the key pairs that all tests share, as PEM texts: generating one is slow."""
    return make_key_pair("", 2048)


# The hosts of one test have different pairs; other tests may reuse them.
_numbers = cycle(range(12))


class Timer:
    """A monotonic clock that tells the age of a key set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Host:
    """A server with its own key folder."""

    files: KeyFiles
    keys: KeySet
    tokens: AccessTokens
    timer: Timer

    def issue(self, ttl_seconds: int = TTL) -> str:
        return self.tokens.issue("alice", [], ttl_seconds=ttl_seconds)

    def accepts(self, token: str) -> bool:
        try:
            return self.tokens.verify(token)["username"] == "alice"
        except InvalidToken:
            return False

    def pass_time(self) -> "Host":
        self.timer.now += 1
        return self

    @property
    def pair(self) -> KeyPair:
        return self.files.load_signing_pair()

    def change_pair(self) -> KeyPair:
        """Replace the pair by another, as an operator does who does not know `rotate-key`."""
        write_key_pair(Path(self.files.private), Path(self.files.public), *pair_number(next(_numbers)))
        return self.pair


def make_host(folder: Path, engine: Callable[[], Engine], clock: Clock, *, writes_rows: bool = True) -> Host:
    """Make a host; generate a pair if the folder has none."""
    files, timer = KeyFiles(str(folder / "private.pem"), str(folder / "public.pem"), ""), Timer()
    keys = KeySet(files, engine, clock, TTL, writes_rows=writes_rows, timer=timer)
    host = Host(files, keys, AccessTokens(keys, clock, TTL, 0), timer)
    if not (folder / "private.pem").exists():
        host.change_pair()
    return host
