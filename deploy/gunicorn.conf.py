"""How gunicorn serves: `gunicorn -c deploy/gunicorn.conf.py wsgi:app`, from any folder. `make serve` uses it too.

HUP reads the settings anew; new code needs a restart, since the workers are forked with the code loaded.
"""

import sys
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app import create_app  # noqa: E402
from config import InvalidSetting, load_settings  # noqa: E402
from config.logging import set_up_logging  # noqa: E402
from config.settings import stop_start  # noqa: E402
from deploy import master  # noqa: E402
from deploy.worker import JsonWorker  # noqa: E402

try:
    settings = load_settings()
except InvalidSetting as problem:
    raise stop_start(problem) from None

chdir = str(ROOT)
wsgi_app = "wsgi:app"
bind = f"127.0.0.1:{settings.port}"
# Each worker listens for itself, and the kernel deals connections out evenly.
reuse_port = True
workers = settings.web_concurrency
# Who waits for the hashing of a password keeps a thread; the others are for everything else.
threads = settings.password_hash_queue + 4
timeout = 30
graceful_timeout = 30
keepalive = 5
# A worker is replaced after so many requests, which bounds what a leak can cost; not all of them at once.
max_requests = 100_000
max_requests_jitter = 20_000
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8190
umask = 0o077
control_socket_disable = True
# The heartbeat of a worker is a file; on a disk that is busy it would stall the worker.
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108
# Who is believed about the client is TRUSTED_PROXIES' business alone (security/client_address.py).
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

# Without metrics nothing of them is loaded: a worker is smaller by some MB.
if settings.metrics_port:
    from deploy.metrics import process as metrics


class JsonLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own log through ours. Requests are logged by the application."""

    def setup(self, cfg: Any) -> None:
        """Replace gunicorn's handlers."""
        super().setup(cfg)
        set_up_logging(settings.log_level, settings.log_format)


class PoortWorker(JsonWorker):
    """A worker that serves with the settings of the last start or HUP, whatever the files say when it replaces another one."""

    def load_wsgi(self) -> None:
        """Make the application."""
        if self.app.app_uri == wsgi_app:
            self.wsgi = create_app(settings)
        else:
            super().load_wsgi()


logger_class = JsonLog
worker_class = PoortWorker


def on_starting(server: Any) -> None:
    """Stop the start with one sentence, once, where every worker would fail."""
    master.check_before_start(server, settings)
    master.prepare(server)


def when_ready(server: Any) -> None:
    """Say where the server answers, and serve the metrics."""
    master.announce_addresses(server, settings)
    _serve_metrics(server)


def on_reload(server: Any) -> None:
    """Set once more what HUP has read anew from this file, before the new workers are forked."""
    master.share_unix_sockets(server)
    _serve_metrics(server)


def _serve_metrics(server: Any) -> None:
    """Start the process of the metrics, or end it where the settings have changed so."""
    running = getattr(server, "metrics", None)
    if running and running.port != settings.metrics_port:
        running.remove()
        running = server.metrics = None
    if settings.metrics_port and not running:
        server.metrics = metrics.MetricsProcess(settings.metrics_port)
    if settings.metrics_port:
        server.metrics.run(server.LISTENERS)


def pre_fork(server: Any, worker: Any) -> None:
    """Say where a worker is to count its requests."""
    master.expect_birth(server)
    if settings.metrics_port:
        worker.metrics_slot = server.metrics.take_slot({getattr(other, "metrics_slot", 0) for other in server.WORKERS.values()})


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's
    """Let the master go on."""
    master.announce_birth(server)


def post_worker_init(worker: Any) -> None:
    """Have a worker count its requests."""
    if settings.metrics_port and worker.metrics_slot:
        metrics.count_in_slot(worker.wsgi, worker.metrics_slot)


def child_exit(server: Any, worker: Any) -> None:
    """Forget what a worker had under way, and see that the metrics are still served."""
    if settings.metrics_port:
        server.metrics.leave_slot(getattr(worker, "metrics_slot", 0))
        server.metrics.run(server.LISTENERS)


def on_exit(server: Any) -> None:
    """End what serves the metrics with the server."""
    if getattr(server, "metrics", None):
        server.metrics.remove()
