"""A mail server on this machine: it keeps mails, refuses them, or is slow."""

import base64
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

WAIT_SECONDS = 20


@dataclass
class Mailbox:
    """What a server was sent, and how it behaves.

    `refuses` is the answer to every recipient, `drips` sends the greeting a byte at a time and never ends it, and
    `pause_seconds` passes before each mail is taken. `certificate` (of `make_certificate`) offers STARTTLS, or needs TLS from
    the start if `is_encrypted`. `credentials` are required if they are given.
    """

    refuses: str = ""
    drips: bool = False
    pause_seconds: float = 0.0
    certificate: Path | None = None
    is_encrypted: bool = False
    credentials: tuple[str, str] | None = None
    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    connections: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def wait(self, number: int = 1) -> list[EmailMessage]:
        """Wait until there are this many mails, and return them."""
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.messages) < number:
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)
        return self.messages


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    box: Mailbox

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that are gone."""


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.box = cast("_Server", self.server).box
        self.box.connections += 1
        if self.box.is_encrypted:
            self.encrypt()
        if self.box.drips:
            with suppress(OSError):
                while True:
                    self.wfile.write(b"2")
                    time.sleep(0.02)
        self.is_known = self.box.credentials is None
        self.say("220 here")
        while line := self.rfile.readline():
            self.box.said.append(line.decode().strip())
            verb, _, rest = line.decode().strip().partition(" ")
            if verb.upper() == "QUIT":
                self.say("221 bye")
                return
            getattr(self, f"do_{verb.lower()}")(rest)

    def finish(self) -> None:
        super().finish()
        self.connection.close()  # the server closes only what it was before TLS

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def encrypt(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.box.certificate)
        self.request = self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)

    def do_ehlo(self, _rest: str) -> None:
        offers = ["250-STARTTLS"] if self.box.certificate and not isinstance(self.connection, ssl.SSLSocket) else []
        self.say("250-here", *offers, "250-AUTH PLAIN", "250 8BITMIME")

    def do_starttls(self, _rest: str) -> None:
        self.say("220 go")
        self.encrypt()

    def do_auth(self, rest: str) -> None:
        given = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")[1:]
        self.is_known = tuple(given) == self.box.credentials
        self.say("235 welcome" if self.is_known else "535 no")

    def do_mail(self, _rest: str) -> None:
        self.say("250 ok" if self.is_known else "530 sign in")

    def do_rcpt(self, rest: str) -> None:
        self.box.recipients.append(rest.partition("<")[2].partition(">")[0])
        self.say(self.box.refuses or "250 ok")

    def do_rset(self, _rest: str) -> None:
        self.say("250 ok")

    def do_data(self, _rest: str) -> None:
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        time.sleep(self.box.pause_seconds)
        self.box.messages.append(cast("EmailMessage", message_from_bytes(b"".join(lines), policy=default)))
        self.say("250 taken")


@contextmanager
def mail_server(**behavior: Any) -> Iterator[Mailbox]:
    """Run a server; arguments are those of a Mailbox."""
    box = Mailbox(**behavior)
    with _Server(("127.0.0.1", 0), _Session) as server:
        server.box, box.port = box, server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield box
        server.shutdown()


def make_certificate(folder: Path) -> Path:
    """Write a key and a certificate that no authority has signed, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "mail.pem").write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(pem))
    return folder / "mail.pem"
