"""Compare the rights of the database user with those that the server needs (docs/operators.md#two-database-users)."""

from collections.abc import Iterator

from sqlalchemy import Executable, TableClause, column, delete, false, insert, select, table, text, update
from sqlalchemy.exc import DBAPIError

from blueprints.parts import Parts
from commands.doctor.findings import ERROR, OK, WARNING, Finding
from models import ApiKey, AuditRecord, BackupCode, SecondFactor, UserTotal, db
from models.database import VERSION_TABLE
from models.outages import DENIED, code_of
from models.write_probe import refuses_to_write

_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")

# The rights that the server needs on tables where it does not need all four. Only `audit prune` deletes events.
_NEEDED = {
    VERSION_TABLE: ("SELECT",),
    AuditRecord.__tablename__: ("SELECT", "INSERT"),
    UserTotal.__tablename__: ("SELECT", "UPDATE"),
    BackupCode.__tablename__: ("SELECT", "INSERT", "DELETE"),
    **dict.fromkeys(("access_url", "access_url_rel_user", "user_auth_source", "user_rel_user"), ("SELECT", "INSERT")),
    **dict.fromkeys(("track_e_login", "track_e_login_record", "extra_field"), ("SELECT", "INSERT")),
}

# Tables that also exist beside a campus, but are not used there.
_UNUSED = {ApiKey.__tablename__, SecondFactor.__tablename__, BackupCode.__tablename__}

# The error codes of a missing right; 42501 is PostgreSQL's.
_DENIED = DENIED | {"42501"}

# Whether the user may create tables. MariaDB and MySQL list the rights of every account. If they list none, the server runs
# without accounts, and everyone may.
_MAY_CREATE = {
    "postgresql": "SELECT has_schema_privilege(current_schema(), 'CREATE')",
    "mysql": """SELECT coalesce(max(privilege_type = 'CREATE'), 1) FROM (
        SELECT grantee, privilege_type FROM information_schema.user_privileges
        UNION ALL SELECT grantee, privilege_type FROM information_schema.schema_privileges WHERE database() LIKE table_schema
        ) AS given WHERE grantee = concat('''', replace(current_user(), '@', '''@'''), '''')""",
}
_NAME = {
    "postgresql": "SELECT quote_ident(current_user)",
    "mysql": "SELECT concat('''', replace(current_user(), '@', '''@'''), '''')",
}
_LOCKED_SEQUENCES = """SELECT name FROM (
        SELECT quote_ident(sequencename) AS name, quote_ident(schemaname) || '.' || quote_ident(sequencename) AS whole
        FROM pg_sequences WHERE schemaname = current_schema()
    ) AS ours WHERE NOT (has_sequence_privilege(whole, 'USAGE') AND has_sequence_privilege(whole, 'UPDATE')) ORDER BY 1"""


def examine_rights(ours: Parts) -> Iterator[Finding]:
    """Check what the database user may do with each table, without changing a row. SQLite has no users."""
    if ours.settings.read_only or db.engine.dialect.name == "sqlite":
        return
    try:
        yield _examine(ours)
    except DBAPIError as reason:
        if not refuses_to_write(reason):  # if so, another check has already reported it
            raise
    finally:
        db.session.rollback()


def _examine(ours: Parts) -> Finding:
    kind = "postgresql" if db.engine.dialect.name == "postgresql" else "mysql"
    tables = list(_tables(is_campus=ours.users.is_campus))
    found = {each: {right for right in _RIGHTS if _may(right, each)} for each in tables}
    user = db.session.execute(text(_NAME[kind])).scalar_one()
    lacks = {each: [right for right in _needed(each) if right not in found[each]] for each in tables}
    if missing := [*_listed("GRANT", "TO", user, lacks), *_locked_sequences(kind, user)]:
        says = "this database user lacks rights, so some requests and commands will fail"
        return Finding("rights", ERROR, says, f"Run as the owner of the tables: {'; '.join(missing)};")
    if ours.users.is_campus:
        return Finding("rights", OK, "this database user can use Poort's own tables")
    if db.session.execute(text(_MAY_CREATE[kind])).scalar_one():
        says = "the same database user serves requests and may change the tables; docs/operators.md shows how to use two"
        return Finding("rights", OK, says)
    return _examine_excess(user, found)


def _examine_excess(user: str, found: dict[TableClause, set[str]]) -> Finding:
    excess = {
        each: [right for right in _RIGHTS if right in rights and right not in _needed(each)] for each, rights in found.items()
    }
    if more := _listed("REVOKE", "FROM", user, excess):
        says = "this database user has rights that the server does not need"
        return Finding("rights", WARNING, says, f"Run as the owner of the tables: {'; '.join(more)};")
    return Finding("rights", OK, "this database user can use the tables, but cannot alter them or change past audit events")


def _tables(*, is_campus: bool) -> Iterator[TableClause]:
    """Yield the tables whose rights are checked. Beside a campus, these are only the tables of Poort that are used there."""
    for each in db.metadata.sorted_tables:
        if not is_campus or (each.name.startswith("poort_") and each.name not in _UNUSED):
            yield each
    yield table(VERSION_TABLE, column("version_num"))


def _needed(each: TableClause) -> tuple[str, ...]:
    return _NEEDED.get(each.name, _RIGHTS)


def _may(right: str, each: TableClause) -> bool:
    """Try a right with a statement that changes no row. All columns are named, since some have no default."""
    first, nothing = next(iter(each.c)), select(each).where(false())
    statements: dict[str, Executable] = {
        "SELECT": nothing,
        "INSERT": insert(each).from_select([one.name for one in each.c], nothing),
        "UPDATE": update(each).where(false()).values({first: first}),
        "DELETE": delete(each).where(false()),
    }
    try:
        with db.session.begin_nested():
            db.session.execute(statements[right])
    except DBAPIError as reason:
        if code_of(reason) not in _DENIED:
            raise
        return False
    return True


def _listed(verb: str, word: str, user: str, rights: dict[TableClause, list[str]]) -> list[str]:
    quote = db.engine.dialect.identifier_preparer.quote
    return [f"{verb} {', '.join(some)} ON {quote(each.name)} {word} {user}" for each, some in rights.items() if some]


def _locked_sequences(kind: str, user: str) -> list[str]:
    """Return the grants of sequences, which number new rows on PostgreSQL."""
    names = db.session.scalars(text(_LOCKED_SEQUENCES)).all() if kind == "postgresql" else []
    return [f"GRANT USAGE, UPDATE ON SEQUENCE {', '.join(names)} TO {user}"] if names else []
