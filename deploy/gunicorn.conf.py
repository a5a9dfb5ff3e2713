"""How gunicorn serves: `gunicorn -c deploy/gunicorn.conf.py wsgi:app`, from any folder. `make serve` uses it too.

HUP reads the settings anew; new code needs a restart, since the workers are forked with the code loaded.
"""

import contextlib
import ctypes
import gc
import mmap
import os
import select
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable
from functools import lru_cache, partial
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any

from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http import errors, wsgi
from gunicorn.workers.gthread import ThreadWorker

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from app import create_app  # noqa: E402
from blueprints.every_request import SAFE_HEADERS  # noqa: E402
from blueprints.parts import parts  # noqa: E402
from config import InvalidSetting, Settings, load_settings  # noqa: E402
from config.logging import request_id, set_up_logging  # noqa: E402
from config.settings import require_drivers, stop_start  # noqa: E402
from models import db  # noqa: E402
from models.user_table import UnusableTable  # noqa: E402
from rest.encoding import encode_json  # noqa: E402
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


class OurResponse(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """An answer that does not say what the server is, and is sent in one piece."""

    headers_sent: bool

    def default_headers(self) -> list[str]:
        """Leave out `Server`, for which gunicorn has no setting."""
        return [line for line in super().default_headers() if not line.startswith("Server:")]

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Look at fields as gunicorn does; of those that come with most answers, at what may be new in them."""
        for field in headers:
            name, value = field
            if field in _LOOKED_AT or (name in _NEW_VALUES and wsgi.HEADER_VALUE_RE.fullmatch(value)):
                self.headers.append(field)
                continue
            super().process_headers([field])
            if name in _SAME_VALUES and len(_LOOKED_AT) < _MOST_LOOKED_AT:
                _LOOKED_AT.add(field)

    def write(self, arg: bytes) -> None:
        """Send the head with the body where that is whole: gunicorn sends twice, and lets other threads go first between."""
        if self.headers_sent or self._omits_body or self.upgrade or self.response_length != len(arg):
            super().write(arg)
            return
        self.headers_sent = True
        self.sent = len(arg)
        fields = [f"{name}: {value}\r\n" for name, value in self.headers]
        util.write(self.sock, f"{self._usual_fields()}{''.join(fields)}\r\n".encode("latin-1") + arg)

    def _usual_fields(self) -> str:
        """Return what `default_headers` does for an answer whose length is known, whose date is made once a second."""
        (major, minor), goes_on = self.req.version, "close" if self.should_close() else "keep-alive"
        return f"HTTP/{major}.{minor} {self.status}\r\nDate: {_http_date(int(time.time()))}\r\nConnection: {goes_on}\r\n"


_http_date = lru_cache(maxsize=1)(util.http_date)

# Fields whose values are few are looked at once, and so are the names of those whose values are not.
_SAME_VALUES = {"Content-Type", "Vary", "Accept-Patch", *SAFE_HEADERS}
_NEW_VALUES = {"X-Request-Id", "ETag", "Content-Location", "Location", "Link"}
_MOST_LOOKED_AT = 256
_LOOKED_AT: set[tuple[str, str]] = set()


# What is wrong with a request that gunicorn refuses before the application sees it. The texts of gunicorn's own errors hold
# what the client sent, a password among it where a body was taken for a request line: they are neither sent nor logged.
_REFUSALS = {
    errors.InvalidResponseHeader: (500, "Internal Server Error"),
    errors.InvalidResponseHeaderName: (500, "Internal Server Error"),
    errors.ConfigurationProblem: (500, "Internal Server Error"),
    errors.LimitRequestLine: (414, f"The request line is longer than {limit_request_line} bytes."),
    errors.LimitRequestHeaders: (
        431,
        f"There are more than {limit_request_fields} header fields, or one is longer than {limit_request_field_size} bytes.",
    ),
    errors.ExpectationFailed: (417, "No expectation but 100-continue can be met."),
    errors.UnsupportedTransferCoding: (501, "No transfer coding but chunked is supported."),
    errors.ParseException: (400, "The request is not valid HTTP."),
    Exception: (500, "Internal Server Error"),
}


class JsonWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker that answers in JSON for what never reached the application, too, and once a request."""

    def init_process(self) -> None:
        """Begin to work. In the worker, not when this file is read: HUP reads it again, on top of what it did before."""
        wsgi.Response = OurResponse
        # gunicorn itself would end this worker before another takes its place.
        self._most_requests, self.max_requests = self.max_requests, sys.maxsize
        super().init_process()

    def load_wsgi(self) -> None:
        """Serve with the settings of the last start or HUP, whatever the files say when a worker is replaced in between."""
        if self.app.app_uri == wsgi_app:
            self.wsgi = create_app(settings)
        else:
            super().load_wsgi()

    def handle(self, conn: Any) -> Any:
        """Serve a connection, and close it here: gunicorn lingers in the loop that accepts, which a few clients could stop."""
        open_still = super().handle(conn)
        if not open_still:
            conn.close(graceful=True)
            conn.close = _do_nothing
        return open_still

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 - gunicorn's
        """End in order, from the main loop."""
        self.method_queue.defer(self._leave)

    def _leave(self) -> None:
        """Stop listening, and only then let clients be told to go: they come back at once, to whoever listens.

        The kernel deals connections out to whoever listens, so what waits here already is taken first.
        """
        if not self.alive:
            return
        self.set_accept_enabled(False)
        if self.cfg.reuse_port:
            for listener in self.sockets:
                listener.setblocking(False)
                open_before = -1
                while open_before != self.nr_conns:
                    open_before = self.nr_conns
                    self.accept(listener)
                listener.close()
        self.alive = False

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Refuse what HTTP/1.1 must have a Host for (RFC 9112, section 3.2), and have the rest answered."""
        if req.version >= (1, 1) and "HOST" not in dict(req.headers):
            raise errors.InvalidHeader("HOST")
        kept_alive: bool = super().handle_request(req, conn)
        req.answered = True
        if self.nr >= self._most_requests:
            self.has_served_enough[0] = True
        return kept_alive

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002 - gunicorn's
        """Refuse a request and write a line about it; the connection is closed afterwards."""
        status, text = next((answer for kind, answer in _REFUSALS.items() if isinstance(exc, kind)), (500, ""))
        current = request_id.set(uuid.uuid4().hex)
        log = self.log.exception if status == HTTPStatus.INTERNAL_SERVER_ERROR else self.log.warning
        log("refused before the application: %s", type(exc).__name__, extra={"status": status})
        # A body that the application left unread may turn out broken after the answer; there is no second one.
        if not getattr(req, "answered", False):
            with contextlib.suppress(OSError):  # the client is gone
                util.write_nonblock(client, _refusal(status, text))
        request_id.reset(current)


def _do_nothing(**_options: object) -> None:
    """Stand in for what was done already."""


def _refusal(status: int, text: str) -> bytes:
    body = encode_json({"error": text})
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in SAFE_HEADERS.items()),
        f"X-Request-Id: {request_id.get()}",
    )
    return "\r\n".join((*head, "", "")).encode() + body


logger_class = JsonLog
worker_class = JsonWorker


def on_starting(server: Any) -> None:
    """Stop the start with one sentence, once, where every worker would fail."""
    try:
        _refuse_unusable(settings)
        _refuse_too_few_threads(server.cfg.threads)
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
    served_enough = [worker for worker in server.WORKERS.values() if worker.has_served_enough[0]]
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
    """Say where a worker is to count its requests, and open what it closes as soon as it listens, and what it writes later."""
    server.births.append(os.pipe())
    worker.has_served_enough = mmap.mmap(-1, 1)
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


def _refuse_too_few_threads(number: int) -> None:
    """Raise InvalidSetting where GUNICORN_CMD_ARGS leaves no thread free of those who wait for the hashing of a password."""
    busy = settings.password_hash_queue + 1
    if number <= busy:
        said = f"who waits and who is hashed for take {busy} threads of a worker, and gunicorn's --threads is {number}."
        raise InvalidSetting(f"PASSWORD_HASH_QUEUE is {busy - 1}: {said}")
