"""Extra fields of users, and their values with an index on the folded text."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "c003"
down_revision = "c002"
branch_labels = None
depends_on = None

MYSQL = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_unicode_ci"}
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def exact_string(length: int) -> sa.String:
    """Return a varchar that compares code points, trailing spaces included, on the current database."""
    dialect = op.get_bind().dialect
    if dialect.name == "postgresql":
        return sa.String(length, collation="C")
    if dialect.name == "mysql":
        return sa.String(length, collation="utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin")
    return sa.String(length)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "extra_field",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("variable", exact_string(255), nullable=False),
        sa.Column("variable_folded", exact_string(400), nullable=False),
        sa.Column("display_text", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_extra_field")),
        sa.UniqueConstraint("variable_folded", name=op.f("uq_extra_field_variable_folded")),
        **MYSQL,
    )
    op.create_table(
        "extra_field_value",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("field_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", LONG_TEXT, nullable=False),
        sa.Column("value_folded", exact_string(400), nullable=False),
        sa.ForeignKeyConstraint(["field_id"], ["extra_field.id"], name=op.f("fk_extra_field_value_field_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_extra_field_value_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "field_id", name=op.f("pk_extra_field_value")),
        **MYSQL,
    )
    op.create_index("ix_extra_field_value_folded", "extra_field_value", ["field_id", "value_folded", "user_id"])


def downgrade() -> None:
    """Drop the tables, with every value."""
    op.drop_table("extra_field_value")
    op.drop_table("extra_field")
