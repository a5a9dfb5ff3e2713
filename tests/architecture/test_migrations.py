"""The migrations make what the models say, on each database, and can be taken back."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import KINDS, Databases
from factories import Database, settings_for
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text

from app import create_app
from models import AccessUrl, db

VERSION_TABLE = "poort_alembic_version"


def differences(database: Database) -> list[Any]:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
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


@pytest.fixture(params=KINDS)
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
