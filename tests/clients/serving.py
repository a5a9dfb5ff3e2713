"""A server that is set up as tests/contract/README.md says, with one more administrator."""

import atexit
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from factories import CONTRACT
from system.serving import Home, Server

PASSWORDS = json.loads((CONTRACT / "passwords.json").read_text())

#: An administrator with an id that no generated request hits, so that a fuzzer does not demote itself.
# The password is that of the examples in the OpenAPI document.
ROOT_USER, ROOT_PASSWORD = "root", "a long enough secret"
ROOT_ID = 2_147_483_000


@dataclass
class Served:
    """A running server and its home folder."""

    home: Home
    server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def token(self, username: str = "admin", password: str = "") -> str:
        """Sign in, by default as an administrator; return the token."""
        status, _, body = self.server.sign_in(username, password or PASSWORDS[username])
        assert status == 200, body
        return str(body["token"])


def serve(folder: Path, **variables: str) -> Served:
    """Serve a database with the fixture users of the contract."""
    home = home_in(folder, **variables)
    shutil.copytree(folder_with_users() / "var", folder / "var")
    return Served(home, home.serve())


def home_in(folder: Path, **variables: str) -> Home:
    """Make a folder with the keys of the contract and an `.env`."""
    (folder / "config").mkdir()
    shutil.copytree(CONTRACT / "jwt", folder / "config" / "jwt")
    (folder / "config" / "jwt" / "private.pem").chmod(0o600)
    return Home(folder).write_env(
        **{
            "JWT_PASSPHRASE": (CONTRACT / "jwt" / "PASSPHRASE").read_text().strip(),
            "APP_ENABLE_API_ENTRYPOINT": "1",
            "LOGIN_THROTTLING_MAX_ATTEMPTS": "0",
            "PASSWORD_HASH_COST": "4",
            **variables,
        }
    )


@cache
def folder_with_users() -> Path:
    """Make the database once, since its two commands take two seconds: it is the same with the settings of all these tests."""
    folder = Path(tempfile.mkdtemp(prefix="poort-users-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = home_in(folder)
    root = {"id": ROOT_ID, "username": ROOT_USER, "email": "root@example.com", "roles": ["ROLE_ADMIN"], "password": ROOT_PASSWORD}
    users = folder / "users.json"
    users.write_text(json.dumps([*json.loads((CONTRACT / "users.json").read_text()), root]))
    for command in (("db", "upgrade", "heads"), ("users", "import", str(users))):
        done = home.flask(*command)
        assert done.returncode == 0, done.stderr
    return folder
