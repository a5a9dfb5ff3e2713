"""The shell commands of a page of docs/, block by block, and the machine that they are run on: a folder in the place of `/`."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^```(sh|ini)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^##+ (.+)$", re.MULTILINE)
#: Folders of the machine that the pages write to.
_PLACES = re.compile(
    r"(?<![\w.}/])/(opt/poort(?:-checkout|-1\.0\.\d)?|etc/poort|etc/systemd|var/lib/poort|var/backups|run/poort|root)(?![\w-])"
)
#: The rehearsal is run by one user.
_AS_ANOTHER = re.compile(r"setpriv --reuid=\w+ --regid=\w+ --clear-groups(?: \\\n)? *")


class Failed(Exception):
    """A command of a page failed, or a promise was broken. The message holds what was printed."""


def blocks_of(page: str, section: str, language: str = "sh") -> list[str]:
    """Return the blocks of a section of docs/<page>. Raises Failed if there are none."""
    text = (ROOT / "docs" / page).read_text()
    found = []
    for block in _BLOCK.finditer(text):
        before = _SECTION.findall(re.sub(r"^(```).*?^\1$", "", text[: block.start()], flags=re.MULTILINE | re.DOTALL))
        if block[1] == language and before and before[-1] == section:
            found.append(block[2])
    if not found:
        raise Failed(f"docs/{page} has no commands below {section!r}")
    return found


def all_blocks_of(page: str) -> list[str]:
    """Return all blocks of commands of docs/<page>."""
    return [text for language, text in _BLOCK.findall((ROOT / "docs" / page).read_text()) if language == "sh"]


@dataclass
class Machine:
    """A folder that stands for the machine: what the pages write below `/`, they write below it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("etc/poort", "etc/systemd/system", "var/lib/poort", "var/backups", "run/poort", "bin", "root", "opt"):
            (self.root / name).mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("systemctl.py"), self.root / "bin" / "systemctl")
        self.preamble = next(block for block in blocks_of("operations.md", "Install as a systemd service") if "poort()" in block)

    def here(self, text: str) -> str:
        """Return a text of a page with the paths of this machine."""
        text = _AS_ANOTHER.sub("", _PLACES.sub(rf"{self.root}/\1", text))
        return text.replace("tar -C / ", f"tar -C {self.root} ")

    def run(self, *blocks: str, cwd: Path | None = None) -> str:
        """Run blocks in one shell, in order, each as the page has it; return what they print. Raises Failed."""
        self.ran += blocks
        program = "\n".join(["set -euo pipefail", self.here(self.preamble), *map(self.here, blocks)])
        done = subprocess.run(
            ["bash", "-c", program],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd or self.root / "root",
            env=self.variables(),
        )
        if done.returncode:
            raise Failed(f"{program}\n\nended with status {done.returncode}:\n{done.stdout}")
        return done.stdout

    def variables(self) -> dict[str, str]:
        """Return the environment of root's shell on this machine."""
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in {"HOME", "LANG", "USER"}}
        path = f"{self.root}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin"
        return kept | {"PATH": path, "REHEARSAL_ROOT": str(self.root)} | self.environment
