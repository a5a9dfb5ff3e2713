"""Extend gunicorn's threaded worker so that its loop waits for slow clients, which then occupy no thread."""

import contextlib
import errno
import socket
import struct
import time
from functools import partial
from threading import Semaphore
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from deploy.arriving_requests import ArrivingRequests, Limits, NotYet, SlowRequest, TooManySlowRequests
from deploy.waits import Waits

# How long, and how much, a client may go on sending after its last answer.
_LINGER_SECONDS = 2
_MOST_DISCARDED_BYTES = 65_536


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker whose threads get complete requests, except for chunked bodies."""

    alive: bool
    nr_conns: int
    limits = Limits()

    def run(self) -> None:
        """Serve until the worker ends."""
        self.waits = Waits(self.poller)
        # Connections whose request did not arrive promptly. Each may hold a body in memory, hence the limit.
        self.slow: set[Any] = set()
        self.most_slow = max(1, self.cfg.threads // 4)
        # A thread may have to wait for a chunked body. Hashing leaves three threads free (deploy/gunicorn.conf.py).
        self.waiting_threads = Semaphore(min(2, self.most_slow))
        super().run()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wake up in time for the next client that times out."""
        super().wait_for_and_dispatch_events(self.waits.seconds_left(timeout))
        self.waits.end_those_over()

    def murder_keepalived(self, force: bool = False) -> None:
        """Close connections that have been idle for too long; the longest idle one also if no other could be accepted."""
        if self.keepalived_conns and self.nr_conns >= self.worker_connections:
            self.keepalived_conns[0].timeout = 0.0
        super().murder_keepalived(force)

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection to a thread. A new one first waits for its first byte."""
        if conn.parser is not None:
            super().enqueue_req(conn)
            return
        conn.parser = ArrivingRequests(self.cfg, conn.sock, conn.client, self.limits, self.waiting_threads)
        conn.data_ready = True
        # The kernel ends a send after this time. A time-out of Python's would poll before each call.
        with contextlib.suppress(OSError):  # the client is gone
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(self.limits.stall_seconds))
        self._await_first_byte(conn)

    def _await_first_byte(self, conn: Any) -> None:
        seconds = self.limits.stall_seconds if self.alive else STOP_KEEPALIVE_LINGER
        self.waits.add(conn, time.monotonic() + seconds, self.enqueue_req, self._close)

    def handle(self, conn: Any) -> Any:
        """Serve a request in a thread. Returns NotYet if it has not arrived."""
        try:
            open_still = super().handle(conn)
        except NotYet:
            return NotYet
        if not open_still:
            with contextlib.suppress(OSError):  # already closed
                conn.sock.shutdown(socket.SHUT_WR)
        return open_still

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer a request that has arrived."""
        self.slow.discard(conn)
        try:
            return bool(super().handle_request(req, conn))
        except BlockingIOError:
            self.give_up_sending(conn)
            return False

    def give_up_sending(self, conn: Any) -> None:
        """Reset a connection whose client does not read the answer, so that the kernel drops its buffer."""
        self.log.warning("the client does not read the answer: its connection is reset")
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        conn.sock.close()

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Let the loop wait for the client's next step."""
        outcome = False if fs.cancelled() or fs.exception() else fs.result()
        if outcome and outcome is not NotYet:
            self.slow.discard(conn)
            super().finish_request(conn, fs)
        else:
            self.go_on(conn, outcome)

    def go_on(self, conn: Any, outcome: Any) -> None:
        """Wait for the rest of a request (NotYet), or for the end of the connection."""
        if outcome is NotYet:
            self._await_rest(conn)
        else:
            self.slow.discard(conn)
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
        """Wait a moment for the client to close: closing first could cost it the answer (RFC 9112, section 9.6)."""
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
            data = b" "  # a spurious wake-up
        except OSError:
            data = b""
        if data:
            self._await_end(conn, discarded + len(data))
        else:
            self._close(conn)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def let_silent_clients_go(self) -> None:
        """Close connections that have sent nothing after a last moment, because this worker ends."""
        self.waits.hasten(self._close, time.monotonic() + STOP_KEEPALIVE_LINGER)


def send_patiently(sock: Any, data: bytes, most_seconds: float) -> None:
    """Send all of an answer from a thread. Raises BlockingIOError if the client does not read it in time."""
    sent: int = sock.send(data)
    if sent == len(data):
        return
    rest, ends_at = memoryview(data), time.monotonic() + most_seconds
    while sent < len(data):
        if time.monotonic() > ends_at:
            raise BlockingIOError(errno.EAGAIN, "the answer takes too long")
        sent += sock.send(rest[sent:])


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1e6))
