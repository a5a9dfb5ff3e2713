"""How gunicorn serves: `gunicorn -c deploy/gunicorn.conf.py wsgi:app`, from any folder. `make serve` uses it too.

HUP reads the settings anew; new code needs a restart, since the workers are forked with the code loaded.
"""

import contextlib
import os
import signal
import socket
import sys
import uuid
from http import HTTPStatus
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
from config import InvalidSetting, load_settings  # noqa: E402
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
threads = 8
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
    """gunicorn's own log through ours, as JSON lines. Requests are logged by the application."""

    def setup(self, cfg: Any) -> None:
        """Replace gunicorn's handlers."""
        super().setup(cfg)
        set_up_logging(settings.log_level)


class AnonymousResponse(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """An answer that does not say what the server is."""

    def default_headers(self) -> list[str]:
        """Leave out `Server`, for which gunicorn has no setting."""
        return [line for line in super().default_headers() if not line.startswith("Server:")]


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
        wsgi.Response = AnonymousResponse
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """Serve a connection, and close it here: gunicorn lingers in the loop that accepts, which a few clients could stop."""
        open_still = super().handle(conn)
        if not open_still:
            conn.close(graceful=True)
            conn.close = _do_nothing
        return open_still

    def set_accept_enabled(self, enabled: bool) -> None:
        """When the worker ends, take what waits and stop listening: the kernel deals connections to whoever listens."""
        super().set_accept_enabled(enabled)
        if self.alive or not self.cfg.reuse_port:
            return
        for listener in self.sockets:
            listener.setblocking(False)
            open_before = -1
            while open_before != self.nr_conns:
                open_before = self.nr_conns
                self.accept(listener)
            listener.close()

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Refuse what HTTP/1.1 must have a Host for (RFC 9112, section 3.2), and have the rest answered."""
        if req.version >= (1, 1) and not any(name == "HOST" for name, _ in req.headers):
            raise errors.InvalidHeader("HOST")
        kept_alive: bool = super().handle_request(req, conn)
        req.answered = True
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
        require_drivers(settings)
        with create_app(settings).app_context():
            parts().check_keys()
            parts().check_table()
            parts().keys.announce()
            db.engine.dispose()  # a connection must not be shared with the workers that are forked from here
        if any(not isinstance(address, tuple) for address in server.cfg.address):
            server.cfg.set("reuse_port", False)  # a unix socket is one for all workers
        if "GUNICORN_PID" not in os.environ:  # set on USR2: the new server takes over the port of the old one
            _refuse_taken_ports(server.cfg.address)
    except (InvalidSetting, UnusableKey, UnusableTable) as problem:
        raise stop_start(problem) from None
    os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals_through, after_in_child=_be_ended_by_signals)


# Until a worker is ready it has the master's handlers, which would put a signal aside: the master would wait 30 s for its
# end in vain. So such a signal waits for the fork, and ends the worker then. Gunicorn's own `post_fork` comes too late.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


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
        if isinstance(address, str):
            Path(address).chmod(0o660)
    server.log.info("serving on %s", ", ".join(where if "unix:" in where else f"http://{where}" for where in server.cfg.bind))
    if not settings.trusted_proxies and any(listener.FAMILY == socket.AF_UNIX for listener in server.LISTENERS):
        server.log.warning(
            "gunicorn listens on a unix socket and TRUSTED_PROXIES is empty: all clients share one address, and so one throttle "
            "of sign-ins. Set TRUSTED_PROXIES=127.0.0.1, and let the proxy overwrite X-Forwarded-For."
        )


def _refuse_taken_ports(addresses: list[Any]) -> None:
    """Raise InvalidSetting where somebody listens already: with `reuse_port` two servers would share the requests."""
    for address in addresses:
        if not isinstance(address, tuple):  # a unix socket
            continue
        try:
            socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET).close()
        except OSError as reason:
            raise InvalidSetting(f"PORT {address[1]} cannot be used on {address[0]}: {os.strerror(reason.errno or 0)}.") from None
