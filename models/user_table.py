"""Reading and writing the `user` table as it is: our own, or the one of a running campus, which has fewer columns."""

import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Protocol, cast

from sqlalchemy import CursorResult, Select, column, delete, insert, inspect, null, select, table, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.database import RoleList, continue_after_given_ids
from models.folding import canonical_username, fold, lower_case
from models.user import ACTIVE, STATUS_STUDENT, USERNAME_LENGTH, Account, User

Column = InstrumentedAttribute[Any]

#: What of a user has a folded copy in our own schema.
SEARCHED = ("username", "firstname", "lastname", "email")

_OWN_COLUMNS = frozenset(User.__table__.columns.keys())
_FOLDED_COLUMNS = frozenset(f"{name}_folded" for name in SEARCHED)

#: What a campus may lack, by its version; without any other column of contract 7 this server cannot serve it.
OPTIONAL_COLUMNS = _FOLDED_COLUMNS | frozenset(
    ("uuid", "password_updated_at", "mfa_enabled", "mfa_service", "mfa_secret", "mfa_backup_codes", "mfa_last_used")
)
REQUIRED_COLUMNS = frozenset(
    """id username username_canonical firstname lastname website biography locale password timezone email email_canonical
    locked expired expires_at phone address salt last_login password_requested_at roles status expiration_date active
    created_at updated_at""".split()  # noqa: SIM905 - a list of 27 strings, one a line, would hide what it says
)

# What only Chamilo 3 has; where there is no row to look at, it tells how roles are encoded.
_OF_CHAMILO_3 = frozenset(("password_updated_at", "mfa_enabled"))

#: The columns of an Account.
ACCOUNT = ("id", "username", "password", "salt", "roles", "active", "locked", "expiration_date", "mfa_enabled")


class UnusableTable(Exception):
    """A `user` table that this server cannot work with; the message says what it lacks."""


class HasRoles(Protocol):
    """A row of a user that has at least the id and the roles."""

    id: int
    roles: RoleList


@dataclass(frozen=True, slots=True)
class Columns:
    """What a table has: its columns, and what to put into those that must not be null and that we know nothing of."""

    names: frozenset[str]
    fillers: Mapping[str, Any]


_OWN = Columns(_OWN_COLUMNS, {})


class UserTable:
    """The `user` table of one application. Beside a campus its columns are read once, at the first use."""

    def __init__(self, *, is_campus: bool) -> None:
        """Take whether the table is a campus's, or our own."""
        self.is_campus = is_campus
        self._columns: Columns | None = None if is_campus else _OWN

    @property
    def searched(self) -> dict[str, Column]:
        """Return the columns that are searched and ordered by: folded copies, or, under a campus's collation, the names."""
        return {name: getattr(User, name if self.is_campus else f"{name}_folded") for name in SEARCHED}

    @property
    def fold(self) -> Callable[[str], str]:
        """Return what brings a search text to the form of the searched columns."""
        return str if self.is_campus else fold

    def columns(self, session: Session) -> Columns:
        """Return what the table has. Raises UnusableTable."""
        if self._columns is None:
            self._columns = _read_columns(session)
        return self._columns

    def select(self, session: Session, names: Iterable[str]) -> Select[Any]:
        """Select columns of users; one that the table does not have is null."""
        present = self.columns(session).names
        return select(*(getattr(User, name) if name in present else null().label(name) for name in names)).select_from(User)

    def find_account(self, session: Session, username: str) -> Account | None:
        """Find the account of a user name; case does not matter, nothing else is forgiven."""
        if not can_be_stored(username):
            return None
        row = session.execute(self.select(session, ACCOUNT).where(self._is_named(username))).one_or_none()
        # A campus's collation forgives accents and trailing spaces; we do not.
        if row is None or canonical_username(row.username) != canonical_username(username):
            return None
        return cast("Account", row)

    def is_taken(self, session: Session, username: str, but_by: int | None = None) -> bool:
        """Tell whether someone other than the user with the id `but_by` has this name, as the unique index compares names."""
        if not can_be_stored(username):
            return False
        return session.execute(select(User.id).where(self._is_named(username), User.id != (but_by or 0))).first() is not None

    def insert(self, session: Session, values: Mapping[str, Any], now: datetime) -> int:
        """Insert a user, with the defaults of contract 5 and all columns that must not be null; return the id."""
        columns = self.columns(session)
        row = _complete_row(columns, self._encoding_of_new_rows(session, columns), values, now)
        result = cast("CursorResult[Any]", session.execute(insert(self._as_it_is(row)).values(row)))
        return int(result.lastrowid if self.is_campus else cast("Any", result.inserted_primary_key)[0])

    def insert_many(self, session: Session, rows: Iterable[Mapping[str, Any]], now: datetime) -> None:
        """Insert users at once. Those that bring their id go first, so that it is free."""
        columns = self.columns(session)
        encoding = self._encoding_of_new_rows(session, columns)
        complete = [_complete_row(columns, encoding, row, now) for row in rows]
        for with_id in (True, False):  # one statement has one set of columns
            if group := [row for row in complete if ("id" in row) is with_id]:
                session.execute(insert(self._as_it_is(group[0])), group)
                continue_after_given_ids(session, User.__table__)

    def change(self, session: Session, held: HasRoles, changes: Mapping[str, Any]) -> None:
        """Update a user: the columns that change and their copies, and no other; roles in the encoding of the row."""
        present = self.columns(session).names
        changed = {name: value for name, value in (dict(changes) | _copies(changes)).items() if name in present}
        if "roles" in changed:
            changed["roles"] = RoleList(changed["roles"], held.roles.encoding)
        if changed:
            session.execute(update(User).where(User.id == held.id).values(changed))

    def lock(self, session: Session, user_id: int, names: Iterable[str]) -> Any:
        """Begin a transaction that holds the row of a user, and return columns of it; None where there is none."""
        session.rollback()
        if session.get_bind().dialect.name == "sqlite":  # it has one lock for all, taken by the first write
            session.execute(text("BEGIN IMMEDIATE"))
        return session.execute(self.select(session, names).where(User.id == user_id).with_for_update(of=User)).one_or_none()

    def remove(self, session: Session, user_id: int) -> None:
        """Delete the row of a user for good."""
        session.execute(delete(User).where(User.id == user_id))

    def _as_it_is(self, row: Mapping[str, Any]) -> Any:
        """Return the table to insert a row into: a campus's lacks some of our columns, and has some to be filled."""
        return table("user", *(column(name, _type_of(name)) for name in row)) if self.is_campus else User

    def _is_named(self, username: str) -> Any:
        if self.is_campus:
            return User.username == username  # its index; `username_canonical` has none there
        return User.username_canonical == canonical_username(username)

    def _encoding_of_new_rows(self, session: Session, columns: Columns) -> str:
        if not self.is_campus:
            return "json"
        newest = session.execute(select(User.roles).order_by(User.id.desc()).limit(1)).scalar_one_or_none()
        if isinstance(newest, RoleList):
            return newest.encoding
        return "json" if columns.names & _OF_CHAMILO_3 else "php"


#: What a new row has where nothing is said (contract 5), apart from times and random values.
DEFAULTS: Mapping[str, Any] = {
    "website": "",
    "biography": "",
    "locale": "en_US",
    "timezone": "Europe/Paris",
    "password": "",
    "status": STATUS_STUDENT,
    "active": ACTIVE,
    "locked": False,
    "expired": False,
    "credentials_expired": False,
    "mfa_enabled": False,
}


def _complete_row(columns: Columns, encoding: str, values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return all that a new row needs: values, defaults, copies, and fillers for columns that we know nothing of."""
    row: dict[str, Any] = dict.fromkeys(columns.names & _OWN_COLUMNS - {"id"})
    row |= dict(DEFAULTS) | _made(now) | dict(values)
    row |= _copies(row)
    row["roles"] = RoleList(row["roles"], encoding)
    return {name: value for name, value in row.items() if name in columns.names} | dict(columns.fillers)


def _made(now: datetime) -> dict[str, Any]:
    times = dict.fromkeys(("expires_at", "created_at", "updated_at"), now)
    return {"roles": [], "salt": secrets.token_hex(20), "uuid": uuid.uuid4().bytes} | times


def _copies(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what follows from the names and the e-mail: folded and canonical copies."""
    copies: dict[str, Any] = {f"{name}_folded": fold(values[name]) for name in values.keys() & set(SEARCHED)}
    if "username" in values:
        copies["username_canonical"] = canonical_username(values["username"])
    if "email" in values:
        copies["email_canonical"] = lower_case(values["email"])
    return copies


def _read_columns(session: Session) -> Columns:
    inspector = inspect(session.connection())
    if "user" not in inspector.get_table_names():
        raise UnusableTable("The database has no table `user`; DATABASE_SCHEMA=chamilo is for the database of a campus.")
    found = {described["name"]: described for described in inspector.get_columns("user")}
    missing = sorted(REQUIRED_COLUMNS - found.keys())
    if missing:
        raise UnusableTable(f"The table `user` lacks the columns {', '.join(missing)}.")
    fillers = {
        name: _zero(described["type"])
        for name, described in found.items()
        if name not in _OWN_COLUMNS and not described["nullable"] and described["default"] is None
    }
    return Columns(frozenset(found), fillers)


def _type_of(name: str) -> Any:
    """Return the type of a column that we know; one that we do not know is left to the driver."""
    return User.__table__.columns[name].type if name in _OWN_COLUMNS else None


def _zero(kind: Any) -> Any:
    """Return the empty value of a column's type: 0, empty text, or, of a type that has none, the beginning of time."""
    try:
        return _BEGINNING.get(kind.python_type) or kind.python_type()
    except NotImplementedError:  # a type of MariaDB's own that SQLAlchemy has no Python type for; it takes text
        return ""


_BEGINNING = {datetime: datetime(1970, 1, 1), date: date(1970, 1, 1), time: time.min}  # noqa: DTZ001 - columns have no zone


def can_be_stored(username: str) -> bool:
    """Tell whether a row could bear this name; PostgreSQL refuses NUL, and no database takes half a surrogate pair."""
    return 0 < len(username) <= USERNAME_LENGTH and "\0" not in username and _is_encodable(username)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
