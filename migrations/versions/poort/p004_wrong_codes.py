"""Consecutive wrong codes of a second factor."""

import sqlalchemy as sa
from alembic import op

revision = "p004"
down_revision = "p003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Every count begins at 0."""
    op.add_column("poort_second_factor", sa.Column("wrong_codes", sa.Integer(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("poort_second_factor", "wrong_codes")
