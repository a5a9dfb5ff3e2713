"""Chamilo's tables around a user: portals, memberships, ways to sign in, and links between users."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import BindParameter, CompoundSelect, ForeignKey, Select, String, insert, or_, select, union
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from models.database import MYSQL_TABLE, Base, UtcDateTime
from models.user import User

#: The portal that every campus has. New users join it.
ACCESS_URL_OF_EVERYONE = 1

#: Values of `relation_type` (Chamilo's UserRelUser).
FRIEND, DELETED, BOSS = 3, 6, 8

#: Sign-in with the password in `user`, as a value of `authentication`.
PLATFORM = "platform"


class AccessUrl(Base):
    """A portal. One campus may serve several, each under a URL of its own."""

    __tablename__ = "access_url"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(String(255), default="")
    active: Mapped[int] = mapped_column(default=1)
    parent_id: Mapped[int | None]
    created_by: Mapped[int] = mapped_column(default=1)
    tms: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AccessUrlRelUser(Base):
    """The membership of a user in a portal."""

    __tablename__ = "access_url_rel_user"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    access_url_id: Mapped[int] = mapped_column(ForeignKey("access_url.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)


class UserAuthSource(Base):
    """A way in which a user may sign in to a portal."""

    __tablename__ = "user_auth_source"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    authentication: Mapped[str] = mapped_column(String(255))
    url_id: Mapped[int] = mapped_column(ForeignKey("access_url.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)


class UserRelUser(Base):
    """A link from one user to another."""

    __tablename__ = "user_rel_user"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    friend_user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    relation_type: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


def enrol(session: Session, user_ids: Iterable[int], access_url_id: int) -> None:
    """Let new users sign in to a portal. Chamilo refuses a user who lacks either row."""
    ids = list(user_ids)
    session.execute(insert(AccessUrlRelUser), [{"access_url_id": access_url_id, "user_id": user_id} for user_id in ids])
    sources = [{"authentication": PLATFORM, "url_id": access_url_id, "user_id": user_id} for user_id in ids]
    session.execute(insert(UserAuthSource), sources)


def refusal_of_portal(session: Session, user_id: int, access_url_id: int) -> str | None:
    """Return Chamilo's message if a user may not sign in to a portal with a password, else None."""
    by_password = (
        UserAuthSource.user_id == user_id,
        UserAuthSource.url_id == access_url_id,
        UserAuthSource.authentication == PLATFORM,
    )
    if session.execute(select(UserAuthSource.id).where(*by_password).limit(1)).first() is None:
        return "User authentication method not allowed"
    in_portal = (AccessUrlRelUser.user_id == user_id, AccessUrlRelUser.access_url_id == access_url_id)
    if session.execute(select(AccessUrlRelUser.id).where(*in_portal).limit(1)).first() is None:
        return "Account inactive for this URL"
    return None


def ids_seen_by(user_id: int | BindParameter[int]) -> Select[tuple[int]]:
    """Select the ids that a plain user sees in a list: their own, and those of users linked to them, either way."""
    rel = UserRelUser
    seen = union(
        select(User.id).where(User.id == user_id),
        select(rel.friend_user_id).where(rel.user_id == user_id, rel.relation_type != DELETED),
        select(rel.user_id).where(rel.friend_user_id == user_id, rel.relation_type != DELETED),
    )
    # MariaDB evaluates a bare union again for every user, but a derived table only once.
    return select(seen.subquery("seen").c.id)


def are_acquainted(session: Session, one: int, other: int) -> bool:
    """Tell whether two users are friends, share a friend, or one is the boss of the other."""
    rel = UserRelUser
    direct = select(rel.id).where(
        rel.relation_type.in_((FRIEND, BOSS)),
        or_((rel.user_id == one) & (rel.friend_user_id == other), (rel.user_id == other) & (rel.friend_user_id == one)),
    )
    common = _friends(one).subquery()
    through_a_friend = select(common.c.id).where(common.c.id.in_(_friends(other)))
    return session.execute(direct.limit(1)).first() is not None or session.execute(through_a_friend.limit(1)).first() is not None


def _friends(user_id: int) -> CompoundSelect[tuple[int]]:
    there, back = aliased(UserRelUser), aliased(UserRelUser)
    return union(
        select(there.friend_user_id.label("id")).where(there.user_id == user_id, there.relation_type == FRIEND),
        select(back.user_id.label("id")).where(back.friend_user_id == user_id, back.relation_type == FRIEND),
    )
