"""Write configuration.md: variables, defaults and meanings from config/settings.py, sections and notes from .env.example."""

import re
import sys
import textwrap
from dataclasses import dataclass

from config.secret_files import SECRETS
from config.settings import ROOT, VARIABLES, Variable

PAGE = ROOT / "docs" / "configuration.md"
EXAMPLE = ROOT / ".env.example"

INTRODUCTION = """\
# Configuration

<!-- Written by `make docs` from config/settings.py and .env.example: change those. -->

These are all variables of the server. Values come from `.env`, then `.env.local`, then the environment; the last one wins.
After a change, restart the server. A reload (HUP) is enough for changes in the files. A value that cannot be used stops the start
with one sentence that names the variable. A variable that Chamilo also has means the same in both.

`POORT_HOME` names the folder that holds `.env` and `.env.local`, the keys in `config/jwt/`, and SQLite's file in `var/`. It is
read from the environment only. By default it is the folder of a clone. If you [installed the wheel](install.md), it is `poort/`
in `XDG_DATA_HOME`, usually `~/.local/share/poort`. Poort creates the folder for its user alone (mode 0700) if it is missing.
`%kernel.project_dir%` in a value stands for this folder.

`POORT_ENV_FILE`, also read from the environment only, names a file to use instead of `.env`, such as Chamilo's own. The second
file is then the one with `.local` after that name, and `%kernel.project_dir%` stands for the folder of the file.

A secret may be in a file of its own, as containers mount it. Add `_FILE` to the name of the variable, and set it to the path of
a file with one line, such as `APP_SECRET_FILE=/run/secrets/app_secret`. This works for
{secrets}.
""".replace("{secrets}", ", ".join(f"`{name}`" for name in SECRETS))

_BY_NAME = {variable.name: variable for variable in VARIABLES.values()}


@dataclass(frozen=True, slots=True)
class Entry:
    """What .env.example says about one variable, or about a group."""

    section: str
    names: tuple[str, ...]
    comment: str


class Untrue(ValueError):
    """.env.example contradicts config/settings.py."""


def entries(example: str) -> list[Entry]:
    """Parse .env.example: sections (`# --- …`) of comments, each followed by lines `NAME=…`, some commented out."""
    found, section = [], ""
    for block in example.split("\n\n"):
        if title := re.match(r"# --- (.+)", block):
            section = title[1]
            continue
        names = tuple(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", block, re.MULTILINE))
        comment = " ".join(re.findall(r"^# (?![A-Z][A-Z0-9_]+=)(.+)$", block, re.MULTILINE))
        if names and section:
            found.append(Entry(section, names, comment))
    return found


def page(example: str) -> str:
    """Return the page. Raises Untrue if the two sources differ, or .env.example lacks a variable."""
    parts, section, described = [INTRODUCTION], "", set()
    for entry in entries(example):
        if entry.section != section:
            section = entry.section
            parts.append(f"## {section}\n")
        known = [_BY_NAME[name] for name in entry.names if name in _BY_NAME]
        described |= {variable.name for variable in known}
        parts.append("### " + ", ".join(f"`{name}`" for name in entry.names) + "\n")
        parts.append(_described(known[0], entry.comment) if known else _filled(entry.comment))
    if missing := set(_BY_NAME) - described:
        raise Untrue(f".env.example lacks {', '.join(sorted(missing))}.")
    return "\n".join(parts)


def _described(variable: Variable, comment: str) -> str:
    said = f"{variable.unit}: {variable.meaning}."
    if not comment.startswith(said):
        raise Untrue(f"the comment of {variable.name} in .env.example must begin with: {said}")
    text = comment.removeprefix(f"{variable.unit}: ").replace("*", r"\*")
    default = f"`{variable.default}`" if variable.default else "empty"
    return f"{_filled(f'*{variable.unit}{_range(variable)}*: {text}')}\nDefault: {default}\n"


def _filled(text: str) -> str:
    return f"{textwrap.fill(text, 130, break_long_words=False, break_on_hyphens=False)}\n"


def _range(variable: Variable) -> str:
    """Return the bounds of a number, taken from the message of its parser."""
    try:
        variable.parse("no number")
    except ValueError as reason:
        if bounds := re.search(r"whole number from (-?\d+) to (\d+)", str(reason)):
            return f", from {int(bounds[1]):,} to {int(bounds[2]):,}"
    return ""


def main() -> None:
    """Write the page if it has changed."""
    text = page(EXAMPLE.read_text())
    if not PAGE.exists() or PAGE.read_text() != text:
        PAGE.write_text(text)
        sys.stdout.write(f"{PAGE.name} written\n")


if __name__ == "__main__":
    main()
