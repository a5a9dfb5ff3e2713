"""Chamilo's tables around a user, with Chamilo's names and widths (docs/compatibility.md#database), and folded copies."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "c001"
down_revision = None
branch_labels = ("chamilo",)
depends_on = None

MYSQL = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_unicode_ci"}
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
UUID = sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")


# In an order in which they can be dropped.
TABLES = (
    "user_rel_user",
    "user_auth_source",
    "access_url_rel_user",
    "user",
    "track_e_login_record",
    "track_e_login",
    "access_url",
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
        "access_url",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("created_by", sa.Integer(), nullable=False),
        sa.Column("tms", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_url")),
        **MYSQL,
    )
    op.create_table(
        "track_e_login",
        sa.Column("login_id", sa.Integer(), nullable=False),
        sa.Column("login_user_id", sa.Integer(), nullable=False),
        sa.Column("login_date", sa.DateTime(), nullable=False),
        sa.Column("user_ip", sa.String(length=45), nullable=False),
        sa.Column("logout_date", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("login_id", name=op.f("pk_track_e_login")),
        **MYSQL,
    )
    op.create_index(op.f("ix_track_e_login_login_user_id"), "track_e_login", ["login_user_id"], unique=False)
    op.create_table(
        "track_e_login_record",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(length=100), nullable=False),
        sa.Column("login_date", sa.DateTime(), nullable=False),
        sa.Column("user_ip", sa.String(length=45), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_track_e_login_record")),
        **MYSQL,
    )
    op.create_table(
        "user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("resource_node_id", sa.Integer(), nullable=True),
        sa.Column("username", exact_string(100), nullable=False),
        sa.Column("username_canonical", exact_string(180), nullable=False),
        sa.Column("api_token", sa.String(length=255), nullable=True),
        sa.Column("firstname", sa.String(length=64), nullable=True),
        sa.Column("lastname", sa.String(length=64), nullable=True),
        sa.Column("website", sa.String(length=255), nullable=True),
        sa.Column("biography", LONG_TEXT, nullable=True),
        sa.Column("locale", sa.String(length=10), nullable=False),
        sa.Column("password", sa.String(length=255), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("email", sa.String(length=100), nullable=False),
        sa.Column("email_canonical", sa.String(length=100), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.Column("expired", sa.Boolean(), nullable=False),
        sa.Column("credentials_expired", sa.Boolean(), nullable=False),
        sa.Column("credentials_expire_at", sa.DateTime(), nullable=True),
        sa.Column("date_of_birth", sa.DateTime(), nullable=True),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("phone", sa.String(length=64), nullable=True),
        sa.Column("address", sa.String(length=250), nullable=True),
        sa.Column("salt", sa.String(length=255), nullable=False),
        sa.Column("gender", sa.String(length=1), nullable=True),
        sa.Column("last_login", sa.DateTime(), nullable=True),
        sa.Column("confirmation_token", sa.String(length=255), nullable=True),
        sa.Column("password_requested_at", sa.DateTime(), nullable=True),
        sa.Column("password_updated_at", sa.DateTime(), nullable=True),
        sa.Column("roles", LONG_TEXT, nullable=False),
        sa.Column("profile_completed", sa.Boolean(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("official_code", sa.String(length=40), nullable=True),
        sa.Column("picture_uri", sa.String(length=250), nullable=True),
        sa.Column("creator_id", sa.Integer(), nullable=True),
        sa.Column("competences", LONG_TEXT, nullable=True),
        sa.Column("diplomas", LONG_TEXT, nullable=True),
        sa.Column("openarea", LONG_TEXT, nullable=True),
        sa.Column("teach", LONG_TEXT, nullable=True),
        sa.Column("productions", sa.String(length=250), nullable=True),
        sa.Column("expiration_date", sa.DateTime(), nullable=True),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("openid", sa.String(length=255), nullable=True),
        sa.Column("theme", sa.String(length=255), nullable=True),
        sa.Column("hr_dept_id", sa.SmallInteger(), nullable=True),
        sa.Column("uuid", UUID, nullable=False),
        sa.Column("mfa_enabled", sa.Boolean(), nullable=False),
        sa.Column("mfa_service", sa.String(length=255), nullable=True),
        sa.Column("mfa_secret", sa.String(length=255), nullable=True),
        sa.Column("mfa_backup_codes", LONG_TEXT, nullable=True),
        sa.Column("mfa_last_used", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("username_folded", exact_string(400), nullable=False),
        sa.Column("firstname_folded", exact_string(400), nullable=False),
        sa.Column("lastname_folded", exact_string(400), nullable=False),
        sa.Column("email_folded", exact_string(400), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("api_token", name=op.f("uq_user_api_token")),
        sa.UniqueConstraint("resource_node_id", name=op.f("uq_user_resource_node_id")),
        sa.UniqueConstraint("username", name=op.f("uq_user_username")),
        sa.UniqueConstraint("username_canonical", name=op.f("uq_user_username_canonical")),
        sa.UniqueConstraint("uuid", name=op.f("uq_user_uuid")),
        **MYSQL,
    )
    op.create_index(op.f("ix_user_email_folded"), "user", ["email_folded"], unique=False)
    op.create_index(op.f("ix_user_firstname_folded"), "user", ["firstname_folded"], unique=False)
    op.create_index(op.f("ix_user_lastname_folded"), "user", ["lastname_folded"], unique=False)
    op.create_index(op.f("ix_user_status"), "user", ["status"], unique=False)
    op.create_index(op.f("ix_user_username_folded"), "user", ["username_folded"], unique=False)
    op.create_table(
        "access_url_rel_user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("access_url_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["access_url_id"], ["access_url.id"], name=op.f("fk_access_url_rel_user_access_url_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_access_url_rel_user_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_url_rel_user")),
        **MYSQL,
    )
    op.create_index(op.f("ix_access_url_rel_user_access_url_id"), "access_url_rel_user", ["access_url_id"], unique=False)
    op.create_index(op.f("ix_access_url_rel_user_user_id"), "access_url_rel_user", ["user_id"], unique=False)
    op.create_table(
        "user_auth_source",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("authentication", sa.String(length=255), nullable=False),
        sa.Column("url_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["url_id"], ["access_url.id"], name=op.f("fk_user_auth_source_url_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_user_auth_source_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_auth_source")),
        **MYSQL,
    )
    op.create_index(op.f("ix_user_auth_source_url_id"), "user_auth_source", ["url_id"], unique=False)
    op.create_index(op.f("ix_user_auth_source_user_id"), "user_auth_source", ["user_id"], unique=False)
    op.create_table(
        "user_rel_user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("friend_user_id", sa.Integer(), nullable=False),
        sa.Column("relation_type", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["friend_user_id"], ["user.id"], name=op.f("fk_user_rel_user_friend_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_user_rel_user_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_rel_user")),
        **MYSQL,
    )
    op.create_index(op.f("ix_user_rel_user_friend_user_id"), "user_rel_user", ["friend_user_id"], unique=False)
    op.create_index(op.f("ix_user_rel_user_user_id"), "user_rel_user", ["user_id"], unique=False)
    access_url = sa.table(
        "access_url",
        *(sa.column(name) for name in ("id", "url", "description", "active", "created_by")),
    )
    # The portal that every campus has. Its id is explicit, since other tables refer to it.
    op.bulk_insert(access_url, [{"id": 1, "url": "http://localhost/", "description": "", "active": 1, "created_by": 1}])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SELECT setval(pg_get_serial_sequence('access_url', 'id'), 1)")


def downgrade() -> None:
    """Drop the tables."""
    for table in TABLES:
        op.drop_table(table)
