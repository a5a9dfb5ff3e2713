"""The units in deploy/: systemd-analyze finds no fault and rates them as confined. systemd need not run here."""

import re
import subprocess
from pathlib import Path

import pytest
from installed import needed
from system.proxied import SITE

from benchmarks.services import find_program
from config.settings import ROOT

pytestmark = pytest.mark.services

UNITS = ("poort.service", "poort.socket")

#: Exposure in tenths, 0 (confined) to 100; systemd calls up to 20 OK. What remains is the network.
MOST_EXPOSED = 15


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = needed(lambda: find_program("systemd-analyze"))
    return subprocess.run([program, *map(str, words)], check=False, capture_output=True, text=True)


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with the path of a program that exists here."""
    for name in UNITS:
        text = (ROOT / "deploy" / name).read_text()
        (tmp_path / name).write_text(
            text.replace("/opt/poort/bin/poort", "/bin/true").replace("/opt/poort/.venv/bin/gunicorn", "/bin/true")
        )
    return [tmp_path / name for name in UNITS]


def test_systemd_finds_no_fault_in_the_units(units: list[Path]) -> None:
    found = analyze("verify", "--man=no", *units)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_systemd_finds_a_fault_where_there_is_one(units: list[Path]) -> None:
    units[0].write_text(units[0].read_text().replace("ProtectHome=yes", "ProtectHome=please"))
    assert "Failed to parse" in analyze("verify", "--man=no", *units).stderr


def test_the_service_is_shut_in(units: list[Path]) -> None:
    shown = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", units[0])
    assert shown.returncode == 0, shown.stdout
    units[0].write_text(units[0].read_text().replace("ProtectSystem=strict", "").replace("NoNewPrivileges=yes", ""))
    assert analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", units[0]).returncode != 0


def test_the_thread_that_hashes_may_lower_its_priority() -> None:
    """Hardened units often deny @resources; here that would refuse setpriority, and sign-ins would slow reads."""
    filters = re.findall(r"^SystemCallFilter=(.+)$", (ROOT / "deploy" / "poort.service").read_text(), re.MULTILINE)
    allowed = {call for group in filters if not group.startswith("~") for call in calls_of(group)}
    denied = {call for group in filters if group.startswith("~") for call in calls_of(group[1:])}
    assert {"setpriority", "accept4", "fsync", "clone3", "chmod"} <= allowed - denied
    assert {"mount", "ptrace", "setuid", "chown", "reboot"} & (allowed - denied) == set()


def calls_of(groups: str) -> set[str]:
    calls: set[str] = set()
    for group in groups.split():
        lines = [line.strip() for line in analyze("syscall-filter", group).stdout.splitlines()[1:]]
        names = {line for line in lines if line and not line.startswith("#")}
        calls |= {name for name in names if not name.startswith("@")}
        for inner in names - calls:
            calls |= calls_of(inner)
    return calls


def test_socket_service_and_nginx_mean_the_same_socket() -> None:
    service, listener = ((ROOT / "deploy" / name).read_text() for name in UNITS)
    (path,) = re.findall(r"^ListenStream=(.+)$", listener, re.MULTILINE)
    assert f"--bind unix:{path} wsgi:app" in service
    assert f'Environment=GUNICORN_CMD_ARGS="--bind unix:{path}"\n' in (ROOT / "deploy" / "poort-wheel.conf").read_text()
    assert f"server unix:{path};" in SITE
