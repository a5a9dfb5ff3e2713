"""How much is measured, and in which order."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Turn = TypeVar("Turn")


@dataclass(frozen=True)
class Plan:
    """Rounds, seconds a run, sizes in users, and what is left out on purpose."""

    rounds: int
    seconds: int
    sizes: tuple[int, ...]
    left_out: frozenset[str]
    begun: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self.begun

    def say(self, what: str) -> None:
        """Tell whoever waits what is done now, and how long it has taken so far."""
        print(f"{self.elapsed():5.0f} s  {what}", file=sys.stderr, flush=True)

    @staticmethod
    def turned(things: Sequence[Turn], number: int) -> list[Turn]:
        """Return things in the order of a round: each round begins with another one, so that nobody is always the first."""
        start = number % len(things)
        return [*things[start:], *things[:start]]
