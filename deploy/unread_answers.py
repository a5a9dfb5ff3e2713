"""Answers that clients read slowly: the loop of a worker sends the rest, so that no thread has to wait."""

import contextlib
import socket
from collections.abc import Iterable
from typing import Any

#: A worker keeps at most this many bytes of unread answers. Beyond that, the next client that does not read is disconnected.
MOST_UNREAD_BYTES = 32 * 1024 * 1024

#: The kernel takes no more of a connection's answers while this many bytes have not been sent. Its buffers would take 4 MB, and a
#: client that asks and never reads would have thousands of requests answered.
MOST_UNSENT_IN_KERNEL_BYTES = 16 * 1024


def bound_kernel_buffers(listeners: Iterable[Any]) -> None:
    """Bound what the kernel keeps unsent for each connection that these sockets accept."""
    for listener in listeners:
        with contextlib.suppress(OSError):  # a unix socket, whose buffers are small
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT_IN_KERNEL_BYTES)


class Unsent(BaseException):
    """The client has not read enough of an answer. A BaseException, so that gunicorn lets it pass."""

    def __init__(self, rest: memoryview, *, closes: bool) -> None:
        """Take the rest of an answer, and whether the connection closes after it."""
        super().__init__()
        self.rest, self.closes = rest, closes
        #: The time, on the monotonic clock, by which the client must have read the whole answer.
        self.until = 0.0

    def send_more(self, sock: Any) -> None:
        """Send as much as fits. Raises OSError if the client is gone."""
        self.rest = self.rest[_send(sock, self.rest) :]


def send_at_once(sock: Any, answer: bytes, *, closes: bool) -> None:
    """Send a whole answer without waiting. Raises Unsent, with the rest, if it does not fit."""
    sent = _send(sock, answer)
    if sent < len(answer):
        raise Unsent(memoryview(answer)[sent:], closes=closes)


def _send(sock: Any, data: bytes | memoryview) -> int:
    try:
        return int(sock.send(data, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return 0
