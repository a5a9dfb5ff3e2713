"""Write the figures as `results.md`: first the promises with their verdicts, then a section per part."""

from collections.abc import Iterable, Mapping

from benchmarks import behind_nginx, on_databases
from benchmarks.commands import NAMES, TITLES
from benchmarks.database_servers import STARTERS
from benchmarks.figures import Figures, median, ratios, spread
from benchmarks.goals import DATABASES, GOALS, Goal, Parts
from benchmarks.goals import TITLES as DATABASE_TITLES
from benchmarks.rates import CONNECTIONS, KINDS
from benchmarks.slower import slower
from benchmarks.storm import PEERS, RATE_OF_PEERS, RATES
from benchmarks.writes import PER_SECOND

MISSING = "-"

_HOW_TO_READ = """Written by `make bench`; [Benchmarks](README.md) says what is measured and how. Figures are medians of rounds,
with the lowest and the highest round in brackets. Ratios are made round by round: what else the machine does meets both sides."""


def render(machine: Mapping[str, str], parts: Parts) -> str:
    """Return the page, without sections for parts that were not measured."""
    sections = [_head(machine), _promises(parts), _slower(parts)]
    for name, section in SECTIONS.items():
        if parts.get(name):
            sections.append(section(parts[name]))
    return "\n\n".join(sections) + "\n"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    header = list(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows))


def number(value: float) -> str:
    """Write a number with about three digits, which is as precise as the measurements."""
    if abs(value) >= 100 or value == round(value):  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004


def cell(values: list[float], unit: str = "") -> str:
    """Write the median of the rounds, with the lowest and the highest if they differ."""
    if not values:
        return MISSING
    low, high = (number(end) for end in spread(values))
    return f"{number(median(values))}{unit}" + (f" ({low} to {high})" if low != high else "")


def _head(machine: Mapping[str, str]) -> str:
    said = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    return f"# Results\n\n{_HOW_TO_READ}\n\n{said}"


def _promises(parts: Parts) -> str:
    rows = [_promise(goal, goal.values(parts.get(goal.part, {}))) for goal in GOALS]
    return "## Floors and goals\n\n" + table(("", "measured", "floor", "goal", "verdict"), rows)


def _promise(goal: Goal, values: list[float]) -> list[str]:
    bounds = [MISSING if bound is None else f"{bound:g}{goal.unit}" for bound in (goal.floor, goal.goal)]
    return [goal.name, cell(values, goal.unit), *bounds, goal.verdict(values)]


def _slower(parts: Parts) -> str:
    said = "\n".join(f"- {sentence}" for sentence in slower(parts)) or "Nothing measured here."
    return f"## Slower than a peer\n\n{said}"


def _rates(figures: Figures) -> str:
    kinds = [(what, connections) for what in KINDS for connections in CONNECTIONS]
    header = ("requests/s", *(f"{what}, {connections} connections" for what, connections in kinds))
    rows = [
        [title, *(cell(figures.get(f"{name}/{what}/{connections}", [])) for what, connections in kinds)]
        for name, title in NAMES.items()
    ]
    hydra = [cell(figures.get(f"poort/{what}/JSON-LD", [])) for what in KINDS]
    amid_writes = [cell(figures.get(f"poort/{what}/amid writes", [])) for what in KINDS]
    return (
        "## Requests a second\n\n![Requests a second](charts/rates.svg)\n\n"
        + table(header, rows)
        + f"\n\nAll answer `application/json`. In JSON-LD, which Poort answers where nothing is asked for, with 16 connections: "
        f"item {hydra[0]}, list {hydra[1]}. While {PER_SECOND} users a second are changed: item {amid_writes[0]}, "
        f"list {amid_writes[1]}."
    )


def _behind_nginx(figures: Figures) -> str:
    rows = [[NAMES[name], *(cell(figures.get(f"{name}/{what}/16", [])) for what in KINDS)] for name in behind_nginx.NAMES]
    return "## Behind nginx\n\n" + table(("requests/s behind nginx, 16 connections", "item", "list of 30"), rows)


def _databases(figures: Figures) -> str:
    names = {f"{name}/{{what}}/16": NAMES[name] for name in on_databases.NAMES}
    names["poort/{what}/amid writes"] = f"Poort, while {PER_SECOND} users a second are changed"
    columns = [(what, kind) for kind in DATABASES if kind in STARTERS for what in KINDS]
    rows = [
        [title, *(cell(figures.get(f"{name.format(what=what)}/{kind}", [])) for what, kind in columns)]
        for name, title in names.items()
    ]
    header = ("requests/s, 16 connections", *(f"{what}, {DATABASE_TITLES[kind]}" for what, kind in columns))
    return (
        "## Requests a second on a database server\n\n![Requests a second on database servers](charts/databases.svg)\n\n"
        + table(header, rows)
    )


def _in_process(figures: Figures) -> str:
    rows = [
        [TITLES[name], *(cell(figures.get(f"{name}/{what}", [])) for what in KINDS)] for name in ("bare", "poort", "tutorial")
    ]
    return "## WSGI calls in the process\n\n" + table(("µs of the processor a call", "item", "list of 30"), rows)


def _sign_ins(figures: Figures) -> str:
    rows = [
        ["cores / (one bcrypt + one signature), all cores at it", cell(figures.get("limit", []))],
        ["Poort, twice as many clients as cores", cell(figures.get("poort", []))],
        ["of the limit", cell(ratios(figures, "poort", "limit"))],
        ["refused meanwhile (503)", cell(figures.get("refused", []))],
    ]
    return "## Sign-ins\n\n" + table(("", "a second"), rows)


def _storm(figures: Figures) -> str:
    rows = [_storm_row(figures, "poort", rate, "storm", f"Poort, {rate} reads/s") for rate in RATES]
    rows.append(_storm_row(figures, "poort", RATES[0], "rude storm", f"Poort, {RATES[0]} reads/s, clients ignore `Retry-After`"))
    rows += [_storm_row(figures, name, RATE_OF_PEERS, "storm", f"{TITLES[name]}, {RATE_OF_PEERS} reads/s") for name in PEERS]
    header = (
        "ms",
        "idle p50 / p99",
        "storm p50 / p99",
        "p99, times idle",
        "failed reads",
        "sign-ins/s",
        "refused sign-ins (503)",
    )
    limit = cell(figures.get("limit", []))
    return (
        "## A storm of sign-ins\n\n![Reads in a storm of sign-ins](charts/storm.svg)\n\nThe limit of sign-ins was "
        f"{limit} a second.\n\n" + table(header, rows)
    )


def _storm_row(figures: Figures, name: str, rate: int, kind: str, title: str) -> list[str]:
    def found(what: str) -> str:
        return cell(figures.get(f"{name}/{rate}/{what}", []))

    return [
        title,
        f"{found('idle/p50')} / {found('idle/p99')}",
        f"{found(f'{kind}/p50')} / {found(f'{kind}/p99')}",
        cell(ratios(figures, f"{name}/{rate}/{kind}/p99", f"{name}/{rate}/idle/p99")),
        *(found(f"{kind}/{what}") for what in ("failed", "sign-ins", "refused")),
    ]


def _growth(figures: Figures) -> str:
    tables = [_growth_of(figures, kind) for kind in DATABASES if any(name.startswith(f"{kind}/") for name in figures)]
    return "## Growth\n\n![Growth](charts/growth.svg)\n\n" + "\n\n".join(tables)


def sizes_of(figures: Figures, kind: str) -> list[int]:
    """Return the numbers of users at which a database was measured."""
    found = {name.split("/")[1] for name in figures if name.startswith(f"{kind}/")}
    return sorted(int(size) for size in found if size.isdigit())


def requests_of(figures: Figures) -> list[str]:
    """Return the measured requests in their order."""
    return list(dict.fromkeys(name.split("/")[2] for name in figures))


def _growth_of(figures: Figures, kind: str) -> str:
    sizes = sizes_of(figures, kind)
    header = (f"{DATABASE_TITLES[kind]}, ms", *(f"{size:,} users" for size in sizes), "last against first")
    rows = [
        [
            what,
            *(cell(figures.get(f"{kind}/{size}/{what}", [])) for size in sizes),
            cell(ratios(figures, f"{kind}/{sizes[-1]}/{what}", f"{kind}/{sizes[-1]} beside/{what}"), "x"),
        ]
        for what in requests_of(figures)
    ]
    return table(header, rows)


def _footprint(figures: Figures) -> str:
    rows = [
        [title, cell(figures.get(f"{name}/pss", [])), cell(figures.get(f"{name}/start", []))] for name, title in TITLES.items()
    ]
    return "## Memory and start\n\n" + table(("", "PSS of a worker of two, MB", "start to first answer, s"), rows)


#: In the order of the page.
SECTIONS = {
    "rates": _rates,
    "behind-nginx": _behind_nginx,
    "databases": _databases,
    "in-process": _in_process,
    "sign-ins": _sign_ins,
    "storm": _storm,
    "growth": _growth,
    "footprint": _footprint,
}
