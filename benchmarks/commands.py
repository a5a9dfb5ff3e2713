"""The commands that start Poort and the servers beside it."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: The servers that every part compares, in the order of the tables.
TITLES = {
    "poort": "Poort",
    "bare": "bare Flask",
    "tutorial": "Flask + flask-jwt-extended, as documented",
    "fastapi": "FastAPI + PyJWT + SQLAlchemy, as documented",
}
#: The servers of which only rates are measured.
BESIDE = {
    "tuned": "FastAPI, tuned: Core, orjson, a loaded key",
    "bare-stock": "bare Flask on stock gthread, one socket",
    "bare-granian": "bare Flask on granian",
    "poort-granian": "Poort's application on granian",
    "poort-parser": "Poort with gunicorn's C parser",
}
NAMES = TITLES | BESIDE

#: The folder that has gunicorn's C parser, apart from all other packages: gunicorn uses the parser wherever it finds it.
PARSER = Path(sys.prefix) / "parser"

#: The same options as in deploy/gunicorn.conf.py (a test compares them), without a log of requests.
GUNICORN = (
    *(sys.executable, "-m", "gunicorn", "--workers=2", "--worker-class=gthread", "--threads=16", "--keep-alive=75"),
    *("--reuse-port", "--worker-tmp-dir=/dev/shm", "--no-control-socket", "--log-level=warning"),
)
STOCK = (
    *(sys.executable, "-m", "gunicorn", "--workers=2", "--worker-class=gthread", "--threads=16"),
    *("--no-control-socket", "--log-level=warning"),
)
UVICORN = (sys.executable, "-m", "uvicorn", "--workers=2", "--no-access-log", "--log-level=warning")
GRANIAN = (
    *(sys.executable, "-m", "granian", "--interface=wsgi", "--workers=2", "--blocking-threads=4"),
    "--log-level=warning",
)
POORT = (sys.executable, "-m", "gunicorn", "--config=deploy/gunicorn.conf.py")

_UVICORN_APPS = {"fastapi": "benchmarks.peers.fastapi_app:app", "tuned": "benchmarks.peers.fastapi_tuned:app"}
_GRANIAN_APPS = {"bare-granian": "benchmarks.peers.bare:app", "poort-granian": "wsgi:app"}


def command_of(name: str, port: int, path: Path | None = None) -> tuple[str, ...]:
    """Return the command of a server that listens on a loopback port, or on a unix socket if there is a path."""
    bind = f"--bind=unix:{path}" if path else f"--bind=127.0.0.1:{port}"
    if name in _UVICORN_APPS:
        return *UVICORN, f"--uds={path}" if path else f"--port={port}", _UVICORN_APPS[name]
    if name in _GRANIAN_APPS:
        return *GRANIAN, f"--port={port}", _GRANIAN_APPS[name]
    if name == "bare-stock":
        return *STOCK, bind, "benchmarks.peers.bare:app"
    if is_poort(name):
        return (*POORT, bind, "wsgi:app") if path else (sys.executable, "bin/poort", "serve")
    # Workers cannot have a unix socket each, so Poort's share one, too.
    options = [word for word in GUNICORN if not path or word != "--reuse-port"]
    return *options, bind, f"benchmarks.peers.{name}:app"


def is_poort(name: str) -> bool:
    """Tell whether a server runs Poort."""
    return name.startswith("poort")


def is_bare(name: str) -> bool:
    """Tell whether a server answers everyone, without a token."""
    return name.startswith("bare")


def variables_of(name: str) -> dict[str, str]:
    """Return the environment variables that only this server has."""
    return {"PYTHONPATH": str(PARSER)} if name == "poort-parser" else {}


def is_installed(name: str) -> bool:
    """Tell whether a server can be measured. The C parser needs a folder that only `make bench` makes."""
    return name != "poort-parser" or PARSER.is_dir()
