"""Read and write the `user` table: our own, or that of a running campus, which may lack some of our columns."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime, time
from types import MappingProxyType
from typing import Any, cast

from sqlalchemy import CursorResult, Select, column, delete, insert, inspect, null, select, table, type_coerce, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.campus import MEMBERSHIP, PortalIds
from models.database import begin_write, continue_after_given_ids, count_met
from models.folding import canonical_username, fold
from models.role_list import RoleList
from models.user import USERNAME_LENGTH, Account, HasRoles, User
from models.user_row import OWN_COLUMNS, SEARCHED, Columns, complete_row, copies_of
from models.user_total import count_change, recount

Column = InstrumentedAttribute[Any]

_FOLDED_COLUMNS = frozenset(f"{name}_folded" for name in SEARCHED)

#: Columns that a campus may lack, depending on its version. This server refuses a campus that lacks a required column.
OPTIONAL_COLUMNS = _FOLDED_COLUMNS | frozenset(
    ("uuid", "password_updated_at", "mfa_enabled", "mfa_service", "mfa_secret", "mfa_backup_codes", "mfa_last_used")
)
REQUIRED_COLUMNS = frozenset(
    """id username username_canonical firstname lastname website biography locale password timezone email email_canonical
    locked expired expires_at phone address salt last_login password_requested_at roles status expiration_date active
    created_at updated_at""".split()  # noqa: SIM905 - a list of 27 strings, one a line, would hide what it says
)

# Only Chamilo 3 has these columns. If the table has no rows, they tell how to encode roles.
_OF_CHAMILO_3 = frozenset(("password_updated_at", "mfa_enabled"))

#: The columns of an Account.
ACCOUNT = ("id", "username", "password", "salt", "roles", "active", "locked", "expiration_date", "mfa_enabled", *MEMBERSHIP)


class UnusableTable(Exception):
    """A `user` table that this server cannot use. The message says what is missing."""


_OWN = Columns(OWN_COLUMNS, {})


class UserTable:
    """The `user` table of one application. The columns of a campus's table are read at the first use."""

    def __init__(self, *, is_campus: bool, defaults: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Take whether the table is a campus's or our own, and defaults of new users, which take precedence over DEFAULTS."""
        self.is_campus = is_campus
        self._defaults = dict(defaults)
        self._columns: Columns | None = None if is_campus else _OWN

    @property
    def searched(self) -> dict[str, Column]:
        """Return the columns to search and order by: our folded copies or, in a campus, the plain columns and their collation."""
        return {name: getattr(User, name if self.is_campus else f"{name}_folded") for name in SEARCHED}

    @property
    def fold(self) -> Callable[[str], str]:
        """Return the function that brings a search text into the form of the searched columns."""
        return str if self.is_campus else fold

    def columns(self, session: Session) -> Columns:
        """Return the columns of the table. Raises UnusableTable."""
        if self._columns is None:
            self._columns = _read_columns(session)
        return self._columns

    def select(self, session: Session, names: Iterable[str]) -> Select[Any]:
        """Select columns of users. A column that the table lacks is null."""
        return select(*self.selected(session, names)).select_from(User)

    def selected(self, session: Session, names: Iterable[str]) -> list[Any]:
        """Return columns of users and of MEMBERSHIP by name. A column that is missing is null."""
        present = self.columns(session).names
        return [getattr(User, name) if name in present else self._elsewhere(name).label(name) for name in names]

    def _elsewhere(self, name: str) -> Any:
        if name not in MEMBERSHIP:
            return null()
        return MEMBERSHIP[name] if self.is_campus else type_coerce(null(), PortalIds())

    def find_account(self, session: Session, username: str) -> Account | None:
        """Find the account of a user name. Case does not matter; all else does (docs/compatibility.md#username-match)."""
        if not can_be_stored(username):
            return None
        row = session.execute(self.select(session, ACCOUNT).where(self._is_named(username))).one_or_none()
        # A campus's collation ignores accents and trailing spaces; sign-in must not.
        if row is None or canonical_username(row.username) != canonical_username(username):
            return None
        return cast("Account", row)

    def is_taken(self, session: Session, username: str, but_by: int | None = None) -> bool:
        """Tell whether a user other than `but_by` has this name, as the unique index compares names."""
        if not can_be_stored(username):
            return False
        return session.execute(select(User.id).where(self._is_named(username), User.id != (but_by or 0))).first() is not None

    def insert(self, session: Session, values: Mapping[str, Any], now: datetime) -> int:
        """Insert a user, with defaults and all columns that must not be null. Return the id."""
        columns = self.columns(session)
        row = complete_row(columns, self._encoding_of_new_rows(session, columns), self._defaults | dict(values), now)
        # As parameters: `.values()` would make an object of each column.
        result = cast("CursorResult[Any]", session.execute(insert(self._as_it_is(row)), row))
        user_id = int(result.lastrowid if self.is_campus else cast("Any", result.inserted_primary_key)[0])
        count_change(session, user_id, 1, is_campus=self.is_campus)
        return user_id

    def insert_many(self, session: Session, rows: Iterable[Mapping[str, Any]], now: datetime) -> None:
        """Insert many users. Rows with an id go first, before a generated id takes theirs. End the transaction with `recount`."""
        columns = self.columns(session)
        encoding = self._encoding_of_new_rows(session, columns)
        complete = [complete_row(columns, encoding, self._defaults | dict(row), now) for row in rows]
        for with_id in (True, False):  # all rows of a statement need the same columns
            if group := [row for row in complete if ("id" in row) is with_id]:
                statement = insert(self._as_it_is(group[0]))
                if session.get_bind().dialect.name == "sqlite":
                    # With RETURNING, SQLAlchemy sends few long statements. Many short ones are slow with SQLite's search index.
                    statement = statement.returning(User.id)
                session.execute(statement, group)
                continue_after_given_ids(session, User.__table__)

    def change(self, session: Session, held: HasRoles, changes: Mapping[str, Any]) -> None:
        """Update only the columns of a user that change, and their folded and canonical copies."""
        if changed := self.columns_of_change(session, held, changes):
            # Each combination of columns is another statement. SQLAlchemy would cache 500 of them, with their first values.
            statement = update(User).where(User.id == held.id).values(changed)
            session.execute(statement, execution_options={"compiled_cache": None})

    def columns_of_change(self, session: Session, held: HasRoles, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changed columns and their copies, except those that the table lacks. Roles keep the encoding of the row."""
        present = self.columns(session).names
        changed = {name: value for name, value in (dict(changes) | copies_of(changes)).items() if name in present}
        return changed | ({"roles": RoleList(changed["roles"], held.roles.encoding)} if "roles" in changed else {})

    def lock(self, session: Session, user_id: int, names: Iterable[str]) -> Any:
        """Begin a transaction that locks a user's row. Return columns of it, or None if there is no such user."""
        return self.hold(session, names, user_id).get(user_id)

    def hold(self, session: Session, names: Iterable[str], user_id: int, shared: Collection[int] = ()) -> dict[int, Any]:
        """Begin a transaction that locks rows. Return columns of the rows that exist, by id.

        The row of `user_id` (0 for none) gets an exclusive lock, those of `shared` get shared locks. The rows are locked by
        ascending id, so that two such transactions cannot deadlock.
        """
        begin_write(session)
        chosen, others = self.select(session, names).order_by(User.id), sorted(set(shared) - {user_id})
        below, above = [other for other in others if other < user_id], [other for other in others if other > user_id]
        held: dict[int, Any] = {}
        for ids, is_shared in ((below, True), ([user_id] if user_id else [], False), (above, True)):
            if ids:
                rows = session.execute(chosen.where(User.id.in_(ids)).with_for_update(read=is_shared, of=User))
                held |= {row.id: row for row in rows}
        return held

    def recount(self, session: Session) -> None:
        """Count all users again, after a bulk insert, or if another program wrote to the table."""
        recount(session, is_campus=self.is_campus)

    def remove(self, session: Session, user_id: int) -> None:
        """Delete the row of a user."""
        if count_met(session, delete(User).where(User.id == user_id)):
            count_change(session, user_id, -1, is_campus=self.is_campus)

    def chamilo_version(self, session: Session) -> str:
        """Tell whether a campus is Chamilo 2 or 3, from the roles of its newest user or, without users, from its columns."""
        return "3" if self._encoding_of_new_rows(session, self.columns(session)) == "json" else "2"

    def _as_it_is(self, row: Mapping[str, Any]) -> Any:
        """Return the table to insert a row into. A campus's lacks some of our columns, and has others that need fillers."""
        if not self.is_campus:
            return User.__table__
        known = User.__table__.columns  # the driver converts the values of other columns
        return table("user", *(column(name, known[name].type if name in known else None) for name in row))

    def _is_named(self, username: str) -> Any:
        if self.is_campus:
            return User.username == username  # Chamilo has no index on `username_canonical`
        return User.username_canonical == canonical_username(username)

    def _encoding_of_new_rows(self, session: Session, columns: Columns) -> str:
        if not self.is_campus:
            return "json"
        newest = session.execute(select(User.roles).order_by(User.id.desc()).limit(1)).scalar_one_or_none()
        if isinstance(newest, RoleList):
            return newest.encoding
        return "json" if columns.names & _OF_CHAMILO_3 else "php"


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
        if name not in OWN_COLUMNS and not described["nullable"] and described["default"] is None
    }
    return Columns(frozenset(found), fillers)


def _zero(kind: Any) -> Any:
    """Return the empty value of a type: 0 or empty text, the start of 1970 for dates, midnight for times."""
    try:
        return _BEGINNING.get(kind.python_type) or kind.python_type()
    except NotImplementedError:  # a type of MariaDB without a Python type in SQLAlchemy; it takes text
        return ""


_BEGINNING = {datetime: datetime(1970, 1, 1), date: date(1970, 1, 1), time: time.min}  # noqa: DTZ001 - columns have no zone


def can_be_stored(username: str) -> bool:
    """Tell whether a row can have this name. PostgreSQL refuses NUL, and no database takes lone surrogates."""
    return 0 < len(username) <= USERNAME_LENGTH and "\0" not in username and _is_encodable(username)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
