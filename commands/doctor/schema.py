"""Compare the database with the code and the settings: tables, migrations, the version of Chamilo and the time limit."""

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import inspect, text

from blueprints.parts import Parts
from commands.doctor.findings import OK, WARNING, Finding
from models import db
from models.database import STATEMENT_TIMEOUT_SECONDS, VERSION_TABLE, missing_columns, missing_tables
from models.user_table import OPTIONAL_COLUMNS, REQUIRED_COLUMNS


def lacking(ours: Parts) -> tuple[list[str], list[str]]:
    """Return the missing tables and columns, and the columns of Chamilo that are absent but not needed."""
    tables = missing_tables(db.session(), is_campus=ours.users.is_campus)
    missing = [f"table {name}" for name in tables if not (ours.settings.read_only and name.startswith("poort_"))]
    if not ours.settings.read_only:
        missing += [f"column {name}" for name in missing_columns(db.session())]
    if "user" in tables:
        return missing, []
    found = {column["name"] for column in inspect(db.engine).get_columns("user")}
    required = REQUIRED_COLUMNS if ours.users.is_campus else REQUIRED_COLUMNS | OPTIONAL_COLUMNS
    missing += [f"column user.{name}" for name in sorted(required - found)]
    return missing, [f"column user.{name}" for name in sorted(OPTIONAL_COLUMNS - required - found)]


def examine_version(ours: Parts) -> Finding:
    """Compare CHAMILO_VERSION, the version that clients see, with the version of the campus's tables."""
    asked, found = ours.settings.chamilo_version, ours.users.chamilo_version(db.session())
    if asked == found:
        return Finding("version", OK, f"clients and tables agree: Chamilo {asked}")
    says = f"CHAMILO_VERSION is {asked}, but the tables are those of Chamilo {found}: its clients expect other errors and headers"
    cure = f"Set CHAMILO_VERSION={found}, unless your clients were written for Chamilo {asked}."
    return Finding("version", WARNING, says, cure)


def examine_time_limit() -> Finding:
    """Check the time limit of statements on PostgreSQL, which a connection cannot set behind PgBouncer."""
    found = db.session.execute(
        text("SELECT current_setting('statement_timeout'), quote_ident(current_user), quote_ident(current_database())")
    )
    limit, role, name = found.one()
    if limit == "0":
        says = "statement_timeout is 0 behind PgBouncer: a slow statement keeps running after its request has failed"
        sql = f"ALTER ROLE {role} IN DATABASE {name} SET statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'"
        return Finding("database", WARNING, says, f"Run `{sql}`, and then RECONNECT in PgBouncer's console.")
    return Finding("database", OK, f"statements end after {limit} behind PgBouncer, by the role's setting")


def revisions() -> tuple[set[str], set[str]]:
    """Return the latest migrations of this code, and those of the database."""
    scripts = ScriptDirectory.from_config(current_app.extensions["migrate"].migrate.get_config())
    context = MigrationContext.configure(db.session.connection(), opts={"version_table": VERSION_TABLE})
    return set(scripts.get_heads()), set(context.get_current_heads())
