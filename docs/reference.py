"""Write configuration.md: variables, defaults and meanings from config/settings.py, sections and notes from .env.example."""

import re
import sys
import textwrap
from dataclasses import dataclass

from config.settings import ROOT, VARIABLES, Variable

PAGE = ROOT / "docs" / "configuration.md"
EXAMPLE = ROOT / ".env.example"

INTRODUCTION = """\
# Configuration

<!-- Made by `make docs` out of config/settings.py and .env.example: change those. -->

Every variable that the server knows. Values come from `.env`, then `.env.local`, then the environment; the last one wins.
They are read once, at the start: restart the server after a change. A value that cannot be used stops the start with one
sentence that names the variable. Names that Chamilo has too mean the same as there.

`POORT_ENV_FILE`, in the environment alone, names another file instead of `.env`, such as Chamilo's own. `.local` is added to
its name for the second file. `%kernel.project_dir%` in a value stands for the folder of that file, or else for Poort's own.
"""

_BY_NAME = {variable.name: variable for variable in VARIABLES.values()}


@dataclass(frozen=True, slots=True)
class Entry:
    """What .env.example says of one variable, or of some that go together."""

    section: str
    names: tuple[str, ...]
    comment: str


class Untrue(ValueError):
    """.env.example says something else than config/settings.py."""


def entries(example: str) -> list[Entry]:
    """Read .env.example: sections `# --- …`, and in them comments that end in lines `NAME=…`, each `#` or not."""
    found, section = [], ""
    for block in example.split("\n\n"):
        if title := re.match(r"# --- (.+)", block):
            section = title[1]
            continue
        names = tuple(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", block, re.MULTILINE))
        comment = " ".join(re.findall(r"^# (?![A-Z][A-Z_]+=)(.+)$", block, re.MULTILINE))
        if names and section:
            found.append(Entry(section, names, comment))
    return found


def page(example: str) -> str:
    """Return the page. Raises Untrue where the two sources differ, or one has a variable that the other has not."""
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
        raise Untrue(f".env.example does not have {', '.join(sorted(missing))}.")
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
    """Return what a number may be, out of what its reader says of a text that is none."""
    try:
        variable.parse("no number")
    except ValueError as reason:
        if bounds := re.search(r"whole number from (-?\d+) to (\d+)", str(reason)):
            return f", from {int(bounds[1]):,} to {int(bounds[2]):,}"
    return ""


def main() -> None:
    """Write the page where it says something else."""
    text = page(EXAMPLE.read_text())
    if not PAGE.exists() or PAGE.read_text() != text:
        PAGE.write_text(text)
        sys.stdout.write(f"{PAGE.name} written\n")


if __name__ == "__main__":
    main()
