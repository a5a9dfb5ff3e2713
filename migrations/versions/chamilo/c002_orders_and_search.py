"""An index for every order of a list, and trigrams for search, where the database has any."""

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

# The texts stay in the `user` table alone, and the index keeps no places in them: it is a sixth of the table.
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
        _create((CREATE, FILL, AT_INSERT, AT_DELETE, AT_UPDATE), "its library has no trigrams (SQLite 3.34)")
    if dialect == "postgresql":
        columns = ", ".join(f"{name} gin_trgm_ops" for name in SEARCHED)
        index = f'CREATE INDEX ix_user_trigrams ON "user" USING gin ({columns})'
        _create(("CREATE EXTENSION IF NOT EXISTS pg_trgm", index), "the extension pg_trgm cannot be made")


def downgrade() -> None:
    """Go back to the indexes of before. The extension stays: others may use it."""
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
    """Execute statements, or none of them where the database lacks what they need: search then reads every row."""
    try:
        with op.get_bind().begin_nested():
            for statement in statements:
                op.execute(statement)
    except sa.exc.DBAPIError:
        logger.warning("search will read every row: %s; see the README", obstacle)
