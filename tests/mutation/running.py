"""Copies of the tree, and the tests in them: once to learn which tests run which lines, then for each mutant."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coverage import CoverageData

from .plugin import NEEDS_PROCESS
from .points import Mutant

ROOT = Path(__file__).parents[2]

#: The folders of tests; those with a server, and slow ones, are left out.
FOLDERS = ("tests/unit", "tests/functional", "tests/contract", "tests/clients/test_one_declaration.py")
_PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "mutation.plugin", "-p", "no:randomly", "-p", "no:cacheprovider")

#: Tests beyond so many seconds, the longest ones, are not tried on a mutant.
_MOST_SECONDS = 25.0


class Broken(Exception):
    """The tests fail without a mutant, or could not be run."""


@dataclass(frozen=True)
class Tests:
    """Which tests run each line of a module, by path and line ("" is the import), and how many seconds each takes."""

    by_line: Mapping[str, Mapping[int, frozenset[str]]]
    seconds: Mapping[str, float]

    def joined(self, others: "Tests") -> "Tests":
        """Return these tests and others."""
        by_line = {
            path: {
                line: self.by_line[path].get(line, frozenset()) | others.by_line[path].get(line, frozenset())
                for line in self.by_line[path].keys() | others.by_line[path].keys()
            }
            for path in self.by_line
        }
        return Tests(by_line, {**self.seconds, **others.seconds})

    def near(self, mutant: Mutant) -> frozenset[str]:
        """Return the tests that run its lines."""
        by_line = self.by_line.get(mutant.path, {})
        return frozenset[str]().union(*(by_line.get(line, ()) for line in mutant.lines))

    def of(self, mutant: Mutant) -> list[str]:
        """Return the tests for a mutant: those that run its lines, the shortest first, then others of files that meet the module.

        A line may run once in a process, at the import or for whichever test is the first to need an application; and what
        is only a value, or a class of fields, runs in no test: the files that import the module are taken too.
        """
        near = self.near(mutant) - {""}
        files = {_file_of(test) for tests in self.by_line.get(mutant.path, {}).values() for test in tests - {""}}
        module = mutant.path.removesuffix(".py").replace("/", ".")
        files |= {name for name in set(map(_file_of, self.seconds)) if module in (ROOT / name).read_text()}
        far = {test for test in self.seconds if _file_of(test) in files} - near
        chosen, left = [], _MOST_SECONDS
        for test in [*sorted(near, key=self._order), *sorted(far, key=self._order)]:
            left -= self.seconds[test]
            if left < 0:
                break
            chosen.append(test)
        return chosen

    def _order(self, test: str) -> tuple[float, str]:
        return self.seconds[test], test


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def test_files(parts: int) -> list[list[str]]:
    """Return the files of all tests in so many parts of about the same length."""
    found = [
        path for folder in FOLDERS for path in ([ROOT / folder] if folder.endswith(".py") else (ROOT / folder).glob("test_*.py"))
    ]
    longest_first = sorted(found, key=lambda path: (-path.stat().st_size, path))
    return [[path.relative_to(ROOT).as_posix() for path in longest_first[part::parts]] for part in range(parts)]


class Copy:
    """A copy of the tree, in which mutants are applied; the working tree is never changed."""

    def __init__(self, folder: Path) -> None:
        """Copy what git tracks, and what it would not ignore, as it is now."""
        self.root, self._beside = folder / "tree", folder
        self._started: list[subprocess.Popen[bytes]] = []
        self._worker: Any = None
        listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in filter(None, subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")):
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name)
        (self.root / ".venv").symlink_to(sys.prefix)  # `bin/console` looks for it

    def learn(self, modules: Sequence[str], files: Sequence[str]) -> Tests:
        """Run the tests of some files once and return which lines each of them runs. Raises Broken."""
        data, seconds, rc = self._beside / "coverage", self._beside / "seconds", self._beside / "coveragerc"
        rc.write_text(f"[run]\ndata_file = {data}\nsource = {','.join(sorted({name.split('/')[0] for name in modules}))}\n")
        cov = ["--cov", f"--cov-config={rc}", "--cov-context=test", "--cov-report="]
        if self._pytest(["-x", *cov, *files], None, MUTATION_SECONDS=str(seconds)) != 0:
            raise Broken(f"the tests fail without a mutant:\n{self._said()}")
        covered = CoverageData(str(data))
        covered.read()
        by_line = {
            module: {
                line: frozenset(context.rpartition("|")[0] for context in contexts)
                for line, contexts in covered.contexts_by_lineno(str(self.root / module)).items()
            }
            for module in modules
        }
        return Tests(by_line, json.loads(seconds.read_text()))

    def survives(self, mutant: Mutant, tests: Tests) -> bool:
        """Tell whether all tests pass with a mutant applied. One that does not end is killed. Raises Broken."""
        chosen = tests.of(mutant)
        if not chosen:
            return True
        limit = 60 + 4 * sum(tests.seconds[test] for test in chosen)
        path = self.root / mutant.path
        path.write_bytes(mutant.mutated)
        try:
            if "" not in tests.near(mutant):
                job = {"path": str(path), "source": mutant.mutated.decode(), "tests": chosen, "seconds": limit}
                if (outcome := self._ask(job)) != NEEDS_PROCESS:
                    return outcome == "survived"
            return self._survives_in_a_process(chosen, limit)
        finally:
            path.write_bytes(mutant.source)

    def close(self) -> None:
        """End what runs."""
        for running in self._started:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()

    def _ask(self, job: dict[str, Any]) -> str:
        """Have a worker try a mutant that changes what tests call, in a fork, and nothing that runs at an import."""
        if self._worker is None:
            ours, its = socket.socketpair()
            self._start(["-s", *FOLDERS], pass_fds=[its.fileno()], MUTATION_SOCKET=str(its.fileno()))
            its.close()
            self._worker = ours.makefile("rw")
            ours.close()
        self._worker.write(f"{json.dumps(job)}\n")
        self._worker.flush()
        if not (outcome := self._worker.readline().strip()):
            raise Broken(f"pytest has ended:\n{self._said('worker')}")
        return str(outcome)

    def _survives_in_a_process(self, chosen: Sequence[str], limit: float) -> bool:
        names = self._beside / "tests"
        names.write_text(json.dumps(chosen))
        files = list(dict.fromkeys(map(_file_of, chosen)))
        status = self._pytest(["-x", *files], limit, MUTATION_TESTS=str(names))
        # pytest ends with 4 if conftest.py cannot import the application.
        if status not in {None, 0, 1, 2, 4}:
            raise Broken(f"pytest ended with {status}:\n{self._said()}")
        return status == 0

    def _pytest(self, arguments: Sequence[str], limit: float | None, **variables: str) -> int | None:
        """Run tests and return the status, or None where the time was over."""
        running = self._start(arguments, **variables)
        try:
            return running.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            return None

    def _start(self, arguments: Sequence[str], *, pass_fds: Sequence[int] = (), **variables: str) -> subprocess.Popen[bytes]:
        """Start pytest in a group of processes of its own: what tests start goes with them."""
        # A file of bytecode is told by the second and the size of its source, which mutants may share.
        paths = {"PYTHONPATH": f"{self.root}:{self.root}/tests", "PYTHONDONTWRITEBYTECODE": "1"}
        name = "worker" if pass_fds else "process"
        command = [
            *_PYTEST,
            "-m",
            "not services and not slow",
            "--hypothesis-seed=0",
            f"--basetemp={self._beside}/temporary-{name}",
            *arguments,
        ]
        with (self._beside / f"output-{name}").open("w") as output:
            running = subprocess.Popen(
                command,
                cwd=self.root,
                env=os.environ | paths | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        self._started.append(running)
        return running

    def _said(self, name: str = "process") -> str:
        return (self._beside / f"output-{name}").read_text(errors="replace")[-3000:]
