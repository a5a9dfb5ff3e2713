#!/usr/bin/env python3
"""Stand in for systemctl on a machine without systemd: run what a unit and its drop-ins say, below REHEARSAL_ROOT.

Knows the verbs of the documents, and of a unit what starts and stops a server. It has no socket activation, no users, no sandbox.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(os.environ["REHEARSAL_ROOT"])
UNITS = ROOT / "etc" / "systemd" / "system"
PID_FILE, LOG = ROOT / "poort.pid", ROOT / "poort.log"
SOCKET = ROOT / "run" / "poort" / "gunicorn.sock"
WAIT_SECONDS = 60
_PLACES = re.compile(r"(?<![\w.}/-])/(opt/poort|etc/poort|run/poort|var/lib/poort)(?![\w-])")


def main() -> int:
    """Do what the arguments say to the service."""
    verb, *units = sys.argv[1:]
    is_service = not units or any(unit.removesuffix(".service") == "poort" for unit in units)
    steps = {"start": (start,), "stop": (stop,), "restart": (stop, start), "reload": (reload,), "daemon-reload": ()}
    for step in steps[verb] if is_service else ():
        step(unit_of("poort"))
    return 0


def unit_of(name: str) -> dict[str, list[str]]:
    """Read a unit with its drop-ins. An empty value resets what came before, as in systemd.unit(5)."""
    values: dict[str, list[str]] = {}
    for file in (UNITS / f"{name}.service", *sorted(UNITS.glob(f"{name}.service.d/*.conf"))):
        for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", _PLACES.sub(rf"{ROOT}/\1", file.read_text()), re.MULTILINE):
            values[key] = [*values.get(key, []), value] if value else []
    return values


def environment_of(unit: dict[str, list[str]]) -> dict[str, str]:
    """Return the environment of a service: what the unit gives, and little else."""
    given = dict(word.split("=", 1) for line in unit.get("Environment", []) for word in shlex.split(line))
    return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin", "LANG": "C.UTF-8"} | given


def start(unit: dict[str, list[str]]) -> None:
    """Run the commands before the start, start the server, and wait until it listens."""
    ways = {"cwd": unit["WorkingDirectory"][-1], "env": environment_of(unit), "umask": 0o077}
    for command in unit.get("ExecStartPre", []):
        subprocess.run(shlex.split(command), check=True, **ways)
    SOCKET.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("ab") as log:
        server = subprocess.Popen(
            shlex.split(unit["ExecStart"][-1]), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **ways
        )
    PID_FILE.write_text(str(server.pid))
    deadline = time.monotonic() + WAIT_SECONDS
    while not listens():
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the service does not start:\n{LOG.read_text()[-4000:]}")
        time.sleep(0.05)


def listens() -> bool:
    """Tell whether somebody accepts connections on the socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(SOCKET)) == 0


def stop(_unit: dict[str, list[str]]) -> None:
    """Stop the server as systemd does, and wait for its end."""
    if not PID_FILE.exists():
        return
    pid = int(PID_FILE.read_text())
    PID_FILE.unlink()
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + WAIT_SECONDS
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        if time.monotonic() > deadline:
            sys.exit("the service does not stop")
        time.sleep(0.05)


def reload(unit: dict[str, list[str]]) -> None:
    """Run the check before a reload, and send HUP."""
    for command in unit.get("ExecReload", [])[:-1]:
        subprocess.run(shlex.split(command), check=True, cwd=unit["WorkingDirectory"][-1], env=environment_of(unit))
    os.kill(int(PID_FILE.read_text()), signal.SIGHUP)


if __name__ == "__main__":
    sys.exit(main())
