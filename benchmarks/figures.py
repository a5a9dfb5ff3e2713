"""Measured numbers: a list per name with one number per round, so that rounds can be compared pairwise."""

import math
import statistics
from collections.abc import Iterable, Sequence

#: name: one number per round. The words of a name are separated by slashes: `poort/item/16`.
Figures = dict[str, list[float]]


def median(values: Sequence[float]) -> float:
    """Return the median of the rounds."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest round."""
    return min(values), max(values)


def ratios(figures: Figures, one: str, other: str) -> list[float]:
    """Divide the numbers of one name by those of another, round by round. Empty if one was not measured."""
    return [above / below for above, below in zip(figures.get(one, []), figures.get(other, []), strict=False)]


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def add(figures: Figures, name: str, value: float) -> None:
    """Add the number of a round."""
    figures.setdefault(name, []).append(value)
