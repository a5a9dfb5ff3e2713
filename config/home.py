"""Tell where the program lies, and in which folder it keeps its state: `.env`, keys, and SQLite's file."""

import os
from collections.abc import Mapping
from pathlib import Path

#: The folder of the server's modules: the root of a checkout, or `poort/server` in an installed wheel. An installed
#: Poort writes nothing there.
ROOT = Path(__file__).resolve().parent.parent

IS_INSTALLED = ROOT.name == "server" and (ROOT.parent / "__main__.py").is_file()

# In a checkout, texts name the commands of its folder. An installed program has no `make`.
_INSTALLED_NAMES = (("bin/poort", "poort"), ("make serve", "poort serve"), ("make setup", "poort setup"))


def home_of(environ: Mapping[str, str]) -> Path:
    """Return the folder of state, which may not exist. Raises RuntimeError if the user has no home folder to put it in."""
    if given := environ.get("POORT_HOME"):
        return Path(given).resolve()
    if not IS_INSTALLED:
        return ROOT
    data = Path(environ.get("XDG_DATA_HOME", ""))
    # https://specifications.freedesktop.org/basedir-spec: a relative path is ignored.
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "poort"


def working_folder(environ: Mapping[str, str]) -> Path:
    """Return the working folder of servers: the folder of state, or ROOT if that cannot be used. Servers depend on neither."""
    try:
        home = home_of(environ)
    except RuntimeError:
        return ROOT
    return home if os.access(home, os.X_OK) else ROOT


def as_typed(text: str) -> str:
    """Return a text with commands as you type them here: `bin/poort …` in a checkout, `poort …` if Poort is installed."""
    if IS_INSTALLED:
        for checkout, installed in _INSTALLED_NAMES:
            text = text.replace(checkout, installed)
    return text


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as you type it here: in a checkout relative to the working folder."""
    return str(path) if IS_INSTALLED else os.path.relpath(path)
