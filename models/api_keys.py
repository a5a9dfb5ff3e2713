"""API keys of users, of which only the SHA-256 is stored: our own table, or a campus's (docs/integrators.md#api-keys)."""

from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from hmac import compare_digest
from typing import Any, NamedTuple

from sqlalchemy import Integer, String, bindparam, column, delete, insert, inspect, or_, select, table, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.caller import CALLER_COLUMNS, FoundCaller, ItemOfPath, found_caller
from models.compiled_reads import Read, Reader
from models.database import MYSQL_TABLE, Base, UtcDateTime, columns_of, count_met, long_text
from models.outages import is_outage
from models.remembered_rows import Values
from models.user import User
from models.user_table import UserTable

#: `api_service` of the keys that the API takes. A campus has other kinds in the same table.
EXTERNAL = "external"

#: The length of the start of a key, which is stored so that people recognize the key. 12 of its characters are random.
PREFIX_LENGTH = 24

#: The use of a key is recorded again only after this many seconds.
USE_INTERVAL_SECONDS = 300


class ApiKey(Base):
    """A user's key, one at most, in our own schema. The columns are Chamilo's `user_api_key` without the portal."""

    __tablename__ = "poort_api_key"
    __table_args__ = MYSQL_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(unique=True)
    api_key: Mapped[str] = mapped_column(String(64), unique=True)
    api_service: Mapped[str] = mapped_column(String(10), default=EXTERNAL)
    api_end_point: Mapped[str | None] = mapped_column(long_text())
    created_date: Mapped[datetime | None] = mapped_column(UtcDateTime)
    validity_start_date: Mapped[datetime | None] = mapped_column(UtcDateTime)
    validity_end_date: Mapped[datetime | None] = mapped_column(UtcDateTime)
    description: Mapped[str | None] = mapped_column(long_text())
    key_prefix: Mapped[str | None] = mapped_column(String(32))
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FoundKey(NamedTuple):
    """A stored key. `hash` is the SHA-256 of its text in hexadecimal digits."""

    id: int
    user_id: int
    hash: str
    prefix: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether the key may be used: it was not revoked, it has begun, and it has not ended."""
        has_begun = self.starts_at is None or self.starts_at <= now
        return self.revoked_at is None and has_begun and (self.ends_at is None or self.ends_at > now)

    def was_used_lately(self, now: datetime) -> bool:
        """Tell whether the last recorded use is so recent that a new one need not be recorded."""
        return self.last_used_at is not None and self.last_used_at > _written_before(now)


# In the order of FoundKey.
_COLUMNS = (
    *("id", "user_id", "api_key", "key_prefix"),
    *("validity_start_date", "validity_end_date", "revoked_at", "last_used_at"),
)

_OF_CAMPUS = table(
    "user_api_key",
    *(column(name, ApiKey.__table__.c[name].type) for name in (*_COLUMNS, "api_service")),
    column("access_url_id", Integer()),
)

#: A key, its user, and the user that the path names; each None if there is none.
Found = tuple[FoundKey | None, FoundCaller | None, Any]


class ApiKeyTable:
    """Finds keys. In a campus each key belongs to one portal. A campus before Chamilo 3 has no keys."""

    def __init__(self, reader: Reader, users: UserTable, item: ItemOfPath) -> None:
        self._reader, self._users, self._item = reader, users, item
        self._keys: Any = _OF_CAMPUS if users.is_campus else ApiKey.__table__
        self._columns = [self._keys.c[name] for name in _COLUMNS]
        self._reads: dict[str, Read] = {}

    @cached_property
    def is_there(self) -> bool:
        """Whether the table exists with all columns, and this server may read it. The first use checks."""
        try:
            with self._reader.session() as session:
                return set(self._keys.c.keys()) <= columns_of(inspect(session.connection()), self._keys.name)
        except DBAPIError as failure:
            if is_outage(failure):
                raise
            return False  # no right to read the table

    def find(self, text: str, portal_id: int, item_id: int, name_form: str) -> Found:
        """Find in one statement a key by its text, valid or not, the user of the key, and the user `item_id`."""
        hashed = hash_of(text)
        read = self._reads.get(name_form) or self._make_read(name_form)
        for key, user, item in self._reader.rows(read, {"hash": hashed, "portal_id": portal_id, "item_id": item_id}):
            # The database compares by its collation, and the time that it takes depends on the texts.
            if compare_digest(key.hash.encode(), hashed.encode()):
                return key, user, item
        return None, None, None

    def find_again(self, session: Session, key: FoundKey, portal_id: int) -> FoundKey | None:
        """Return the current state of a key, or None if it was removed or replaced."""
        same = (self._keys.c.id == key.id, self._keys.c.user_id == key.user_id)
        row = session.execute(select(*self._columns).where(*self._is_of(key.hash, portal_id), *same)).first()
        return FoundKey(*row) if row else None

    def mark_used(self, session: Session, key: FoundKey, now: datetime) -> None:
        """Record the use of a key, unless one was recorded in the last five minutes. Commits."""
        keys = self._keys.c
        is_due = or_(keys.last_used_at.is_(None), keys.last_used_at <= _written_before(now))
        session.execute(update(self._keys).where(keys.id == key.id, is_due).values(last_used_at=now))
        session.commit()

    def _is_of(self, hashed: Any, portal_id: Any) -> list[Any]:
        keys = self._keys.c
        of_portal = [keys.access_url_id == portal_id] if self._users.is_campus else []
        return [keys.api_service == EXTERNAL, keys.api_key == hashed, *of_portal]

    def _make_read(self, name_form: str) -> Read:
        with self._reader.session() as session:
            item, shown = self._item.columns(self._users.columns(session).names)
            of_user = self._users.selected(session, CALLER_COLUMNS)
        read = self._reads[name_form] = Read(
            select(*self._columns, *of_user, *shown)
            .select_from(self._keys)
            .outerjoin(User, User.id == self._keys.c.user_id)
            .outerjoin(item, item.id == bindparam("item_id"))
            .where(*self._is_of(bindparam("hash"), bindparam("portal_id"))),
            (len(_COLUMNS), FoundKey._make),
            (len(CALLER_COLUMNS), found_user),
            self._item.part(name_form),
        )
        return read


def found_user(values: Values) -> FoundCaller | None:
    """Make a caller of the values of CALLER_COLUMNS. An API key stays valid when tokens are ended."""
    return None if values[0] is None else found_caller((*values, None, False))


def hash_of(text: str) -> str:
    """Return the form in which a key is stored."""
    return sha256(text.encode()).hexdigest()


def replace_key(session: Session, user_id: int, text: str, ends_at: datetime | None, now: datetime) -> None:
    """Store a key of a user, in place of an earlier one. Lock the user's row first. Does not commit."""
    remove_key(session, user_id)
    times = {"created_date": now, "validity_start_date": now, "validity_end_date": ends_at}
    values = {"user_id": user_id, "api_key": hash_of(text), "api_service": EXTERNAL, "key_prefix": text[:PREFIX_LENGTH]}
    session.execute(insert(ApiKey).values(values | times))


def find_key_of(session: Session, user_id: int) -> ApiKey | None:
    """Return the key of a user, revoked or not."""
    return session.scalars(select(ApiKey).where(ApiKey.user_id == user_id)).one_or_none()


def revoke_key(session: Session, user_id: int, now: datetime) -> bool:
    """Revoke the key of a user. False if the user has no key, or it was revoked before."""
    live = update(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    return count_met(session, live.values(revoked_at=now)) == 1


def remove_key(session: Session, user_id: int) -> None:
    """Delete the key of a user, revoked or not."""
    session.execute(delete(ApiKey).where(ApiKey.user_id == user_id))


def list_keys(session: Session) -> list[tuple[ApiKey, str]]:
    """Return all keys with the names of their users, by name."""
    rows = session.execute(select(ApiKey, User.username).join(User, User.id == ApiKey.user_id).order_by(User.username_canonical))
    return [(key, username) for key, username in rows]


def _written_before(now: datetime) -> datetime:
    return now.replace(microsecond=0) - timedelta(seconds=USE_INTERVAL_SECONDS)
