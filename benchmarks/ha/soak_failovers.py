"""The failovers that `make soak ARGS="--database … --failover"` can put into the middle of a run, by kind of database."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks.ha.postgresql_pair import start_pair

NOTICE_SECONDS = 2


@contextmanager
def _postgresql() -> Iterator[tuple[str, Callable[[], None]]]:
    pair = start_pair()

    def fail_over() -> None:
        pair.primary.kill()
        time.sleep(NOTICE_SECONDS)
        pair.fail_over()

    try:
        yield pair.url, fail_over
    finally:
        pair.stop()


#: Each runs database servers, and yields the URL that lists them, and a function that lets the writer die and another take over.
FAILOVERS: dict[str, Callable[[], AbstractContextManager[tuple[str, Callable[[], None]]]]] = {"postgresql": _postgresql}
