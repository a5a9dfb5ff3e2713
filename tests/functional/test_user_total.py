"""The number of users: in our own schema every write updates it; beside a campus it is counted again after foreign writes."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from factories import START, Database, bearer
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from models import AccessUrlRelUser, User, UserAuthSource, UserTotal
from models.compiled_reads import Reader
from models.user_table import UserTable
from models.user_total import UserTotals

TABLE = UserTable(is_campus=False)


@pytest.fixture
def headers(app: Flask, database: Database) -> dict[str, str]:
    """The headers of an administrator, who is the only user."""
    return bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))


def shown(client: FlaskClient, headers: dict[str, str], query: str = "") -> int:
    return client.get(f"/api/users?{query}", headers=headers).json["hydra:totalItems"]


def is_kept(database: Database) -> int:
    """Return the stored total, and assert that it is right and marked as such."""
    with database.session() as session:
        total, newest_id = session.execute(select(UserTotal.total, UserTotal.newest_id)).one()
        assert (total, newest_id) == tuple(session.execute(select(func.count(), func.max(User.id)).select_from(User)).one())
    return total


def remove_by_hand(database: Database, user_id: int) -> None:
    with database.session() as session:
        for link in (AccessUrlRelUser, UserAuthSource):
            session.execute(delete(link).where(link.user_id == user_id))
        session.execute(delete(User).where(User.id == user_id))


def test_total_is_the_one_that_is_kept(client: FlaskClient, headers: dict[str, str], database: Database) -> None:
    with database.session() as session:
        session.execute(update(UserTotal).values(total=12_345))
    answers = [shown(client, headers, query) for query in ("", "order[lastname]=desc", "unknown=1", "itemsPerPage=0")]
    assert answers == [12_345] * 4
    assert shown(client, headers, "isActive=1") == 1


def test_create_and_soft_delete_are_counted(client: FlaskClient, headers: dict[str, str], database: Database) -> None:
    made = client.post("/api/users", headers=headers, json={"username": "bob", "email": "bob@example.com"})
    assert (made.status_code, shown(client, headers), is_kept(database)) == (201, 2, 2)
    assert client.delete(made.headers["Location"], headers=headers).status_code == 204
    assert (shown(client, headers), is_kept(database)) == (2, 2), "a soft delete keeps the row"


@pytest.mark.parametrize("which", [0, 1], ids=["an older one", "the newest"])
def test_delete_for_good_is_counted(make_app: Callable[..., Flask], database: Database, which: int) -> None:
    app, admin = make_app(USER_DELETE_MODE="hard"), database.make_user("admin", ["ROLE_ADMIN"])
    users = [database.make_user(name) for name in ("bob", "carol")]
    client, headers = app.test_client(), bearer(app, admin)
    assert client.delete(f"/api/users/{users[which].id}", headers=headers).status_code == 204
    assert (shown(client, headers), is_kept(database)) == (2, 2)
    database.make_user("dave")
    assert (shown(client, headers), is_kept(database)) == (3, 3)


def test_what_is_refused_or_rolled_back_is_not_counted(client: FlaskClient, headers: dict[str, str], database: Database) -> None:
    refused = client.post("/api/users", headers=headers, json={"username": "ADMIN", "email": "a@example.com"})
    with Session(database.engine) as session:
        TABLE.insert(session, {"username": "bob", "email": "b@example.com"}, START)
        session.rollback()
    assert (refused.status_code, shown(client, headers), is_kept(database)) == (422, 1, 1)


def test_commands_count(
    client: FlaskClient, headers: dict[str, str], runner: FlaskCliRunner, database: Database, tmp_path: Path
) -> None:
    runner.invoke(args=["users", "create", "bob", "--email", "b@example.com", "--generate-password"])
    assert (shown(client, headers), is_kept(database)) == (2, 2)
    file = tmp_path / "users.json"
    file.write_text(json.dumps([{"username": f"u{number}", "email": "u@example.com", "roles": []} for number in range(1200)]))
    assert runner.invoke(args=["users", "import", str(file)]).exit_code == 0
    assert (shown(client, headers), is_kept(database)) == (1202, 1202)


def test_writers_at_once_are_all_counted(app: Flask, headers: dict[str, str], database: Database) -> None:
    def create(number: int) -> int:
        body = {"username": f"user{number}", "email": "u@example.com"}
        return app.test_client().post("/api/users", headers=headers, json=body).status_code

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(create, range(20)))
    assert (answers, shown(app.test_client(), headers), is_kept(database)) == ([201] * 20, 21, 21)


def test_user_whom_somebody_else_inserts_is_seen_and_counted_with_the_next(
    client: FlaskClient, headers: dict[str, str], database: Database
) -> None:
    with database.session() as session:
        TABLE.insert_many(session, [{"username": name, "email": "b@example.com"} for name in ("bob", "carol")], START)
    assert shown(client, headers) == 3, "nothing counted them, and the newest id differs"
    database.make_user("dave")
    assert (shown(client, headers), is_kept(database)) == (4, 4)


def test_user_whom_somebody_else_deletes_is_counted_out_by_a_command(
    client: FlaskClient, headers: dict[str, str], runner: FlaskCliRunner, database: Database
) -> None:
    bob, _ = database.make_user("bob"), database.make_user("carol")
    remove_by_hand(database, bob.id)
    assert shown(client, headers) == 3
    assert runner.invoke(args=["users", "recount"]).exit_code == 0
    assert (shown(client, headers), is_kept(database)) == (2, 2)


class Timer:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def totals(database: Database) -> Iterator[Any]:
    """Make the counter that is used beside a campus, where other programs write too."""
    readers = []

    def make(timer: Timer) -> UserTotals:
        readers.append(Reader(lambda: database.engine))
        return UserTotals(readers[-1], is_campus=True, timer=timer)

    yield make
    for reader in readers:
        reader.close()


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take each number of users for many."""
    monkeypatch.setattr("models.user_total.FEW", 0)


@pytest.mark.usefixtures("many")
def test_count_beside_a_campus_is_five_seconds_old_at_most(totals: Any, database: Database) -> None:
    bob, _ = database.make_user("bob"), database.make_user("carol")
    timer = Timer()
    beside = totals(timer)
    assert beside.of_everyone() == 2
    remove_by_hand(database, bob.id)
    timer.now += 4.9
    assert beside.of_everyone() == 2
    timer.now += 0.1
    assert beside.of_everyone() == 1


def test_few_users_of_a_campus_are_counted_every_time(totals: Any, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.user_total.FEW", 2)
    bob, _ = database.make_user("bob"), database.make_user("carol")
    beside = totals(Timer())
    assert beside.of_everyone() == 2
    remove_by_hand(database, bob.id)
    assert beside.of_everyone() == 1
    database.make_user("dave"), database.make_user("erin")
    assert beside.of_everyone() == 3, "now they are many, and there is a newer id"


@pytest.mark.usefixtures("many")
def test_count_beside_a_campus_is_renewed_by_what_we_write_ourselves(totals: Any, database: Database) -> None:
    bob, carol = database.make_user("bob", id=50), database.make_user("carol", id=99)
    workers, campus = [totals(Timer()), totals(Timer())], UserTable(is_campus=True)
    assert [worker.of_everyone() for worker in workers] == [2, 2]
    with database.session() as session:  # an import of an id that is not the newest
        TABLE.insert_many(session, [{"id": 70, "username": "dave", "email": "d@example.com"}], START)
        campus.recount(session)
    assert [worker.of_everyone() for worker in workers] == [3, 3]
    with database.session() as session:
        for link in (AccessUrlRelUser, UserAuthSource):
            session.execute(delete(link).where(link.user_id == bob.id))
        campus.remove(session, bob.id)
    assert [worker.of_everyone() for worker in workers] == [2, 2]
    remove_by_hand(database, carol.id)
    assert [worker.of_everyone() for worker in workers] == [1, 1], "the newest id differs"


def test_without_a_row_users_are_counted(client: FlaskClient, headers: dict[str, str], database: Database) -> None:
    with database.session() as session:
        row = session.execute(select(UserTotal.__table__)).one()
        session.execute(delete(UserTotal))
    try:
        database.make_user("bob")
        assert shown(client, headers) == 2
    finally:
        with database.session() as session:
            session.execute(UserTotal.__table__.insert().values(row._mapping))
