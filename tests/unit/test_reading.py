"""Reading fast: what is committed, as the column types have it, on a connection that may break; on each database."""

import threading
from collections.abc import Iterator

import pytest
from factories import START, Database
from sqlalchemy import bindparam, column, select, table
from sqlalchemy.exc import DBAPIError

from models import User
from models.reading import Read, Reader, Values
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


def test_so_many_reads_are_kept_and_no_more(reader: Reader, database: Database) -> None:
    database.make_user("alice")
    read = kept_names([])
    for limit in range(1, 200):
        assert reader.rows(read, {"limit": limit}) == ["alice"]
    assert len(reader._held.connection._kept) <= 64


def test_connection_that_broke_is_replaced(reader: Reader, database: Database) -> None:
    user, read = database.make_user("alice"), users()
    reader.rows(read, {"id": user.id})
    reader._held.connection.driver.close()
    assert reader.rows(read, {"id": user.id})[0][1] == "alice"
    assert len(reader._all) == 1


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


def test_token_is_remembered_while_its_times_are_good() -> None:
    tokens = VerifiedTokens()
    said = BearerToken.of("h.p.s", CLAIMS | {"nbf": 150})
    tokens.add("h.p.s", said)
    found = {second: tokens.find("h.p.s", second, 0) for second in (99, 149, 150, 199, 200)}
    assert found == {99: None, 149: None, 150: said, 199: said, 200: None}
    assert (tokens.find("h.p.s", 204, 5), tokens.find("h.p.s", 205, 5), tokens.find("h.p.S", 150, 0)) == (said, None, None)


def test_token_is_forgotten_with_the_keys() -> None:
    tokens = VerifiedTokens()
    tokens.keep_to(frozenset({"one", "two"}))
    tokens.add("h.p.s", BearerToken.of("h.p.s", CLAIMS))
    tokens.keep_to(frozenset({"two", "one"}))
    assert tokens.find("h.p.s", 150, 0) is not None
    tokens.keep_to(frozenset({"one"}))
    assert tokens.find("h.p.s", 150, 0) is None


def test_so_many_tokens_are_remembered_and_no_more() -> None:
    tokens = VerifiedTokens()
    for number in range(5000):
        tokens.add(str(number), BearerToken.of(f"h.{number}.s", CLAIMS))
    kept = [number for number in range(5000) if tokens.find(str(number), 150, 0)]
    assert kept == list(range(904, 5000))
