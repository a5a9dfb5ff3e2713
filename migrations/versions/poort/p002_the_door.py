"""Tokens that end early, keys of all hosts, refresh tokens, second factors and the audit."""

import sqlalchemy as sa
from alembic import op

revision = "p002"
down_revision = "p001"
branch_labels = None
depends_on = None

MYSQL = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_unicode_ci"}

# In an order in which they can be dropped.
TABLES = (
    "poort_audit",
    "poort_backup_code",
    "poort_second_factor",
    "poort_refresh_token",
    "poort_session",
    "poort_verification_key",
    "poort_revoked_token",
    "poort_tokens_valid_after",
)


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
        "poort_tokens_valid_after",
        sa.Column("username_canonical", exact_string(180), nullable=False),
        sa.Column("valid_after", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("username_canonical", name=op.f("pk_poort_tokens_valid_after")),
    )
    op.create_table(
        "poort_revoked_token",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_poort_revoked_token")),
    )
    op.create_index(op.f("ix_poort_revoked_token_expires_at"), "poort_revoked_token", ["expires_at"], unique=False)
    op.create_table(
        "poort_verification_key",
        sa.Column("kid", exact_string(43), nullable=False),
        sa.Column("public_pem", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("is_withdrawn", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_poort_verification_key")),
    )
    op.create_table(
        "poort_session",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("password_digest", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("user_agent", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_poort_session")),
        **MYSQL,
    )
    op.create_index(op.f("ix_poort_session_user_id"), "poort_session", ["user_id"], unique=False)
    op.create_index(op.f("ix_poort_session_expires_at"), "poort_session", ["expires_at"], unique=False)
    op.create_table(
        "poort_refresh_token",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=True),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_poort_refresh_token")),
        **MYSQL,
    )
    op.create_index(op.f("ix_poort_refresh_token_session_id"), "poort_refresh_token", ["session_id"], unique=False)
    op.create_table(
        "poort_second_factor",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.String(length=255), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_poort_second_factor")),
    )
    op.create_table(
        "poort_backup_code",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "hash", name=op.f("pk_poort_backup_code")),
    )
    op.create_table(
        "poort_audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("username", sa.String(length=100), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(length=100), nullable=True),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=255), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_poort_audit")),
        **MYSQL,
    )
    op.create_index(op.f("ix_poort_audit_at_ms"), "poort_audit", ["at_ms"], unique=False)


def downgrade() -> None:
    """Drop the tables."""
    for name in TABLES:
        op.drop_table(name)
