"""Settings of gunicorn: `gunicorn -c deploy/gunicorn.conf.py wsgi:app`, from any folder. `make serve` uses them too.

HUP reloads this file and the settings. New code needs a restart, because the master has loaded the code before it forks.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from config import InvalidSetting, load_settings  # noqa: E402
from config.home import working_folder  # noqa: E402
from config.logging import set_up_logging  # noqa: E402
from config.settings import stop_start  # noqa: E402
from deploy import master  # noqa: E402
from deploy.worker import JsonWorker  # noqa: E402
from models import db  # noqa: E402
from models.database import reads_never_wait  # noqa: E402

try:
    settings = load_settings()
except InvalidSetting as problem:
    raise stop_start(problem) from None

chdir = str(working_folder(os.environ))
wsgi_app = "wsgi:app"
bind = f"127.0.0.1:{settings.port}"
# Each worker has a socket of its own, so the kernel spreads connections evenly.
reuse_port = True
workers = settings.web_concurrency
# A request that hashes a password or waits to do so occupies a thread. Three threads stay free for all others.
threads = settings.password_hash_queue + 4
timeout = 30
graceful_timeout = 30
# Clients and proxies should close idle connections first: a request on a connection that the server has just closed is lost.
# nginx and AWS keep them for 60 s, Java for 30 s, and Node.js for 4 s, or for longer while its one thread is busy.
keepalive = 75
# Replacing workers now and then limits how much memory a leak can take. The jitter spreads the replacements.
max_requests = 100_000
max_requests_jitter = 20_000
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8190
umask = 0o077
control_socket_disable = True
# A worker's heartbeat touches a file. If the file were on a busy disk, that would stall the worker.
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108
# TRUSTED_PROXIES alone decides which proxies are trusted (security/client_address.py).
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

# The module of the metrics is loaded only if they are on: without it each worker is some MB smaller.
make_metrics_process: Callable[[int], Any] | None = None
if settings.metrics_port:
    from deploy.metrics.process import MetricsProcess, count_in_slot

    make_metrics_process = MetricsProcess


class JsonLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Writes gunicorn's log in the same form as the application's. The application logs requests itself."""

    def setup(self, cfg: Any) -> None:
        """Replace gunicorn's handlers."""
        super().setup(cfg)
        set_up_logging(settings.log_level, settings.log_format)

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Write a line. `Listening at` gets the addresses, which gunicorn leaves out if each worker has a socket of its own."""
        if msg.startswith("Listening at: %s") and not args[0]:
            args = (master.addresses_of(self.cfg), *args[1:])
        super().info(msg, *args, **kwargs)


class PoortWorker(JsonWorker):
    """A worker that uses the application which the master made at the start or the last HUP, so that they share its memory."""

    def load_wsgi(self) -> None:
        """Use the master's application, unless gunicorn was told to load another one."""
        if self.app.app_uri == wsgi_app:
            self.wsgi = self.app.usable
            with self.wsgi.app_context():
                self.reads_in_loop = reads_never_wait(db.engine)
        else:
            super().load_wsgi()


logger_class = JsonLog
worker_class = PoortWorker


def on_starting(server: Any) -> None:
    """Stop the start, with one message, if every worker would fail."""
    master.check_before_start(server, settings)
    master.prepare(server)


def when_ready(server: Any) -> None:
    """Announce where the server listens, and start the metrics process."""
    master.announce_addresses(server, settings)
    master.serve_metrics(server, settings.metrics_port, make_metrics_process)


def on_reload(server: Any) -> None:
    """Open the unix sockets to nginx, and follow a change of METRICS_PORT, before the new workers are forked."""
    master.open_unix_sockets(server)
    master.serve_metrics(server, settings.metrics_port, make_metrics_process)


def post_worker_init(worker: Any) -> None:
    """Have the worker count its requests and connections."""
    if worker.metrics_slot:
        count_in_slot(worker)


pre_fork = master.expect_birth
post_fork = master.announce_birth
child_exit = master.forget_worker
on_exit = master.end_metrics
