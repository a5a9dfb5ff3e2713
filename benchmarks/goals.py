"""The promised floors and goals, and how their figures are computed from measurements."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks.figures import Figures, median, ratios

#: part: its figures.
Parts = dict[str, Figures]

DATABASES = ("sqlite", "postgresql", "mariadb")
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
SMALL, LARGE = 1_000, 1_000_000


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise. `values` computes one number per round from the figures of a part, or none if they were not measured."""

    name: str
    part: str
    values: Callable[[Figures], list[float]]
    floor: float | None
    goal: float | None
    unit: str
    less_is_better: bool = False

    def verdict(self, values: list[float]) -> str:
        """Return whether the median reaches the goal, the floor, or neither."""
        if not values:
            return "not measured"
        if self.floor is None or self.goal is None:
            return "no bound"
        sign, value = (-1 if self.less_is_better else 1), median(values)
        if value * sign >= self.goal * sign:
            return "goal"
        return "floor" if value * sign >= self.floor * sign else "**missed**"


def _ratio(one: str, other: str) -> Callable[[Figures], list[float]]:
    return lambda figures: ratios(figures, one, other)


def _measured(name: str) -> Callable[[Figures], list[float]]:
    return lambda figures: figures.get(name, [])


def _sum(name: str) -> Callable[[Figures], list[float]]:
    return lambda figures: [sum(figures[name])] if name in figures else []


def of_what_reads_leave(figures: Figures, of: str) -> list[float]:
    """Divide sign-ins during reads by their limit times the share of the machine that the same reads left when idle."""
    shares = figures.get(f"{of}/idle/cpu", [])
    return [ratio / (1 - share) for ratio, share in zip(ratios(figures, f"{of}/storm/sign-ins", "limit"), shares, strict=False)]


def _more(part: str, name: str, values: Callable[[Figures], list[float]], floor: float, goal: float, unit: str) -> Goal:
    return Goal(name, part, values, floor, goal, unit)


def _less(part: str, name: str, values: Callable[[Figures], list[float]], floor: float, goal: float, unit: str) -> Goal:
    return Goal(name, part, values, floor, goal, unit, less_is_better=True)


def _rates() -> Iterator[Goal]:
    for what, bare, stock, peers in (
        ("item", (0.8, 0.9), (1.0, 1.2), (2.8, 3.5)),
        ("list", (0.7, 0.8), (0.9, 1.0), (3.0, 4.0)),
    ):
        mine, title = f"poort/{what}/16", {"item": "item read", "list": "list of 30"}[what]
        yield _more("rates", f"{title}, of bare Flask's rate", _ratio(mine, f"bare/{what}/16"), *bare, "")
        yield _more("rates", f"{title}, against bare Flask on stock gthread", _ratio(mine, f"bare-stock/{what}/16"), *stock, "x")
        yield _more("rates", f"{title}, against the tutorial app", _ratio(mine, f"tutorial/{what}/16"), *peers, "x")
        yield _more("rates", f"{title}, against FastAPI as documented", _ratio(mine, f"fastapi/{what}/16"), *peers, "x")


def _in_process() -> Iterator[Goal]:
    for what, title, floor, goal in (("item", "a user", 3.5, 2.5), ("list", "a list of 30", 6, 4.5)):
        values = _ratio(f"poort/{what}", f"bare/{what}")
        yield _less("in-process", f"in-process call for {title}, times bare Flask's", values, floor, goal, "x")


def _storm() -> Iterator[Goal]:
    for rate in (50, 300):
        of = f"poort/{rate}"
        slower, failed = _ratio(f"{of}/storm/p99", f"{of}/idle/p99"), _sum(f"{of}/storm/failed")
        of_limit = _ratio(f"{of}/storm/sign-ins", "limit")
        yield _less("storm", f"p99 of {rate} reads/s under 16 clients signing in, times idle", slower, 4, 2.5, "x")
        yield _less("storm", f"failed reads meanwhile, in all rounds ({rate} reads/s)", failed, 0, 0, "")
        yield _more("storm", f"sign-ins meanwhile, of their limit ({rate} reads/s)", of_limit, 0.85, 0.9, "")
    name = "sign-ins meanwhile, of what the reads leave of their limit (300 reads/s)"
    yield _more("storm", name, lambda figures: of_what_reads_leave(figures, "poort/300"), 0.93, 0.95, "")


def _growth() -> Iterator[Goal]:
    for kind in DATABASES:
        for what in ("first page", "item", "search"):
            values = _ratio(f"{kind}/{LARGE}/{what}", f"{kind}/{LARGE} beside/{what}")
            promise = _less("growth", f"{what}, 1,000,000 against 1,000 users, {TITLES[kind]}", values, 2.5, 1.5, "x")
            # MariaDB has no index for parts of words.
            is_bound = (kind, what) != ("mariadb", "search")
            yield promise if is_bound else replace(promise, floor=None, goal=None)


#: In the order of the table.
GOALS = (
    *_rates(),
    *_in_process(),
    _more("sign-ins", "sign-ins, of cores / (one bcrypt + one signature)", _ratio("poort", "limit"), 0.92, 0.97, ""),
    *_storm(),
    *_growth(),
    _less("footprint", "start to first answer", _measured("poort/start"), 1.2, 0.8, " s"),
    _less("footprint", "memory (PSS) of a worker of two", _measured("poort/pss"), 50, 42, " MB"),
)
