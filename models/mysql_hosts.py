"""Choose among several hosts of a MariaDB: the first one that takes writes. Nodes of a Galera cluster all do.

All processes must agree on the writer, since transactions on two nodes of a Galera cluster do not wait for each other's locks. So
each process prefers the first host of the list, and returns to it. Without Galera a former primary may come back with old data,
and a process stays with the host that it has.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DisconnectionError

#: A host that could not be used is tried after the others for this long. A connection to another host than the first node of
#: a Galera cluster is used for this long.
RETURN_SECONDS = 5.0

_GALERA_STATE = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status')"
_VARIABLES = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'wsrep_on')"

Host = tuple[str, str]


@dataclass
class _Known:
    """The knowledge of a process: when to try each failed host again, and which host to stay with."""

    failed_until: dict[Host, float] = field(default_factory=dict)
    stays_with: Host | None = None


_known: WeakKeyDictionary[Dialect, _Known] = WeakKeyDictionary()


def connect_to_writer(dialect: Dialect, hosts: Sequence[Host], connect: Callable[[str, int], Any]) -> Any:
    """Return a connection to the first host that takes writes. Raises the driver's OperationalError if none does."""
    known, driver = _known.setdefault(dialect, _Known()), dialect.loaded_dbapi
    reason: Any = None
    for host in _in_turn(known, hosts):
        try:
            connection = connect(host[0], int(host[1]))
            is_galera, refusal = _examine(connection)
        except driver.Error as failure:
            reason = failure
        else:
            if not refusal:
                known.failed_until.pop(host, None)
                known.stays_with = None if is_galera else host
                if is_galera and host != hosts[0]:
                    connection.leave_at = time.monotonic() + RETURN_SECONDS
                return connection
            connection.close()
            reason = driver.OperationalError(1290, f"no host of DATABASE_URL takes writes: the last one {refusal}")
        known.failed_until[host] = time.monotonic() + RETURN_SECONDS
    raise reason


def leave_later_node(connection: Any, _record: object, _proxy: object) -> None:
    """Stop reusing an old connection to a later node, so that the pool tries the first node again (a pool event)."""
    if time.monotonic() >= getattr(connection, "leave_at", inf):
        raise DisconnectionError("looks for the first node of the cluster again")


def _in_turn(known: _Known, hosts: Sequence[Host]) -> list[Host]:
    """Return the hosts in the order in which to try them: those that failed lately come last."""
    now = time.monotonic()
    return sorted(hosts, key=lambda host: (known.failed_until.get(host, 0) > now, host != known.stays_with))


def _examine(connection: Any) -> tuple[bool, str]:
    """Return whether a server is a Galera node, and why it takes no writes; empty if it does."""
    with connection.cursor() as cursor:
        cursor.execute(_VARIABLES)
        variables = dict(cursor.fetchall())
        if variables["read_only"] != "OFF":
            return False, "is read-only"
        if variables.get("wsrep_on", "OFF") != "ON":
            return False, ""
        cursor.execute(_GALERA_STATE)
        state = dict(cursor.fetchall())
    is_ready = (state["wsrep_ready"], state["wsrep_cluster_status"]) == ("ON", "Primary")
    return True, "" if is_ready else "has lost its cluster"
