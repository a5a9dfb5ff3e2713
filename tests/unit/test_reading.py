"""Compiled reads: they see committed rows, convert column types, and survive a broken connection; on each database."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from databases import Databases
from factories import START, Database, bearer
from sqlalchemy import bindparam, column, create_engine, select, table
from sqlalchemy.exc import DBAPIError

from models import User
from models.compiled_reads import Read, Reader, _Held
from models.database import reads_never_wait
from models.outages import is_outage
from models.remembered_rows import Values
from security.verified_tokens import BearerToken, VerifiedTokens

CLAIMS = {"username": "alice", "iat": 100, "exp": 200}


@pytest.fixture
def reader(database: Database) -> Iterator[Reader]:
    made = Reader(lambda: database.engine)
    yield made
    made.close()


def users() -> Read:
    columns = (User.id, User.username, User.roles, User.locked, User.expires_at)
    return Read(select(*columns).where(User.id == bindparam("id")), (5, tuple))


def test_values_are_those_of_the_column_types(reader: Reader, database: Database) -> None:
    user = database.make_user("alice", ["ROLE_STUDENT"])
    assert reader.rows(users(), {"id": user.id}) == [(user.id, "alice", ["ROLE_STUDENT"], False, START)]
    assert reader.rows(users(), {"id": 0}) == []


def test_what_is_committed_is_seen_at_once(reader: Reader, database: Database) -> None:
    user, read = database.make_user("alice"), users()
    assert reader.rows(read, {"id": user.id})[0][1] == "alice"
    with database.session() as session:
        session.get_one(User, user.id).username = "alicia"
    assert reader.rows(read, {"id": user.id})[0][1] == "alicia"


def test_the_same_values_make_the_same_thing_once(reader: Reader, database: Database) -> None:
    one, made = database.make_user("alice"), []

    def make(values: Values) -> object:
        made.append(values)
        return object()

    read = Read(select(User.id, User.username).where(User.id == bindparam("id")), (1, tuple), (1, make))
    first, second = (reader.rows(read, {"id": one.id})[0] for _ in range(2))
    assert first[0] == (one.id,)
    assert first[1] is second[1]
    assert made == [("alice",)]


def kept_names(made: list[Values]) -> Read:
    def make(values: Values) -> object:
        made.append(values)
        return values[0]

    return Read(select(User.username).order_by(User.id).limit(bindparam("limit")), (1, make), is_kept=True)


def test_what_is_kept_is_what_is_committed(reader: Reader, database: Database) -> None:
    user, _, read = database.make_user("alice"), database.make_user("bob"), kept_names([])
    for _ in range(2):
        assert reader.rows(read, {"limit": 5}) == ["alice", "bob"]
        assert reader.rows(read, {"limit": 1}) == ["alice"]
    with database.session() as session:
        session.get_one(User, user.id).username = "alicia"
    assert reader.rows(read, {"limit": 5}) == ["alicia", "bob"]
    assert reader.rows(read, {"limit": 1}) == ["alicia"]


def test_sqlite_alone_says_that_nothing_has_changed(reader: Reader, database: Database) -> None:
    database.make_user("alice")
    read = kept_names([])
    first = reader.rows(read, {"limit": 5})
    assert (reader.rows(read, {"limit": 5}) is first) == (database.kind == "sqlite")
    database.make_user("bob")
    assert reader.rows(read, {"limit": 5}) is not first


def test_what_is_kept_is_bounded_in_bytes(reader: Reader, database: Database) -> None:
    database.make_user("alice")
    read = kept_names([])
    for limit in range(1, 1000):
        assert reader.rows(read, {"limit": limit}) == ["alice"]
    kept = reader._held.connection._kept
    assert kept.currsize <= kept.maxsize == 8 * 1024 * 1024 / 16
    assert len(kept) <= 512


def test_connection_that_broke_is_replaced(reader: Reader, database: Database) -> None:
    user, read = database.make_user("alice"), users()
    reader.rows(read, {"id": user.id})
    reader._held.connection.driver.close()
    assert reader.rows(read, {"id": user.id})[0][1] == "alice"
    assert len(reader._all) == 1


def test_held_connection_leaves_nothing_to_do_to_the_next_one_in_its_place(reader: Reader, database: Database) -> None:
    """SQLAlchemy would reset the isolation level of a connection that has it already, and not translate a failure."""
    reader.rows(users(), {"id": 0})
    with database.engine.connect() as connection:
        assert not connection.connection._connection_record.finalize_callback


def test_second_failure_is_sqlalchemys_own(reader: Reader, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is going away may accept a new connection, and break it at its first statement."""
    read, rows = users(), _Held.rows

    def broken_rows(held: _Held, *arguments: Any) -> list[Any]:
        held.driver.close()
        return rows(held, *arguments)

    reader.rows(read, {"id": database.make_user("alice").id})
    monkeypatch.setattr(_Held, "rows", broken_rows)
    with pytest.raises(DBAPIError) as failure:
        reader.rows(read, {"id": 1})
    assert database.kind == "sqlite" or is_outage(failure.value)
    monkeypatch.undo()
    assert reader.rows(read, {"id": 0}) == []


@pytest.mark.usefixtures("database")
def test_failure_is_sqlalchemys_own_and_not_tried_again(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, held = Read(select(column("id")).select_from(table("no_such_table")), (1, tuple)), []
    monkeypatch.setattr(reader, "_let_go", held.append)
    with pytest.raises(DBAPIError) as failure:
        reader.rows(gone, {})
    assert "no_such_table" in str(failure.value.orig)
    assert (held, len(reader._all)) == ([], 1)


def test_each_thread_holds_a_connection_of_its_own(reader: Reader, database: Database) -> None:
    user, read = database.make_user("alice"), users()
    threads = [threading.Thread(target=reader.rows, args=(read, {"id": user.id})) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reader._all) == 3


KIDS = frozenset({"one", "two"})


def test_token_is_remembered_while_its_times_are_good() -> None:
    tokens = VerifiedTokens()
    said = BearerToken.of("h.p.s", CLAIMS | {"nbf": 150})
    tokens.add("h.p.s", said, "one")
    found = {second: tokens.find("h.p.s", KIDS, second, 0) for second in (99, 149, 150, 199, 200)}
    assert found == {99: None, 149: None, 150: said, 199: said, 200: None}
    assert [tokens.find(*asked) for asked in (("h.p.s", KIDS, 204, 5), ("h.p.s", KIDS, 205, 5), ("h.p.S", KIDS, 150, 0))] == [
        said,
        None,
        None,
    ]


def test_token_is_good_only_while_the_key_that_verified_it_is() -> None:
    tokens = VerifiedTokens()
    assert tokens.find("h.p.s", {"two"}, 150, 0) is None, "the key set has changed already"
    tokens.add("h.p.s", BearerToken.of("h.p.s", CLAIMS), "one")  # by a thread that verified it with the earlier set
    assert tokens.find("h.p.s", {"two"}, 150, 0) is None
    assert tokens.find("h.p.s", {"two", "one"}, 150, 0) is not None


def test_so_many_tokens_are_remembered_and_no_more() -> None:
    tokens = VerifiedTokens()
    for number in range(5000):
        tokens.add(str(number), BearerToken.of(f"h.{number}.s", CLAIMS), "one")
    kept = [number for number in range(5000) if tokens.find(str(number), KIDS, 150, 0)]
    assert kept == list(range(904, 5000))


def test_long_token_is_not_remembered() -> None:
    tokens, long = VerifiedTokens(), f"h.{'p' * 1533}.s"
    assert len(long) == 1537
    for token in (long, long[1:]):
        tokens.add(token, BearerToken.of(token, CLAIMS), "one")
    assert (tokens.find(long, KIDS, 150, 0), tokens.find(long[1:], KIDS, 150, 0) is not None) == (None, True)


def test_full_memory_takes_tokens_from_many_threads() -> None:
    tokens, interval = VerifiedTokens(), sys.getswitchinterval()
    said = BearerToken.of("h.p.s", CLAIMS)

    def add(thread: int) -> None:
        for number in range(2000):
            tokens.add(f"{thread}-{number}", said, "one")

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(add, range(16)))
    finally:
        sys.setswitchinterval(interval)
    assert len(tokens._tokens) == 4096


def test_reads_never_wait_beside_a_write_ahead_log_alone(database: Database, tmp_path: Path) -> None:
    """The loop of a worker answers only such reads (deploy/loop_reads.py)."""
    assert reads_never_wait(database.engine) is (database.kind == "sqlite")
    without_log = create_engine(f"sqlite:///{tmp_path}/other.db")
    assert not reads_never_wait(without_log)
    without_log.dispose()


def test_user_is_read_while_another_program_holds_the_file_exclusively(databases: Databases) -> None:
    database = databases.shared("sqlite")
    app, alice = databases.app(database), database.make_user()
    client, headers = app.test_client(), bearer(app, alice)
    with database.engine.connect() as other:
        other.exec_driver_sql("BEGIN EXCLUSIVE")
        assert [client.get(path, headers=headers).status_code for path in (f"/api/users/{alice.id}", "/api/me")] == [200, 200]
