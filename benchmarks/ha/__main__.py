"""Prove that the service outlives its machines, under load (`make ha`). Exits with 1 if a bound is broken."""

import argparse
import os
import sys
from collections.abc import Callable

from benchmarks.ha import balanced, galera, postgresql
from benchmarks.ha.proof import print_tables
from benchmarks.services import NotInstalled

#: Each prints its tables, and tells whether all bounds held.
PROOFS: dict[str, tuple[str, Callable[[], bool]]] = {
    "postgresql": (postgresql.TITLE, lambda: print_tables(postgresql.TITLE, postgresql.prove())),
    "galera": (galera.TITLE, lambda: print_tables(galera.TITLE, galera.prove())),
    "haproxy": (balanced.TITLE, balanced.prove),
}


def main() -> None:
    """Run the proofs and print their tables. Skip a proof if its programs are not installed, unless REQUIRE_SERVICES is 1."""
    parser = argparse.ArgumentParser("make ha", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=(*PROOFS, []), help="all of them if you name none")
    options = parser.parse_args()
    held = True
    for kind in options.kinds or PROOFS:
        title, prove = PROOFS[kind]
        try:
            held &= prove()
        except NotInstalled as reason:
            print(f"\n## {title}\n\nNot run: {reason}.")
            held &= os.environ.get("REQUIRE_SERVICES") != "1"
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
