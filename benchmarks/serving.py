"""Run Poort and its peers as processes on free loopback ports."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.commands import ROOT, command_of, is_bare, variables_of
from benchmarks.services import free_port

WAIT_SECONDS = 60

#: The servers at which users sign in as OAuth 2 says.
OAUTH2 = ("fastapi", "tuned")


def clean_environment(**variables: str) -> dict[str, str]:
    """Return an environment without settings of servers except the given variables."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | variables


@dataclass
class Server:
    """A server that logs to `folder`. `sign_in` sets `token`.

    Clients reach it at `port`. If it has a `path`, it listens on that unix socket, and a proxy must listen on the port.
    """

    name: str
    folder: Path
    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    token: str = ""
    path: Path | None = None
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> float:
        """Start the server, and return the seconds until its first answer."""
        begun = time.perf_counter()
        with (self.folder / f"{self.name}.log").open("ab") as log:
            environment = clean_environment(**self.environment, **variables_of(self.name), PORT=str(self.port))
            command = command_of(self.name, self.port, self.path)
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not self._answers():
            if self.process.poll() is not None or time.perf_counter() - begun > WAIT_SECONDS:
                self.stop()
                sys.exit(f"{self.name} does not answer:\n{(self.folder / f'{self.name}.log').read_text()[-4000:]}")
            time.sleep(0.005)
        return time.perf_counter() - begun

    def stop(self) -> None:
        """Stop the server."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT_SECONDS)

    def workers(self) -> list[int]:
        """Return the process ids of its two workers. uvicorn also has a small third child, which is left out."""
        return sorted(self._children(), key=pss_megabytes)[-2:]

    def cpu_seconds(self) -> float:
        """Return the processor time that its processes have used so far."""
        assert self.process is not None
        return sum(cpu_seconds(pid) for pid in (self.process.pid, *self._children()))

    def _children(self) -> list[int]:
        assert self.process is not None
        return children_of(self.process.pid)

    def _answers(self) -> bool:
        """Tell whether it shows a user, or, without a token, answers 401."""
        try:
            return self.ask("GET", "/api/users/1")[0] == (200 if self.token or is_bare(self.name) else 401)
        except (OSError, HTTPException):
            return False

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Send a request on a new connection. Returns status and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, self.headers | given)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @property
    def headers(self) -> dict[str, str]:
        """Return the header fields of a read."""
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Accept": "application/json"} | token

    def sign_in(self, username: str, password: str) -> None:
        """Get a token, except where none is needed."""
        if not is_bare(self.name):
            path, content_type, body = self.sign_in_request(username, password)
            status, answer = self.ask("POST", path, body, Content_Type=content_type)
            if status != 200:  # noqa: PLR2004
                sys.exit(f"{self.name} lets nobody in: {status} {answer.decode()}")
            document = json.loads(answer)
            self.token = document["access_token" if self.name in OAUTH2 else "token"]

    def sign_in_request(self, username: str, password: str) -> tuple[str, str, bytes]:
        """Return path, content type and body of a sign-in."""
        credentials = {"username": username, "password": password}
        if self.name in OAUTH2:
            return "/token", "application/x-www-form-urlencoded", urlencode(credentials).encode()
        return "/api/authentication_token", "application/json", json.dumps(credentials).encode()


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Run servers in this context."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            server.stop()


def children_of(pid: int) -> list[int]:
    """Return the ids of the processes that a process has started and that still run."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pss_megabytes(pid: int) -> float:
    """Return the memory of a process in MB, with shared pages divided among their users (PSS)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used so far, in its own code and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
