"""Chamilo's `user` table, and rules about one of its rows."""

from datetime import datetime
from typing import Protocol

from sqlalchemy import Index, LargeBinary, SmallInteger, String
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from models.database import MYSQL_TABLE, Base, UtcDateTime, exact_string, long_text
from models.folding import FOLDED_LENGTH
from models.role_list import RoleList, Roles

#: Values of `active` (docs/compatibility.md#active).
ACTIVE, INACTIVE, SOFT_DELETED = 1, 0, -2

#: Values of `status`, the platform level (docs/compatibility.md#status).
STATUS_TEACHER, STATUS_STUDENT = 1, 5

#: The longest user name that the table holds, in characters.
USERNAME_LENGTH = 100


class User(Base):
    """The columns of our own schema: Chamilo's, and folded copies. A campus's table lacks some; see UserTable."""

    __tablename__ = "user"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    resource_node_id: Mapped[int | None] = mapped_column(unique=True)
    username: Mapped[str] = mapped_column(exact_string(USERNAME_LENGTH), unique=True)
    username_canonical: Mapped[str] = mapped_column(exact_string(180), unique=True)
    api_token: Mapped[str | None] = mapped_column(String(255), unique=True)
    firstname: Mapped[str | None] = mapped_column(String(64))
    lastname: Mapped[str | None] = mapped_column(String(64))
    website: Mapped[str | None] = mapped_column(String(255))
    biography: Mapped[str | None] = mapped_column(long_text())
    locale: Mapped[str] = mapped_column(String(10))
    password: Mapped[str] = mapped_column(String(255))
    timezone: Mapped[str] = mapped_column(String(64))
    email: Mapped[str] = mapped_column(String(100))
    email_canonical: Mapped[str] = mapped_column(String(100))
    locked: Mapped[bool]
    expired: Mapped[bool]
    credentials_expired: Mapped[bool]
    credentials_expire_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    date_of_birth: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    phone: Mapped[str | None] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(250))
    salt: Mapped[str] = mapped_column(String(255))
    gender: Mapped[str | None] = mapped_column(String(1))
    last_login: Mapped[datetime | None] = mapped_column(UtcDateTime)
    confirmation_token: Mapped[str | None] = mapped_column(String(255))
    password_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    password_updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    roles: Mapped[RoleList] = mapped_column(Roles)
    profile_completed: Mapped[bool | None]
    status: Mapped[int] = mapped_column(index=True)
    official_code: Mapped[str | None] = mapped_column(String(40))
    picture_uri: Mapped[str | None] = mapped_column(String(250))
    creator_id: Mapped[int | None]
    competences: Mapped[str | None] = mapped_column(long_text())
    diplomas: Mapped[str | None] = mapped_column(long_text())
    openarea: Mapped[str | None] = mapped_column(long_text())
    teach: Mapped[str | None] = mapped_column(long_text())
    productions: Mapped[str | None] = mapped_column(String(250))
    expiration_date: Mapped[datetime | None] = mapped_column(UtcDateTime)
    active: Mapped[int]
    openid: Mapped[str | None] = mapped_column(String(255))
    theme: Mapped[str | None] = mapped_column(String(255))
    hr_dept_id: Mapped[int | None] = mapped_column(SmallInteger)
    uuid: Mapped[bytes] = mapped_column(LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb"), unique=True)
    mfa_enabled: Mapped[bool]
    mfa_service: Mapped[str | None] = mapped_column(String(255))
    mfa_secret: Mapped[str | None] = mapped_column(String(255))
    mfa_backup_codes: Mapped[str | None] = mapped_column(long_text())
    mfa_last_used: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    username_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH))
    firstname_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH))
    lastname_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH))
    email_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH), index=True)


# Users with equal names are ordered by ascending id, also in descending order of names, so each direction needs an index.
for _name in (User.username_folded, User.firstname_folded, User.lastname_folded):
    Index(f"ix_user_{_name.key}_id", _name, User.id)
    Index(f"ix_user_{_name.key}_desc_id", _name.desc(), User.id)


class HasState(Protocol):
    """A row with the columns that decide whether a user may do anything."""

    @property
    def active(self) -> int:
        """ACTIVE, INACTIVE, SOFT_DELETED, or -1 (docs/compatibility.md#active)."""

    @property
    def locked(self) -> bool:
        """Whether the account is locked."""

    @property
    def expiration_date(self) -> datetime | None:
        """When the account expires, if ever."""


class HasRoles(Protocol):
    """A row with roles."""

    @property
    def id(self) -> int:
        """The id of the user."""

    @property
    def roles(self) -> RoleList:
        """The stored roles."""


class HasMembership(Protocol):
    """A row with the columns of models.campus.MEMBERSHIP."""

    @property
    def active_in(self) -> frozenset[int]:
        """The active portals that the user is linked to."""

    @property
    def signs_in_to(self) -> frozenset[int]:
        """The portals that the user may sign in to with the password in `user`."""


class Account(HasState, HasMembership, Protocol):
    """The columns that sign-in reads."""

    id: int
    username: str
    password: str
    salt: str
    roles: RoleList
    mfa_enabled: bool | None


def refusal(account: HasState, now: datetime) -> str | None:
    """Return why an account may neither sign in nor use a token, for the log only; None if it may."""
    if account.active != ACTIVE:
        return "soft-deleted" if account.active == SOFT_DELETED else "inactive"
    if account.locked:
        return "locked"
    if account.expiration_date is not None and account.expiration_date <= now:
        return "expired"
    return None
