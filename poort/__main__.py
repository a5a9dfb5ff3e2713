"""The program `poort`, in a checkout `bin/poort`: the commands for operators, with the settings of the server, and `serve`."""

import gc
import os
import platform
import sys
from typing import Any, NoReturn

import click
from flask.cli import FlaskGroup
from werkzeug.utils import import_string

from config.home import as_typed
from config.version import VERSION


class Program(FlaskGroup):
    """Flask's group of commands, which loads no package for `serve` that the workers would inherit."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command. Flask would first load the commands of all packages: flasgger's take 2 MB of each worker."""
        return click.Group.get_command(self, ctx, name) or super().get_command(ctx, name)


# The `.env` of the current folder is not ours.
program = Program(
    name="poort",
    help="Administer a Poort server.",
    create_app=lambda: _load("wsgi:app"),
    load_dotenv=False,
    add_version_option=False,
)
click.version_option(VERSION, message=f"Poort {VERSION}, Python {platform.python_version()}")(program)


def run_command(*words: str) -> NoReturn:
    """Run a command of this program, and exit. Shell completion follows from the name: _POORT_COMPLETE."""
    program.main(words, prog_name="poort")
    raise SystemExit


@program.command(
    "serve",
    with_appcontext=False,
    short_help="Set up what is missing, and serve.",
    help=as_typed("""Set up what is missing, and serve http://127.0.0.1:8000.

    The first start prints the password of the first user, `admin`, once. PORT changes the port, and GUNICORN_CMD_ARGS
    sets options of gunicorn.

    \b
    Example: PORT=8080 bin/poort serve
    """),
)
@click.option("--demo", is_flag=True, help="Serve 50 made-up users with the explorer on, apart from your own data.")
@click.option("--no-setup", is_flag=True, help="Create nothing; for a service whose database may be down when it starts.")
def serve(demo: bool, no_setup: bool) -> None:
    """Serve in this process."""
    _load("deploy.start.serve")(run_command, is_demo=demo, sets_up=not no_setup)


@program.command(
    "setup",
    with_appcontext=False,
    short_help="Create whatever is missing: the settings, the key pair, the tables and a first user.",
    help=as_typed("""Create whatever is missing: the settings, the key pair, the tables and a first user.

    Existing settings, keys, tables and users stay as they are. The password of the first user, `admin`, is printed once.

    \b
    Example: bin/poort setup
    """),
)
def setup() -> None:
    """Set up in a child of this process."""
    _load("deploy.start.set_up")(run_command)


def _load(name: str) -> Any:
    """Return an object of the server, after importing all of it. Flask's variable would change the default of APP_ENV."""
    del os.environ["FLASK_RUN_FROM_CLI"]
    loaded = import_string(name)
    gc.freeze()
    gc.enable()
    return loaded


def _replace_missing_streams() -> None:
    """Start this program again if a standard stream is closed, with /dev/null in its place.

    Such a stream is None in Python, and its number goes to the next file that is opened.
    """
    if None not in {sys.stdin, sys.stdout, sys.stderr}:
        return
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - standard error
        os.set_inheritable(descriptor, True)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell on purpose


def main() -> None:
    """Run the command that the arguments name."""
    _replace_missing_streams()
    sys.argv[0] = "poort"  # errors at the start name it
    run_command(*sys.argv[1:])


if __name__ == "__main__":
    main()
