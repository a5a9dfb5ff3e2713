"""Tests that need a server are marked, so that `make check` leaves them out; groups of tests are kept together."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SERVERS = {"postgresql", "mariadb", "mysql"}


def needs_a_server(item: pytest.Item) -> bool:
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return "redis" in item.fixturenames or bool({value for value in values if isinstance(value, str)} & SERVERS)


def test_each_test_on_a_server_is_marked_so(request: pytest.FixtureRequest) -> None:
    """Check the tests of this run; with `-m "not services"` these are the unmarked ones."""
    on_servers = [item for item in request.session.items if needs_a_server(item)]
    assert [item.nodeid for item in on_servers if not item.get_closest_marker("services")] == []


def test_tests_of_a_group_share_a_process(tmp_path: Path) -> None:
    """pytest-xdist ignores groups where it does not fit pytest; each process would start the servers of every file."""
    grouped = "import pytest\n@pytest.mark.xdist_group('a')\n@pytest.mark.parametrize('n', range(6))\ndef test(n): pass\n"
    (tmp_path / "test_grouped.py").write_text(grouped)
    command = (sys.executable, "-m", "pytest", "-v", "--numprocesses", "2", "--dist", "loadgroup", "-p", "no:schemathesis")
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert len(set(re.findall(r"^\[(gw\d)\] .* PASSED", done.stdout, re.MULTILINE))) == 1, done.stdout
