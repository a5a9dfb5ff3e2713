"""The load of a soak: clients that read, search, sign in and write, and record every answer.

`python -m benchmarks.soak_load` reads its arguments as JSON from standard input and prints its result as JSON.
"""

import asyncio
import json
import random
import re
import sys
import time
from typing import Any

from benchmarks.clients import Clients

CLIENTS = 12
#: Requests per second and client, few enough to leave the machine time to replace workers.
PACE = 10
#: Seconds between two sign-ins, long enough that none gets 503.
SIGN_IN_EVERY = 1.5
#: A request without an answer after this time has failed.
TIMEOUT_SECONDS = 30

#: kind: its share of the requests, in percent.
KINDS = {"read": 47, "page": 15, "search": 8, "unchanged": 10, "create": 9, "change": 8, "delete": 3}
#: kind: the expected status, if not 200.
EXPECTED = {"create": 201, "delete": 204, "unchanged": 304}

#: A lost answer, or an outage of the database: the write may have been committed or not.
UNKNOWN = frozenset((0, 503))

#: Appended to the kind of a request that got 503 with Retry-After.
TOLD = ", told to come back"

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_ETAG = re.compile(rb"\r\netag: *([^\r]+)", re.IGNORECASE)


def request_bytes(method: str, path: str, token: str = "", document: object = None, **fields: str) -> bytes:
    """Return a request, with a JSON body if there is a document. `If_Match="…"` adds the header field `If-Match`."""
    body = b"" if document is None else json.dumps(document, ensure_ascii=False).encode()
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", f"Content-Type: {content_type}"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


class Connection:
    """A persistent connection, which is reopened if the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Return status, head and body. The status is 0 if there is no complete answer."""
        try:
            return await asyncio.wait_for(self._exchange(request), TIMEOUT_SECONDS)
        except (OSError, EOFError, TimeoutError):
            self.close()
            return 0, b"", b""

    async def _exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        if self._stream and (self._stream[0].at_eof() or self._stream[0].exception()):
            self.close()
        if self._stream is None:
            self._stream = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._stream
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        if _CLOSES.search(head):
            self.close()
        return int(head[9:12]), head, body

    def close(self) -> None:
        """Close the connection. The next request reopens it."""
        if self._stream:
            self._stream[1].close()
        self._stream = None


class Client:
    """A client with its own users. `answers` has kind, begin, end (of the monotonic clock) and status."""

    def __init__(self, number: int, port: int, token: str, users: int) -> None:
        self.answers: list[tuple[str, float, float, int]] = []
        #: user name: what its row must be, and what it may be besides where an answer was lost.
        self.users: dict[str, dict[str, Any]] = {}
        self._name, self._token, self._last_id = f"soak{number}", token, users
        self._connection = Connection(port)
        self._random = random.Random(number)
        self._made = 0
        self._etag = ""

    async def work(self, until: float, pace: float) -> None:
        """Ask one thing after the other."""
        while (begun := time.monotonic()) < until:
            (kind,) = self._random.choices(list(KINDS), list(KINDS.values()))
            await getattr(self, kind)()
            await asyncio.sleep(max(0, begun + 1 / pace - time.monotonic()))

    async def sign_in_again(self, until: float, password: str) -> None:
        """Sign in now and then, and read with each new token."""
        while (begun := time.monotonic()) < until:
            body = {"username": "admin", "password": password}
            status, _, answer = await self._ask("sign in", "POST", "/api/authentication_token", body)
            if status == EXPECTED.get("sign in", 200):
                self._token = json.loads(answer)["token"]
            await self.read()
            await asyncio.sleep(max(0, begun + SIGN_IN_EVERY - time.monotonic()))

    async def read(self) -> None:
        """Read one of the filled users."""
        await self._ask("read", "GET", f"/api/users/{self._random.randint(1, self._last_id)}")

    async def page(self) -> None:
        """Read one of the first pages."""
        await self._ask("page", "GET", f"/api/users?page={self._random.randint(1, 3)}")

    async def search(self) -> None:
        """Search for part of a name."""
        await self._ask("search", "GET", f"/api/users?lastname={self._random.choice(('berg', 'kamp', 'veld'))}")

    async def unchanged(self) -> None:
        """Request an unchanged user conditionally."""
        if not self._etag:
            _, head, _ = await self._ask("read", "GET", "/api/users/2")
            found = _ETAG.search(head)
            self._etag = found[1].decode() if found else ""
        await self._ask("unchanged", "GET", "/api/users/2", If_None_Match=self._etag)

    async def create(self) -> None:
        """Create a user."""
        self._made += 1
        username = f"{self._name}n{self._made}"
        status, _, answer = await self._ask("create", "POST", "/api/users", {"username": username, "email": "soak@example.com"})
        if status == EXPECTED["create"]:
            self.users[username] = {"id": json.loads(answer)["id"], "firstname": [""], "deleted": [False]}

    async def change(self) -> None:
        """Change the first name of one of its users."""
        if user := self._some_user():
            self._made += 1
            name = f"{self._name}v{self._made}"
            status, _, _ = await self._ask("change", "PATCH", f"/api/users/{user['id']}", {"firstname": name})
            if status in {200, *UNKNOWN}:
                user["firstname"] = [*(user["firstname"] if status in UNKNOWN else ()), name]

    async def delete(self) -> None:
        """Delete one of its users."""
        if user := self._some_user():
            status, _, _ = await self._ask("delete", "DELETE", f"/api/users/{user['id']}")
            if status in {204, *UNKNOWN}:
                user["deleted"] = [False, True] if status in UNKNOWN else [True]

    def _some_user(self) -> dict[str, Any] | None:
        there = [user for user in self.users.values() if user["deleted"] == [False]]
        return self._random.choice(there) if there else None

    async def _ask(self, kind: str, method: str, path: str, document: object = None, **fields: str) -> tuple[int, bytes, bytes]:
        request = request_bytes(method, path, self._token, document, Accept="application/json", **fields)
        begun = time.monotonic()
        answer = await self._connection.ask(request)
        status = answer[0]
        if status == 503 and b"\r\nretry-after:" in answer[1].lower():  # noqa: PLR2004
            kind += TOLD
        self.answers.append((kind, begun, time.monotonic(), status))
        return answer


async def run(port: int, password: str, token: str, users: int, seconds: float) -> dict[str, Any]:
    """Run all clients for this time. Returns their answers, and the rows that must exist."""
    until = time.monotonic() + seconds
    clients = [Client(number, port, token, users) for number in range(CLIENTS)]
    signing_in = Client(CLIENTS, port, token, users)
    await asyncio.gather(signing_in.sign_in_again(until, password), *(client.work(until, PACE) for client in clients))
    everyone = [*clients, signing_in]
    made = {name: user for client in clients for name, user in client.users.items()}
    return {"answers": [answer for client in everyone for answer in client.answers], "users": made}


class MixedClients(Clients):
    """A process of these clients. `result` returns the result of `run`."""

    module = "benchmarks.soak_load"


if __name__ == "__main__":
    json.dump(asyncio.run(run(**json.load(sys.stdin))), sys.stdout)
