"""`make upgrade-rehearsal`: run every command of docs/upgrading.md on a filled server, forwards and back, on each database.

The servers before the upgrade come from the repository's own history. Everything is below a temporary folder, which stands for `/`.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.database_servers import STARTERS
from benchmarks.services import Program, Server

from .pages import ROOT, Failed, Machine, all_blocks_of, blocks_of
from .witness import Rows, Witness, fill, lost, rows_of

#: The last commit before 1.0.0.
BEFORE = "e900c40"
PAGE = "upgrading.md"
SETTINGS = {"PASSWORD_HASH_COST": "5", "REFRESH_TOKEN_TTL": "86400", "API_KEYS": "1", "TRUSTED_PROXIES": "127.0.0.1"}
#: The line of "Back up" for each database, by what it contains. The first command is newer than the version before.
DUMPS = {"sqlite": "poort backup", "postgresql": "pg_dump", "mariadb": "mariadb-dump"}


def main() -> int:
    """Run what the options say; return 0 if nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=DUMPS, action="append", help="a database; all by default")
    kinds = parser.parse_args().only or list(DUMPS)
    if subprocess.run(["git", "-C", ROOT, "cat-file", "-e", f"{BEFORE}^{{commit}}"], check=False, capture_output=True).returncode:
        print(f"skipped: this clone has no commit {BEFORE}; `git fetch --unshallow` brings it")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are stopped
    with tempfile.TemporaryDirectory(prefix="poort-upgrade-") as folder:
        Path(folder).chmod(0o755)  # `poort doctor` looks whether others than root could run the server
        try:
            Rehearsal(Path(folder), kinds).run()
        except Failed as reason:
            print(f"FAILED: {reason}")
            return 1
    return 0


@contextmanager
def server_of(kind: str) -> Iterator[Server | None]:
    """Start a database server, and stop it at the end. SQLite has none."""
    server = None if kind == "sqlite" else STARTERS[kind]()
    try:
        yield server
    finally:
        if isinstance(server, Program):
            server.stop()


class Rehearsal:
    """The rehearsals of all databases, one after the other, with one virtual environment."""

    def __init__(self, folder: Path, kinds: list[str]) -> None:
        self.folder, self.kinds, self.ran = folder, kinds, set[str]()
        self._begun = time.monotonic()

    def run(self) -> None:
        """Rehearse on each database. Raises Failed."""
        self._publish()
        for kind in self.kinds:
            with server_of(kind) as server:
                Upgrade(self, kind, server).run()
        self._checkout_of_one_user()
        if missed := [block for block in all_blocks_of(PAGE) if block not in self.ran]:
            raise Failed(f"commands of docs/{PAGE} that nothing has run:\n{missed}")
        self.say("all", f"every command of docs/{PAGE} was run")

    def say(self, kind: str, what: str) -> None:
        """Print a line with the seconds since the start."""
        print(f"{time.monotonic() - self._begun:5.0f} s  {kind:<10}  {what}", flush=True)

    def _publish(self) -> None:
        """Make the repository that servers fetch from: this one's commit is 1.0.0."""
        git("clone", "--quiet", "--bare", str(ROOT), str(self.folder / "poort.git"))
        who = ("-c", "user.name=Poort", "-c", "user.email=poort@example.org")
        head = git("-C", str(ROOT), "rev-parse", "HEAD")
        git("-C", str(self.folder / "poort.git"), *who, "tag", "-f", "--annotate", "v1.0.0", "--message", "Poort 1.0.0", head)
        for version in ("1.0.0", "1.0.1"):
            self._build_wheel(version)
        if git("-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"):
            self.say("all", "there are changes that are not committed: 1.0.0 is the last commit, without them")

    def _build_wheel(self, version: str) -> None:
        """Build the wheel of this commit, under the number of a version."""
        source = self.folder / f"source-{version}"
        git("clone", "--quiet", str(self.folder / "poort.git"), str(source))
        file = source / "config" / "version.py"
        file.write_text(file.read_text().replace('"1.0.0"', f'"{version}"'))
        pip = (sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "--wheel-dir")
        subprocess.run([*pip, str(self.folder / "wheels"), str(source)], check=True)

    def clone(self, target: Path) -> None:
        """Clone the version before the upgrade, as an operator did who knows no tags yet."""
        git("clone", "--quiet", "--no-tags", str(self.folder / "poort.git"), str(target))
        git("-C", str(target), "checkout", "--quiet", "-B", "main", BEFORE)

    def _checkout_of_one_user(self) -> None:
        """Run the lines for a checkout that one user owns, in its folder."""
        machine = Machine(self.folder / "of-one-user")
        checkout = machine.root / "home" / "poort"
        self.clone(checkout)
        printed = machine.run("make setup", cwd=checkout)
        (block,) = (block for block in blocks_of(PAGE, "Upgrade a checkout") if "make setup" in block)
        again = machine.run(block, cwd=checkout)
        self.ran |= set(machine.ran)
        if "admin password:" not in printed or "admin password:" in again:
            raise Failed(f"`make setup` after an upgrade:\n{again}")
        self.say("sqlite", "make setup")


class Upgrade:
    """One server on one database, from the version before to 1.0.0, and back."""

    def __init__(self, rehearsal: Rehearsal, kind: str, server: Server | None) -> None:
        self.rehearsal, self.kind = rehearsal, kind
        self.machine = Machine(rehearsal.folder / kind)
        self.url = f"{server.address}/poort" if server else f"sqlite:///{self.machine.root}/var/lib/poort/poort.db"
        if server:
            self.machine.environment = environment_of(server)
        self.witness: Witness

    def run(self) -> None:
        """Go through the page. Raises Failed."""
        try:
            self._install_before()
            self._step("before", lambda: None)
            self._step("noted and backed up", self._before_you_begin)
            self._step("upgraded", self._section("Upgrade a checkout", 0), self._section("Check"))
            self._step("gone back", self._section("Go back"))
            self._step("upgraded again", self._section("Upgrade a checkout", 0), self._section("Check"))
            self._with_the_wheel()
        finally:
            if (self.machine.root / "poort.pid").exists():
                self.machine.run("systemctl stop poort")
        self.rehearsal.ran |= set(self.machine.ran)

    def _with_the_wheel(self) -> None:
        """Go through the sections of the page that are about the wheel."""
        for wheel in (self.rehearsal.folder / "wheels").iterdir():
            shutil.copy(wheel, self.machine.root / "root")
        upgrade, back = blocks_of(PAGE, "Upgrade the wheel")
        self._step("on the wheel", self._section("Change from a checkout to the wheel", 0))
        self._step("1.0.1", lambda: self._expect("Poort 1.0.1", self.machine.run(upgrade)))
        self._step("1.0.0", lambda: self.machine.run(back))
        self._step("on the checkout", self._section("Change from a checkout to the wheel", 1))

    def _expect(self, text: str, printed: str) -> None:
        if text not in printed:
            raise Failed(f"{self.kind}: no {text!r} in:\n{printed}")

    def _section(self, title: str, *numbers: int):
        blocks = blocks_of(PAGE, title)
        return lambda: self.machine.run(*([blocks[number] for number in numbers] or blocks))

    def _step(self, stage: str, *actions) -> None:
        """Run commands of the page; then see that no row is lost and that everything still works."""
        before = rows_of(self.url)
        for action in actions:
            action()
        self._compare(stage, before, rows_of(self.url))
        self.witness.look(stage)
        self.rehearsal.say(self.kind, f"{stage}: {sum(rows.total() for rows in before.values())} rows, none lost")

    def _compare(self, stage: str, before: Rows, after: Rows) -> None:
        if gone := lost(before, after):
            raise Failed(f"{self.kind}, {stage}: lost {len(gone)} rows, such as {gone[:3]}")

    def _before_you_begin(self) -> None:
        notes, copy_sqlite = blocks_of(PAGE, "Before you begin")
        self.machine.run(notes, *([copy_sqlite] if self.kind == "sqlite" else []))
        block = next(block for block in blocks_of("operations.md", "Back up") if "tar " in block)
        others = [words for kind, words in DUMPS.items() if kind == "sqlite" or kind != self.kind]
        self.machine.run("".join(line for line in block.splitlines(keepends=True) if not any(word in line for word in others)))
        if len(files := list((self.machine.root / "var" / "backups").iterdir())) != len({"version", "database", "keys"}):
            raise Failed(f"the backup is {files}")

    def _install_before(self) -> None:
        """Install the version before as docs/operations.md did then, with a filled database."""
        machine, checkout = self.machine, self.machine.root / "opt" / "poort"
        self.rehearsal.clone(checkout)
        files = " ".join(f"-r requirements{name}.txt" for name in ("", "-mysql", "-postgresql", "-redis"))
        machine.run(f"python3 -m venv .venv && .venv/bin/pip install -q --require-hashes {files}", cwd=checkout)
        machine.run("bin/new-env && mv .env /etc/poort/poort.env", cwd=checkout)
        keys = {
            f"JWT_{name}_KEY": f"{machine.root}/var/lib/poort/jwt/{file}.pem"
            for name, file in (("SECRET", "private"), ("PUBLIC", "public"))
        }
        with (machine.root / "etc" / "poort" / "poort.env").open("a") as env:
            env.writelines(f"{name}={value}\n" for name, value in ({"DATABASE_URL": self.url} | keys | SETTINGS).items())
        machine.run("poort setup")
        for unit in ("poort.service", "poort.socket"):
            shutil.copy(checkout / "deploy" / unit, machine.root / "etc" / "systemd" / "system")
        machine.run("systemctl start poort.socket poort")
        self.witness = fill(machine, machine.root / "run" / "poort" / "gunicorn.sock")


def environment_of(server: Server) -> dict[str, str]:
    """Create the database `poort`, and return what the clients of a database server need to find it."""
    statement = "CREATE DATABASE poort"
    port = server.address.rpartition(":")[2]
    if server.name == "postgresql":
        environment = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "postgres"}
        command = ["psql", "-qc", statement]
    else:
        # Debian's own configuration names the socket of its server, and wins over MYSQL_UNIX_PORT.
        (server.folder / "my.cnf").write_text(f"[client]\nsocket={server.folder}/socket\n")
        environment = {"MYSQL_HOME": str(server.folder)}
        command = ["mariadb", "-e", f"{statement} CHARACTER SET utf8mb4"]
    subprocess.run(command, check=True, env={"PATH": "/usr/local/bin:/usr/bin:/bin"} | environment)
    return environment


def git(*arguments: str) -> str:
    """Run git, and return what it prints."""
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
