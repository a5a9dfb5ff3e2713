"""Parse requests from the bytes that have arrived, so that no thread waits for the rest of a request."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from socket import MSG_DONTWAIT
from threading import Semaphore
from typing import Any

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from werkzeug.exceptions import RequestTimeout, ServiceUnavailable

RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True)
class Limits:
    """Time limits for a client.

    `stall_seconds` limits the time without progress, and `whole_seconds` that of a whole request or answer; a long answer also
    has a second for each `least_read_bytes`. A request that is incomplete after `prompt_seconds` counts as slow. Until then, the
    next packet of a normal request may be on its way.
    """

    prompt_seconds: float = 0.25
    stall_seconds: float = 10
    whole_seconds: float = 60
    least_read_bytes: int = 8192


class SlowRequest(RequestTimeout):
    """The request stalled, or took too long as a whole."""

    description = "The request did not arrive in time."


class TooManySlowRequests(ServiceUnavailable):
    """The worker already waits for as many slow requests as it may."""

    description = "Too many requests are arriving slowly at the moment."
    error_code = "too_many_slow_requests"

    def __init__(self) -> None:
        super().__init__(retry_after=RETRY_AFTER_SECONDS)


class NotYet(BaseException):
    """The rest of the request has not arrived. A BaseException, so that gunicorn's `except Exception` lets it pass."""


class NotPlain(BaseException):
    """The loop leaves this request to a thread. A BaseException, so that gunicorn's `except Exception` lets it pass."""


class ArrivedBytes(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads a blocking socket. If nothing has arrived, raises NotYet, or waits if the application is reading."""

    def __init__(self, sock: Any, limits: Limits, waiting_threads: Semaphore) -> None:
        """Share `waiting_threads`, which bounds how many threads may wait at once while the application reads."""
        super().__init__(sock)
        self._limits, self._waiting_threads = limits, waiting_threads
        self.application_reads = False
        self.ends_at = 0.0
        # Bytes read since the head began; None outside a head.
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
        """Wait in this thread. Raises SlowRequest, or TooManySlowRequests if too many threads wait already."""
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
        """Return the number of bytes that the parser has not used yet."""
        return len(self.buf.getbuffer())

    def hold(self, data: bytes) -> None:
        """Append bytes to those that the parser has not used yet."""
        self.buf.seek(0, io.SEEK_END)
        self.buf.write(data)


class ArrivedBody(Body):  # type: ignore[misc]  # gunicorn has no types
    """A body that raises OSError if it is broken, as any file would. The application does not know gunicorn's exceptions."""

    def _read_reader(self, size: int) -> bytes:
        try:
            return bytes(super()._read_reader(size))
        except ParseException as broken:
            raise OSError("the body of the request is broken") from broken


class ArrivedRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request whose peer gunicorn never trusts, so it need not parse the address. TRUSTED_PROXIES decides about proxies."""

    def _peer_trusted_for_forwarded(self) -> tuple[dict[str, str], list[str]]:
        return {}, []


class ArrivingRequests(RequestParser):  # type: ignore[misc]  # gunicorn has no types
    """Iterates over the requests of a connection as they arrive."""

    mesg_class = ArrivedRequest
    # The application refuses a longer body without reading it (tests/system/test_slow_requests.py).
    MOST_BODY_BYTES = 1024 * 1024
    # For each chunk gunicorn copies everything behind it, so only a little is read ahead.
    MOST_CHUNKED_BYTES = 8192
    # To keep the connection, an unread body is discarded if it has at most this many bytes left.
    MOST_UNREAD_BYTES = 65_536

    def __init__(self, cfg: Any, sock: Any, address: Any, limits: Limits, waiting_threads: Semaphore) -> None:
        super().__init__(cfg, sock, address)
        self.unreader = ArrivedBytes(sock, limits, waiting_threads)
        self._limits = limits
        self._begun: Any = None
        self.begun_at: float | None = None
        # Tells whether the loop answers a request. None while a thread uses the connection, because threads answer all requests.
        self.takes: Callable[[Any], bool] | None = None

    def __next__(self) -> Any:
        """Return the next request. Raises NotYet if it is incomplete; then `begun_at` is None if no byte has arrived.

        Raises NotPlain if the loop must leave it to a thread, which then calls this again.
        """
        begun_at, self.begun_at = self.begun_at or time.monotonic(), None
        self.unreader.application_reads = False
        try:
            if self._begun is None:
                self._begun = self._read_head()
            if self.takes and not self.takes(self._begun):
                raise NotPlain  # noqa: TRY301 - handled below like NotYet
            self._gather_body(self._begun)
        except (NotYet, NotPlain):
            if self._begun is not None or self.unreader.size:
                self.begun_at = begun_at
            raise
        request, self._begun = self._begun, None
        request.body = ArrivedBody(request.body.reader)
        self.unreader.ends_at = begun_at + self._limits.whole_seconds
        self.unreader.application_reads = True
        return request

    def _read_head(self) -> Any:
        """Parse a head. If it is incomplete, put back the bytes that were read and raise NotYet."""
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
        """Read ahead to the end of the body, or, if it is chunked, to its possible end. Raises NotYet."""
        reader = request.body.reader
        if isinstance(reader, ChunkedReader):
            self._invite(request)
            self._gather_chunks()
        elif isinstance(reader, LengthReader) and reader.length:
            if reader.length > self.MOST_BODY_BYTES:
                request.force_close()  # the rest would have to be read to reach the next request
                return
            self._invite(request)
            while (missing := reader.length - self.unreader.size) > 0 and (data := self.unreader.chunk(missing)):
                self.unreader.hold(data)

    def _gather_chunks(self) -> None:
        """Read ahead until an empty line arrives: the body ends with one (RFC 9112, section 7.1)."""
        while b"\r\n\r\n" not in (held := self.unreader.buf.getvalue()) and len(held) < self.MOST_CHUNKED_BYTES:
            if not (data := self.unreader.chunk()):
                return
            self.unreader.hold(data)

    def _invite(self, request: Any) -> None:
        """Send 100 Continue now. gunicorn would wait until the application starts, which here is after the body has arrived."""
        if request._expected_100_continue:  # noqa: SLF001 - gunicorn has no public name for it
            request._expected_100_continue = False  # noqa: SLF001
            self.unreader.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:  # noqa: ARG002 - gunicorn's
        """Discard the unread rest of a body. Returns False if it is incomplete or too long."""
        # To find out that nothing is left, gunicorn would read from the body, twice a request.
        body = self.mesg and self.mesg.body
        if body and isinstance(body.reader, LengthReader) and not body.reader.length and not body.failed:
            return True
        self.unreader.application_reads = False
        try:
            return bool(super().finish_body(max_bytes=self.MOST_UNREAD_BYTES))
        except (NotYet, OSError):
            return False
