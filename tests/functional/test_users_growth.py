"""Lists stay fast with many users: queries use indexes, and shortcuts find the same rows as plain filters."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from factories import START, Database
from sqlalchemy import Engine, event, select, text
from sqlalchemy import insert as insert_into
from sqlalchemy.orm import Session

from blueprints.users.resource import read_filters
from models import AccessUrl, AccessUrlRelUser, User, user_pages
from models import user_lists as listing
from models.compiled_reads import Reader
from models.folding import fold
from models.user_lists import Rows, UserLists
from models.user_search import POSTGRESQL_INDEX, SQLITE_INDEX, match_expression
from models.user_table import UserTable

pytestmark = pytest.mark.slow

TABLE = UserTable(is_campus=False)
NAMES = ("username", "firstname", "lastname")


def insert(database: Database, rows: list[dict[str, Any]]) -> None:
    with database.session() as session:
        TABLE.insert_many(session, rows, START)
        TABLE.recount(session)


@pytest.fixture
def lists(database: Database) -> Iterator[UserLists]:
    reader = Reader(lambda: database.engine)
    with Session(database.engine) as session:
        if database.kind == "postgresql":  # with so few rows it would not use an index
            session.execute(text("SET enable_seqscan = off"))
        yield UserLists(reader, lambda: session, TABLE)
    reader.close()


def ids(lists: UserLists, parameters: Any, limit: int = 1000, offset: int = 0) -> tuple[int, list[int]]:
    """Return how many users a query finds, and the ids on one page."""
    filters = read_filters(TABLE, parameters, privileged=True)
    found = lists.filtered(("id",), lambda values: values[0], filters, Rows())
    return found.count(), list(found.fetch(limit, offset))


# Accents and case that fold away, special characters of SQL and FTS5, multi-byte letters; few of each, so that
# short texts are found often.
LETTERS = [*"aabBeé%_\\\"'*-(:^ßİſœΣςЖж💡 ", "e\u0301", "\ufb03", "\u1e9e", "AND", "NEAR"]


def any_text(chance: random.Random, most: int) -> str:
    return "".join(chance.choice(LETTERS) for _ in range(chance.randint(1, most)))


@pytest.fixture
def crowd(database: Database) -> list[User]:
    chance = random.Random(7)
    rows = [
        {
            "username": f"{any_text(chance, 8)}{number}",
            "firstname": any_text(chance, 9),
            "lastname": any_text(chance, 9) if number % 5 else None,
            "email": f"{any_text(chance, 8)}@example.com",
        }
        for number in range(150)
    ]
    insert(database, rows)
    return database.rows(User)


@pytest.mark.parametrize("way", ["as it is", "no candidates", "no few matches", "deep pages"])
def test_search_finds_what_contains_the_text_whichever_way_it_goes(
    lists: UserLists, crowd: list[User], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "no candidates":
        monkeypatch.setattr(listing, "MOST_CANDIDATES", -1)
    if way == "no few matches":
        monkeypatch.setattr(listing, "FEW_MATCHES", -1)
    if way == "deep pages":
        monkeypatch.setattr(listing, "FEW_MATCHES", -1)
        monkeypatch.setattr(user_pages, "DEEP_OFFSET", 0)
    chance, matches = random.Random(11), 0
    for _ in range(40):
        one, other, third, email = part(chance, crowd), part(chance, crowd), any_text(chance, 3), any_text(chance, 2)
        queries: list[tuple[Any, Any]] = [
            ({"firstname": {"0": one, "1": third}}, [(("firstname",), (one, third))]),
            ({"search": one, "lastname": other}, [(NAMES, (one.strip(" \t\n\r\0\v"),)), (("lastname",), (other,))]),
            ({"email": email}, [(("email",), (email,))]),
        ]
        for query, wanted in queries:
            expected = [user.id for user in crowd if all(contains(user, *each) for each in wanted)]
            assert ids(lists, query) == (len(expected), expected), query
            matches += len(expected)
    assert matches > 400


def part(chance: random.Random, crowd: list[User]) -> str:
    """Return a few letters of one name, or of two unrelated names."""
    user = chance.choice(crowd)
    text = fold(f"{user.firstname}{chance.choice(['', user.lastname or ''])}")
    start = chance.randrange(len(text))
    return text[start : start + chance.randint(1, 6)]


def contains(user: User, names: tuple[str, ...], texts: tuple[str, ...]) -> bool:
    folded = [text for text in map(fold, texts) if text]
    return not folded or any(text in getattr(user, f"{name}_folded") for name in names for text in folded)


@pytest.mark.parametrize("deep_offset", [0, 50])
def test_pages_are_the_same_from_ids_alone_and_from_the_end(
    lists: UserLists, crowd: list[User], monkeypatch: pytest.MonkeyPatch, deep_offset: int
) -> None:
    orders: list[Any] = [
        {},
        {"order": {"lastname": "asc"}},
        {"order": {"lastname": "desc"}},
        {"order": {"firstname": "asc", "username": "desc"}},
        {"isActive": "1"},
    ]
    offsets = (0, 40, 80, 110, 120, 149)

    def pages() -> list[Any]:
        return [ids(lists, order, 40, offset) for order in orders for offset in offsets]

    def unfiltered() -> list[Any]:
        found = []
        for user_id in (None, crowd[0].id):
            users = lists.unfiltered(("id",), lambda values: values[0], Rows(user_id))
            found += [(users.count(), list(users.fetch(40, offset))) for offset in offsets if offset < users.count()]
        return found

    plain = pages(), unfiltered()
    assert [user_id for _, page in plain[0][:3] for user_id in page] == [user.id for user in crowd[:120]]
    assert [len(page) for _, page in plain[0][: len(offsets)]] == [40, 40, 40, 40, 30, 1]
    monkeypatch.setattr(user_pages, "DEEP_OFFSET", deep_offset)
    monkeypatch.setattr(listing, "FEW_MATCHES", -1)
    assert (pages(), unfiltered()) == plain


def test_page_is_fetched_from_the_nearer_end() -> None:
    assert user_pages.window_of(30, 60, 1_000_000) == (30, 60, False, False)
    assert user_pages.window_of(30, 400_000, 1_000_000) == (30, 400_000, True, False)
    assert user_pages.window_of(30, 600_000, 1_000_000) == (30, 399_970, True, True)
    assert user_pages.window_of(30, 999_990, 1_000_000) == (10, 0, False, True)


def test_search_follows_what_is_written(lists: UserLists, database: Database) -> None:
    bob = database.make_user("bob", lastname="Tables")
    assert ids(lists, {"search": "able"}) == (1, [bob.id])
    with database.session() as session:
        TABLE.change(session, bob, {"lastname": "Chairs"})
    assert (ids(lists, {"search": "able"}), ids(lists, {"search": "hair"})) == ((0, []), (1, [bob.id]))
    with database.session() as session:
        session.execute(text("DELETE FROM access_url_rel_user"))
        session.execute(text("DELETE FROM user_auth_source"))
        TABLE.remove(session, bob.id)
    assert ids(lists, {"search": "hair"}) == (0, [])
    if database.kind == "sqlite":
        with database.session() as session:  # it raises an error if the index does not match the table
            session.execute(text(f"INSERT INTO {SQLITE_INDEX}({SQLITE_INDEX}) VALUES ('integrity-check')"))


def test_what_fts5_is_asked() -> None:
    names = ["firstname_folded", "lastname_folded"]
    assert match_expression([(names, ['a"bc'])]) == '{firstname_folded lastname_folded} : (("a""b" AND """bc"))'
    assert match_expression([(["x"], ["abc", "def"]), (["y"], ["abc", "de"])]) == '{x} : (("abc") OR ("def"))'
    assert match_expression([(["x"], ["ab"])]) is None


class Plans:
    """Query plans of the statements of a list."""

    def __init__(self, engine: Engine, kind: str) -> None:
        self._engine = engine
        # MySQL's default differs by version.
        self._explain = {"sqlite": "EXPLAIN QUERY PLAN", "mysql": "EXPLAIN FORMAT=TREE"}.get(kind, "EXPLAIN")
        self._executed: list[tuple[str, Any]] = []
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            self._executed.append((statement, parameters))

    def of(self, position: int = -1) -> str:
        """Return the plan of an executed statement, the last by default; for PostgreSQL, with sequential scans discouraged."""
        statement, parameters = self._executed[position]
        with self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            return "\n".join(map(str, connection.exec_driver_sql(f"{self._explain} {statement}", parameters).all()))

    def last(self) -> str:
        """Return the statement that was executed last."""
        return self._executed[-1][0]

    def close(self) -> None:
        event.remove(self._engine, "before_cursor_execute", self._note)


@pytest.fixture
def plans(database: Database) -> Iterator[Plans]:
    chance = random.Random(3)
    rows = [
        {
            "username": f"user{number}",
            "firstname": chance.choice(["Ann", "Bo"]),
            "lastname": f"L{chance.randrange(500)}",
            "email": "u@example.com",
        }
        for number in range(2000)
    ]
    insert(database, rows)
    if database.kind != "sqlite":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql('VACUUM ANALYZE "user"' if database.kind == "postgresql" else "ANALYZE TABLE user")
    made = Plans(database.engine, database.kind)
    yield made
    made.close()


SORTED = {"sqlite": "TEMP B-TREE", "postgresql": "Sort", "mariadb": "filesort", "mysql": "-> Sort:"}
TRIGRAMS = {"sqlite": "VIRTUAL TABLE INDEX", "postgresql": POSTGRESQL_INDEX}


def test_no_order_of_one_name_is_sorted_and_a_search_reads_trigrams(lists: UserLists, plans: Plans, database: Database) -> None:
    for name in NAMES:
        for direction in ("asc", "desc"):
            ids(lists, {"order": {name: direction}}, 30)
            assert SORTED[database.kind] not in plans.of(), (name, direction)
    ids(lists, {"order": {"lastname": "asc", "firstname": "asc", "username": "desc"}}, 30)
    assert SORTED[database.kind] in plans.of(), "the check would find a sort"
    if database.kind in TRIGRAMS:
        assert ids(lists, {"search": "zqx"}) == (0, [])
        found = plans.of(-2)  # the ids; then comes the page of them
        assert TRIGRAMS[database.kind] in found
        assert ("CTE Scan on matches" in found) is (database.kind == "postgresql"), "else the planner reads row by row"


def test_plain_users_list_reads_those_whom_they_see_alone(lists: UserLists, plans: Plans, database: Database) -> None:
    with database.session() as session:
        me = session.scalars(select(User.id).limit(1)).one()
    filters = read_filters(TABLE, {"isActive": "1"}, privileged=False)
    assert lists.filtered(("id",), lambda values: values[0], filters, Rows(me)).count() == 1
    plan = plans.of()
    everyone = {"sqlite": "SCAN user", "postgresql": 'Seq Scan on "user"', "mariadb": "'user', 'ALL'"}
    everyone["mysql"] = "Table scan on user"
    assert everyone[database.kind] not in plan
    assert "dependent" not in plan.lower()


def link_to_portal(database: Database, chosen: slice) -> tuple[Rows, list[Any]]:
    """Link users to a second portal, some of them twice; return what lists them, and them by falling user name."""
    with database.session() as session:
        portal = AccessUrl(url="https://two.example/")
        session.add(portal)
        session.flush()
        users = session.execute(select(User.id, User.username_folded, User.firstname)).all()
        linked = sorted(users, key=lambda user: user.username_folded, reverse=True)[chosen]
        links = [{"access_url_id": portal.id, "user_id": user.id} for user in (*linked, *linked[:7])]
        session.execute(insert_into(AccessUrlRelUser), links)
        return Rows(portals=frozenset((portal.id,))), linked


@pytest.mark.parametrize(
    ("chosen", "is_read_from_everyone"),
    [
        pytest.param(slice(0, None, 2), True, id="every other user"),
        pytest.param(slice(1000, None), False, id="the last in the order"),
        pytest.param(slice(0, None, 100), False, id="few"),
    ],
)
def test_page_of_a_large_portal_is_read_from_the_first_of_everyone(
    lists: UserLists, plans: Plans, database: Database, chosen: slice, is_read_from_everyone: bool
) -> None:
    rows, linked = link_to_portal(database, chosen)
    order = {"order": {"username": "desc"}}
    found = lists.filtered(("id",), lambda values: values[0], read_filters(TABLE, order, privileged=True), rows)
    assert (found.count(), found.fetch(5, 10)) == (len(linked), [user.id for user in linked[10:15]])
    assert ("everyone" in plans.last()) is is_read_from_everyone
    assert found.fetch(5, len(linked) - 3) == [user.id for user in linked[-3:]]
    filters = read_filters(TABLE, order | {"firstname": "Ann"}, privileged=True)
    some = lists.filtered(("id",), lambda values: values[0], filters, rows)
    named = [user.id for user in linked if user.firstname == "Ann"]
    assert (some.count(), some.fetch(3, 1)) == (len(named), named[1:4])
