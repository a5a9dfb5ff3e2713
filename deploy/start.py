"""Set up what is missing, then serve: `bin/poort serve` and `make serve`, and `bin/poort setup` and `make setup`.

The set-up runs in a forked child, so that both share their imports, which halves the start time. gunicorn is loaded only once
the settings are valid: it fails at import if WEB_CONCURRENCY is bad.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from werkzeug.utils import import_string

import app  # noqa: F401 - loads it for the child and for gunicorn's workers
from config import InvalidSetting, Settings, load_settings
from config.drivers import drivers_of
from config.home import IS_INSTALLED, ROOT, as_typed, shown, working_folder
from config.secret_files import is_given
from config.settings import make_home, stop_start
from deploy import demo
from deploy.new_env import SECRETS, write_env

#: Runs a command of `bin/poort`, and exits.
Command = Callable[..., NoReturn]

_PASSWORD_LINE = "admin password: "  # noqa: S105 - as `bin/poort setup` prints it

# Variables with a path. A relative one is made absolute, because the server leaves the working folder.
_PLACES = ("POORT_HOME", "POORT_ENV_FILE")


def set_up(run: Command) -> None:
    """Create whatever is missing."""
    _prepare(is_demo=False, sets_up=True)
    _run_forked(run, "poort", "setup")


def serve(run: Command, *, is_demo: bool, sets_up: bool) -> None:
    """Set up and serve. On a terminal, the start ends with a block for people, and nothing else is logged before it."""
    settings = _prepare(is_demo=is_demo, sets_up=sets_up)
    for_people = sys.stdout.isatty() and sys.stderr.isatty()
    if for_people:
        logging.disable(logging.INFO)  # until the workers listen; forked processes inherit it
    password = _run_forked(run, "poort", "setup", keeps_password=for_people) if sets_up or is_demo else ""
    if is_demo and demo.lacks_users():
        _run_forked(run, "users", "import", str(demo.USERS))
    sys.argv = [str(Path(sys.executable).with_name("gunicorn")), "-c", str(ROOT / "deploy" / "gunicorn.conf.py"), "wsgi:app"]
    if not for_people:
        import_string("gunicorn.app.wsgiapp.run")()
        return
    first_screen = import_string("deploy.first_screen")
    start = first_screen.Start(
        settings=settings,
        password=password,
        # What a command needs before its name to use the settings of this start.
        variables="".join(f"{name}={shown(os.environ[name])} " for name in filter(os.environ.get, _PLACES)),
        remarks=demo.remarks() if is_demo else (),
        known=(demo.ADMINISTRATOR, demo.PASSWORD) if is_demo else None,
    )
    first_screen.ServerOnTerminal(start).run()


def _prepare(*, is_demo: bool, sets_up: bool) -> Settings:
    """Write missing files, install missing drivers, and return the settings. Exits if the settings cannot be used."""
    for name in filter(os.environ.get, _PLACES):
        os.environ[name] = os.path.abspath(os.environ[name])  # noqa: PTH100 - keeps symbolic links
    # New files, such as the database and its log, are for their owner only.
    os.umask(0o077)
    try:
        if is_demo:
            demo.enter_demo(make_home(os.environ))
        elif sets_up and not os.environ.get("POORT_ENV_FILE") and not all(is_given(name, os.environ) for name in SECRETS):
            write_env(as_typed((ROOT / ".env.example").read_text()), make_home(os.environ) / ".env")
        settings = load_settings()
        os.chdir(working_folder(os.environ))
        if not IS_INSTALLED:
            for driver in drivers_of(settings).values():
                _install(driver.requirements)
    except InvalidSetting as problem:
        raise stop_start(problem) from None
    return settings


def _run_forked(run: Command, *words: str, keeps_password: bool = False) -> str:
    """Run a command in a forked child. Exits if it fails. `keeps_password` takes the first user's password from its output."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        if keeps_password:
            os.dup2(writes, sys.stdout.fileno())
        os.close(reads)
        os.close(writes)
        run(*words)
    os.close(writes)
    password = ""
    with os.fdopen(reads) as output:
        for line in output:
            if line.startswith(_PASSWORD_LINE):
                password = line.removeprefix(_PASSWORD_LINE).strip()
            else:
                sys.stdout.write(line)
                sys.stdout.flush()
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(status)
    return password


def _install(requirements: str) -> None:
    """Install a driver of the database or Redis into the `.venv` of a checkout, unless its pins are already installed."""
    pins, stamp = ROOT / requirements, Path(sys.prefix) / f".{requirements}"
    if not stamp.exists() or stamp.stat().st_mtime < pins.stat().st_mtime:
        sys.stdout.write(f"installing {requirements} into {sys.prefix}\n")
        sys.stdout.flush()
        pip = (sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes")
        if subprocess.run([*pip, "-r", str(pins)], check=False).returncode:  # noqa: S603 - no outside input
            sys.exit(f"{requirements} could not be installed.")
        stamp.touch()
