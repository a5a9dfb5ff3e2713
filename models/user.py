"""The `user` table, Chamilo's own, and what is true of one of its rows."""

import secrets
import uuid
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import LargeBinary, SmallInteger, String, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, Session, mapped_column, validates

from models.database import MYSQL_TABLE, Base, Roles, UtcDateTime, exact_string, long_text
from models.folding import FOLDED_LENGTH, canonical_username, fold, lower_case
from models.roles import roles_to_show

#: Values of `active` (contract 5).
ACTIVE, INACTIVE, SOFT_DELETED = 1, 0, -2

#: Values of `status`, the platform level (contract 5).
STATUS_STUDENT = 5

#: The widest user name that the table holds, in characters.
USERNAME_LENGTH = 100


class User(Base):
    """A person with an account. Only folded and canonical columns are ours to keep in step; they follow by themselves."""

    __tablename__ = "user"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    resource_node_id: Mapped[int | None] = mapped_column(unique=True)
    username: Mapped[str] = mapped_column(exact_string(USERNAME_LENGTH), unique=True)
    username_canonical: Mapped[str] = mapped_column(exact_string(180), unique=True)
    api_token: Mapped[str | None] = mapped_column(String(255), unique=True)
    firstname: Mapped[str | None] = mapped_column(String(64))
    lastname: Mapped[str | None] = mapped_column(String(64))
    website: Mapped[str | None] = mapped_column(String(255), default="")
    biography: Mapped[str | None] = mapped_column(long_text(), default="")
    locale: Mapped[str] = mapped_column(String(10), default="en_US")
    password: Mapped[str] = mapped_column(String(255), default="")
    timezone: Mapped[str] = mapped_column(String(64), default="Europe/Paris")
    email: Mapped[str] = mapped_column(String(100))
    email_canonical: Mapped[str] = mapped_column(String(100))
    locked: Mapped[bool] = mapped_column(default=False)
    expired: Mapped[bool] = mapped_column(default=False)
    credentials_expired: Mapped[bool] = mapped_column(default=False)
    credentials_expire_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    date_of_birth: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    phone: Mapped[str | None] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(250))
    salt: Mapped[str] = mapped_column(String(255), default=lambda: secrets.token_hex(20))
    gender: Mapped[str | None] = mapped_column(String(1))
    last_login: Mapped[datetime | None] = mapped_column(UtcDateTime)
    confirmation_token: Mapped[str | None] = mapped_column(String(255))
    password_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    password_updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    roles: Mapped[list[str]] = mapped_column(Roles, default=list)
    profile_completed: Mapped[bool | None]
    status: Mapped[int] = mapped_column(index=True, default=STATUS_STUDENT)
    official_code: Mapped[str | None] = mapped_column(String(40))
    picture_uri: Mapped[str | None] = mapped_column(String(250))
    creator_id: Mapped[int | None]
    competences: Mapped[str | None] = mapped_column(long_text())
    diplomas: Mapped[str | None] = mapped_column(long_text())
    openarea: Mapped[str | None] = mapped_column(long_text())
    teach: Mapped[str | None] = mapped_column(long_text())
    productions: Mapped[str | None] = mapped_column(String(250))
    expiration_date: Mapped[datetime | None] = mapped_column(UtcDateTime)
    active: Mapped[int] = mapped_column(default=ACTIVE)
    openid: Mapped[str | None] = mapped_column(String(255))
    theme: Mapped[str | None] = mapped_column(String(255))
    hr_dept_id: Mapped[int | None] = mapped_column(SmallInteger)
    uuid: Mapped[bytes] = mapped_column(
        LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb"), unique=True, default=lambda: uuid.uuid4().bytes
    )
    mfa_enabled: Mapped[bool] = mapped_column(default=False)
    mfa_service: Mapped[str | None] = mapped_column(String(255))
    mfa_secret: Mapped[str | None] = mapped_column(String(255))
    mfa_backup_codes: Mapped[str | None] = mapped_column(long_text())
    mfa_last_used: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    username_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH), index=True, default="")
    firstname_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH), index=True, default="")
    lastname_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH), index=True, default="")
    email_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH), index=True, default="")

    @validates("username", "firstname", "lastname", "email")
    def _keep_copies(self, column: str, value: str | None) -> str | None:
        setattr(self, f"{column}_folded", fold(value))
        if column == "username":
            self.username_canonical = canonical_username(value or "")
        if column == "email":
            self.email_canonical = lower_case(value or "")
        return value


class Account(Protocol):
    """What signing in and bearing a token look at: columns of a `user` row, whether an ORM object or a plain row."""

    id: int
    username: str
    password: str
    salt: str
    roles: list[str]
    active: int
    locked: bool
    expiration_date: datetime | None


_ACCOUNT = (
    User.id,
    User.username,
    User.password,
    User.salt,
    User.roles,
    User.active,
    User.locked,
    User.expiration_date,
)


def find_account(session: Session, username: str) -> Any:
    """Find the account of a user name, a row that is an Account; case does not matter, nothing else is forgiven.

    None where there is none.
    """
    if not _can_be_stored(username):
        return None
    canonical = canonical_username(username)
    return session.execute(select(*_ACCOUNT).where(User.username_canonical == canonical)).one_or_none()


def username_is_taken(session: Session, username: str, but_by: int | None = None) -> bool:
    """Tell whether someone other than the user with the id `but_by` has this name, in whatever case."""
    if not _can_be_stored(username):
        return False
    taken = select(User.id).where(User.username_canonical == canonical_username(username), User.id != (but_by or 0))
    return session.execute(taken).first() is not None


def refusal(account: Account, now: datetime) -> str | None:
    """Say why an account may neither sign in nor use a token; None where it may. For the log only, never for the wire."""
    if account.active != ACTIVE:
        return "soft-deleted" if account.active == SOFT_DELETED else "inactive"
    if account.locked:
        return "locked"
    if account.expiration_date is not None and account.expiration_date <= now:
        return "expired"
    return None


def shown_roles(account: Account) -> list[str]:
    """Return the roles of an account as tokens and bodies have them."""
    return roles_to_show(account.roles)


def _can_be_stored(username: str) -> bool:
    """Tell whether a row could bear this name; PostgreSQL refuses NUL, and no database takes half a surrogate pair."""
    return 0 < len(username) <= USERNAME_LENGTH and "\0" not in username and _is_encodable(username)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def renew_hash(session: Session, account: Account, new_hash: str) -> None:
    """Replace the hash that an account signed in with, unless the password was changed meanwhile."""
    session.execute(update(User).where(User.id == account.id, User.password == account.password).values(password=new_hash))


def user_row(values: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return all columns of a new row, for a bulk insert: the values, the defaults, and the copies that follow from them."""
    username, email = values["username"], values["email"]
    copies = {
        "username_canonical": canonical_username(username),
        "email_canonical": lower_case(email),
        "username_folded": fold(username),
        "firstname_folded": fold(values.get("firstname")),
        "lastname_folded": fold(values.get("lastname")),
        "email_folded": fold(email),
    }
    made = {"expires_at": now, "created_at": now, "updated_at": now, "salt": secrets.token_hex(20), "uuid": uuid.uuid4().bytes}
    empty = dict.fromkeys(column.name for column in User.__table__.columns if column.name != "id")
    return empty | _DEFAULTS | made | values | copies


_DEFAULTS = {
    column.name: column.default.arg
    for column in User.__table__.columns
    if column.default is not None and column.default.is_scalar
} | {"roles": []}
