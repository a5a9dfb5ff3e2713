"""Examples on a page of the docs: consecutive fenced blocks are one step in several languages, and a `text` or `json` block after them shows the output."""

import re
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(r"^```([a-z]*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)

#: Printed after each step, to tell the outputs of steps apart; and the code that prints it, by language.
MARK = "\x1e"
MARKS = {"sh": "printf '\\036\\n'\n", "python": 'print("\\x1e", flush=True)\n', "js": 'console.log("\\x1e");\n'}
FIRST = {"sh": "set -euo pipefail\n", "python": "", "js": ""}


@dataclass
class Step:
    """One step: its code by language, and its output."""

    section: str = ""
    blocks: dict[str, str] = field(default_factory=dict)
    shown: str | None = None


def steps_of(page: Path) -> list[Step]:
    """Return the steps of a page, ignoring blocks of other languages, such as `console`."""
    text, steps, end = page.read_text(), [], -1
    for block in BLOCK.finditer(text):
        language, body = block.groups()
        goes_on = end >= 0 and not text[end : block.start()].strip() and steps[-1].shown is None
        if language in MARKS:
            if not goes_on or language in steps[-1].blocks:
                steps.append(Step(section=["", *SECTION.findall(text[: block.start()])][-1]))
            steps[-1].blocks[language] = body
        elif language in {"text", "json"} and goes_on:
            steps[-1].shown = body
        else:
            end = -1
            continue
        end = block.end()
    return steps


def program_of(steps: list[Step], language: str) -> str:
    """Join the code of one language into one program, with a separator after each step."""
    return FIRST[language] + "".join(step.blocks.get(language, "") + MARKS[language] for step in steps)


def printed_by_step(output: str) -> list[str]:
    """Split the output of that program by step."""
    return [part.strip() for part in output.split(f"{MARK}\n")][:-1]
