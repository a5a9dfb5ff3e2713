"""The load of a failover: clients that read, sign in, write, refresh and sign out, and record every answer.

`python -m benchmarks.ha.load` reads its arguments as JSON from standard input and prints its result as JSON. It ends when its
file `until` exists, and then checks over HTTP that no session and no sign-out was lost.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.clients import Clients
from benchmarks.soak_load import Connection, request_bytes

OK, CREATED, NO_CONTENT, DENIED, LATER = 200, 201, 204, 401, 503
#: Answers of these kinds are good with this status, if not with 200.
GOOD = {"create": CREATED, "sign out": NO_CONTENT, "read with an ended token": DENIED}
#: Clients of each kind, and the seconds between two of their requests.
CLIENTS = {
    "read": (6, 0.1),
    "change": (4, 0.1),
    "create": (2, 0.2),
    "sign_in": (3, 0.3),
    "refresh": (8, 1.2),
    "sign_out": (3, 0.3),
    "spy": (2, 0.1),
}
#: A client that is told to come back tries again after this time; the server's answer says a second or more.
AGAIN_SECONDS = 0.25
FINAL_ATTEMPTS = 20


class Load:
    """What all clients share. `answers` has kind, begin, end, status, and whether it has Retry-After."""

    def __init__(self, port: int, password: str, token: str, users: int, until: str) -> None:
        self.port, self.password, self.token, self.last_id, self._until = port, password, token, users, Path(until)
        self.answers: list[tuple[str, float, float, int, bool]] = []
        #: user name: what its row may be, as in benchmarks/soak_bounds.wrong_rows.
        self.users: dict[str, dict[str, Any]] = {}
        #: "event username": the number of audit rows that were acknowledged.
        self.audit: Counter[str] = Counter()
        #: Tokens that a sign-out has ended.
        self.ended: list[str] = []
        self.unchecked: list[str] = []
        self.faults: list[str] = []
        self._numbers = iter(range(2, users))

    @property
    def is_on(self) -> bool:
        """Tell whether to go on."""
        return not self._until.exists()

    def next_user(self) -> int:
        """Return the id of a filled user that no other client uses."""
        return next(self._numbers)

    async def run(self) -> None:
        """Run all clients to the end, and then the checks."""
        clients = [Client(self, kind, pace) for kind, (number, pace) in CLIENTS.items() for _ in range(number)]
        await asyncio.gather(*(client.work() for client in clients))
        self.unchecked = [*self.ended]
        await asyncio.gather(*(client.finish() for client in clients))

    def result(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        sums = {"audit": dict(self.audit), "ended": len(self.ended)}
        return {"answers": self.answers, "users": self.users, "faults": self.faults} | sums


class Client:
    """One client, which does one kind of thing."""

    def __init__(self, load: Load, kind: str, pace: float) -> None:
        self._load, self._kind, self._pace = load, kind, pace
        self._id = load.next_user()
        self._username = f"user{self._id}"
        self._connection = Connection(load.port)
        self._number = 0
        self._refresh_token = ""

    async def work(self) -> None:
        """Ask again and again."""
        await asyncio.sleep(random.random() * self._pace)
        while self._load.is_on:
            begun = time.monotonic()
            is_good = await getattr(self, self._kind)()
            await asyncio.sleep(max(0, begun + self._pace - time.monotonic()) if is_good else AGAIN_SECONDS)

    async def read(self) -> bool:
        """Read one of the filled users."""
        status, _ = await self._ask("read", "GET", f"/api/users/{random.randint(1, self._load.last_id)}", self._load.token)
        return status == OK

    async def change(self) -> bool:
        """Change the first name of its user."""
        self._number += 1
        name = f"v{self._number}"
        status, _ = await self._ask("change", "PATCH", f"/api/users/{self._id}", self._load.token, {"firstname": name})
        user = self._load.users.setdefault(self._username, {"firstname": [], "deleted": [False]})
        # A 503, or no answer, may come after the commit.
        user["firstname"] = [name] if status == OK else [*user["firstname"], name] if user["firstname"] else []
        if not user["firstname"]:
            del self._load.users[self._username]
        return self._counted("user_changed", self._username, is_good=status == OK)

    async def create(self) -> bool:
        """Create a user."""
        self._number += 1
        username = f"ha{self._id}n{self._number}"
        status, _ = await self._ask(
            "create", "POST", "/api/users", self._load.token, {"username": username, "email": "ha@example.com"}
        )
        if status == CREATED:
            self._load.users[username] = {"firstname": [""], "deleted": [False]}
        return self._counted("user_created", username, is_good=status == CREATED)

    async def sign_in(self) -> bool:
        """Sign in."""
        return bool(await self._tokens())

    async def refresh(self) -> bool:
        """Keep a session: a refresh token that got no answer is sent again, and must never be refused."""
        if not self._refresh_token:
            self._refresh_token = (await self._tokens()).get("refresh_token", "")
            return bool(self._refresh_token)
        status, document = await self._ask("refresh", "POST", "/api/token/refresh", "", {"refresh_token": self._refresh_token})
        if status == DENIED:
            self._load.faults.append(f"the session of {self._username} is lost")
            self._refresh_token = ""
        if status == OK:
            self._refresh_token = document["refresh_token"]
        return self._counted("token_refreshed", self._username, is_good=status == OK)

    async def sign_out(self) -> bool:
        """Sign in and out again."""
        token = (await self._tokens()).get("token", "")
        if not token:
            return False
        status, _ = await self._ask("sign out", "POST", "/api/token/invalidate", token)
        if status == NO_CONTENT:
            self._load.ended.append(token)
        return self._counted("token_ended", self._username, is_good=status == NO_CONTENT)

    async def spy(self) -> bool:
        """Read with one of the tokens that were ended, mostly a recent one."""
        if not self._load.ended:
            return False
        return await self._spy_with(random.choice(self._load.ended[-random.choice((1, 10, 1000)) :]))

    async def finish(self) -> None:
        """Check that nothing acknowledged was lost: sessions can still be refreshed, and ended tokens are refused."""
        kind, self._pace = self._kind, 0
        if kind == "refresh":
            await self._until_good(self.refresh)
        elif kind == "spy":
            while self._load.unchecked:
                token = self._load.unchecked.pop()
                await self._until_good(lambda token=token: self._spy_with(token))
        self._connection.close()

    async def _until_good(self, ask: Any) -> None:
        for _ in range(FINAL_ATTEMPTS):
            if await ask():
                return
            await asyncio.sleep(AGAIN_SECONDS)
        self._load.faults.append(f"{self._kind}: no good answer at the end")

    async def _spy_with(self, token: str) -> bool:
        status, _ = await self._ask("read with an ended token", "GET", "/api/users/1", token)
        if status == OK:
            self._load.faults.append("an ended token was accepted")
        return status == DENIED

    async def _tokens(self) -> dict[str, str]:
        body = {"username": self._username, "password": self._load.password}
        status, document = await self._ask("sign in", "POST", "/api/authentication_token", "", body)
        return document if self._counted("sign_in", self._username, is_good=status == OK) else {}

    def _counted(self, event: str, username: str, *, is_good: bool) -> bool:
        self._load.audit[f"{event} {username}"] += is_good
        return is_good

    async def _ask(self, kind: str, method: str, path: str, token: str, document: object = None) -> tuple[int, Any]:
        request = request_bytes(method, path, token, document, Accept="application/json")
        begun = time.monotonic()
        status, head, body = await self._connection.ask(request)
        self._load.answers.append((kind, begun, time.monotonic(), status, b"\r\nretry-after:" in head.lower()))
        return status, json.loads(body) if status in {OK, CREATED} else {}


class FailoverClients(Clients):
    """A process of these clients. `result` returns the result of `Load`."""

    module = "benchmarks.ha.load"


async def _run(**arguments: Any) -> dict[str, Any]:
    load = Load(**arguments)
    await load.run()
    return load.result()


if __name__ == "__main__":
    json.dump(asyncio.run(_run(**json.load(sys.stdin))), sys.stdout)
