"""Gather the pages of the site in one folder: docs/, and the repository files it links to, with links adjusted.

This way the links also work where the repository itself is shown. MkDocs does the rest (mkdocs.yml).
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

#: Where mkdocs.yml looks for pages.
PAGES = ROOT / ".site-pages"

#: Files that are copied unchanged. Other files become pages that show their text.
PICTURES = {".svg", ".png", ".css"}

#: The language of each file extension, for highlighting.
LANGUAGES = {
    ".conf": "nginx",
    ".service": "ini",
    ".timer": "ini",
    ".py": "python",
    ".sh": "sh",
    ".yml": "yaml",
    ".json": "json",
    ".js": "js",
    ".jsx": "jsx",
}

#: The tab title of each language, for adjacent examples of one step.
TABS = {"sh": "curl", "python": "Python", "js": "JavaScript"}

_FENCE = re.compile(r"^(`{3,})([a-z]*)[^\n]*\n.*?^\1\n", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\(|\b(?:src|href)=\")([^)\s\"#]+)")
_ELSEWHERE = re.compile(r"[a-z+.-]+:|/")


class BrokenLink(ValueError):
    """A link to a file that is not in the repository."""


def place_of(file: Path) -> str:
    """Return the path of a file in the site. Names lose a leading dot, since web servers may hide such files."""
    if file == ROOT / "README.md":
        return "index.md"
    path = file.relative_to(DOCS if file.is_relative_to(DOCS) else ROOT)
    parts = [part.removeprefix(".") for part in path.parts]
    is_text = file.suffix not in PICTURES | {".md"}
    return "/".join(parts) + (".md" if is_text else "")


def page_of(file: Path) -> tuple[str, set[Path]]:
    """Return a file as a page of the site, and the files that it links to. Raises BrokenLink."""
    text = file.read_text()
    if file.suffix != ".md":
        name, language = file.relative_to(ROOT).as_posix(), LANGUAGES.get(file.suffix, "text")
        return f"---\nsearch:\n  exclude: true\n---\n\n# {name}\n\n`````{language}\n{text}\n`````\n", set()
    linked: set[Path] = set()

    def fitted(match: re.Match[str]) -> str:
        if _ELSEWHERE.match(match[2]):
            return match[0]
        target = (file.parent / match[2]).resolve()
        if not target.is_relative_to(ROOT) or not target.is_file():
            raise BrokenLink(f"{file.relative_to(ROOT)} links to {match[2]}, which is not a file of the repository.")
        linked.update({target} - {ROOT / "README.md"})  # the site has an index.md of its own
        return match[1] + os.path.relpath(place_of(target), Path(place_of(file)).parent)

    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(fitted, text[end : fence.start()]), fence[0]]
        end = fence.end()
    parts.append(_LINK.sub(fitted, text[end:]))
    return _tabbed(parts), linked


def _tabbed(parts: list[str]) -> str:
    """Join texts and fenced blocks (at odd positions); adjacent blocks in several languages become tabs."""
    languages = {place: block[2] for place, part in enumerate(parts) if place % 2 and (block := _FENCE.match(part))}
    for place, language in languages.items():
        before = languages.get(place - 2) if not parts[place - 1].strip() else None
        after = languages.get(place + 2) if not parts[place + 1].strip() else None
        if language in TABS and {before, after} & (set(TABS) - {language}):
            indented = "".join(f"    {line}" if line.strip() else line for line in parts[place].splitlines(keepends=True))
            parts[place] = f'=== "{TABS[language]}"\n\n{indented}'
    return "".join(parts)


def gather(into: Path, first: Iterable[Path]) -> None:
    """Rewrite the pages: `first`, and everything that can be reached from it by links. Raises BrokenLink."""
    shutil.rmtree(into, ignore_errors=True)
    waiting, done = list(first), set[Path]()
    while waiting:
        file = waiting.pop()
        if file in done:
            continue
        done.add(file)
        target = into / place_of(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in PICTURES:
            shutil.copy(file, target)
            continue
        text, linked = page_of(file)
        target.write_text(text)
        waiting += linked


def pages() -> list[Path]:
    """Return the pages, pictures and style sheets of docs/."""
    return sorted(file for file in DOCS.rglob("*") if file.suffix in PICTURES | {".md"})


def main() -> None:
    """Gather the pages in the folder that mkdocs.yml names."""
    try:
        gather(PAGES, pages())
    except BrokenLink as problem:
        sys.exit(f"gather: {problem}")


if __name__ == "__main__":
    main()
