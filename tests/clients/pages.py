"""The examples of a page of the docs: fenced blocks in a row are one step, each in a language; `text` or `json` after them is what each prints."""

import re
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(r"^```([a-z]*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)

#: What prints a line that nothing else prints, so that what a step prints can be told from the next one's.
MARK = "\x1e"
MARKS = {"sh": "printf '\\036\\n'\n", "python": 'print("\\x1e", flush=True)\n', "js": 'console.log("\\x1e");\n'}
FIRST = {"sh": "set -euo pipefail\n", "python": "", "js": ""}


@dataclass
class Step:
    """What is done in one step, by language, and what it prints."""

    blocks: dict[str, str] = field(default_factory=dict)
    shown: str | None = None


def steps_of(page: Path) -> list[Step]:
    """Return the steps of a page; blocks of other languages, such as `console`, are no part of it."""
    text, steps, end = page.read_text(), [], -1
    for block in BLOCK.finditer(text):
        language, body = block.groups()
        goes_on = end >= 0 and not text[end : block.start()].strip() and steps[-1].shown is None
        if language in MARKS:
            if not goes_on or language in steps[-1].blocks:
                steps.append(Step())
            steps[-1].blocks[language] = body
        elif language in {"text", "json"} and goes_on:
            steps[-1].shown = body
        else:
            end = -1
            continue
        end = block.end()
    return steps


def program_of(steps: list[Step], language: str) -> str:
    """Join what the page says in one language to one program, with a mark after each step."""
    return FIRST[language] + "".join(step.blocks.get(language, "") + MARKS[language] for step in steps)


def printed_by_step(output: str) -> list[str]:
    """Take apart what that program printed."""
    return [part.strip() for part in output.split(f"{MARK}\n")][:-1]
