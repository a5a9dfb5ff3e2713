"""Which of several database hosts to try first: the one that last took a connection, so that a vanished one costs no wait.

The driver, or models/connecting.py, checks that the host takes writes. So a wrong order only costs time.
"""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy.engine.interfaces import Dialect

# The host and port of the newest connection, by the dialect of an engine.
_used: WeakKeyDictionary[Dialect, tuple[str, str]] = WeakKeyDictionary()


def several_hosts(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the hosts and ports if a driver's arguments, or the options of a URL, name several (config/database_hosts.py)."""
    hosts = str(options.get("host", "")).split(",")
    return list(zip(hosts, str(options["port"]).split(","), strict=True)) if len(hosts) > 1 else []


def in_turn(dialect: Dialect, cparams: Mapping[str, Any]) -> dict[str, str]:
    """Return the arguments `host` and `port` in the order in which to try several hosts; nothing for a single one."""
    hosts, used = several_hosts(cparams), _used.get(dialect)
    if not hosts:
        return {}
    hosts.sort(key=lambda host: host != used)  # stable: the others keep the order of the URL
    return {"host": ",".join(host for host, _ in hosts), "port": ",".join(port for _, port in hosts)}


def remember(dialect: Dialect, host: str, port: str | int) -> None:
    """Try this host first from now on: it has just taken a connection."""
    _used[dialect] = (host, str(port))


def in_one_line(failure: str) -> str:
    """Return what psycopg says of each host, without the hints: logs and commands show one line."""
    attempts = [line.removeprefix("- ") for line in failure.splitlines() if line.startswith("- host: ")]
    return "; ".join(attempts) or failure
