"""Clients on a host of their own: they read and write at a URL for some seconds, and print what they saw as JSON.

Reads and writes use connections that are kept, as browsers do, and open new ones after a failure.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

READERS, WRITERS = 4, 2
PAUSE_SECONDS = 0.02
TIMEOUT_SECONDS = 30


class Client:
    """A client. `seen` has kind, begin, end (of the monotonic clock) and status, 0 for none."""

    def __init__(self, url: str, password: str, name: str) -> None:
        self.seen: list[tuple[str, float, float, int]] = []
        self._address, self._password, self._name = urlsplit(url).netloc, password, name
        self._headers = {"Accept": "application/json"}
        self._connection = HTTPConnection(self._address, timeout=TIMEOUT_SECONDS)

    def work(self, seconds: float) -> "Client":
        """Sign in, and ask until the time is over."""
        _, answer = self._ask("POST", "/api/authentication_token", {"username": "admin", "password": self._password})
        self._headers["Authorization"] = f"Bearer {json.loads(answer)['token']}"
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            begun, number = time.monotonic(), number + 1
            if self._name.startswith("read"):
                status, _ = self._ask("GET", "/api/users/1")
            else:
                user = {"username": f"{self._name}n{number}", "email": "ha@example.com"}
                status, _ = self._ask("POST", "/api/users", user)
            self.seen.append((self._name, begun, time.monotonic(), status))
            time.sleep(PAUSE_SECONDS)
        return self

    def fail_to_sign_in(self) -> None:
        """Give a wrong password, and lie about the own address."""
        self._headers["X-Forwarded-For"] = "198.51.100.7"
        self._ask("POST", "/api/authentication_token", {"username": "admin", "password": "wrong"})

    def _ask(self, method: str, path: str, document: object = None) -> tuple[int, bytes]:
        try:
            body = None if document is None else json.dumps(document)
            self._connection.request(method, path, body, self._headers | {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException):
            self._connection.close()
            return 0, b""


def run(url: str, password: str, seconds: float) -> list[Any]:
    """Run all clients, and return what they saw."""
    Client(url, password, "stranger").fail_to_sign_in()
    names = [f"read{number}" for number in range(READERS)] + [f"write{number}" for number in range(WRITERS)]
    clients = [Client(url, password, f"{name}t{int(time.time())}") for name in names]
    with ThreadPoolExecutor(len(clients)) as pool:
        done = pool.map(lambda client: client.work(seconds), clients)
        return [seen for client in done for seen in client.seen]


if __name__ == "__main__":
    json.dump(run(**json.loads(sys.argv[1])), sys.stdout)
