"""Install npm clients once, at the exact versions of a lock file, into pytest's cache."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from installed import needed

from benchmarks.services import find_program

HERE = Path(__file__).parent

QUIETLY = ("--no-audit", "--no-fund", "--ignore-scripts")


def require(program: str) -> str:
    """Return the path of a program. Skips the test if it is not installed, or fails under REQUIRE_SERVICES=1."""
    return needed(lambda: find_program(program))


def run(command: Sequence[str], folder: Path, **variables: str) -> str:
    """Run a program, assert that it succeeds, and return its output."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=os.environ | variables)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass
class Npm:
    """The packages that a package-lock.json locks, and the programs beside it."""

    folder: Path
    node: str
    source: Path

    @classmethod
    def install(cls, cache: Path, source: Path, shared: "Npm | None" = None) -> "Npm":
        """Install the packages that `source` locks, unless they are in the cache; link to the direct dependencies of `shared`.

        API Platform Admin brings 60,000 files with it, so it is unpacked for one of the two only.
        """
        node, npm = require("node"), require("npm")
        locks = [folder / "package-lock.json" for folder in (source, *([shared.source] if shared else []))]
        digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:16]
        folder = cache / digest
        with (cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the tests may install them too
            if not folder.exists():
                half_done = cache / f"{digest}.{os.getpid()}"
                half_done.mkdir()
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(source / name, half_done)
                # Peers would be second copies of what is linked, and React works as one copy only.
                run([npm, "ci", *QUIETLY, *(["--omit=peer"] if shared else [])], half_done)
                if shared:
                    shared.link_into(half_done)
                half_done.rename(folder)
        return cls(folder, node, source)

    def link_into(self, folder: Path) -> None:
        """Make the direct dependencies importable in another folder of the cache."""
        for name in json.loads((self.folder / "package.json").read_text())["dependencies"]:
            link = folder / "node_modules" / name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(os.path.relpath(self.folder / "node_modules" / name, link.parent))

    @property
    def axe(self) -> str:
        """The program of axe-core, which looks for what breaks the rules of WCAG on a page."""
        return (self.folder / "node_modules" / "axe-core" / "axe.min.js").read_text()

    def programs(self, folder: Path) -> Path:
        """Copy the programs into a folder of the test, beside a link to the packages."""
        for entry in self.source.iterdir():
            if entry.name not in {"node_modules", "dist"}:
                (shutil.copytree if entry.is_dir() else shutil.copy)(entry, folder / entry.name)
        (folder / "node_modules").symlink_to(self.folder / "node_modules")
        return folder
