"""Extend gunicorn's threaded worker so that its loop waits for slow clients, which then occupy no thread."""

import contextlib
import socket
import struct
import time
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_WRITE
from threading import Semaphore
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from deploy.arriving_requests import ArrivingRequests, Limits, NotYet, SlowRequest, TooManySlowRequests
from deploy.unread_answers import MOST_UNREAD_BYTES, Unsent, bound_kernel_buffers
from deploy.waits import Waits

# For how long, and how many bytes, a client may go on sending after its last answer.
_LINGER_SECONDS = 2
_MOST_DISCARDED_BYTES = 65_536

# The outcome of a request whose connection stays open.
_ANSWERED: Future[bool] = Future()
_ANSWERED.set_result(True)


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker whose threads get complete requests, except for chunked bodies."""

    limits = Limits()

    def run(self) -> None:
        """Serve until the worker ends."""
        self.waits = Waits(self.poller)
        # Connections whose request did not arrive promptly. Each may hold a body in memory, hence the limit.
        self.slow: set[Any] = set()
        self.most_slow = max(1, self.cfg.threads // 4)
        self.unread: dict[Any, Unsent] = {}
        # Few threads may wait for chunked bodies, since hashing leaves only three threads free (deploy/gunicorn.conf.py).
        self.waiting_threads = Semaphore(min(2, self.most_slow))
        bound_kernel_buffers(self.sockets)
        super().run()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wake up in time for the next connection that times out."""
        super().wait_for_and_dispatch_events(self.waits.seconds_left(timeout))
        self.waits.end_those_over()

    def murder_keepalived(self, force: bool = False) -> None:
        """Close connections that have been idle for too long, and the longest idle one if the worker has no room for more."""
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
        # The kernel ends a send after this time. With a time-out of its own, Python would poll before each call.
        timeval = struct.pack("@ll", *divmod(int(self.limits.stall_seconds * 1_000_000), 1_000_000))
        with contextlib.suppress(OSError):  # the client is gone
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        self._await_first_byte(conn)

    def _await_first_byte(self, conn: Any) -> None:
        seconds = self.limits.stall_seconds if self.alive else STOP_KEEPALIVE_LINGER
        self.waits.add(conn, time.monotonic() + seconds, self.enqueue_req, self._close)

    def handle(self, conn: Any) -> Any:
        """Serve a request. Returns NotYet if it has not arrived, or Unsent if the client does not read the answer."""
        try:
            open_still = super().handle(conn)
        except NotYet:
            return NotYet
        except Unsent as unsent:
            return unsent
        if not open_still:
            self._end(conn)
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
        if outcome is True:
            super().finish_request(conn, fs)
        else:
            self.go_on(conn, outcome)

    def go_on(self, conn: Any, outcome: Any) -> None:
        """Wait for the rest of a request (NotYet), for the client to read (Unsent), or else for the client to close."""
        if outcome is NotYet:
            self._await_rest(conn)
        elif isinstance(outcome, Unsent):
            self._keep(conn, outcome)
        else:
            self.slow.discard(conn)
            self._await_end(conn)

    def _await_rest(self, conn: Any) -> None:
        begun_at = conn.parser.begun_at
        if begun_at is None:
            self._await_first_byte(conn)
            return
        conn.stalls_at = time.monotonic() + self.limits.stall_seconds
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
        self._end(conn)
        self._await_end(conn)

    def _keep(self, conn: Any, unsent: Unsent) -> None:
        kept = sum(len(other.rest) for other in self.unread.values())
        self.unread[conn] = unsent
        unsent.until = time.monotonic() + self.limits.whole_seconds + len(unsent.rest) / self.limits.least_read_bytes
        if kept and kept + len(unsent.rest) > MOST_UNREAD_BYTES:
            self._give_up(conn)
        else:
            self._await_reader(conn)

    def _await_reader(self, conn: Any) -> None:
        until = min(self.unread[conn].until, time.monotonic() + self.limits.stall_seconds)
        self.waits.add(conn, until, self._send_more, self._give_up, EVENT_WRITE)

    def _send_more(self, conn: Any) -> None:
        unsent = self.unread[conn]
        try:
            unsent.send_more(conn.sock)
        except OSError:  # the client is gone
            del self.unread[conn]
            self._close(conn)
            return
        if unsent.rest:
            self._await_reader(conn)
            return
        del self.unread[conn]
        if unsent.closes:
            self._end(conn)
            self._await_end(conn)
        else:
            super().finish_request(conn, _ANSWERED)

    def _give_up(self, conn: Any) -> None:
        del self.unread[conn]
        self.give_up_sending(conn)
        self._close(conn)

    def _end(self, conn: Any) -> None:
        with contextlib.suppress(OSError):  # already closed
            conn.sock.shutdown(socket.SHUT_WR)

    def _await_end(self, conn: Any, discarded: int = 0) -> None:
        """Wait a moment for the client to close. If we close first, it may lose the answer (RFC 9112, section 9.6)."""
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
        """Give clients that have sent nothing a last moment, then close their connections: this worker is stopping."""
        self.waits.hasten(self._close, time.monotonic() + STOP_KEEPALIVE_LINGER)
