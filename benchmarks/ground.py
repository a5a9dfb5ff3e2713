"""Prepare a temporary folder for servers: settings, keys, an administrator and users, also in the form that peers need."""

import json
import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from benchmarks.commands import ROOT, TITLES, is_poort
from benchmarks.seeding import fill
from benchmarks.serving import Server, clean_environment, running
from config import parse_settings

COST = 13  # the default of PASSWORD_HASH_COST
USERS = 1_000


@dataclass
class Ground:
    """A prepared folder. Its database has the administrator `admin`, whose password all users share."""

    folder: Path
    database_url: str
    password: str

    @property
    def settings(self) -> dict[str, str]:
        """Return Poort's environment variables."""
        return {"POORT_ENV_FILE": str(self.folder / ".env")}

    @property
    def peer_settings(self) -> dict[str, str]:
        """Return a peer's environment variables."""
        database = parse_settings({"DATABASE_URL": self.database_url}).database_url
        return {"PEER_FOLDER": str(self.folder / "peers"), "PEER_DATABASE": database.render_as_string(hide_password=False)}

    def server(self, name: str, path: Path | None = None) -> Server:
        """Return a server that is not started. With a path, it will listen on that unix socket."""
        return Server(name, self.folder, self.settings if is_poort(name) else self.peer_settings, path=path)

    def servers(self) -> list[Server]:
        """Return Poort and all peers, not started."""
        return [self.server(name) for name in TITLES]

    def fill(self, number: int) -> None:
        """Add users until the database has this many."""
        fill(self.database_url, number)


def lay(folder: Path, database_url: str = "", cost: int = COST) -> Ground:
    """Create settings, keys, tables and the administrator, as `make setup` does. The default database is SQLite."""
    folder.mkdir()
    database_url = database_url or f"sqlite:///{folder / 'poort.db'}"
    with os.fdopen(os.open(folder / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as settings:
        settings.write(f"JWT_PASSPHRASE={secrets.token_hex(32)}\nAPP_SECRET={secrets.token_hex(32)}\n")
        settings.write(f"PASSWORD_HASH_COST={cost}\nDATABASE_URL={database_url}\n")
    ground = Ground(folder, database_url, "")
    done = subprocess.run(
        (sys.executable, "bin/poort", "setup"),
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean_environment(**ground.settings),
    )
    found = re.search(r"^admin password: (\S+)$", done.stdout, re.MULTILINE)
    if found is None:
        sys.exit(f"bin/poort setup: {done.stdout}{done.stderr}")
    ground.password = found[1]
    return ground


def lay_with_peers(folder: Path, database_url: str = "") -> Ground:
    """Prepare a ground for all servers: a database with 1,000 users, the keys, and Poort's answers for bare Flask."""
    ground = lay(folder, database_url)
    ground.fill(USERS)
    peers = folder / "peers"
    peers.mkdir(0o700)
    passphrase = re.search(r"^JWT_PASSPHRASE=(.+)$", (folder / ".env").read_text(), re.MULTILINE)
    assert passphrase is not None
    key = load_pem_private_key((folder / "config/jwt/private.pem").read_bytes(), passphrase[1].encode())
    # Peers get the key without a passphrase, as in their documentation.
    (peers / "private.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (peers / "public.pem").write_bytes((folder / "config/jwt/public.pem").read_bytes())
    poort = ground.server("poort")
    with running(poort):
        poort.sign_in("admin", ground.password)
        (peers / "item.json").write_bytes(expect_user(poort))
        (peers / "list.json").write_bytes(poort.ask("GET", "/api/users")[1])
    return ground


def expect_user(server: Server) -> bytes:
    """Return a server's answer for a user. Exits if it shows none."""
    status, body = server.ask("GET", "/api/users/2")
    if status != 200 or json.loads(body).get("id") != 2:  # noqa: PLR2004
        sys.exit(f"{server.name} shows no user: {status} {body.decode()}")
    return body
