"""Mail to new users: written here, and sent by one thread in the background (docs/operators.md#mail)."""

import atexit
import logging
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import localtime, make_msgid
from queue import Full, Queue
from threading import Lock, Thread, Timer
from typing import NamedTuple
from urllib.parse import urlsplit

from config.parsing import MailServer

logger = logging.getLogger(__name__)

#: How many mails may wait while one is delivered. Further mails are dropped.
QUEUE_LENGTH = 100

#: How long one delivery may take, and how long a process waits for the queue before it ends.
DELIVERY_SECONDS = 5.0
END_SECONDS = 5.0

#: The outcomes of a mail: the server took it, it was not delivered, or the queue was full.
OUTCOMES = DELIVERED, FAILED, DROPPED = "delivered", "failed", "dropped"


class Registration(NamedTuple):
    """The content of a mail to a new user: the site, the user name and the URL of the portal, but never a password."""

    user_id: int
    email: str
    username: str
    site_name: str
    url: str


class Mailer:
    """Sends mail to new users after they are stored. Callers do not wait for a mail, and no failure reaches them."""

    def __init__(self, server: MailServer, sender: str) -> None:
        """Take the server and the sender. By default the sender is `noreply@` and the portal's host. Starts no thread yet."""
        self._server = server
        self._sender = sender
        self._waiting: Queue[Registration] = Queue(QUEUE_LENGTH)
        self._lock = Lock()
        self._thread: Thread | None = None
        self._watchers: list[Callable[[str], object]] = []

    @property
    def address(self) -> str:
        """Host and port of the server."""
        return f"{self._server.host}:{self._server.port}"

    def watch(self, watcher: Callable[[str], object]) -> None:
        """Register a function that is called, from any thread, with the outcome of each mail, one of OUTCOMES."""
        self._watchers.append(watcher)

    def check(self) -> None:
        """Connect to the server, encrypt and sign in as for a mail. Raises SMTPException or OSError."""
        with closing(_Connection(self._server)) as connection:
            connection.prepare()
            connection.quit()

    def send(self, registration: Registration) -> None:
        """Queue a mail; drop it if too many wait."""
        try:
            self._start()
            self._waiting.put_nowait(registration)
        except Full:
            self._tell_failure(DROPPED, registration.user_id, "too many mails wait")
        except RuntimeError:
            self._tell_failure(DROPPED, registration.user_id, "no thread can be started")

    def close(self, seconds: float = END_SECONDS) -> None:
        """Wait until no mail is left, or the time is over."""
        with self._waiting.all_tasks_done:
            self._waiting.all_tasks_done.wait_for(lambda: not self._waiting.unfinished_tasks, seconds)
            left = self._waiting.unfinished_tasks
        if left:
            logger.error("the process ends before all mails are delivered", extra={"mails": left})

    def _start(self) -> None:
        """Start the thread at the first mail. If it were started before gunicorn forks, the workers would not have it."""
        with self._lock:
            if self._thread is None:
                thread = Thread(target=self._deliver_all, name="mail", daemon=True)
                thread.start()
                self._thread = thread
                atexit.register(self.close)

    def _deliver_all(self) -> None:
        while True:
            registration = self._waiting.get()
            try:
                _deliver(make_message(registration, self._sender), self._server)
            except Exception as reason:  # the failure of one mail must not stop the next
                # Do not log the text of the server's refusal: it may quote the user's address.
                self._tell_failure(FAILED, registration.user_id, type(reason).__name__, getattr(reason, "smtp_code", None))
            else:
                self._tell(DELIVERED)
            finally:
                self._waiting.task_done()

    def _tell(self, outcome: str) -> None:
        for watcher in self._watchers:
            watcher(outcome)

    def _tell_failure(self, outcome: str, user_id: int, reason: str, code: int | None = None) -> None:
        self._tell(outcome)
        logger.error("a mail to a new user is not delivered: %s", reason, extra={"user_id": user_id, "code": code})


def make_message(registration: Registration, sender: str) -> EmailMessage:
    """Write the mail. Line breaks in names become spaces, so that a name can add neither a header field nor a line."""
    host = urlsplit(registration.url).hostname or "localhost"
    site = _one_line(registration.site_name) or host
    message = EmailMessage()
    message["From"] = _address(sender or f"noreply@{host}")
    message["To"] = _address(registration.email)
    message["Subject"] = f"You are registered on {site}"
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain=_in_ascii(host))
    message["Auto-Submitted"] = "auto-generated"  # keeps vacation notices from answering (RFC 3834)
    lines = (f"You are registered on {site}.", "", f"User name: {_one_line(registration.username)}", _one_line(registration.url))
    message.set_content("\n".join(lines) + "\n")
    return message


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(username=local, domain=_in_ascii(domain))


def _in_ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode()


def _deliver(message: EmailMessage, server: MailServer) -> None:
    """Hand a mail over to a server. Raises SMTPException or OSError, also if that takes too long."""
    with closing(_Connection(server)) as connection:
        connection.prepare()
        connection.send_message(message)
        with suppress(smtplib.SMTPException, OSError):  # the server has the mail
            connection.quit()


class _Connection(smtplib.SMTP):
    """A connection to a mail server. A watchdog cuts it when the delivery has taken too long.

    smtplib's own time-out starts again with each byte that a slow server sends.
    """

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._ends_at = time.monotonic() + DELIVERY_SECONDS
        super().__init__(server.host, server.port, server.local_domain, DELIVERY_SECONDS)

    def prepare(self) -> None:
        """Encrypt the connection and sign in, as the settings say. Raises SMTPException."""
        server = self._server
        self.ehlo_or_helo_if_needed()
        if not server.is_encrypted:
            if (server.auto_tls or server.require_tls) and self.has_extn("starttls"):
                self.starttls(context=_tls_context(server))
            elif server.require_tls:
                raise smtplib.SMTPNotSupportedError("the server offers no STARTTLS")
        if server.username:
            self.login(server.username, server.password)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Connect, with TLS as smtplib.SMTP_SSL does. TLS takes over the socket, so the watchdog needs a handle of its own."""
        plain = socket.create_connection((host, port), timeout)
        self._handle = plain.dup()
        self._watchdog = Timer(max(self._ends_at - time.monotonic(), 0), self._cut)
        self._watchdog.daemon = True
        self._watchdog.start()
        try:
            return _tls_context(self._server).wrap_socket(plain, server_hostname=host) if self._server.is_encrypted else plain
        except BaseException:
            plain.close()
            self.close()
            raise

    def _cut(self) -> None:
        with suppress(OSError):  # already closed
            self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection and stop the watchdog."""
        super().close()
        self._watchdog.cancel()
        self._handle.close()


def _tls_context(server: MailServer) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not server.verify_peer:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
