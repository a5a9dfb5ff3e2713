"""Requests as they arrive: parsed from the bytes that are there, so that no thread waits for the rest of one."""

import io
import time
from dataclasses import dataclass
from socket import MSG_DONTWAIT
from threading import Semaphore
from typing import Any

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from werkzeug.exceptions import RequestTimeout, ServiceUnavailable

RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True)
class Limits:
    """How long a client may take.

    `stall` bounds the time without progress and `whole` the time of a request or an answer as a whole. A request that has not
    arrived after `prompt` counts as slow: until then the second packet of an ordinary request may still be on its way.
    """

    prompt_seconds: float = 0.25
    stall_seconds: float = 10
    whole_seconds: float = 60


class SlowRequest(RequestTimeout):
    """The request made no progress for too long, or took too long as a whole."""

    description = "The request did not arrive in time."


class TooManySlowRequests(ServiceUnavailable):
    """As many requests as may be are arriving slowly already."""

    description = "Too many requests are arriving slowly at the moment."

    def __init__(self) -> None:
        """Ask the client to come back."""
        super().__init__(retry_after=RETRY_AFTER_SECONDS)


class NotYet(BaseException):
    """The rest of the request has not arrived. No error: gunicorn's `except Exception` must let it pass."""


class ArrivedBytes(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads what has arrived on a blocking socket. Raises NotYet where that is nothing, unless the application reads."""

    def __init__(self, sock: Any, limits: Limits, waiting_threads: Semaphore) -> None:
        """Take how many threads may wait at once while the application reads."""
        super().__init__(sock)
        self._limits, self._waiting_threads = limits, waiting_threads
        self.application_reads = False
        self.ends_at = 0.0
        # What was read since the head began; None where nobody needs it.
        self.read_so_far: list[bytes] | None = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Receive once."""
        size = max(self.mxchunk, min(size_hint or 0, self.max_body_chunk))
        try:
            data: bytes = self.sock.recv(size, MSG_DONTWAIT)
        except BlockingIOError:
            if not self.application_reads:
                raise NotYet from None
            data = self._wait_for(size)
        if self.read_so_far is not None:
            self.read_so_far.append(data)
        return data

    def _wait_for(self, size: int) -> bytes:
        """Wait in this thread. Raises SlowRequest, or TooManySlowRequests where enough threads wait already."""
        if not self._waiting_threads.acquire(blocking=False):
            raise TooManySlowRequests
        try:
            left = min(self._limits.stall_seconds, self.ends_at - time.monotonic())
            if left <= 0:
                raise SlowRequest
            self.sock.settimeout(left)
            return bytes(self.sock.recv(size))
        except TimeoutError:
            raise SlowRequest from None
        finally:
            self.sock.settimeout(None)
            self._waiting_threads.release()

    @property
    def size(self) -> int:
        """Return how many bytes are held."""
        return len(self.buf.getbuffer())

    def hold(self, data: bytes) -> None:
        """Keep bytes for later, behind those that are held."""
        self.buf.seek(0, io.SEEK_END)
        self.buf.write(data)


class ArrivedBody(Body):  # type: ignore[misc]  # gunicorn has no types
    """A body that raises OSError where it is broken, as any file would: the application knows no exceptions of gunicorn's."""

    def _read_reader(self, size: int) -> bytes:
        try:
            return bytes(super()._read_reader(size))
        except ParseException as broken:
            raise OSError("the body of the request is broken") from broken


class ArrivingRequests(RequestParser):  # type: ignore[misc]  # gunicorn has no types
    """The requests of a connection, each once it has arrived."""

    # A longer body is the application's to refuse, which it does without reading it (tests/system/test_slow_requests.py).
    MOST_BODY_BYTES = 1024 * 1024
    # gunicorn copies what follows a chunk for each chunk, so little may follow.
    MOST_CHUNKED_BYTES = 8192
    # Of a body that nobody read, so that the connection can be kept.
    MOST_UNREAD_BYTES = 65_536

    def __init__(self, cfg: Any, sock: Any, address: Any, limits: Limits, waiting_threads: Semaphore) -> None:
        """Read a connection from its beginning."""
        super().__init__(cfg, sock, address)
        self.unreader = ArrivedBytes(sock, limits, waiting_threads)
        self._limits = limits
        self._begun: Any = None
        self.begun_at: float | None = None

    def __next__(self) -> Any:
        """Return the next request. Raises NotYet where it has not arrived; `begun_at` is None where not even a byte has."""
        begun_at, self.begun_at = self.begun_at or time.monotonic(), None
        self.unreader.application_reads = False
        try:
            if self._begun is None:
                self._begun = self._read_head()
            self._gather_body(self._begun)
        except NotYet:
            if self._begun is not None or self.unreader.size:
                self.begun_at = begun_at
            raise
        request, self._begun = self._begun, None
        request.body = ArrivedBody(request.body.reader)
        self.unreader.ends_at = begun_at + self._limits.whole_seconds
        self.unreader.application_reads = True
        return request

    next = __next__

    def _read_head(self) -> Any:
        """Parse a head, or put back all that was read of it and raise NotYet."""
        held = self.unreader.buf.getvalue()
        read: list[bytes] = []
        self.unreader.read_so_far = read
        try:
            return super().__next__()
        except NotYet:
            self.req_count -= 1
            self.unreader.buf = io.BytesIO(b"".join((held, *read)))
            raise
        finally:
            self.unreader.read_so_far = None

    def _gather_body(self, request: Any) -> None:
        """Read ahead up to the end of the body, where it is known, or what may be it. Raises NotYet."""
        reader = request.body.reader
        if isinstance(reader, ChunkedReader):
            self._invite(request)
            self._gather_chunks()
        elif isinstance(reader, LengthReader) and reader.length:
            if reader.length > self.MOST_BODY_BYTES:
                request.force_close()  # nobody would read all of it to come to the next request
                return
            self._invite(request)
            while (missing := reader.length - self.unreader.size) > 0 and (data := self.unreader.chunk(missing)):
                self.unreader.hold(data)

    def _gather_chunks(self) -> None:
        """Read ahead while the end of the body cannot have arrived: an empty line (RFC 9112, section 7.1)."""
        while b"\r\n\r\n" not in (held := self.unreader.buf.getvalue()) and len(held) < self.MOST_CHUNKED_BYTES:
            if not (data := self.unreader.chunk()):
                return
            self.unreader.hold(data)

    def _invite(self, request: Any) -> None:
        """Say 100 Continue now: gunicorn would when the application begins, which waits for the body."""
        if request._expected_100_continue:  # noqa: SLF001 - gunicorn has no other name for it
            request._expected_100_continue = False  # noqa: SLF001
            self.unreader.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:  # noqa: ARG002 - gunicorn's
        """Discard what the application left of a body; False where that has not all arrived, or is too much."""
        self.unreader.application_reads = False
        try:
            return bool(super().finish_body(max_bytes=self.MOST_UNREAD_BYTES))
        except (NotYet, OSError):
            return False
