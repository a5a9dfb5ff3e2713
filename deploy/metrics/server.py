"""Answer GET /metrics on a separate loopback port, with the sums of the workers' counts."""

import logging
import os
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.multiprocess import MultiProcessCollector

from deploy.metrics.processes import ServerProcesses

logger = logging.getLogger(__name__)

_HOST = "127.0.0.1"


class _MasterGone(Exception):
    """The master has ended, for whatever reason."""


def serve(port: int, folder: Path, master: int) -> None:
    """Serve until the master has ended."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    if sys.platform == "linux":
        registry.register(ServerProcesses(master))
    with suppress(_MasterGone), _bind(port, registry, master) as server:
        server.serve_forever()


def _bind(port: int, registry: CollectorRegistry, master: int) -> "MetricsServer":
    """Return a server on the port. During an upgrade (USR2), wait until the old server frees the port."""
    has_logged = False
    while True:
        try:
            return MetricsServer(port, registry, master)
        except OSError as reason:
            if not has_logged:
                logger.warning("METRICS_PORT %s cannot be used on %s yet: %s", port, _HOST, os.strerror(reason.errno or 0))
            has_logged = True
        _require_master(master)
        time.sleep(1)


def _require_master(master: int) -> None:
    if os.getppid() != master:
        raise _MasterGone


class MetricsServer(ThreadingHTTPServer):
    """Serves a registry on a loopback port."""

    daemon_threads = True

    def __init__(self, port: int, registry: CollectorRegistry, master: int) -> None:
        super().__init__((_HOST, port), _Handler.factory(registry))
        self._master = master

    def service_actions(self) -> None:
        """Stop if the master has ended. The library calls this twice a second."""
        _require_master(self._master)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's
        """Log the failure instead of printing a traceback."""
        failure = sys.exc_info()[1]
        if not isinstance(failure, OSError):  # an OSError means that the client is gone
            logger.error("the metrics cannot be sent", exc_info=failure)


class _Handler(MetricsHandler):
    """Answers GET /metrics, and nothing else."""

    timeout = 10  # seconds that a client may be silent

    def do_GET(self) -> None:  # noqa: N802 - the library's
        if urlsplit(self.path).path == "/metrics":
            super().do_GET()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def version_string(self) -> str:
        """Hide the versions of Python and the library."""
        return "poort"
