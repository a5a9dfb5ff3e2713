"""`make mutants`: change the code in one place at a time, and see whether a test fails.

mutmut 3 and cosmic-ray were looked at first. mutmut changes neither decorated functions nor what stands outside of functions,
and so no limits and no context managers; cosmic-ray runs every test for every mutant, which takes days here.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from fnmatch import fnmatch
from functools import reduce
from pathlib import Path
from queue import SimpleQueue

from .equivalent import EQUIVALENT
from .points import Mutant, mutants_of, sample
from .running import ROOT, Broken, Copy, Tests, test_files

#: What decides who gets in, who may do what, and what is read and answered.
MODULES = (
    *("security/*.py", "rest/*.py", "models/password*.py", "models/token_validity.py", "config/parsing.py"),
    *(f"blueprints/users/{name}.py" for name in ("policy", "passwords", "changes", "writing")),
)
#: Its tests need a Redis server, and tests with servers are too slow to be run for each mutant.
LEFT_OUT = ("security/throttle/redis_store.py",)

_LEAST_PERCENT = 96
_PROCESSES = 2


def main() -> int:
    """Run as the options say; return 0 where enough mutants were killed."""
    options = _options()
    names = sorted(
        path.relative_to(ROOT).as_posix()
        for room in {name.split("/")[0] for name in MODULES}
        for path in (ROOT / room).rglob("*.py")
    )
    modules = [name for name in names if any(fnmatch(name, module) for module in options.modules) and name not in LEFT_OUT]
    points = [mutant for name in modules for mutant in mutants_of(name, (ROOT / name).read_bytes())]
    chosen = sample([mutant for mutant in points if mutant.name not in EQUIVALENT], options.most, options.seed)
    _say(f"{len(chosen)} of {len(points)} mutants in {len(modules)} modules, seed {options.seed}")
    try:
        survivors = _survivors(chosen, modules)
    except Broken as reason:
        _say(reason)
        return 2
    for mutant in sorted(survivors, key=lambda mutant: (mutant.path, mutant.start)):
        _say(f"\n{mutant.name}\n{mutant.diff()}")
    killed = len(chosen) - len(survivors)
    percent = 100 * killed / max(1, len(chosen))
    _say(f"\nkilled {killed} of {len(chosen)} ({percent:.1f} %)")
    return int(percent < _LEAST_PERCENT)


def _say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--modules", nargs="+", default=MODULES, help="paths, or patterns of paths (all that are critical)")
    parser.add_argument("--most", type=int, default=350, help="how many mutants to try (350)")
    parser.add_argument("--seed", type=int, default=1, help="another number chooses other mutants (1)")
    return parser.parse_args()


def _survivors(chosen: list[Mutant], modules: list[str]) -> list[Mutant]:
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ExitStack() as ended:
        # Closing the copies ends what the threads wait for.
        threads, began = ended.enter_context(ThreadPoolExecutor(_PROCESSES)), time.monotonic()
        copies = [ended.enter_context(closing(Copy(Path(folder) / str(number)))) for number in range(_PROCESSES)]
        parts = threads.map(lambda copy, files: copy.learn(modules, files), copies, test_files(_PROCESSES))
        tests = reduce(Tests.joined, parts)
        _say(f"{len(tests.seconds)} tests pass; which lines they run is known after {time.monotonic() - began:.0f} s")

        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in copies:
            free.put(copy)

        def survives(mutant: Mutant) -> bool:
            copy = free.get()
            try:
                return copy.survives(mutant, tests)
            finally:
                free.put(copy)

        found = []
        for number, (mutant, is_alive) in enumerate(zip(chosen, threads.map(survives, chosen), strict=True), 1):
            outcome = "SURVIVED" if is_alive else "killed"
            _say(f"{time.monotonic() - began:5.0f} s {number:4} {outcome:8} {mutant.name[:150]}")
            found += [mutant] if is_alive else []
        return found


if __name__ == "__main__":
    sys.exit(main())
