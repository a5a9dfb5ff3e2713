"""Measure speed, growth and memory, and compare with applications built as documentation suggests (`make bench`)."""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import behind_nginx, footprint, growth, in_process, machine, on_databases, rates, sign_ins, storm
from benchmarks.charts import draw
from benchmarks.goals import LARGE, SMALL, Parts
from benchmarks.ground import lay_with_peers
from benchmarks.plan import Plan
from benchmarks.report import SECTIONS, render

HERE = Path(__file__).parent


def main() -> None:
    """Check for missing programs, measure, and write the results."""
    options = read_options()
    if options.render:
        found = json.loads(options.render.read_text())
        write(found["machine"], found["parts"], options.into or options.render.parent)
        return
    plan = Plan(options.rounds, options.seconds, tuple(options.sizes), frozenset(options.leave_out))
    parts = [part for part in options.only if not machine.essential(part) & plan.left_out]
    machine.refuse_missing(set().union(*(machine.NEEDS.get(part, set()) for part in parts)) - plan.left_out)
    described = machine.describe()
    described["rounds"] = f"{plan.rounds}, of {plan.seconds:g} s for a rate"
    if options.leave_out:
        described["left out on purpose"] = ", ".join(options.leave_out)
    measured = measure(plan, parts)
    described["took"] = f"{plan.elapsed() / 60:.0f} minutes; load average after {machine.load():.2f}"
    whole = set(parts) == set(SECTIONS)
    write(described, measured, options.into or (HERE if whole else None))


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("make bench", description=__doc__)
    parser.add_argument("--only", type=_words, default=list(SECTIONS), help=f"parts, comma-separated: {', '.join(SECTIONS)}")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds; use at least 5 for reliable figures")
    parser.add_argument("--seconds", type=int, default=3, help="seconds of a run of wrk; sign-ins run longer in proportion")
    parser.add_argument("--sizes", type=_sizes, default=[SMALL, 10_000, 100_000, LARGE], help="numbers of users, ascending")
    parser.add_argument(
        "--leave-out",
        type=_words,
        default=[],
        help=f"programs to do without, of {', '.join(machine.NEEDED)}; the results mention it",
    )
    parser.add_argument("--into", type=Path, help="folder for the results; without it, a run of some parts only prints")
    parser.add_argument(
        "--render", type=Path, metavar="RESULTS.json", help="measure nothing: write page and charts from this file"
    )
    options = parser.parse_args()
    if unknown := set(options.only) - set(SECTIONS):
        parser.error(f"no such part: {', '.join(unknown)}")
    if unknown := set(options.leave_out) - set(machine.NEEDED):
        parser.error(f"cannot be left out: {', '.join(unknown)}")
    return options


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _sizes(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


def measure(plan: Plan, parts: list[str]) -> Parts:
    """Measure parts in the order of the page, on one database with 1,000 users. Growth creates its own."""
    measured: Parts = {}
    with tempfile.TemporaryDirectory(prefix="poort-bench-") as made:
        folder = Path(made)
        ground = lay_with_peers(folder / "ground")
        measures: dict[str, Callable[[], dict[str, list[float]]]] = {
            "rates": lambda: rates.measure(plan, ground),
            "behind-nginx": lambda: behind_nginx.measure(plan, ground),
            "databases": lambda: on_databases.measure(plan, folder),
            "in-process": lambda: in_process.measure(plan, ground),
            "sign-ins": lambda: sign_ins.measure(plan, ground),
            "storm": lambda: storm.measure(plan, ground),
            "growth": lambda: growth.measure(plan, folder),
            "footprint": lambda: footprint.measure(plan, ground),
        }
        for name, run in measures.items():
            if name in parts:
                measured[name] = run()
    return measured


def write(described: dict[str, str], measured: Parts, into: Path | None) -> None:
    """Write figures, page and charts to a folder, or print the page if there is none."""
    page = render(described, measured)
    if into is None:
        print(page)
        return
    into.mkdir(parents=True, exist_ok=True)
    (into / "results.json").write_text(json.dumps({"machine": described, "parts": measured}, indent=1) + "\n")
    (into / "results.md").write_text(page)
    draw(measured, into / "charts")
    print(f"{into / 'results.md'} and charts are written.")


if __name__ == "__main__":
    main()
