"""API keys. Beside a campus the table stays empty: there the keys are Chamilo's."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "p005"
down_revision = "p004"
branch_labels = None
depends_on = None

MYSQL = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_unicode_ci"}
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "poort_api_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("api_key", sa.String(length=64), nullable=False),
        sa.Column("api_service", sa.String(length=10), nullable=False),
        sa.Column("api_end_point", LONG_TEXT, nullable=True),
        sa.Column("created_date", sa.DateTime(), nullable=True),
        sa.Column("validity_start_date", sa.DateTime(), nullable=True),
        sa.Column("validity_end_date", sa.DateTime(), nullable=True),
        sa.Column("description", LONG_TEXT, nullable=True),
        sa.Column("key_prefix", sa.String(length=32), nullable=True),
        sa.Column("last_used_at", sa.DateTime(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_poort_api_key")),
        sa.UniqueConstraint("api_key", name=op.f("uq_poort_api_key_api_key")),
        sa.UniqueConstraint("user_id", name=op.f("uq_poort_api_key_user_id")),
        **MYSQL,
    )


def downgrade() -> None:
    """Drop the table, with every key."""
    op.drop_table("poort_api_key")
