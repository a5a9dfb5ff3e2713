"""Which of several MariaDB hosts a process connects to, with a driver that plays the servers."""

from collections.abc import Callable
from typing import Any, Self

import pymysql
import pytest
from sqlalchemy.exc import DisconnectionError

from models import mysql_hosts
from models.mysql_hosts import connect_to_writer, leave_later_node

HOSTS = [("one", "3306"), ("two", "3307"), ("three", "3308")]
WRITER = {"read_only": "OFF", "wsrep_on": "OFF"}
NODE = WRITER | {"wsrep_on": "ON", "wsrep_ready": "ON", "wsrep_cluster_status": "Primary"}
READ_ONLY = WRITER | {"read_only": "ON"}
MYSQL = {"read_only": "OFF"}


class Servers:
    """Hosts by name; None is down. `asked` lists those that were asked since it was read last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **states: dict[str, str] | None) -> None:
        self.states, self._asked, self.now = states, [""], 1000.0
        monkeypatch.setattr(mysql_hosts.time, "monotonic", lambda: self.now)

        class Dialect:
            loaded_dbapi = pymysql

        self._dialect: Any = Dialect()

    def connect(self) -> Any:
        return connect_to_writer(self._dialect, HOSTS, self._open)

    def asked(self) -> list[str]:
        asked, self._asked = self._asked[1:], [""]
        return asked

    def _open(self, host: str, port: int) -> Any:
        assert (host, str(port)) in HOSTS
        self._asked.append(host)
        if (state := self.states[host]) is None:
            raise pymysql.err.OperationalError(2003, f"{host} is down")
        return Connection(host, state)


class Connection:
    def __init__(self, host: str, state: dict[str, str]) -> None:
        self.host, self._state, self._rows, self.is_open = host, state, {}, True

    def cursor(self) -> "Connection":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str) -> None:
        self._rows = {name: value for name, value in self._state.items() if f"'{name}'" in statement}

    def fetchall(self) -> list[tuple[str, str]]:
        return list(self._rows.items())

    def close(self) -> None:
        self.is_open = False


Make = Callable[..., Servers]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Make:
    return lambda one, two, three=None: Servers(monkeypatch, one=one, two=two, three=three)


@pytest.mark.parametrize(
    "first",
    [None, READ_ONLY, NODE | {"wsrep_ready": "OFF"}, NODE | {"wsrep_cluster_status": "non-Primary"}],
    ids=["down", "read-only", "not ready", "partitioned"],
)
def test_first_host_that_takes_writes_is_used(servers: Make, first: dict[str, str] | None) -> None:
    hosts = servers(first, NODE, NODE)
    assert (hosts.connect().host, hosts.asked()) == ("two", ["one", "two"])
    assert (hosts.connect().host, hosts.asked()) == ("two", ["two"]), "the first one is not asked again for a moment"
    hosts.now += 5.1
    hosts.states["one"] = NODE
    assert (hosts.connect().host, hosts.asked()) == ("one", ["one"]), "all processes return to the first node"


def test_connection_to_a_later_node_is_used_for_a_moment_only(servers: Make) -> None:
    hosts = servers(None, NODE)
    connection = hosts.connect()
    leave_later_node(connection, None, None)
    hosts.now += 5.1
    with pytest.raises(DisconnectionError):
        leave_later_node(connection, None, None)
    hosts.states["one"] = NODE
    connection = hosts.connect()
    hosts.now += 1000
    leave_later_node(connection, None, None)


@pytest.mark.parametrize("kind", [WRITER, MYSQL], ids=["mariadb", "mysql"])
def test_without_galera_a_process_stays_with_the_host_that_took_over(servers: Make, kind: dict[str, str]) -> None:
    """The former primary may come back with old data."""
    hosts = servers(None, kind)
    connection = hosts.connect()
    hosts.now += 1000
    leave_later_node(connection, None, None)
    hosts.states["one"] = kind
    hosts.asked()
    assert (hosts.connect().host, hosts.asked()) == ("two", ["two"])
    hosts.states["two"] = None
    assert hosts.connect().host == "one"


def test_no_host_that_takes_writes_is_a_failure_of_the_driver_with_a_code(servers: Make) -> None:
    with pytest.raises(pymysql.err.OperationalError) as failure:
        servers(None, None, READ_ONLY).connect()
    assert failure.value.args == (1290, "no host of DATABASE_URL takes writes: the last one is read-only")
    with pytest.raises(pymysql.err.OperationalError) as failure:
        servers(READ_ONLY, READ_ONLY).connect()
    assert failure.value.args == (2003, "three is down")
