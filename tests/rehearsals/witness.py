"""Fill a server before an upgrade, and see after each step that nothing of it is lost."""

import json
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pyotp
from sqlalchemy import MetaData, create_engine, select

from config.settings import parse_settings

from .pages import Failed, Machine

#: Users of the import, by name; `signed-out` has a token that was ended.
NAMES = ("alice", "bob", "carol", "robot", "signed-out", *(f"student{number}" for number in range(40)))
PASSWORD = "of the rehearsal"
TOKEN = "/api/authentication_token"

Rows = dict[str, Counter[tuple[tuple[str, str], ...]]]


class UnixConnection(HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def rows_of(database_url: str) -> Rows:
    """Return all rows of all tables but Alembic's and the throttle's, as texts of their columns."""
    engine = create_engine(parse_settings({"DATABASE_URL": database_url}).database_url)
    try:
        with engine.connect() as connection:
            (metadata := MetaData()).reflect(connection)
            return {
                table.name: Counter(
                    tuple((name, str(value)) for name, value in sorted(row._mapping.items()))
                    for row in connection.execute(select(table))
                )
                for table in metadata.sorted_tables
                if table.name not in {"alembic_version", "poort_throttled_login"} and "user_search" not in table.name
            }
    finally:
        engine.dispose()


def lost(before: Rows, after: Rows) -> list[str]:
    """Return what rows are no longer there, table by table, looking at the columns that both have."""
    found = []
    for table, rows in before.items():
        left = after.get(table, Counter())
        names = {name for row in rows for name, _ in row} & {name for row in left for name, _ in row}
        were, are = (Counter(tuple(pair for pair in row if pair[0] in names) for row in some.elements()) for some in (rows, left))
        found += [f"{table}: {row}" for row in (were - are) if rows]
    return found


@dataclass
class Witness:
    """Who knows what was on the server before: tokens, keys, codes and users."""

    request: Callable[..., tuple[int, Any]]
    names: list[str] = field(default_factory=lambda: ["admin", *NAMES])
    tokens: dict[str, str] = field(default_factory=dict)
    refresh_token: str = ""
    api_key: str = ""
    codes: list[str] = field(default_factory=list)

    def sign_in(self, name: str, **more: str) -> dict[str, str]:
        """Sign in; return the answer. Raises Failed."""
        return self.expect(200, "POST", TOKEN, {"username": name, "password": PASSWORD} | more)

    def expect(self, status: int, method: str, path: str, document: object = None, token: str = "") -> Any:
        """Send a request; return its answer. Raises Failed if the status is another one."""
        found, body = self.request(method, path, document, token)
        if found != status:
            raise Failed(f"{method} {path}: {found} instead of {status}: {body}")
        return body

    def look(self, stage: str) -> None:
        """Use all that was there before, and write something new. Raises Failed."""
        if self.expect(200, "GET", "/readyz") != {"status": "ok", "failing": [], "degraded": []}:
            raise Failed(f"{stage}: the server is degraded")
        for name in ("alice", "admin"):
            self.expect(200, "GET", "/api/me", token=self.tokens[name])
        self.expect(401, "GET", "/api/me", token=self.tokens["signed-out"])
        self.expect(200, "GET", "/api/me", token=self.api_key)
        self.refresh_token = self.expect(200, "POST", "/api/token/refresh", {"refresh_token": self.refresh_token})[
            "refresh_token"
        ]
        self.sign_in("bob")
        self.expect(401, "POST", TOKEN, {"username": "carol", "password": PASSWORD})
        self.sign_in("carol", totp=self.codes.pop())
        page = self.expect(200, "GET", "/api/users.json?itemsPerPage=1000", token=self.tokens["admin"])
        if sorted(user["username"] for user in page) != sorted(self.names):
            raise Failed(f"{stage}: users are {sorted(user['username'] for user in page)}")
        self.names.append(f"made-{len(self.names)}")
        user = {"username": self.names[-1], "email": f"{self.names[-1]}@example.com", "plainPassword": PASSWORD}
        self.expect(201, "POST", "/api/users", user, token=self.tokens["admin"])


def fill(machine: Machine, socket_path: Path) -> Witness:
    """Fill the server that runs on a machine: users, sessions, keys, audit rows and a second factor."""

    def request(method: str, path: str, document: object = None, token: str = "") -> tuple[int, Any]:
        connection = UnixConnection(socket_path)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection.request(method, path, None if document is None else json.dumps(document), headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, json.loads(body or "null")

    witness = Witness(request)
    users = [{"username": name, "email": f"{name}@example.com", "password": PASSWORD, "phone": "1"} for name in NAMES]
    (machine.root / "users.json").write_text(json.dumps(users))
    machine.run(
        f"poort users import --format json {machine.root}/users.json",
        f"poort users set-password --password-stdin admin <<<'{PASSWORD}'",
        "poort extra-fields create legal_id --label Number\npoort extra-fields set alice legal_id AB-12",
        "poort jwt rotate-key --wait 0",
    )
    witness.api_key = machine.run("poort api-key create robot").split()[-1]
    for name in ("admin", "alice", "carol", "signed-out"):
        answer = witness.sign_in(name)
        witness.tokens[name] = answer["token"]
        witness.refresh_token = witness.refresh_token if name == "signed-out" else answer["refresh_token"]
    witness.expect(204, "POST", "/api/token/invalidate", token=witness.tokens["signed-out"])
    witness.expect(401, "POST", TOKEN, {"username": "bob", "password": "wrong"})
    secret = witness.expect(200, "POST", "/api/me/totp", {"password": PASSWORD}, witness.tokens["carol"])["secret"]
    code = pyotp.TOTP(secret).now()
    witness.codes = witness.expect(200, "PUT", "/api/me/totp", {"totp": code}, witness.tokens["carol"])["backupCodes"]
    witness.refresh_token = witness.sign_in("alice")["refresh_token"]
    return witness
