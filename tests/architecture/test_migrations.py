"""The migrations create the schema of the models on each database, and can be reverted."""

import sqlite3
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import EACH_KIND, Databases
from factories import START, Database, bearer, dispose, settings_for
from flask_migrate import downgrade, upgrade
from sqlalchemy import Engine, event, insert, inspect, select, text

from app import create_app
from models import AccessUrl, User, UserTotal, db
from models.user_row import DEFAULTS
from models.user_search import candidates, is_of_search

# An action code of sqlite3.h.
SQLITE_CREATE_VTABLE = 29

VERSION_TABLE = "poort_alembic_version"
OPTIONS = {
    "version_table": VERSION_TABLE,
    "compare_type": True,
    "include_name": lambda name, _kind, _parents: not is_of_search(name),
}


def differences(database: Database) -> list[Any]:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=OPTIONS)
        return compare_metadata(context, db.metadata)


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_models_match_the_migrations(database: Database) -> None:
    assert differences(database) == []


def test_difference_is_seen(database: Database) -> None:
    with database.session() as session:
        session.execute(text("ALTER TABLE track_e_login ADD COLUMN planted INTEGER"))
    found = differences(database)
    with database.session() as session:
        session.execute(text("ALTER TABLE track_e_login DROP COLUMN planted"))
    assert [(kind, table) for kind, _, table, _ in found] == [("remove_column", "track_e_login")]


def test_our_own_tables_bear_our_name(database: Database) -> None:
    assert {name for name in tables(database) if not name.startswith("poort_")} == {
        "access_url",
        "access_url_rel_user",
        "extra_field",
        "extra_field_value",
        "track_e_login",
        "track_e_login_record",
        "user",
        "user_auth_source",
        "user_rel_user",
    }


def test_the_portal_of_everyone_is_there(database: Database) -> None:
    with database.session() as session:
        assert session.execute(text("SELECT id, active FROM access_url")).all() == [(1, 1)]


def test_id_of_the_next_portal_is_free(database: Database) -> None:
    with database.session() as session:
        session.add(portal := AccessUrl(url="http://other.example/"))
        session.flush()
        assert portal.id > 1
        session.rollback()


@pytest.fixture(params=EACH_KIND)
def empty(request: pytest.FixtureRequest, databases: Databases) -> Any:
    """A database without any table."""
    database = Database(request.param, databases.empty_url(request.param))
    yield database
    database.engine.dispose()


def test_upgrade_twice_changes_nothing(empty: Database) -> None:
    empty.migrate()
    before = tables(empty)
    empty.migrate()
    assert tables(empty) == before


def test_downgrade_leaves_nothing_but_the_version_table(empty: Database) -> None:
    empty.migrate()
    app = create_app(settings_for(DATABASE_URL=empty.url))
    with app.app_context():
        downgrade(revision="chamilo@base")
        downgrade(revision="poort@base")
        db.engine.dispose()
    assert tables(empty) == {VERSION_TABLE}
    empty.migrate()
    assert "user" in tables(empty)


def indexes(database: Database) -> set[str]:
    """Return the tables and indexes that serve searches."""
    inspector = inspect(database.engine)
    return {
        name
        for name in [*inspector.get_table_names(), *(index["name"] for index in inspector.get_indexes("user"))]
        if is_of_search(name)
    }


def step(database: Database, move: Any, *revisions: str) -> None:
    """Upgrade or downgrade, one revision at a time."""
    app = create_app(settings_for(DATABASE_URL=database.url))
    with app.app_context():
        for revision in revisions:
            move(revision=revision)
        db.engine.dispose()


def test_users_of_before_are_counted_and_found(empty: Database) -> None:
    step(empty, upgrade, "c001", "p002")
    values = {"username": "bob", "roles": [], "email": "bob@example.com", "email_canonical": "", "username_canonical": "bob"}
    folded = dict.fromkeys(("username_folded", "firstname_folded", "lastname_folded", "email_folded"), "bob")
    rest = {**DEFAULTS, "salt": "", "uuid": b"1" * 16, "created_at": START, "updated_at": START}
    with empty.session() as session:
        session.execute(insert(User).values(values | folded | rest))
    step(empty, upgrade, "heads")
    with empty.session() as session:
        (total,) = empty.rows(UserTotal)
        user_id = session.scalars(select(User.id)).one()
        assert (total.total, total.newest_id) == (1, user_id)
        if empty.kind == "sqlite":
            assert session.scalars(candidates('"bob"')).all() == [user_id]
    assert differences(empty) == []
    step(empty, downgrade, "c001", "p002")
    assert indexes(empty) == set()
    assert len(empty.rows(User)) == 1
    step(empty, upgrade, "heads")


def searches(database: Database) -> int:
    """Return how many users a search finds; one user matches."""
    app = create_app(settings_for(DATABASE_URL=database.url))
    try:
        headers = bearer(app, database.make_user("bob", ["ROLE_ADMIN"]))
        return app.test_client().get("/api/users?search=bob", headers=headers).json["hydra:totalItems"]
    finally:
        dispose(app)


def test_sqlite_without_trigrams_searches_row_by_row(databases: Databases, caplog: pytest.LogCaptureFixture) -> None:
    database = Database("sqlite", databases.empty_url("sqlite"))

    def deny(connection: Any, _record: object) -> None:
        connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == SQLITE_CREATE_VTABLE else sqlite3.SQLITE_OK)

    event.listen(Engine, "connect", deny)
    try:
        database.migrate()
    finally:
        event.remove(Engine, "connect", deny)
    assert "no trigrams" in caplog.text
    assert (indexes(database), searches(database)) == (set(), 1)
    step(database, downgrade, "c001")
    step(database, upgrade, "heads")
    assert "poort_user_search" in indexes(database), "the index is created once it can be"
    database.engine.dispose()


@pytest.mark.services
def test_postgresql_without_the_extension_searches_row_by_row(databases: Databases, caplog: pytest.LogCaptureFixture) -> None:
    url = databases.empty_url("postgresql")
    owner = Database("postgresql", url)
    with owner.session() as session:
        session.execute(text("CREATE ROLE poor LOGIN"))
        session.execute(text("GRANT CREATE ON SCHEMA public TO poor"))
    poor = Database("postgresql", url.replace("postgres@", "poor@"))
    poor.migrate()
    assert "pg_trgm" in caplog.text
    assert (indexes(poor), searches(poor)) == (set(), 1)
    for database in (owner, poor):
        database.engine.dispose()


def test_database_of_a_campus_is_refused_and_nothing_is_written(empty: Database) -> None:
    quote = empty.engine.dialect.identifier_preparer.quote
    with empty.session() as session:
        session.execute(text(f"CREATE TABLE {quote('user')} (id INTEGER PRIMARY KEY)"))
    app = create_app(settings_for(DATABASE_URL=empty.url))
    with app.app_context(), pytest.raises(SystemExit, match="did not make") as caught:
        upgrade(revision="heads")
    with app.app_context():
        db.engine.dispose()
    assert tables(empty) == {"user"}
    assert "\n" not in str(caught.value)
