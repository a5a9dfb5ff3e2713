"""Attack real servers, and check the bounds that docs/security.md promises. Exits with 1 if one is broken."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.attack.hashing import hash_without_end
from benchmarks.attack.keys import use_withdrawn_keys
from benchmarks.attack.line import Line
from benchmarks.attack.memory import fill_memory
from benchmarks.attack.races import race
from benchmarks.attack.rows import write_rows
from benchmarks.attack.slow import stall
from benchmarks.services import NotInstalled

Part = Callable[[Path], Iterator[Line]]

#: name: the attack, which gets an empty folder.
PARTS: dict[str, Part] = {
    "keys": use_withdrawn_keys,
    "memory": fill_memory,
    "hashing": hash_without_end,
    "rows": write_rows,
    "slow": stall,
    "races": race,
}


def run(names: Sequence[str]) -> bool:
    """Run parts and print each line as soon as it is known; return whether all bounds held."""
    all_held = True
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"poort-attack-{name}-") as folder:
            for line in PARTS[name](Path(folder)):
                print(f"{name:8} {line}", flush=True)
                all_held &= line.held
    return all_held


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen attacks, and exit with 1 if a bound is broken."""
    parser = argparse.ArgumentParser("make attack", description=__doc__)
    parser.add_argument("--only", choices=PARTS, metavar="NAME", help=f"one of: {', '.join(PARTS)}")
    only = parser.parse_args(arguments).only
    try:
        held = run([only] if only else list(PARTS))
    except NotInstalled as missing:
        sys.exit(f"attack: {missing}; install it, or run the other parts with --only NAME")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
