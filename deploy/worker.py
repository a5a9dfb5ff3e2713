"""Extend the worker: it answers bad requests in JSON, sends an answer in one piece, and stops without losing requests."""

import contextlib
import sys
import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from mmap import mmap
from typing import Any

from gunicorn import util
from gunicorn.http import errors, wsgi

from blueprints.request_hooks import SAFE_HEADERS
from config.logging import request_id
from deploy.arriving_requests import RETRY_AFTER_SECONDS, SlowRequest, TooManySlowRequests
from deploy.loop_reads import LoopReadingWorker
from deploy.unread_answers import send_at_once
from rest.encoding import encode_json
from rest.error_codes import HEADER, INTERNAL_ERROR, OF_STATUS


class OurResponse(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """An answer without `Server`, sent in one piece."""

    def default_headers(self) -> list[str]:
        """Return gunicorn's own fields without `Server`, which no setting removes. The date is formatted once a second."""
        (major, minor), closes = self.req.version, "close" if self.should_close() else "keep-alive"
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\n",
            f"Date: {_http_date(int(time.time()))}\r\n",
            f"Connection: {'upgrade' if self.upgrade else closes}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Validate fields as gunicorn does, but common fields with known values only once."""
        for field in headers:
            name, value = field
            if field in _LOOKED_AT or (name in _NEW_VALUES and wsgi.HEADER_VALUE_RE.fullmatch(value)):
                self.headers.append(field)
                continue
            super().process_headers([field])
            if name in _SAME_VALUES and len(_LOOKED_AT) < _MOST_LOOKED_AT:
                _LOOKED_AT.add(field)

    def write(self, arg: bytes) -> None:
        """Send head and body together if the body is whole. gunicorn would send twice, and other threads run in between."""
        if self.headers_sent or not (self._omits_body or self.response_length == len(arg)):
            super().write(arg)
        else:
            self._send_whole(b"" if self._omits_body else arg)

    def close(self) -> None:
        """End the answer. One without a body is sent now."""
        if not (self.headers_sent or self.chunked):
            self._send_whole(b"")
        super().close()

    def _send_whole(self, body: bytes) -> None:
        self.headers_sent = True
        self.sent = len(body)
        fields = [f"{name}: {value}\r\n" for name, value in self.headers]
        answer = "".join((*self.default_headers(), *fields, "\r\n")).encode("latin-1") + body
        send_at_once(self.sock, answer, closes=self.should_close())

    def should_close(self) -> bool:
        """Close also after a broken body, because the start of the next request is unknown."""
        return bool(super().should_close() or self.req.body.failed)


_http_date = lru_cache(maxsize=1)(util.http_date)

# Fields with few values are validated once. Of fields with many values, only the value is validated each time.
_SAME_VALUES = {"Content-Type", "Vary", "Accept-Patch", "Accept-Post", "Allow", HEADER, *SAFE_HEADERS}
_NEW_VALUES = {"X-Request-Id", "ETag", "Content-Location", "Location", "Link"}
_MOST_LOOKED_AT = 256
_LOOKED_AT: set[tuple[str, str]] = set()

_INTERNAL = (500, INTERNAL_ERROR, "Internal Server Error")

# Answers to requests that gunicorn refuses before the application sees them; {0} is gunicorn's configuration. The texts of
# gunicorn's errors quote the request, even a password if a body was parsed as a request line. They are never sent or logged.
REFUSALS = {
    errors.InvalidResponseHeader: _INTERNAL,
    errors.InvalidResponseHeaderName: _INTERNAL,
    errors.ConfigurationProblem: _INTERNAL,
    SlowRequest: (408, OF_STATUS[408], SlowRequest.description),
    TooManySlowRequests: (503, TooManySlowRequests.error_code, TooManySlowRequests.description),
    errors.LimitRequestLine: (414, OF_STATUS[414], "The request line is longer than {0.limit_request_line} bytes."),
    errors.LimitRequestHeaders: (
        431,
        OF_STATUS[431],
        "There are more than {0.limit_request_fields} header fields, or one is longer than {0.limit_request_field_size} bytes.",
    ),
    errors.ExpectationFailed: (417, OF_STATUS[417], "No expectation but 100-continue can be met."),
    errors.UnsupportedTransferCoding: (501, OF_STATUS[501], "No transfer coding but chunked is supported."),
    errors.ParseException: (400, "invalid_http", "The request is not valid HTTP."),
}


class JsonWorker(LoopReadingWorker):
    """A threaded worker that answers in JSON even if it refuses a request, and never answers a request twice."""

    alive: bool
    max_requests: int
    #: The number in the names of the files in which this worker counts its requests; 0 if it does not count.
    metrics_slot = 0
    #: What the loop calls whenever it turns, with this worker; None if there are no metrics.
    look: Callable[[Any], None] | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Share a byte with the master, which replaces a worker that sets it."""
        super().__init__(*arguments, **options)
        self.has_served_enough = mmap(-1, 1)

    def init_process(self) -> None:
        """Start to serve, with our own response class."""
        wsgi.Response = OurResponse
        # A request uses some twenty settings, and gunicorn makes three calls to look one up: in all a fifteenth of a read's time.
        self.cfg.__dict__.update((name, setting.get()) for name, setting in self.cfg.settings.items())
        # gunicorn itself would stop this worker before its replacement listens.
        self._most_requests, self.max_requests = self.max_requests, sys.maxsize
        super().init_process()

    def notify(self) -> None:
        """Tell the master that this worker is alive. Its loop calls this whenever it turns, at least once a second."""
        super().notify()
        if self.look:
            self.look(self)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 - gunicorn's
        """Have the main loop stop the worker."""
        self.method_queue.defer(self._leave)

    def accept(self, listener: Any) -> None:
        """Accept a connection, unless the listener was closed after the loop saw that one is waiting."""
        if self.alive:
            super().accept(listener)

    def _leave(self) -> None:
        """Stop listening first, and then close idle connections: their clients reconnect at once, to a worker that listens.

        Connections that the kernel has already given to this worker are accepted before it stops.
        """
        if not self.alive:
            return
        self.set_accept_enabled(False)
        if self.cfg.reuse_port:
            # A connection between the last accept and the close is reset, so other threads should not run in between.
            sys.setswitchinterval(1e-6)
            for listener in self.sockets:
                listener.setblocking(False)
                open_before = -1
                while open_before != self.nr_conns:
                    open_before = self.nr_conns
                    self.accept(listener)
                listener.close()
        self.let_silent_clients_go()
        self.alive = False

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer a request. Refuses HTTP/1.1 without Host (RFC 9112, section 3.2)."""
        if req.version >= (1, 1) and "HOST" not in dict(req.headers):
            raise errors.InvalidHeader("HOST")
        kept_alive = super().handle_request(req, conn)
        req.answered = True
        if self.nr >= self._most_requests:
            self.has_served_enough[0] = True
        return kept_alive

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002 - gunicorn's
        """Refuse a request and log it. The connection is closed afterwards."""
        status, code, text = next((answer for kind, answer in REFUSALS.items() if isinstance(exc, kind)), _INTERNAL)
        current = request_id.set(uuid.uuid4().hex)
        log = self.log.exception if status == HTTPStatus.INTERNAL_SERVER_ERROR else self.log.warning
        log("refused before the application: %s", type(exc).__name__, extra={"status": status})
        # After the answer, an unread body may turn out to be broken. That must not cause a second answer.
        if not getattr(req, "answered", False):
            with contextlib.suppress(OSError):  # the client is gone
                util.write_nonblock(client, _refusal(status, code, text.format(self.cfg)))
        request_id.reset(current)


def _refusal(status: int, code: str, text: str) -> bytes:
    body = encode_json({"error": text})
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *([f"Retry-After: {RETRY_AFTER_SECONDS}"] if status == HTTPStatus.SERVICE_UNAVAILABLE else []),
        *(f"{name}: {value}" for name, value in SAFE_HEADERS.items()),
        f"{HEADER}: {code}",
        f"X-Request-Id: {request_id.get()}",
    )
    return "\r\n".join((*head, "", "")).encode() + body
