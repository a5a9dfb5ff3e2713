"""Check the time limit of statements where only the database can set it."""

from sqlalchemy import text

from commands.doctor.findings import OK, WARNING, Finding
from models import db
from models.database import STATEMENT_TIMEOUT_SECONDS


def examine_time_limit() -> Finding:
    """Check the time limit of statements on PostgreSQL, which a connection cannot set behind PgBouncer."""
    found = db.session.execute(
        text("SELECT current_setting('statement_timeout'), quote_ident(current_user), quote_ident(current_database())")
    )
    limit, role, name = found.one()
    if limit == "0":
        says = "statement_timeout is 0 behind PgBouncer: a slow statement goes on after its request was answered"
        sql = f"ALTER ROLE {role} IN DATABASE {name} SET statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'"
        return Finding("database", WARNING, says, f"Run `{sql}`, and then RECONNECT in PgBouncer's console.")
    return Finding("database", OK, f"statements end after {limit} behind PgBouncer, by the role's setting")
