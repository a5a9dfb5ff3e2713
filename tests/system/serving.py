"""Start real servers for the tests of this folder, each on a free loopback port and in a folder of its own."""

import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from system.forked import Process, forks

from benchmarks.services import free_port
from config.settings import DATABASE_PARTS, ROOT, VARIABLES

PYTHON = (sys.executable, "-m")
GUNICORN = (*PYTHON, "gunicorn", "-c", str(ROOT / "deploy" / "gunicorn.conf.py"), "wsgi:app")
FLASK = (*PYTHON, "flask", "--app", str(ROOT / "wsgi.py"))

WAIT_SECONDS = 30

#: How long a server may take to its first answer: `make demo` took more than 30 s on two processors with 20 other processes.
START_SECONDS = 120

#: Folders that were set up, with the password of the first user, by what their `.env` says.
SET_UP: dict[str, tuple[Path, str]] = {}
MODELS = tempfile.mkdtemp(prefix="poort-models-")
atexit.register(shutil.rmtree, MODELS, ignore_errors=True)

#: What /healthz says.
HEALTHY = {"status": "ok"}


def clean_environment(**variables: str) -> dict[str, str]:
    """Return the environment without variables that configure the server, plus the given ones."""
    known = {variable.name for variable in VARIABLES.values()} | set(DATABASE_PARTS)
    known |= {"POORT_ENV_FILE", "GUNICORN_CMD_ARGS", "FLASK_APP", "FLASK_DEBUG", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    return {name: value for name, value in os.environ.items() if name not in known} | variables


def run_python(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], *, in_new_python: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run `python -m …` to its end, in a fork unless it shall be a new Python."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process: Process
        if in_new_python:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
            )
        else:
            process = forks().start(command[2:], folder, environment, (output.fileno(), errors.fileno()))
        status = process.wait(START_SECONDS)
        for file in (output, errors):
            file.seek(0)
        return subprocess.CompletedProcess(command, status, output.read(), errors.read())


@dataclass
class Server:
    """A server that a command starts; its log is in `folder`."""

    command: Sequence[str]
    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    inherited: Sequence[int] = ()
    in_new_python: bool = False
    process: Process = field(init=False)
    seconds_to_first_answer: float = field(init=False)

    def start(self) -> "Server":
        begun = time.monotonic()
        environment = self.environment | {"PORT": str(self.port)}
        with (self.folder / "log").open("wb") as log:
            if self.in_new_python or tuple(self.command[:2]) != PYTHON:
                self.process = subprocess.Popen(
                    self.command,
                    cwd=self.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=self.inherited,
                )
            else:
                self.process = forks().start(self.command[2:], self.folder, environment, (log.fileno(), log.fileno()))
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() - begun > START_SECONDS:
                self.stop()
                raise AssertionError(f"the server does not answer:\n{self.log}")
            time.sleep(0.01)
        self.seconds_to_first_answer = time.monotonic() - begun
        return self

    def stop(self) -> int:
        """Stop the server and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS)

    def workers(self) -> set[int]:
        """Return the process ids of the current workers."""
        return {int(child) for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()}

    def all_workers(self, count: int = 2) -> set[int]:
        """Wait until all workers are there, and return their process ids.

        gunicorn waits up to a tenth of a second between two of them, and the first answers at once.
        """
        self.wait_until(lambda: len(self.workers()) == count)
        return self.workers()

    def descriptors(self) -> int:
        """Return the number of files and connections that the workers hold open."""
        return sum(len(list(Path(f"/proc/{worker}/fd").iterdir())) for worker in self.workers())

    def wait_until(self, reached: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)

    def request(self, method: str, path: str, document: object = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Send a request on a new connection; return status, headers (lower-case) and JSON."""
        connection = self.connection()
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, {"Content-Type": "application/json"} | headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, json.loads(text or "null")
        finally:
            connection.close()

    def sign_in(self, username: str, password: str) -> tuple[int, dict[str, str], Any]:
        return self.request("POST", "/api/authentication_token", {"username": username, "password": password})

    def exchange(self, raw: bytes) -> list["Answer"]:
        """Send bytes, shut down the sending side, and return all answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_SECONDS) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while part := connection.recv(65536):
                received += part
        return [Answer.read(text) for text in re.split(rb"(?=HTTP/1\.1 \d{3} )", received) if text]


@dataclass
class Answer:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    text: str

    @classmethod
    def read(cls, raw: bytes) -> "Answer":
        head, _, body = raw.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return cls(int(first.split()[1]), headers, body)

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Home:
    """A folder with its own `.env`, keys and database.

    Its servers and commands are forks of a process that has loaded the server, unless each shall be a new Python.
    """

    folder: Path
    in_new_python: bool = False

    def write_env(self, **variables: str) -> "Home":
        (self.folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in variables.items()))
        return self

    def environment(self, **variables: str) -> dict[str, str]:
        return clean_environment(POORT_ENV_FILE=str(self.folder / ".env"), **variables)

    def flask(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = (*FLASK, *arguments)
        return run_python(command, self.folder, self.environment(**variables), in_new_python=self.in_new_python)

    def set_up(self) -> str:
        """Run `flask poort setup`, and return the password of the first user.

        It takes two seconds, so what it has made for the same `.env` is copied into other empty folders.
        """
        settings = (self.folder / ".env").read_text()
        made, password = SET_UP.get(settings, (None, ""))
        if made is None or (self.folder / "config").exists():
            done = self.flask("poort", "setup")
            assert done.returncode == 0, done.stderr
            password = done.stdout.rpartition("admin password: ")[2].strip()
            if made is None and (self.folder / "var").exists():
                made = Path(tempfile.mkdtemp(dir=MODELS))
                SET_UP[settings] = (made, password)
                self.copy_to(made)
        else:
            Home(made).copy_to(self.folder)
        return password

    def copy_to(self, folder: Path) -> None:
        """Copy the keys and the database."""
        for name in ("config", "var"):
            shutil.copytree(self.folder / name, folder / name)

    def serve(self, **variables: str) -> Server:
        return Server(GUNICORN, self.folder, self.environment(**variables), in_new_python=self.in_new_python).start()

    def fails_to_serve(self, **variables: str) -> str:
        """Assert that gunicorn refuses to start; return its messages without log lines."""
        environment = self.environment(PORT=str(free_port())) | variables
        done = run_python(GUNICORN, self.folder, environment, in_new_python=self.in_new_python)
        assert done.returncode != 0
        return "".join(f"{line}\n" for line in done.stderr.splitlines() if not line.startswith("{"))
