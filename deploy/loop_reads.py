"""Answer plain reads in the loop of a worker: handing a request to a thread and back costs more than the read itself.

See docs/adr/0006-reads-in-the-loop.md.
"""

import re
import time
from typing import Any

from gunicorn.http.body import LengthReader

from deploy.arriving_requests import NotPlain
from deploy.patient_worker import PatientWorker

# After a read of more than SLOW_SECONDS, threads answer all requests for PAUSE_SECONDS. On a busy machine a process may have to
# wait 30 ms, so a shorter limit would mistake normal reads for slow ones.
SLOW_SECONDS = 0.05
PAUSE_SECONDS = 0.5

_PLAIN_PATH = re.compile(r"/api/(me|users|users/[0-9]+)(\.[a-z]+)?")

# An access token begins with `{"` in base64url. API keys are excluded: their use may be written to the database.
_WITH_TOKEN = "Bearer eyJ"  # noqa: S105 - no secret


def is_plain_read(request: Any) -> bool:
    """Tell whether a request only reads the list or a user, with an access token, and without a query or a body."""
    reader = request.body.reader
    return (
        request.method == "GET"
        and not request.query
        and _PLAIN_PATH.fullmatch(request.path) is not None
        and isinstance(reader, LengthReader)
        and not reader.length
        and any(name == "AUTHORIZATION" and value.startswith(_WITH_TOKEN) for name, value in request.headers)
        and not any(name == "EXPECT" for name, _ in request.headers)  # sending 100 Continue might make the loop wait
    )


class LoopReadingWorker(PatientWorker):
    """A worker whose loop answers plain reads on kept-alive connections while they are quick. Threads answer all others."""

    #: Whether the database is one whose reads never wait for a lock or another machine.
    reads_in_loop = False
    _pauses_until = 0.0

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """Answer one request of a connection, or give the connection to a thread."""
        if not (self.reads_in_loop and self.alive) or time.monotonic() < self._pauses_until:
            super().on_client_socket_readable(conn, client)
            return
        outcome = self._answer_if_plain(conn)
        self.keepalived_conns.remove(conn)
        if outcome is True and not conn.parser.unreader.size:
            conn.set_timeout()
            self.keepalived_conns.append(conn)
            return
        self.poller.unregister(client)
        if outcome is NotPlain or outcome is True:  # a thread takes a pipelined request, so that others get a turn
            self.enqueue_req(conn)
        else:
            self.go_on(conn, outcome)

    def _answer_if_plain(self, conn: Any) -> Any:
        """Return the result of `handle`, or NotPlain if the request is for a thread."""
        conn.parser.takes = is_plain_read
        begun_at = time.monotonic()
        try:
            return self.handle(conn)
        except NotPlain:
            return NotPlain
        finally:
            conn.parser.takes = None
            now = time.monotonic()
            if now - begun_at > SLOW_SECONDS:
                self._pauses_until = now + PAUSE_SECONDS
