"""Indexes for every order of a list, and trigrams for search if the database supports them."""

import logging

import sqlalchemy as sa
from alembic import op

revision = "c002"
down_revision = "c001"
branch_labels = None
depends_on = None

logger = logging.getLogger("alembic.runtime.migration")

ORDERED = ("username_folded", "firstname_folded", "lastname_folded")
SEARCHED = (*ORDERED, "email_folded")

FOLDED = ", ".join(SEARCHED)
OLD, NEW = (", ".join(f"{row}.{name}" for name in SEARCHED) for row in ("old", "new"))
ENTER = f"INSERT INTO poort_user_search(rowid, {FOLDED}) VALUES (new.id, {NEW});"  # noqa: S608 - made of names
LEAVE = f"INSERT INTO poort_user_search(poort_user_search, rowid, {FOLDED}) VALUES ('delete', old.id, {OLD});"  # noqa: S608

# The index stores neither the texts nor positions in them, and so takes a sixth of the space of the table.
CREATE = f"""CREATE VIRTUAL TABLE poort_user_search
    USING fts5({FOLDED}, content='user', content_rowid='id', tokenize='trigram', detail=column, columnsize=0)"""
FILL = "INSERT INTO poort_user_search(poort_user_search) VALUES ('rebuild')"
AT_INSERT = f'CREATE TRIGGER poort_user_search_insert AFTER INSERT ON "user" BEGIN {ENTER} END'
AT_DELETE = f'CREATE TRIGGER poort_user_search_delete AFTER DELETE ON "user" BEGIN {LEAVE} END'
AT_UPDATE = f"""CREATE TRIGGER poort_user_search_update AFTER UPDATE OF id, {FOLDED} ON "user"
    WHEN (old.id, {OLD}) IS NOT (new.id, {NEW}) BEGIN {LEAVE} {ENTER} END"""


def upgrade() -> None:
    """Create the indexes."""
    for name in ORDERED:
        op.create_index(f"ix_user_{name}_id", "user", [name, "id"])
        op.create_index(f"ix_user_{name}_desc_id", "user", [sa.text(f"{name} DESC"), "id"])
        op.drop_index(f"ix_user_{name}", table_name="user")
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        _create((CREATE, FILL, AT_INSERT, AT_DELETE, AT_UPDATE), "the SQLite library is older than 3.34 and has no trigrams")
    if dialect == "postgresql":
        columns = ", ".join(f"{name} gin_trgm_ops" for name in SEARCHED)
        index = f'CREATE INDEX ix_user_trigrams ON "user" USING gin ({columns})'
        _create(("CREATE EXTENSION IF NOT EXISTS pg_trgm", index), "the extension pg_trgm cannot be created")


def downgrade() -> None:
    """Restore the former indexes. The extension stays, since others may use it."""
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        for event in ("insert", "delete", "update"):
            op.execute(f"DROP TRIGGER IF EXISTS poort_user_search_{event}")
        op.execute("DROP TABLE IF EXISTS poort_user_search")
    if dialect == "postgresql":
        op.execute("DROP INDEX IF EXISTS ix_user_trigrams")
    for name in ORDERED:
        op.create_index(f"ix_user_{name}", "user", [name])
        op.drop_index(f"ix_user_{name}_desc_id", table_name="user")
        op.drop_index(f"ix_user_{name}_id", table_name="user")


def _create(statements: tuple[str, ...], obstacle: str) -> None:
    """Execute all statements, or none if the database lacks support: search then reads every row."""
    try:
        with op.get_bind().begin_nested():
            for statement in statements:
                op.execute(statement)
    except sa.exc.DBAPIError:
        logger.warning("search will read every row: %s; see docs/operators.md", obstacle)
