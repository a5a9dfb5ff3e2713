"""Run the services of compose.yaml without an engine: mounts, users, environments and health checks as the file has them."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .containerfile import Image
from .pages import Failed
from .roots import Layer, confined, expanded, mount, options_of, read_only_root, run

WAIT_SECONDS = 90
#: What the official image of PostgreSQL does before it runs the server, in short.
POSTGRES = r"""
set -eu
export PGDATA=/var/lib/postgresql/data PATH="$(echo /usr/lib/postgresql/*/bin):$PATH"
places="-c unix_socket_directories=/run/postgresql"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --pgdata="$PGDATA" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl --wait -o "-c listen_addresses='' $places" start
    for file in /docker-entrypoint-initdb.d/*.sql; do
        psql -v ON_ERROR_STOP=1 --no-psqlrc --host=/run/postgresql --username=postgres --dbname=postgres --file="$file"
    done
    pg_ctl --wait stop
fi
exec postgres -c listen_addresses='*' $places
"""
#: By the name of an official image: what its container runs if compose.yaml has no `command`.
COMMANDS = {"postgres": ["sh", "-c", POSTGRES], "nginx": ["nginx", "-g", "daemon off;"]}


@dataclass
class Service:
    """A service of compose.yaml, in a root of its own."""

    name: str
    says: Mapping[str, Any]
    project: Path
    root: Path
    image: Image
    log: Path = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.root.with_name("log")

    @property
    def user(self) -> str:
        return str(self.says["user"])

    def mounts(self) -> Iterator[tuple[str, tuple[str | Path, ...]]]:
        """Yield where something is mounted, and the words that mount it, but for the place."""
        for folder, options in map(options_of, self.says.get("tmpfs", [])):
            yield folder, ("-t", "tmpfs", "-o", options, "tmpfs")
        for volume in self.says.get("volumes", []):
            source, target, *options = volume.split(":")
            place = self.project / source if source.startswith(".") else self._volume(source)
            yield target, ("--bind", *(("-o", "ro") if options else ()), place)
        for secret in self.says.get("secrets", []):
            yield f"/run/secrets/{secret}", ("--bind", "-o", "ro", self.project / "secrets" / secret)

    def _volume(self, name: str) -> Path:
        """Return the folder of a named volume, which belongs to the user of its service at first."""
        folder = self.root.parent.with_name(f"volume-{name}")
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, *map(int, self.user.split(":")))
        return folder

    def make_root(self, base: Path, layer: Layer) -> None:
        """Mount the read-only root, and all that the service says on it, the outer folders first. Raises Failed."""
        if self.says.get("read_only") is not True or self.says.get("cap_drop") != ["ALL"]:
            raise Failed(f"{self.name} is not confined")
        self.root.parent.mkdir(parents=True)
        mounts = sorted(self.mounts(), key=lambda item: item[0].count("/"))
        inside = [folder for folder, words in mounts if "tmpfs" in words]
        outside = [item for item in mounts if not any(item[0].startswith(f"{folder}/") for folder in inside)]
        points = {target: Path(words[-1]).is_file() for target, words in outside} | {"/etc/hosts": True}
        (self.root.parent / "hosts").write_text("127.0.0.1 localhost poort database redis nginx\n")
        read_only_root(base, layer, self.root, points)
        mount("--bind", "-o", "ro", self.root.parent / "hosts", self.root / "etc/hosts")
        for target, words in mounts:
            place = self.root / target[1:]
            if not place.exists():  # in a tmpfs
                place.parent.mkdir(exist_ok=True)
                place.touch()
            mount(*words, place)

    def environment(self) -> dict[str, str]:
        """Return the environment of its container, and nothing else."""
        path = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin"}
        return (
            path
            | self.image.environment
            | {name: expanded(str(value)) for name, value in self.says.get("environment", {}).items()}
        )

    def start(self) -> None:
        """Start its command, and wait until its health check succeeds. Raises Failed."""
        official = re.match(r"docker\.io/library/(\w+):", self.says["image"])
        command = (
            self.says.get("command") or self.image.entry_point + self.image.command or COMMANDS[official[1] if official else ""]
        )
        words = confined(
            self.root, self.user, self.image.folder, [expanded(word) if "set -eu" not in word else word for word in command]
        )
        with self.log.open("ab") as log:
            os.chown(self.log, *map(int, self.user.split(":")))
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(), start_new_session=True
            )
        deadline = time.monotonic() + WAIT_SECONDS
        while (problem := self.health()) and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.3)
        if problem:
            raise Failed(f"{self.name} is not healthy: {problem}\n{self.log.read_text()[-4000:]}")

    def health(self) -> str:
        """Run the health check once; return what is wrong, or an empty text."""
        kind, *test = self.says["healthcheck"]["test"] if "healthcheck" in self.says else ["CMD", *self.image.health]
        command = list(map(expanded, test))
        try:
            self.execute(*(["sh", "-c", *command] if kind == "CMD-SHELL" else command))
        except Failed as reason:
            return str(reason)
        return ""

    def execute(self, *command: str) -> str:
        """Run a command beside the service, as its user, as `docker compose exec` does. Raises Failed."""
        return run(confined(self.root, self.user, self.image.folder, command), env=self.environment())

    def stop(self) -> float:
        """Stop it with its signal; return how many seconds that took. Raises Failed if that was too long or not orderly."""
        begun = time.monotonic()
        name = self.says.get("stop_signal", self.image.stop_signal)
        self.process.send_signal(signal.Signals[name])
        most = float(self.says.get("stop_grace_period", "10s").removesuffix("s"))
        try:
            status = self.process.wait(most)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not stop within {most} s") from None
        if status:
            raise Failed(f"{self.name} ended with status {status}:\n{self.log.read_text()[-4000:]}")
        return time.monotonic() - begun


def services_of(project: Path, roots: Path, image: Image) -> dict[str, Service]:
    """Return the services of a project, in the order in which they wait for each other."""
    says = yaml.safe_load((project / "compose.yaml").read_text())
    found: dict[str, Service] = {}
    while left := [name for name in says["services"] if name not in found]:
        name = next(name for name in left if set(says["services"][name].get("depends_on", {})) <= found.keys())
        service = says["services"][name]
        found[name] = Service(name, service, project, roots / name / "root", image if "build" in service else Image())
    return found
