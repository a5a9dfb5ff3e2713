"""Compare the installed packages with the pinned ones: an upgrade that installs only some of them leaves old drivers behind."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from blueprints.parts import Parts
from commands.doctor.findings import OK, WARNING, Finding
from config.home import IS_INSTALLED, ROOT
from config.settings import drivers_of


def examine_packages(ours: Parts) -> Iterator[Finding]:
    """Check that the packages, and the drivers that the settings need, have the pinned versions."""
    files = ["requirements.txt", *sorted(driver.requirements for driver in drivers_of(ours.settings).values())]
    old = [said for file in files for said in _differences(ROOT / file)]
    if old:
        says = f"not the pinned versions: {', '.join(old)}"
        pip = Path(sys.prefix) / "bin" / "pip" if IS_INSTALLED else ".venv/bin/pip"
        options = " ".join(f"-r {ROOT / file if IS_INSTALLED else file}" for file in files)
        cure = f"`{pip} install --require-hashes {options}`, then restart the server."
        yield Finding("packages", WARNING, says, cure)
    else:
        yield Finding("packages", OK, f"as pinned in {', '.join(files)}")


def _differences(file: Path) -> Iterator[str]:
    """Yield the packages with another version. A missing one is skipped: this Python may not need it, or the start fails."""
    for name, pinned in re.findall(r"^([\w.-]+)(?:\[.*\])?==([\w.+!-]+)", file.read_text(), re.MULTILINE):
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if installed != pinned:
            yield f"{name} {installed} instead of {pinned}"
