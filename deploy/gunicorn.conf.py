"""How gunicorn serves: `gunicorn -c deploy/gunicorn.conf.py wsgi:app`, from any folder. `make serve` uses it too.

HUP reads the settings anew; new code needs a restart, since the workers are forked with the code loaded.
"""

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app import create_app  # noqa: E402
from blueprints.parts import parts  # noqa: E402
from config import InvalidSetting, Settings, load_settings  # noqa: E402
from config.logging import set_up_logging  # noqa: E402
from config.settings import require_drivers, stop_start  # noqa: E402
from deploy.gunicorn_worker import JsonWorker  # noqa: E402
from models import db  # noqa: E402
from models.user_table import UnusableTable  # noqa: E402
from security.keys import UnusableKey  # noqa: E402

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
    try:
        _refuse_unusable(settings)
        _refuse_too_few_threads(server.cfg.threads)
        _refuse_tls(server.cfg.is_ssl)
        _share_unix_sockets(server)
        if "GUNICORN_PID" not in os.environ:  # set on USR2: the new server takes over the port of the old one
            _refuse_taken_ports("PORT", server.cfg.address)
            _refuse_taken_ports("METRICS_PORT", [("127.0.0.1", settings.metrics_port)] if settings.metrics_port else [])
    except (InvalidSetting, UnusableKey, UnusableTable) as problem:
        raise stop_start(problem) from None
    server.handle_hup = partial(_reload_if_usable, server, server.handle_hup)
    server.manage_workers = partial(_replace_who_has_served_enough, server, server.manage_workers)
    if settings.metrics_port:
        import_module(METRICS)
    _share_arenas()
    # What is there now is there for good: the collector need not touch it, and so the workers keep sharing its memory.
    gc.collect()
    gc.freeze()
    server.births = []
    after_in_parent = partial(_go_on_after_fork, server.births)
    os.register_at_fork(before=_hold_signals, after_in_parent=after_in_parent, after_in_child=_be_ended_by_signals)


# M_ARENA_MAX of malloc.h, and how many.
_ARENA_MAX, _ARENAS = -8, 2


def _share_arenas() -> None:
    """Let the threads of a worker share what the C library keeps for allocations: each would keep the most it ever needed."""
    with contextlib.suppress(AttributeError):  # a C library that is not glibc
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


# Until a worker is ready it has the master's handlers, which would put a signal aside: the master would wait 30 s for its
# end in vain. So such a signal waits for the fork, and ends the worker then. Gunicorn's own `post_fork` comes too late.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

_MOST_SECONDS_TO_LISTEN = 5


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def _go_on_after_fork(births: list[tuple[int, int]]) -> None:
    """Wait until the new worker listens: gunicorn would end an old one at once, and for a moment nobody might listen."""
    _let_signals_through()
    if births:
        reads, writes = births.pop()
        os.close(writes)
        select.select([reads], [], [], _MOST_SECONDS_TO_LISTEN)
        os.close(reads)


def _let_signals_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _be_ended_by_signals() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    _let_signals_through()


def when_ready(server: Any) -> None:
    """Say where the server answers: gunicorn does not know it where each worker listens for itself.

    A unix socket is opened to its group, which is nginx's: `umask` would keep it for this user alone.
    """
    for address in server.cfg.address:
        if isinstance(address, str) and not server.systemd:  # systemd's own is as its unit says
            Path(address).chmod(0o660)
    server.log.info("serving on %s", ", ".join(where if "unix:" in where else f"http://{where}" for where in server.cfg.bind))
    if not settings.trusted_proxies and any(listener.FAMILY == socket.AF_UNIX for listener in server.LISTENERS):
        server.log.warning(
            "gunicorn listens on a unix socket and TRUSTED_PROXIES is empty: all clients share one address, and so one throttle "
            "of sign-ins. Set TRUSTED_PROXIES=127.0.0.1, and let the proxy overwrite X-Forwarded-For."
        )
    _serve_metrics(server)


def on_reload(server: Any) -> None:
    """Set once more what HUP has read anew from this file, before the new workers are forked."""
    _share_unix_sockets(server)
    _serve_metrics(server)


def _share_unix_sockets(server: Any) -> None:
    """Let workers share a unix socket: each would put one of its own in the place of the others', for this user alone."""
    if any(not isinstance(address, tuple) for address in server.cfg.address):
        server.cfg.set("reuse_port", False)


def _reload_if_usable(server: Any, reload: Callable[[], None]) -> None:
    """Do what HUP asks for, unless the new workers could not start: that would be the end of the old ones too."""
    try:
        _refuse_unusable(load_settings())
    except (InvalidSetting, UnusableKey, UnusableTable) as problem:
        server.log.error("nothing is reloaded: %s", problem)
    else:
        reload()


def _replace_who_has_served_enough(server: Any, manage: Callable[[], None]) -> None:
    """Put another worker beside one, so that gunicorn finds one too many, and ends the oldest: one at a time."""
    served_enough = [worker for worker in server.WORKERS.values() if getattr(worker, "has_served_enough", (False,))[0]]
    if served_enough and len(server.WORKERS) == server.num_workers:
        served_enough[0].age = 0
        server.log.info("a new worker takes the place of one that has answered %d requests", server.cfg.max_requests)
        server.spawn_worker()
    manage()


def _refuse_unusable(ours: Settings) -> None:
    """Raise InvalidSetting, UnusableKey or UnusableTable where no worker could serve with these settings."""
    require_drivers(ours)
    with create_app(ours).app_context():
        parts().check_keys()
        parts().check_table()
        parts().keys.announce()
        db.engine.dispose()  # a connection must not be shared with the workers that are forked from here


# The module of the metrics, which is loaded only where they are asked for. The process that serves them is `server.metrics`.
METRICS = "blueprints.health.metrics_process"


def _serve_metrics(server: Any) -> None:
    """Start what serves the metrics, or end it where the settings have changed so."""
    running = getattr(server, "metrics", None)
    if running and running.port != settings.metrics_port:
        running.remove()
        running = server.metrics = None
    if settings.metrics_port and not running:
        addresses = [listener.getsockname() for listener in server.LISTENERS] or server.cfg.address
        server.metrics = import_module(METRICS).MetricsProcess(settings.metrics_port, addresses[0])
    if settings.metrics_port:
        server.metrics.run(server.LISTENERS)


def pre_fork(server: Any, worker: Any) -> None:
    """Say where a worker is to count its requests, and open what it closes as soon as it listens."""
    server.births.append(os.pipe())
    if settings.metrics_port:
        worker.metrics_slot = server.metrics.take_slot({getattr(other, "metrics_slot", 0) for other in server.WORKERS.values()})


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's
    """Let the master go on: this worker has its sockets."""
    while server.births:
        for end in server.births.pop():
            os.close(end)


def post_worker_init(worker: Any) -> None:
    """Have a worker count its requests."""
    if settings.metrics_port and worker.metrics_slot:
        import_module(METRICS).count_in_slot(worker.wsgi, worker.metrics_slot)


def child_exit(server: Any, worker: Any) -> None:
    """Forget what a worker had under way, and see that the metrics are still served."""
    if settings.metrics_port:
        server.metrics.leave_slot(getattr(worker, "metrics_slot", 0))
        server.metrics.run(server.LISTENERS)


def on_exit(server: Any) -> None:
    """End what serves the metrics with the server."""
    if getattr(server, "metrics", None):
        server.metrics.remove()


def _refuse_taken_ports(name: str, addresses: list[Any]) -> None:
    """Raise InvalidSetting where somebody listens already: with `reuse_port` two servers would share the requests."""
    for address in addresses:
        if not isinstance(address, tuple):  # a unix socket
            continue
        try:
            socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET).close()
        except OSError as reason:
            why = os.strerror(reason.errno or 0)
            raise InvalidSetting(f"{name} {address[1]} cannot be used on {address[0]}: {why}.") from None


def _refuse_tls(wanted: bool) -> None:
    """Raise InvalidSetting where gunicorn is to end TLS: JsonWorker peeks at what has arrived, which TLS does not allow."""
    if wanted:
        raise InvalidSetting(
            "gunicorn cannot end TLS here: put a proxy in front (docs/nginx.md), and remove --certfile and --keyfile."
        )


def _refuse_too_few_threads(number: int) -> None:
    """Raise InvalidSetting where GUNICORN_CMD_ARGS leaves no thread free of those who wait for the hashing of a password."""
    busy = settings.password_hash_queue + 1
    if number <= busy:
        said = f"who waits and who is hashed for take {busy} threads of a worker, and gunicorn's --threads is {number}."
        raise InvalidSetting(f"PASSWORD_HASH_QUEUE is {busy - 1}: {said}")
