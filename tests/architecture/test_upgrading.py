"""docs/upgrading.md names the revisions and the version that are here; `make upgrade-rehearsal` runs its commands."""

import re
import subprocess
import sys

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from rehearsals.pages import all_blocks_of

from config.home import ROOT
from config.version import VERSION

PAGE = (ROOT / "docs" / "upgrading.md").read_text()


def test_page_has_the_revisions_of_this_version_and_goes_back_to_those_before() -> None:
    rows = re.findall(r"^\| (.+) \| `(c\d+)` \| `(p\d+)` \|$", PAGE, re.MULTILINE)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.set_main_option(
        "version_locations", " ".join(str(ROOT / "migrations" / "versions" / name) for name in ("chamilo", "poort"))
    )
    config.set_main_option("path_separator", "space")
    assert rows[-1][0] == VERSION
    assert sorted(rows[-1][1:]) == sorted(ScriptDirectory.from_config(config).get_heads())
    back = re.findall(r"^poort db downgrade (?:chamilo|poort)@(\w+)", PAGE, re.MULTILINE)
    assert set(back) == set(rows[0][1:])


def test_page_installs_this_version() -> None:
    commands = "".join(all_blocks_of("upgrading.md"))
    assert f"checkout v{VERSION}\n" in commands
    assert f"poort-{VERSION}-py3-none-any.whl" in commands


@pytest.mark.parametrize("name", ["upgrade", "containers"])
def test_rehearsal_starts(name: str) -> None:
    done = subprocess.run(
        (sys.executable, "-m", f"tests.rehearsals.{name}", "--help"), check=False, capture_output=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
