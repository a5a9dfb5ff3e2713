"""GET /metrics on a port of its own, on the loopback: the sum of what the workers count, and whether the server is ready."""

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import ThreadingHTTPServer
from json import loads
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from blueprints.health.routes import PARTS

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"

#: Where a server listens: host, port and whatever the kernel adds, or the path of a unix socket.
Address = tuple[Any, ...] | str

# Less than the ten seconds that Prometheus waits for an answer.
_READY_TIMEOUT_SECONDS = 8

_CLIENT_TIMEOUT_SECONDS = 10


class _MasterGone(Exception):
    """The process that this one belongs to has ended, however that was."""


def serve(port: int, address: Address, folder: Path, master: int) -> None:
    """Serve until the master is gone."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    registry.register(Readiness(address))
    try:
        with _bind(port, registry, master) as server:
            server.serve_forever()
    except _MasterGone:
        return


def _bind(port: int, registry: CollectorRegistry, master: int) -> "MetricsServer":
    """Return a server on the port. While an upgrade (USR2) goes on it is the old server's, and is waited for."""
    has_told = False
    while True:
        try:
            return MetricsServer(port, registry, master)
        except OSError as reason:
            if not has_told:
                logger.warning("METRICS_PORT %s cannot be used on %s yet: %s", port, _HOST, os.strerror(reason.errno or 0))
            has_told = True
        _look_after(master)
        time.sleep(1)


def _look_after(master: int) -> None:
    if os.getppid() != master:
        raise _MasterGone


class MetricsServer(ThreadingHTTPServer):
    """Serves a registry on a port of the loopback."""

    daemon_threads = True

    def __init__(self, port: int, registry: CollectorRegistry, master: int) -> None:
        super().__init__((_HOST, port), _Handler.factory(registry))
        self._master = master

    def service_actions(self) -> None:
        """Look after the master; this is called twice a second."""
        _look_after(self._master)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's
        """Write a line of the log, and no traceback on standard error."""
        failure = sys.exc_info()[1]
        if not isinstance(failure, OSError):  # else the client is gone
            logger.error("the metrics cannot be told", exc_info=failure)


class _Handler(MetricsHandler):
    """Answers GET /metrics, and nothing else."""

    timeout = _CLIENT_TIMEOUT_SECONDS

    def do_GET(self) -> None:  # noqa: N802 - the library's
        if urlsplit(self.path).path == "/metrics":
            super().do_GET()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def version_string(self) -> str:
        """Say no versions."""
        return "poort"


class Readiness(Collector):
    """Asks the server whether it is ready, each time that somebody asks for the metrics: as any client would."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield whether it answers, and, where it does, which part is ready."""
        answer = self._ask()
        yield GaugeMetricFamily("poort_up", "Whether the server answers GET /readyz.", value=answer is not None)
        if answer is not None:
            parts = GaugeMetricFamily("poort_part_ready", "Whether GET /readyz finds a part in order.", labels=("part",))
            for part in PARTS:
                parts.add_metric((part,), part not in {*answer["failing"], *answer["degraded"]})
            yield parts

    def _ask(self) -> Any:
        connection = _connection(self._address)
        try:
            connection.request("GET", "/readyz")
            return loads(connection.getresponse().read())
        except (OSError, HTTPException, ValueError):
            return None
        finally:
            connection.close()


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_READY_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(address: Address) -> HTTPConnection:
    if isinstance(address, str):
        return _UnixConnection(address)
    host, port = address[:2]
    return HTTPConnection(host, port, timeout=_READY_TIMEOUT_SECONDS)
