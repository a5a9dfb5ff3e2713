"""Give the wheel its requirements; the rest is in pyproject.toml, which cannot read pins with hashes.

The wheel requires exactly the versions that were tested, those of requirements.txt. Poort is an application with a virtual
environment of its own, where no other package needs other versions. Its operators get what the tests ran on; floors would give
them whatever was published since. Integrators who try it get the same server as the one that they will meet.
"""

import re
import tempfile
from pathlib import Path

from setuptools import setup

EXTRAS = ("mysql", "postgresql", "redis")


def pins(file: str) -> list[str]:
    """Return the requirements of a file without hashes: `name==version`, and a marker if there is one."""
    return re.findall(r"^([\w.-]+==.+) \\$", Path(file).read_text(), re.MULTILINE)


# In the folder build/ of the checkout, files of an earlier build would stay, and land in the wheel.
with tempfile.TemporaryDirectory() as folder:
    setup(
        script_name="setup.py",  # which is no module of the server
        install_requires=pins("requirements.txt"),
        extras_require={name: pins(f"requirements-{name}.txt") for name in EXTRAS},
        options={"build": {"build_base": folder}},
    )
