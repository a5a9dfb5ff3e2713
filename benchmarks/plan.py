"""The amount and order of measurements."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Turn = TypeVar("Turn")


@dataclass(frozen=True)
class Plan:
    """Rounds, seconds per run, numbers of users, and the programs left out."""

    rounds: int
    seconds: int
    sizes: tuple[int, ...]
    left_out: frozenset[str]
    begun: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.begun

    def say(self, what: str) -> None:
        """Print the current step and the time so far."""
        print(f"{self.elapsed():5.0f} s  {what}", file=sys.stderr, flush=True)

    @staticmethod
    def turned(things: Sequence[Turn], number: int) -> list[Turn]:
        """Return things in the order of a round. Each round starts with another one, so that none is always first."""
        start = number % len(things)
        return [*things[start:], *things[:start]]
