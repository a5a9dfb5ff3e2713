"""Failed sign-ins, counted for all workers together."""

import sqlalchemy as sa
from alembic import op

revision = "p001"
down_revision = None
branch_labels = ("poort",)
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "poort_throttled_login",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_poort_throttled_login")),
    )
    op.create_index(op.f("ix_poort_throttled_login_ends_at_ms"), "poort_throttled_login", ["ends_at_ms"], unique=False)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("poort_throttled_login")
