"""The failovers that `make soak ARGS="--database … --failover"` can put into the middle of a run, by kind of database."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks.ha.galera_nodes import start_galera
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


@contextmanager
def _mariadb() -> Iterator[tuple[str, Callable[[], None]]]:
    cluster = start_galera()
    try:
        # The other nodes notice it by themselves, and nothing needs to be promoted.
        yield cluster.url(), lambda: cluster.nodes[0].signal(signal.SIGKILL)
    finally:
        cluster.stop()


#: Each runs database servers, and yields the URL that lists them, and a function that lets the writer die and another take over.
FAILOVERS: dict[str, Callable[[], AbstractContextManager[tuple[str, Callable[[], None]]]]] = {
    "mariadb": _mariadb,
    "postgresql": _postgresql,
}
