"""A disk with the database and the log fills up while the server runs. It is a small tmpfs, which only root can mount."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from system.serving import WAIT_SECONDS, Home, Server

from benchmarks.services import free_port

MEBIBYTE = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "poort-test", str(disk)], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("a disk of memory may not be mounted here; tests/functional has a database without room")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        for size in (MEBIBYTE, 4096):
            with suppress(OSError):
                while file.write(b"\0" * size):
                    pass
    return ballast


def create(server: Server, headers: dict[str, str], number: int) -> tuple[int, dict[str, str], object]:
    body = {"username": f"new{number}", "email": f"new{number}@example.com"}
    return server.request("POST", "/api/users", body, **headers)


def is_writing_lost(metrics_port: int) -> bool:
    """Tell what the metric of this host says."""
    with urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=WAIT_SECONDS) as answer:
        (value,) = re.findall(r"^poort_writing_lost (.*)$", answer.read().decode(), re.MULTILINE)
    return float(value) == 1


def test_full_disk_is_503_for_writes_alone_is_said_and_is_over_as_soon_as_there_is_room(disk: Path) -> None:
    home = Home(disk).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4")
    password = home.set_up()
    metrics = free_port()
    server = home.serve(WEB_CONCURRENCY="1", METRICS_PORT=str(metrics))
    try:
        headers = {"Authorization": f"Bearer {server.sign_in('admin', password)[2]['token']}"}
        ballast, made = fill(disk), 0
        while (answer := create(server, headers, made))[0] == 201:
            made += 1
            assert made < 100, "the disk is not full"
        assert (answer[0], answer[1]["retry-after"]) == (503, "5")
        assert server.sign_in("admin", password)[0] == 503
        assert [server.request("GET", path, **headers)[0] for path in ("/api/users", "/api/users/1", "/healthz")] == [200] * 3
        assert server.request("GET", "/readyz")[::2] == (200, {"status": "degraded", "failing": [], "degraded": ["writing"]})
        assert is_writing_lost(metrics)
        found = {line.split()[1]: line for line in home.flask("poort", "doctor").stdout.splitlines() if line.startswith("error ")}
        assert "SQLITE_FULL" in found["database"]
        assert "0 MiB are free at" in found["disk"]
        refused = home.flask("backup", str(disk / "copy.db"))
        assert (refused.returncode, "SQLITE_FULL" in refused.stderr, list(disk.glob("*copy*"))) == (1, True, [])
        assert not list(disk.glob(".poort-*"))
        ballast.unlink()
        assert [create(server, headers, number)[0] for number in range(made, made + 3)] == [201] * 3
        assert list(server.sign_in("admin", password)[2]) == ["token"]
        listed = server.request("GET", "/api/users?itemsPerPage=1000", **headers)[2]["hydra:member"]
    finally:
        assert server.stop() == 0
    assert {user["username"] for user in listed} == {"admin", *(f"new{number}" for number in range(made + 3))}
