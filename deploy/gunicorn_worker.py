"""gunicorn's threaded worker, which here answers in JSON for what never reached the application, and leaves in good order."""

import contextlib
import errno
import socket
import struct
import sys
import time
import uuid
from functools import lru_cache, partial
from http import HTTPStatus
from mmap import mmap
from threading import Semaphore
from typing import Any

from gunicorn import util
from gunicorn.http import errors, wsgi
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from blueprints.every_request import SAFE_HEADERS
from config.logging import request_id
from deploy.arriving import RETRY_AFTER_SECONDS, ArrivingRequests, Limits, NotYet, SlowRequest, TooManySlowRequests
from deploy.waits import Waits
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


# How long, and for how much, a client may go on sending after its last answer.
_LINGER_SECONDS = 2
_MOST_DISCARDED_BYTES = 65_536


class JsonWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker that answers in JSON for what never reached the application, too, and once a request."""

    alive: bool
    max_requests: int
    nr_conns: int
    limits = Limits()

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

    def run(self) -> None:
        """Serve until the end. The loop waits for clients, so that they hold no thread."""
        self.waits = Waits(self.poller)
        # Connections whose request has not arrived promptly. Each may hold a body in memory, so they are few.
        self.slow: set[Any] = set()
        self.most_slow = max(1, self.cfg.threads // 4)
        # A body in chunks may have to be read in a thread. Hashing leaves three threads free (deploy/gunicorn.conf.py).
        self.waiting_threads = Semaphore(min(2, self.most_slow))
        super().run()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait no longer than until the next client's time is over."""
        super().wait_for_and_dispatch_events(self.waits.seconds_left(timeout))
        self.waits.end_those_over()

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection to a thread; a new one as soon as it has sent something."""
        if conn.parser is not None:
            super().enqueue_req(conn)
            return
        conn.parser = ArrivingRequests(self.cfg, conn.sock, conn.client, self.limits, self.waiting_threads)
        conn.data_ready = True
        # The kernel ends a send after this time, at no cost to others; a time-out of Python's would poll before each call.
        with contextlib.suppress(OSError):  # the client is gone already
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(self.limits.stall_seconds))
        self._await_first_byte(conn)

    def _await_first_byte(self, conn: Any) -> None:
        seconds = self.limits.stall_seconds if self.alive else STOP_KEEPALIVE_LINGER
        self.waits.add(conn, time.monotonic() + seconds, self.enqueue_req, self._close)

    def handle(self, conn: Any) -> Any:
        """Serve a request of a connection, in a thread; NotYet where it has not arrived."""
        try:
            open_still = super().handle(conn)
        except NotYet:
            return NotYet
        if not open_still:
            with contextlib.suppress(OSError):  # it is closed already
                conn.sock.shutdown(socket.SHUT_WR)
        return open_still

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Let the loop wait for what the client does next."""
        outcome = False if fs.cancelled() or fs.exception() else fs.result()
        if outcome is NotYet:
            self._await_rest(conn)
            return
        self.slow.discard(conn)
        if outcome:
            super().finish_request(conn, fs)
        else:
            self._await_end(conn)

    def _await_rest(self, conn: Any) -> None:
        begun_at, now = conn.parser.begun_at, time.monotonic()
        if begun_at is None:
            self._await_first_byte(conn)
            return
        conn.stalls_at = now + self.limits.stall_seconds
        if conn in self.slow:
            self._await_slow(conn)
        else:
            self.waits.add(conn, begun_at + self.limits.prompt_seconds, self.enqueue_req, self._count_as_slow)

    def _count_as_slow(self, conn: Any) -> None:
        if len(self.slow) < self.most_slow:
            self.slow.add(conn)
            self._await_slow(conn)
        else:
            self._refuse(conn, TooManySlowRequests())

    def _await_slow(self, conn: Any) -> None:
        until = min(conn.stalls_at, conn.parser.begun_at + self.limits.whole_seconds)
        self.waits.add(conn, until, self.enqueue_req, partial(self._refuse, why=SlowRequest()))

    def _refuse(self, conn: Any, why: Exception) -> None:
        self.slow.discard(conn)
        self.handle_error(None, conn.sock, conn.client, why)
        with contextlib.suppress(OSError):
            conn.sock.shutdown(socket.SHUT_WR)
        self._await_end(conn)

    def _await_end(self, conn: Any, discarded: int = 0) -> None:
        """Wait until the client closes, for a moment: closing first could cost it the answer (RFC 9112, section 9.6)."""
        if conn.sock.fileno() < 0 or discarded >= _MOST_DISCARDED_BYTES:
            self._close(conn)
            return
        if not discarded:
            conn.lingers_until = time.monotonic() + _LINGER_SECONDS
        self.waits.add(conn, conn.lingers_until, partial(self._discard, discarded), self._close)

    def _discard(self, discarded: int, conn: Any) -> None:
        try:
            data = conn.sock.recv(_MOST_DISCARDED_BYTES)
        except BlockingIOError:
            data = b" "  # woken for nothing
        except OSError:
            data = b""
        if data:
            self._await_end(conn, discarded + len(data))
        else:
            self._close(conn)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

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
        self.waits.hasten(self._close, time.monotonic() + STOP_KEEPALIVE_LINGER)
        self.alive = False

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Refuse what HTTP/1.1 must have a Host for (RFC 9112, section 3.2), and have the rest answered."""
        if req.version >= (1, 1) and "HOST" not in dict(req.headers):
            raise errors.InvalidHeader("HOST")
        self.slow.discard(conn)
        try:
            kept_alive: bool = super().handle_request(req, conn)
        except BlockingIOError:
            self._give_up_sending(conn)
            return False
        req.answered = True
        if self.nr >= self._most_requests:
            self.has_served_enough[0] = True
        return kept_alive

    def _give_up_sending(self, conn: Any) -> None:
        """Forget an answer that the client does not read, and what the kernel holds of it."""
        self.log.warning("the client does not read the answer: its connection is reset")
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        conn.sock.close()

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


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1e6))


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
