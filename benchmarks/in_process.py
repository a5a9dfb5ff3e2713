"""Measure WSGI calls without a socket, in turns, in a process for each application.

`python -m benchmarks.in_process MODULE` is such a process: for a line like `item 500`, it prints the seconds of 500 calls.
"""

import importlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from benchmarks.commands import ROOT
from benchmarks.figures import Figures, add
from benchmarks.ground import Ground
from benchmarks.plan import Plan
from benchmarks.serving import Server, clean_environment, running

#: The WSGI applications. FastAPI is not one.
MODULES = {"poort": "wsgi", "bare": "benchmarks.peers.bare", "tutorial": "benchmarks.peers.tutorial"}
WARM_UP_CALLS = 1_000
CALLS = 2_000


def measure(plan: Plan, ground: Ground) -> Figures:
    """Measure the microseconds of a call."""
    figures = Figures()
    servers = [ground.server(name) for name in MODULES]
    with running(*servers):
        for server in servers:
            server.sign_in("admin", ground.password)
    children = {server.name: Child(server) for server in servers}
    try:
        for what in ("item", "list"):
            for child in children.values():
                child.seconds(what, WARM_UP_CALLS)
        for number in range(plan.rounds):
            plan.say(f"in-process, round {number + 1} of {plan.rounds}")
            for what in ("item", "list"):
                for name in plan.turned(list(children), number):
                    add(figures, f"{name}/{what}", children[name].seconds(what, CALLS) / CALLS * 1e6)
    finally:
        for child in children.values():
            child.end()
    return figures


class Child:
    """The process of an application."""

    def __init__(self, server: Server) -> None:
        """Start the process with a server's token."""
        with (server.folder / f"{server.name}-in-process.log").open("wb") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "benchmarks.in_process", MODULES[server.name]),
                cwd=ROOT,
                env=clean_environment(**server.environment, BENCH_HEADERS=json.dumps(server.headers)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )

    def seconds(self, what: str, calls: int) -> float:
        """Make this many calls, and return the processor time in seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {calls}\n")
        return float(self._process.stdout.readline())

    def end(self) -> None:
        """Stop the process."""
        self._process.terminate()
        self._process.wait()


def environ_of(path: str, headers: dict[str, str]) -> dict[str, Any]:
    """Return the environment that gunicorn creates for a GET."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "RAW_URI": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "gunicorn",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "127.0.0.1:8000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }


def call(app: Any, environ: dict[str, Any]) -> str:
    """Call an application, read its whole answer as a server does, and return the status."""
    said: list[str] = []

    def start_response(status: str, _headers: list[tuple[str, str]], _error: object = None) -> None:
        said.append(status)

    body: Iterable[bytes] = app(environ, start_response)
    b"".join(body)
    if close := getattr(body, "close", None):
        close()
    return said[0]


def main() -> None:
    """Answer each line of standard input."""
    app = importlib.import_module(sys.argv[1]).app
    headers = json.loads(os.environ["BENCH_HEADERS"])
    environs = {
        "item": [environ_of(f"/api/users/{number}", headers) for number in range(1, 1001)],
        "list": [environ_of("/api/users", headers)],
    }
    for line in sys.stdin:
        what, calls = line.split()
        turns = [environs[what][number % len(environs[what])] for number in range(int(calls))]
        begun = time.thread_time()
        statuses = {call(app, environ.copy()) for environ in turns}
        seconds = time.thread_time() - begun
        assert statuses == {"200 OK"}, statuses
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
