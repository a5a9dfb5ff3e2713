"""What servers stand on: a scratch folder with settings, keys, an administrator and users, and the peers' view of it."""

import json
import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from benchmarks.seeding import fill
from benchmarks.serving import ROOT, TITLES, Server, clean_environment, running

COST = 13  # the default of PASSWORD_HASH_COST
USERS = 1_000


@dataclass
class Ground:
    """A folder whose database has an administrator, `admin`; all users have the administrator's password."""

    folder: Path
    database_url: str
    password: str

    @property
    def settings(self) -> dict[str, str]:
        """Return what sets Poort."""
        return {"POORT_ENV_FILE": str(self.folder / ".env")}

    @property
    def peer_settings(self) -> dict[str, str]:
        """Return what sets a peer."""
        return {"PEER_FOLDER": str(self.folder / "peers"), "PEER_DATABASE": self.database_url.removeprefix("sqlite:///")}

    def server(self, name: str) -> Server:
        """Return a server, not started."""
        return Server(name, self.folder, self.settings if name == "poort" else self.peer_settings)

    def servers(self) -> list[Server]:
        """Return all of them, not started."""
        return [self.server(name) for name in TITLES]

    def fill(self, number: int) -> None:
        """Bring the database to this number of users."""
        fill(self.database_url, number)


def lay(folder: Path, database_url: str = "", cost: int = COST) -> Ground:
    """Make settings, keys, tables and the administrator, as `make setup` does; on SQLite where no other database is named."""
    folder.mkdir()
    database_url = database_url or f"sqlite:///{folder / 'poort.db'}"
    with os.fdopen(os.open(folder / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as settings:
        for name, value in {
            "JWT_PASSPHRASE": secrets.token_hex(32),
            "APP_SECRET": secrets.token_hex(32),
            "PASSWORD_HASH_COST": cost,
            "DATABASE_URL": database_url,
        }.items():
            settings.write(f"{name}={value}\n")
    ground = Ground(folder, database_url, "")
    done = subprocess.run(
        (sys.executable, "bin/serve", "--setup"),
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean_environment(**ground.settings),
    )
    found = re.search(r"^admin password: (\S+)$", done.stdout, re.MULTILINE)
    if found is None:
        sys.exit(f"bin/serve --setup: {done.stdout}{done.stderr}")
    ground.password = found[1]
    return ground


def lay_with_peers(folder: Path) -> Ground:
    """Lay the ground that all servers share: Poort's own file with 1,000 users, its keys, and what it answers for bare Flask."""
    ground = lay(folder)
    ground.fill(USERS)
    peers = folder / "peers"
    peers.mkdir(0o700)
    passphrase = re.search(r"^JWT_PASSPHRASE=(.+)$", (folder / ".env").read_text(), re.MULTILINE)
    assert passphrase is not None
    key = load_pem_private_key((folder / "config/jwt/private.pem").read_bytes(), passphrase[1].encode())
    # Peers are given the key as their documentation has it, without a passphrase.
    (peers / "private.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (peers / "public.pem").write_bytes((folder / "config/jwt/public.pem").read_bytes())
    poort = ground.server("poort")
    with running(poort):
        poort.sign_in("admin", ground.password)
        (peers / "item.json").write_bytes(expect_user(poort))
        (peers / "list.json").write_bytes(poort.ask("GET", "/api/users")[1])
    return ground


def expect_user(server: Server) -> bytes:
    """Return what a server answers for a user, and stop where that is not a user."""
    status, body = server.ask("GET", "/api/users/2")
    if status != 200 or json.loads(body).get("id") != 2:  # noqa: PLR2004
        sys.exit(f"{server.name} shows no user: {status} {body.decode()}")
    return body
