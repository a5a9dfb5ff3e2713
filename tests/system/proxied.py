"""Poort as in production: nginx with deploy/nginx.conf, TLS, and two workers of gunicorn behind a unix socket."""

import datetime as dt
import json
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from installed import needed
from system.serving import GUNICORN, WAIT_SECONDS, Answer, Home, Server

from benchmarks.services import Program, free_port, start_nginx
from config.settings import ROOT

SITE = (ROOT / "deploy" / "nginx.conf").read_text()
#: For tests in which one address stands for many clients.
SITE_WITHOUT_LIMITS = SITE.replace("# 192.0.2.7/32 1;  # CHANGE", "127.0.0.0/8 1;")
HOST = "campus.example.org"


class UnixConnection(HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=WAIT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class ServerOnASocket(Server):
    """gunicorn on a unix socket in its folder."""

    @property
    def socket(self) -> Path:
        return self.folder / "gunicorn.sock"

    def connection(self) -> HTTPConnection:
        return UnixConnection(self.socket)


# systemd hands over a listening socket as descriptor 3, and names the process that it is for (sd_listen_fds(3)).
PASSED_ON = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])"""


def serve_on_a_socket(home: Home, listener: socket.socket | None = None, **variables: str) -> ServerOnASocket:
    """Start gunicorn on a unix socket: its own, or one that stays open without it, as with deploy/poort.socket."""
    command = (*GUNICORN[:-1], "--bind", f"unix:{home.folder}/gunicorn.sock", GUNICORN[-1])
    server = ServerOnASocket(command, home.folder, home.environment(**variables))
    if listener is not None:
        server.command = (sys.executable, "-c", PASSED_ON, str(listener.fileno()), *command)
        server.inherited = (listener.fileno(),)
    server.start()
    return server


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for the host; return its path and the path of its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now.replace(year=now.year + 1))
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    certificate, private = folder / "certificate.pem", folder / "certificate.key"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


def site_for(folder: Path, gunicorn: Path, plain_port: int, tls_port: int, site: str = SITE) -> str:
    """Return the site with its ports and paths replaced by those of a test."""
    certificate, key = write_certificate(folder)
    for there, here in {
        "listen 80": f"listen 127.0.0.1:{plain_port}",
        "listen 443": f"listen 127.0.0.1:{tls_port}",
        "/run/poort/gunicorn.sock": str(gunicorn),
        "/etc/ssl/certs/campus.example.org.pem": str(certificate),
        "/etc/ssl/private/campus.example.org.key": str(key),
        "/var/log/nginx": str(folder),
    }.items():
        assert there in site
        site = site.replace(there, here)
    # Not every machine that runs tests has IPv6.
    return re.sub(r"^ *listen \[::\]:.*\n", "", site, flags=re.MULTILINE)


@dataclass
class Proxied:
    """nginx and gunicorn, and how a client reaches them."""

    server: ServerOnASocket
    nginx: Program
    folder: Path
    plain_port: int
    tls_port: int
    password: str

    def request(
        self, method: str, path: str, document: object = None, *, source: str = "127.0.0.1", **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Send a request to nginx over TLS from a loopback address; return status, headers (lower-case) and JSON."""
        connection = ServerNameConnection(self.tls_port, self.tls, source)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, {"Host": HOST, "Content-Type": "application/json"} | headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, json.loads(text or "null")
        finally:
            connection.close()

    def sign_in(self, username: str, password: str, **options: str) -> tuple[int, dict[str, str], Any]:
        return self.request("POST", "/api/authentication_token", {"username": username, "password": password}, **options)

    def exchange(self, raw: bytes) -> list[Answer]:
        """Send bytes whose last request closes the connection; return all answers."""
        received = b""
        with (
            socket.create_connection(("127.0.0.1", self.tls_port), timeout=WAIT_SECONDS) as connection,
            self.tls.wrap_socket(connection, server_hostname=HOST) as secure,
        ):
            secure.sendall(raw)
            try:
                while part := secure.recv(65536):
                    received += part
            except (ConnectionResetError, ssl.SSLEOFError):  # nginx closed the connection with some of our bytes unread
                pass
        return [Answer.read(text) for text in re.split(rb"(?=HTTP/1\.1 \d{3} )", received) if text]

    @property
    def origin(self) -> str:
        """Return the scheme, host and port that a client asks for."""
        return f"https://{HOST}:{self.tls_port}"

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))

    @property
    def access_lines(self) -> list[dict[str, Any]]:
        """Return the lines of nginx's access log."""
        return [json.loads(line) for line in (self.folder / "poort.access.log").read_text().splitlines()]


class ServerNameConnection(HTTPSConnection):
    """A TLS connection to nginx on the loopback, from a given address, with the host name of the certificate."""

    def __init__(self, port: int, tls: ssl.SSLContext, source: str = "127.0.0.1") -> None:
        super().__init__("127.0.0.1", port, timeout=WAIT_SECONDS, context=tls)
        self._tls, self._source = tls, source

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), WAIT_SECONDS, (self._source, 0))
        self.sock = self._tls.wrap_socket(plain, server_hostname=HOST)


def serve_behind_nginx(
    folder: Path, listener: socket.socket | None = None, site: str = SITE, **variables: str
) -> Iterator[Proxied]:
    home = Home(folder).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4", TRUSTED_PROXIES="127.0.0.1", **variables)
    password = home.set_up()
    yield from put_behind_nginx(serve_on_a_socket(home, listener, WEB_CONCURRENCY="2"), folder, password, site)


def put_behind_nginx(
    server: ServerOnASocket, folder: Path, password: str, site: str = SITE, user: str = "root"
) -> Iterator[Proxied]:
    """Start an nginx in front of a server, and stop both at the end."""
    try:
        plain_port, tls_port = free_port(), free_port()
        served = site_for(folder, server.socket, plain_port, tls_port, site)
        nginx = needed(lambda: start_nginx(served, tls_port, user))
        try:
            yield Proxied(server, nginx, folder, plain_port, tls_port, password)
        finally:
            nginx.stop()
    finally:
        server.stop()
