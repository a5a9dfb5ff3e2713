"""Say where a peer is faster, or needs less, than Poort."""

from collections.abc import Callable

from benchmarks.commands import NAMES, is_poort
from benchmarks.figures import Figures, median
from benchmarks.goals import TITLES as DATABASE_TITLES
from benchmarks.goals import Parts

_TITLES = {
    "rates": "requests a second",
    "behind-nginx": "requests a second behind nginx",
    "databases": "requests a second",
    "in-process": "time of a WSGI call",
    "storm": "storm of sign-ins",
    "footprint": "footprint",
}
_WORDS = {
    "storm": "in the storm",
    "50": "50 reads/s",
    "16": "16 connections",
    "64": "64 connections",
    "pss": "memory (PSS) of a worker",
    "start": "start to first answer",
    "sign-ins": "sign-ins/s",
    **DATABASE_TITLES,
}
#: Figures of which more is better, by the part; of the storm, by the last word of their names.
_MORE = {"rates", "behind-nginx", "databases"}
_COMPARED = ("p50", "p99", "sign-ins")


def slower(parts: Parts) -> list[str]:
    """Return a sentence for each figure that is worse than a peer's, by the medians."""
    return [
        f"{_TITLES[part]}, {', '.join(_WORDS.get(word, word) for word in words)}: {', '.join(worse)}"
        for part in _TITLES
        for words in _words_of_poort(part, parts.get(part, {}))
        if (worse := _worse(part, parts[part], words))
    ]


def _words_of_poort(part: str, figures: Figures) -> list[tuple[str, ...]]:
    found = [tuple(name.split("/")[1:]) for name in figures if name.startswith("poort/")]
    return [words for words in found if part != "storm" or words[-1] in _COMPARED]


def _worse(part: str, figures: Figures, words: tuple[str, ...]) -> list[str]:
    is_more_better = part in _MORE or words[-1] == "sign-ins"
    values = {name: figures.get("/".join((name, *words))) for name in NAMES if not is_poort(name)}
    mine = median(figures["/".join(("poort", *words))])
    ratios = {name: mine / median(theirs) for name, theirs in values.items() if theirs}
    is_worse: Callable[[float], bool] = (lambda ratio: ratio < 1) if is_more_better else (lambda ratio: ratio > 1)
    return [f"{ratio:.2f} times {NAMES[name]}" for name, ratio in ratios.items() if is_worse(ratio)]
