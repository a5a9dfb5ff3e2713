"""gunicorn's threaded worker, which here answers in JSON for what never reached the application, and leaves in good order."""

import contextlib
import errno
import sys
import time
import uuid
from functools import lru_cache
from http import HTTPStatus
from mmap import mmap
from typing import Any

from gunicorn import util
from gunicorn.http import errors, wsgi

from blueprints.request_hooks import SAFE_HEADERS
from config.logging import request_id
from deploy.arriving_requests import RETRY_AFTER_SECONDS, SlowRequest, TooManySlowRequests
from deploy.patient_worker import PatientWorker
from rest.encoding import encode_json


class OurResponse(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """An answer that does not say what the server is, and is sent in one piece."""

    headers_sent: bool

    def default_headers(self) -> list[str]:
        """Return what gunicorn's own does, without `Server`, for which it has no setting; the date is made once a second."""
        (major, minor), closes = self.req.version, "close" if self.should_close() else "keep-alive"
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\n",
            f"Date: {_http_date(int(time.time()))}\r\n",
            f"Connection: {'upgrade' if self.upgrade else closes}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

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
        if self.headers_sent or self._omits_body or self.response_length != len(arg):
            super().write(arg)
            return
        self.headers_sent = True
        self.sent = len(arg)
        fields = [f"{name}: {value}\r\n" for name, value in self.headers]
        _send(self.sock, "".join((*self.default_headers(), *fields, "\r\n")).encode("latin-1") + arg)

    def should_close(self) -> bool:
        """Close, too, where the body broke: nobody knows where the next request begins."""
        return bool(super().should_close() or self.req.body.failed)


def _send(sock: Any, data: bytes) -> None:
    """Send an answer. Raises BlockingIOError where the client does not read it in time."""
    sent: int = sock.send(data)
    if sent == len(data):
        return
    rest, ends_at = memoryview(data), time.monotonic() + JsonWorker.limits.whole_seconds
    while sent < len(data):
        if time.monotonic() > ends_at:
            raise BlockingIOError(errno.EAGAIN, "the answer takes too long")
        sent += sock.send(rest[sent:])


_http_date = lru_cache(maxsize=1)(util.http_date)

# Fields whose values are few are looked at once, and so are the names of those whose values are not.
_SAME_VALUES = {"Content-Type", "Vary", "Accept-Patch", *SAFE_HEADERS}
_NEW_VALUES = {"X-Request-Id", "ETag", "Content-Location", "Location", "Link"}
_MOST_LOOKED_AT = 256
_LOOKED_AT: set[tuple[str, str]] = set()


# What is wrong with a request that gunicorn refuses before the application sees it; {0} is gunicorn's configuration. The texts
# of gunicorn's own errors hold what the client sent, a password among it where a body was taken for a request line: they are
# neither sent nor logged.
_REFUSALS = {
    errors.InvalidResponseHeader: (500, "Internal Server Error"),
    errors.InvalidResponseHeaderName: (500, "Internal Server Error"),
    errors.ConfigurationProblem: (500, "Internal Server Error"),
    SlowRequest: (408, SlowRequest.description),
    TooManySlowRequests: (503, TooManySlowRequests.description),
    errors.LimitRequestLine: (414, "The request line is longer than {0.limit_request_line} bytes."),
    errors.LimitRequestHeaders: (
        431,
        "There are more than {0.limit_request_fields} header fields, or one is longer than {0.limit_request_field_size} bytes.",
    ),
    errors.ExpectationFailed: (417, "No expectation but 100-continue can be met."),
    errors.UnsupportedTransferCoding: (501, "No transfer coding but chunked is supported."),
    errors.ParseException: (400, "The request is not valid HTTP."),
    Exception: (500, "Internal Server Error"),
}


class JsonWorker(PatientWorker):
    """A threaded worker that answers in JSON for what never reached the application, too, and once a request."""

    alive: bool
    max_requests: int

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Share a byte with the master, which puts another worker in the place of one that sets it."""
        super().__init__(*arguments, **options)
        self.has_served_enough = mmap(-1, 1)

    def init_process(self) -> None:
        """Begin to work, with answers of our own."""
        wsgi.Response = OurResponse
        # gunicorn itself would end this worker before another takes its place.
        self._most_requests, self.max_requests = self.max_requests, sys.maxsize
        super().init_process()

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
            # What comes between the last look and the end is reset: no other thread may take its time between them.
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
        """Refuse what HTTP/1.1 must have a Host for (RFC 9112, section 3.2), and have the rest answered."""
        if req.version >= (1, 1) and "HOST" not in dict(req.headers):
            raise errors.InvalidHeader("HOST")
        kept_alive = super().handle_request(req, conn)
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
                util.write_nonblock(client, _refusal(status, text.format(self.cfg)))
        request_id.reset(current)


def _refusal(status: int, text: str) -> bytes:
    body = encode_json({"error": text})
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *([f"Retry-After: {RETRY_AFTER_SECONDS}"] if status == HTTPStatus.SERVICE_UNAVAILABLE else []),
        *(f"{name}: {value}" for name, value in SAFE_HEADERS.items()),
        f"X-Request-Id: {request_id.get()}",
    )
    return "\r\n".join((*head, "", "")).encode() + body
