"""The number of users."""

import sqlalchemy as sa
from alembic import op

revision = "p003"
down_revision = "p002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and its row. There are no users yet if the other branch has not run."""
    op.create_table(
        "poort_user_total",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("newest_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_poort_user_total")),
    )
    total, newest_id = 0, 0
    if sa.inspect(op.get_bind()).has_table("user"):
        user = sa.table("user", sa.column("id"))
        total, newest_id = op.get_bind().execute(sa.select(sa.func.count(), sa.func.coalesce(sa.func.max(user.c.id), 0))).one()
    user_total = sa.table("poort_user_total", *(sa.column(name) for name in ("id", "changes", "total", "newest_id")))
    op.bulk_insert(user_total, [{"id": 1, "changes": 0, "total": total, "newest_id": newest_id}])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("poort_user_total")
