"""Chamilo's tables around a user: portals, memberships, ways to sign in, and links between users."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Dialect,
    ForeignKey,
    Row,
    Select,
    String,
    false,
    func,
    insert,
    or_,
    select,
    union,
)
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column
from sqlalchemy.types import TypeDecorator

from models.database import MYSQL_TABLE, Base, UtcDateTime
from models.user import HasMembership, User

#: The portal that every campus has. New users join it.
ACCESS_URL_OF_EVERYONE = 1

#: Values of `relation_type` (Chamilo's UserRelUser).
FRIEND, DELETED, BOSS = 3, 6, 8

#: The value of `authentication` for sign-ins with the password in `user`.
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


class PortalIds(TypeDecorator[frozenset[int]]):
    """The ids of portals, which the database joins into one text; null means none."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> frozenset[int]:
        """Split the text."""
        return frozenset(map(int, value.split(","))) if value else frozenset()


def _ids(column: Any, *conditions: ColumnElement[bool]) -> ColumnElement[frozenset[int]]:
    return select(func.group_concat(column, type_=PortalIds())).where(*conditions).correlate(User).scalar_subquery()


#: Facts about a user from a campus's other tables, selected like columns of `user`: the portals that the user is linked to,
#: those of them that are active, and those that let the user sign in with the password in `user`.
MEMBERSHIP: Mapping[str, ColumnElement[frozenset[int]]] = {
    "linked": _ids(AccessUrlRelUser.access_url_id, AccessUrlRelUser.user_id == User.id),
    "active_in": _ids(
        AccessUrl.id, AccessUrlRelUser.user_id == User.id, AccessUrlRelUser.access_url_id == AccessUrl.id, AccessUrl.active == 1
    ),
    "signs_in_to": _ids(UserAuthSource.url_id, UserAuthSource.user_id == User.id, UserAuthSource.authentication == PLATFORM),
}


def refusal_of_portal(user: HasMembership, portal_id: int) -> str | None:
    """Say, in Chamilo's words, why a portal refuses a user; None if it does not."""
    if portal_id not in user.signs_in_to:
        return "User authentication method not allowed"
    return None if portal_id in user.active_in else "Account inactive for this URL"


def ids_seen_by(user_id: int | BindParameter[int]) -> Select[tuple[int]]:
    """Select the ids that a plain user sees in a list: their own, and those of users with a link to or from them."""
    rel = UserRelUser
    seen = union(
        select(User.id).where(User.id == user_id),
        select(rel.friend_user_id).where(rel.user_id == user_id, rel.relation_type != DELETED),
        select(rel.user_id).where(rel.friend_user_id == user_id, rel.relation_type != DELETED),
    )
    # MariaDB evaluates a bare union again for every user, but a derived table only once.
    return select(seen.subquery("seen").c.id)


def find_portal(session: Session, portal_id: int) -> Row[int, str] | None:
    """Return the `id` and the `url` of a portal, active or not; None if there is none."""
    return session.execute(select(AccessUrl.id, AccessUrl.url).where(AccessUrl.id == portal_id)).one_or_none()


def is_link_to(portals: Collection[int]) -> ColumnElement[bool]:
    """Return the condition that a row of `access_url_rel_user` belongs to any of these portals, active or not."""
    return or_(false(), *(AccessUrlRelUser.access_url_id == portal_id for portal_id in sorted(portals)))


def ids_linked_to(portals: Collection[int]) -> Select[int]:
    """Select the ids of the users that are linked to any of these portals."""
    return select(AccessUrlRelUser.user_id).where(is_link_to(portals))


def is_linked_to(portals: Collection[int]) -> ColumnElement[bool]:
    """Return the condition that a user is linked to any of these portals, looked up separately for each user."""
    # Not EXISTS, which MariaDB turns into a join with all links of the portals.
    link = select(AccessUrlRelUser.id).where(AccessUrlRelUser.user_id == User.id, is_link_to(portals)).limit(1)
    return link.correlate(User).scalar_subquery().is_not(None)


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
