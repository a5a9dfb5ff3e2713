"""Clients that sign in, read, write, refresh and revoke at several servers, and note what was acknowledged."""

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Self

from benchmarks.soak_load import Connection, request_bytes

OK, CREATED, NO_CONTENT, UNAUTHORIZED, UNAVAILABLE = 200, 201, 204, 401, 503

#: Answers after which a client knows that its write was made.
ACKNOWLEDGED = (OK, CREATED, NO_CONTENT)
KINDS = ("read", "create", "change", "sign in", "revoke", "refresh")
#: Seconds between two requests of a client.
PAUSE = 0.05
#: A session may be refreshed 60 times a minute.
REFRESH_EVERY = 1.5


@dataclass
class Answer:
    """An answer: the kind of its request, when it began and ended (of the monotonic clock), and its status (0: none)."""

    kind: str
    begun: float
    ended: float
    status: int
    says_when: bool

    @property
    def is_clean(self) -> bool:
        """Tell whether it is a success, or a 503 that says when to come back."""
        return self.status in ACKNOWLEDGED or (self.status == UNAVAILABLE and self.says_when)


@dataclass
class Expected:
    """What must be true at the end: created names, possible first names by id, revoked tokens, and living sessions."""

    created: list[str] = field(default_factory=list)
    firstnames: dict[int, list[str]] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    refresh_tokens: list[str] = field(default_factory=list)


class HaClient:
    """A client of one server, with users and a session of its own."""

    def __init__(self, name: str, port: int, token: str, password: str) -> None:
        self.answers: list[Answer] = []
        self.expected = Expected()
        self._name, self._token, self._password = name, token, password
        self._connection = Connection(port)
        self._made = 0
        self._user_id = 0
        self._refresh = ""
        self._refresh_at = 0.0

    async def begin(self) -> None:
        """Create the client's own user, who may sign in."""
        document = {"username": self._name, "email": "ha@example.com", "plainPassword": self._password}
        status, _ = await self._ask("create", "POST", "/api/users", document)
        assert status == CREATED, status

    async def work(self, ended: threading.Event) -> None:
        """Do one thing after the other until the end."""
        while not ended.is_set():
            for step in (self._read, self._create, self._change, self._sign_in_and_out, self._refresh_session):
                await step()
                await asyncio.sleep(PAUSE)
        self.expected.refresh_tokens.append(self._refresh)

    async def _ask(self, kind: str, method: str, path: str, document: object = None, token: str | None = None) -> Any:
        request = request_bytes(method, path, self._token if token is None else token, document, Accept="application/json")
        begun = time.monotonic()
        status, head, body = await self._connection.ask(request)
        self.answers.append(Answer(kind, begun, time.monotonic(), status, b"\r\nretry-after:" in head.lower()))
        return status, json.loads(body) if status in ACKNOWLEDGED and body else {}

    async def _read(self) -> None:
        await self._ask("read", "GET", f"/api/users/{self._user_id or 1}")

    async def _create(self) -> None:
        self._made += 1
        username = f"{self._name}n{self._made}"
        status, user = await self._ask("create", "POST", "/api/users", {"username": username, "email": "ha@example.com"})
        if status == CREATED:
            self.expected.created.append(username)
            self._user_id = user["id"]
            self.expected.firstnames[self._user_id] = [""]

    async def _change(self) -> None:
        if self._user_id:
            self._made += 1
            value = f"{self._name}v{self._made}"
            status, _ = await self._ask("change", "PATCH", f"/api/users/{self._user_id}", {"firstname": value})
            known = self.expected.firstnames[self._user_id]
            # An answer that is no success leaves open whether the commit was made.
            self.expected.firstnames[self._user_id] = [value] if status == OK else [*known, value]

    async def _sign_in_and_out(self) -> None:
        document = {"username": "admin", "password": self._password}
        status, given = await self._ask("sign in", "POST", "/api/authentication_token", document, token="")
        if status != OK:
            return
        status, _ = await self._ask("revoke", "POST", "/api/token/invalidate", token=given["token"])
        if status == NO_CONTENT:
            self.expected.revoked.append(given["token"])

    async def _refresh_session(self) -> None:
        if time.monotonic() < self._refresh_at:
            return
        self._refresh_at = time.monotonic() + REFRESH_EVERY
        if self._refresh:
            status, given = await self._ask("refresh", "POST", "/api/token/refresh", {"refresh_token": self._refresh}, token="")
        else:
            document = {"username": self._name, "password": self._password}
            status, given = await self._ask("sign in", "POST", "/api/authentication_token", document, token="")
        if status == OK:
            self._refresh = given["refresh_token"]


class Load:
    """Clients in a thread of their own, spread over servers. Use it as a context: they end with it."""

    def __init__(self, names: Sequence[str], ports: Sequence[int], token: str, password: str) -> None:
        self._clients = [HaClient(name, ports[number % len(ports)], token, password) for number, name in enumerate(names)]
        self.begun = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()))

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        assert self.begun.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        """End the clients after their last requests."""
        self._ended.set()
        self._thread.join()

    @property
    def answers(self) -> list[Answer]:
        """Return all answers so far."""
        return [answer for client in self._clients for answer in list(client.answers)]

    @property
    def expected(self) -> Sequence[Expected]:
        """Return what each client expects, after the end."""
        return [client.expected for client in self._clients]

    def wait_until_back(self, since: float, kinds: Sequence[str] = KINDS, limit: float = 60) -> float:
        """Wait until requests of all kinds that began after a moment succeed. Return the seconds, or infinity after the limit."""
        while (seconds := max(self._seconds(since, kind) for kind in kinds)) == inf and time.monotonic() - since < limit:
            time.sleep(0.05)
        return seconds

    def _seconds(self, since: float, kind: str) -> float:
        good = [a.ended - since for a in self.answers if a.kind == kind and a.begun > since and a.status in ACKNOWLEDGED]
        return min(good, default=inf)

    async def _work(self) -> None:
        for client in self._clients:
            await client.begin()
        self.begun.set()
        await asyncio.gather(*(client.work(self._ended) for client in self._clients))
