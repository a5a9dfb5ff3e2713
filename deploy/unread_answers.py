"""Answers that clients read slowly: the loop of a worker sends the rest, so that no thread has to wait."""

from socket import MSG_DONTWAIT
from typing import Any

#: A worker keeps at most this many bytes of unread answers. Beyond that, the next client that does not read is disconnected.
MOST_UNREAD_BYTES = 32 * 1024 * 1024


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
        return int(sock.send(data, MSG_DONTWAIT))
    except BlockingIOError:
        return 0
