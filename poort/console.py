"""Run Chamilo's `bin/console lexik:jwt:…` commands with Poort, for scripts written for Chamilo. Needs only Python."""

import argparse
import json
import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_IS_INSTALLED = (_ROOT / "poort" / "server").is_dir()

# In a checkout, any Python may run this module, and `.venv` has the packages.
_PYTHON = Path(sys.executable) if _IS_INSTALLED else _ROOT / ".venv" / "bin" / "python"
_POORT = ("-m", "poort") if _IS_INSTALLED else (str(_ROOT / "bin" / "poort"),)

COMMANDS = {
    "lexik:jwt:generate-keypair": "Create an RSA key pair.",
    "lexik:jwt:check-config": "Check the key pair.",
    "lexik:jwt:generate-token": "Print a token for a user.",
}

_LIST = "\n".join(f"  {command:<28}{summary}" for command, summary in COMMANDS.items())
_CALLED, _PROGRAM = ("poort-console", "poort") if _IS_INSTALLED else ("bin/console", "bin/poort")

_USAGE = f"""Usage:
  {_CALLED} COMMAND [options] [arguments]

Available commands:
{_LIST}

`{_CALLED} COMMAND --help` shows the options of a command. All other commands of Poort are those of `{_PROGRAM}`.
"""


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    """Return the options that Symfony's console accepts for every command, most without effect here, and all other arguments."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("-e", "--env")
    for names in (("-n", "--no-interaction"), ("-q", "--quiet"), ("--no-debug", "--profile", "--ansi", "--no-ansi")):
        options.add_argument(*names, action="store_true")
    options.add_argument("-v", "--verbose", action="count")
    return options.parse_known_args()


def main() -> None:
    """Replace this process with `bin/poort jwt COMMAND`."""
    given, rest = _arguments()
    name = next((argument for argument in rest if not argument.startswith("-")), None)
    if name == "list" or (name is None and {"-h", "--help"} & set(rest)):
        sys.stdout.write(_USAGE)
        return
    if name not in COMMANDS:
        fault = f"Command {json.dumps(name)} is not defined." if name else "No command is given."
        sys.exit(f"{fault} There are: {', '.join(COMMANDS)}.")
    rest.remove(name)
    if name == "lexik:jwt:generate-keypair" and (given.no_interaction or given.quiet):
        rest.append("--no-interaction")
    if not _PYTHON.exists():
        sys.exit(f"There is no {_PYTHON}. Run `make setup` in {_ROOT} first.")
    if given.quiet:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    environment = os.environ | ({"APP_ENV": given.env} if given.env else {})
    command = [str(_PYTHON), *_POORT, "jwt", name.removeprefix("lexik:jwt:"), *rest]
    os.execve(_PYTHON, command, environment)  # noqa: S606 - no shell on purpose
