"""Check that the machine has the needed programs, and describe it for the results."""

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.commands import ROOT
from benchmarks.database_servers import STARTERS
from benchmarks.services import NotInstalled, find_program, newest_postgresql

#: program: its Debian package.
NEEDED = {"wrk": "wrk", "postgresql": "postgresql", "mariadb": "mariadb-server", "nginx": "nginx"}
#: part: the programs that it needs.
NEEDS = {
    "rates": {"wrk"},
    "behind-nginx": {"wrk", "nginx"},
    "databases": {"wrk", "postgresql", "mariadb"},
    "footprint": {"wrk"},
    "growth": {"postgresql", "mariadb"},
}
#: Parts that measure several databases, and can do without one.
_SEVERAL = {"databases", "growth"}

PACKAGES = (
    "Flask",
    "gunicorn",
    "SQLAlchemy",
    "PyJWT",
    "cryptography",
    "bcrypt",
    "Flask-JWT-Extended",
    "fastapi",
    "uvicorn",
    "granian",
    "psycopg",
    "PyMySQL",
)


def essential(part: str) -> set[str]:
    """Return the programs without which a part measures nothing."""
    return NEEDS.get(part, set()) - (STARTERS.keys() if part in _SEVERAL else set())


def refuse_missing(wanted: set[str]) -> None:
    """Exit if a wanted program is not installed."""
    absent = [name for name in NEEDED if name in wanted and not version_of(name)]
    if absent:
        sys.exit(
            f"Not installed: {', '.join(absent)}. Install: apt-get install {' '.join(NEEDED[name] for name in absent)}\n"
            f'Or leave out what needs it: make bench ARGS="--leave-out {",".join(absent)}"'
        )


def describe() -> dict[str, str]:
    """Return the properties of the machine on which the figures depend."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    programs = ", ".join(said for name in NEEDED if (said := version_of(name)))
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "machine": f"{len(os.sched_getaffinity(0))} cores of {cpu[1] if cpu else platform.machine()}",
        "system": f"{system}, Linux {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "programs": programs,
        "load average before": f"{load():.2f}",
    }


def load() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def version_of(name: str) -> str:
    """Return the name and version of a program; empty if it is not installed."""
    program, option = {
        "wrk": ("wrk", "-v"),
        "postgresql": ("postgres", "--version"),
        "mariadb": ("mariadbd", "--version"),
        "nginx": ("nginx", "-v"),
    }[name]
    try:
        found = find_program(program, *newest_postgresql())
    except NotInstalled:
        return ""
    done = subprocess.run((found, option), check=False, capture_output=True, text=True)
    number = re.search(r"\d+\.[\w.]+", done.stdout + done.stderr)  # nginx tells it on standard error
    return f"{name} {number[0]}" if number else name


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(("git", *words), check=False, capture_output=True, text=True, cwd=ROOT).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")
