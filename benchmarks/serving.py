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

from benchmarks.services import free_port

ROOT = Path(__file__).resolve().parent.parent
WAIT_SECONDS = 60

#: The servers, in the order of the tables.
TITLES = {
    "poort": "Poort",
    "bare": "bare Flask",
    "tutorial": "Flask + flask-jwt-extended, as documented",
    "fastapi": "FastAPI + PyJWT + SQLAlchemy, as documented",
}

#: The same options as in deploy/gunicorn.conf.py (a test compares them), without a log of requests.
GUNICORN = (
    *(
        sys.executable,
        "-m",
        "gunicorn",
        "--workers=2",
        "--worker-class=gthread",
        "--threads=16",
        "--keep-alive=5",
        "--reuse-port",
    ),
    *("--worker-tmp-dir=/dev/shm", "--no-control-socket", "--log-level=warning"),
)
UVICORN = (sys.executable, "-m", "uvicorn", "--workers=2", "--no-access-log", "--log-level=warning")


def clean_environment(**variables: str) -> dict[str, str]:
    """Return an environment without settings of servers except the given variables."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | variables


@dataclass
class Server:
    """A server that logs to `folder`. `sign_in` sets `token`."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    token: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def command(self) -> tuple[str, ...]:
        """Return the command that starts the server."""
        if self.name == "poort":
            return sys.executable, "bin/serve"
        if self.name == "fastapi":
            return *UVICORN, f"--port={self.port}", "benchmarks.peers.fastapi_app:app"
        return *GUNICORN, f"--bind=127.0.0.1:{self.port}", f"benchmarks.peers.{self.name}:app"

    def start(self) -> float:
        """Start the server, and return the seconds until its first answer."""
        begun = time.perf_counter()
        with (self.folder / f"{self.name}.log").open("ab") as log:
            environment = clean_environment(**self.environment, PORT=str(self.port))
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
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
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sorted((int(child) for child in children), key=pss_megabytes)[-2:]

    def _answers(self) -> bool:
        """Tell whether it shows a user, or, without a token, answers 401."""
        try:
            return self.ask("GET", "/api/users/1")[0] == (200 if self.token or self.name == "bare" else 401)
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
        """Get a token, except from bare Flask."""
        if self.name != "bare":
            path, content_type, body = self.sign_in_request(username, password)
            status, answer = self.ask("POST", path, body, Content_Type=content_type)
            if status != 200:  # noqa: PLR2004
                sys.exit(f"{self.name} lets nobody in: {status} {answer.decode()}")
            document = json.loads(answer)
            self.token = document["access_token" if self.name == "fastapi" else "token"]

    def sign_in_request(self, username: str, password: str) -> tuple[str, str, bytes]:
        """Return path, content type and body of a sign-in."""
        credentials = {"username": username, "password": password}
        if self.name == "fastapi":
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


def pss_megabytes(pid: int) -> float:
    """Return the memory of a process in MB, with shared pages divided among their users (PSS)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024
