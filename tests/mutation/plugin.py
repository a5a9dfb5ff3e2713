"""What runs inside of pytest: which tests run, how long each took; and a worker that tries mutants without starting anew."""

import gc
import json
import os
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

_seconds: dict[str, float] = defaultdict(float)

#: What a worker says of a mutant that only a new process can show.
NEEDS_PROCESS = "needs a process"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that MUTATION_TESTS names, in its order."""
    if file := os.environ.get("MUTATION_TESTS"):
        place = {name: number for number, name in enumerate(json.loads(Path(file).read_text()))}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in place])
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the seconds of a test."""
    _seconds[report.nodeid] += report.duration


def pytest_sessionfinish() -> None:
    """Write the seconds of all tests to MUTATION_SECONDS."""
    if file := os.environ.get("MUTATION_SECONDS"):
        Path(file).write_text(json.dumps(_seconds))


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Be a worker where MUTATION_SOCKET says so: a line is a mutant, each is tried in a fork, and answered with a line."""
    if number := os.environ.pop("MUTATION_SOCKET", None):
        items = {item.nodeid: item for item in session.items}
        with socket.socket(fileno=int(number)) as connection, connection.makefile("rw") as lines:
            for line in lines:
                lines.write(f"{_try(session, items, json.loads(line))}\n")
                lines.flush()
        return True
    return None


def _try(session: pytest.Session, items: dict[str, pytest.Item], job: dict[str, Any]) -> str:
    """Run the tests of a mutant in a fork of this process, which has imported and collected everything."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setsid()
            is_changed = change_functions(job["path"], job["source"])
            status = _run(session, [items[name] for name in job["tests"]]) if is_changed else 2
        finally:
            os._exit(status)
    until = time.monotonic() + job["seconds"]
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "killed"
        time.sleep(0.01)
    return {0: "survived", 2: NEEDS_PROCESS}.get(os.waitstatus_to_exitcode(ended[1]), "killed")


def _run(session: pytest.Session, items: list[pytest.Item]) -> int:
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


def change_functions(path: str, source: str) -> bool:
    """Give the functions of a module the code of another source with the same lines, and tell whether that was all."""
    codes: dict[tuple[str, int], CodeType] = {}
    for code in _codes(compile(source, path, "exec")):
        if codes.setdefault(_place(code), code) is not code:
            return False
    gc.unfreeze()  # conftest.py has frozen them, and frozen objects are not listed
    functions = [found for found in gc.get_objects() if isinstance(found, FunctionType) and found.__code__.co_filename == path]
    for function in functions:
        code = codes[_place(function.__code__)]
        if code.co_freevars != function.__code__.co_freevars:
            return False
        function.__code__ = code
    return bool(functions)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno
