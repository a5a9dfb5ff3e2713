"""A database that hangs: its process is stopped, while its kernel still accepts and acknowledges. 503 in time, and recovery."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from databases import Databases
from factories import Database, bearer, dispose, settings_for
from werkzeug.test import TestResponse

from app import create_app, utc_now
from benchmarks.database_servers import STARTERS
from benchmarks.services import Server

pytestmark = pytest.mark.early

KINDS = tuple(STARTERS)

#: What docs/operations.md promises.
MOST_SECONDS = 20


class Caller:
    """An administrator who reads, signs in and writes, each on a thread of its own, which keeps its connection."""

    def __init__(self, database: Database) -> None:
        self.app = create_app(settings_for(DATABASE_URL=database.url), utc_now)
        alice = database.make_user("alice", ["ROLE_ADMIN"], password="secret")
        self.item, self.headers = f"/api/users/{alice.id}", bearer(self.app, alice)
        self.works: dict[str, Callable[[], TestResponse]] = {"read": self.read, "sign in": self.sign_in, "write": self.write}
        self.threads = {name: ThreadPoolExecutor(1) for name in self.works}
        self.seconds: dict[str, float] = {}

    def read(self) -> TestResponse:
        return self.app.test_client().get(self.item, headers=self.headers)

    def sign_in(self) -> TestResponse:
        body = {"username": "alice", "password": "secret"}
        return self.app.test_client().post("/api/authentication_token", json=body)

    def write(self) -> TestResponse:
        headers = self.headers | {"Content-Type": "application/merge-patch+json"}
        return self.app.test_client().patch(self.item, json={"lastname": "Liddell"}, headers=headers)

    def timed(self, name: str) -> TestResponse:
        begun = time.monotonic()
        answer = self.works[name]()
        self.seconds[name] = time.monotonic() - begun
        return answer

    def begin(self) -> dict[str, "Future[TestResponse]"]:
        return {name: thread.submit(self.timed, name) for name, thread in self.threads.items()}

    def answers(self) -> dict[str, int]:
        return statuses(self.begin())

    def close(self) -> None:
        for thread in self.threads.values():
            thread.shutdown()
        dispose(self.app)


def statuses(begun: dict[str, "Future[TestResponse]"]) -> dict[str, int]:
    return {name: future.result().status_code for name, future in begun.items()}


ALL_GOOD = {"read": 200, "sign in": 200, "write": 200}
ALL_503 = dict.fromkeys(ALL_GOOD, 503)


@contextmanager
def hung(server: Server) -> Iterator[None]:
    """Stop the process of a server and those that it has started; PostgreSQL has one for each connection."""
    stopped = [server.process.pid]
    os.kill(server.process.pid, signal.SIGSTOP)  # the first, so that no further ones appear
    stopped += [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if parent_of(stat) == server.process.pid]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)


def parent_of(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


@pytest.fixture
def make_caller(databases: Databases) -> Iterator[Callable[[str], Caller]]:
    made: list[Caller] = []

    def make(kind: str) -> Caller:
        made.append(Caller(databases.shared(kind)))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


@pytest.mark.services
@pytest.mark.parametrize("kind", KINDS)
def test_server_recovers_by_itself_from_a_database_that_hung(
    databases: Databases,
    make_caller: Callable[[str], Caller],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("models.database.STATEMENT_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr("models.database.CONNECT_TIMEOUT_SECONDS", 2)
    caller = make_caller(kind)
    assert caller.answers() == ALL_GOOD
    with hung(databases.server(kind)):
        assert caller.answers() == ALL_503, "connections that are held"
        assert caller.answers() == ALL_503, "new ones"
    time.sleep(1.1)  # the pause in which nobody tries to connect
    assert caller.answers() == ALL_GOOD
    failures = {(record.message, record.code) for record in caplog.records if record.message.startswith("the database cannot be")}
    assert failures
    assert all(message.removeprefix("the database cannot be used: ") and code for message, code in failures)


@pytest.mark.services
@pytest.mark.parametrize("kind", KINDS)
def test_request_that_uses_two_connections_waits_for_one_limit(
    databases: Databases, make_caller: Callable[[str], Caller], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the pool to read the keys of other hosts, and the one that its thread holds."""
    monkeypatch.setattr("models.database.STATEMENT_TIMEOUT_SECONDS", 1)
    caller = make_caller(kind)
    assert caller.answers() == ALL_GOOD
    time.sleep(1.1)  # what is known of the keys is older than a second
    with hung(databases.server(kind)):
        assert caller.threads["read"].submit(caller.timed, "read").result().status_code == 503
    assert 2 <= caller.seconds["read"] < 3.5


@pytest.mark.services
@pytest.mark.slow
def test_all_is_answered_in_time_while_the_database_hangs(databases: Databases, make_caller: Callable[[str], Caller]) -> None:
    """With the limits of a real server, on all databases at once."""
    callers = [make_caller(kind) for kind in KINDS]
    assert [caller.answers() for caller in callers] == [ALL_GOOD] * len(KINDS)
    with ExitStack() as stack:
        for kind in KINDS:
            stack.enter_context(hung(databases.server(kind)))
        begun = [caller.begin() for caller in callers]
        assert [statuses(futures) for futures in begun] == [ALL_503] * len(KINDS)
    assert max(second for caller in callers for second in caller.seconds.values()) < MOST_SECONDS, [
        caller.seconds for caller in callers
    ]
