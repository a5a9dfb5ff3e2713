"""Check the rows of a file, and plan what an import of them would write."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import func, select

from blueprints.parts import Parts
from commands.transfer.keys import Key
from commands.transfer.rows import BadRow, FileRow, field_of
from commands.transfer.rules import blanks, find_taken, find_twice, violations
from models import User, db
from models.administrators import ADMINISTRATOR_COLUMNS, find_administrators, loses_administrator
from models.bulk_users import extra_values_of
from models.campus import is_linked_to
from models.database import CHUNK, in_chunks
from models.roles import roles_to_store
from models.user import ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The options of `users import`."""

    key: str = "username"
    update: bool = False
    set_passwords: bool = False
    deactivate_missing: bool = False
    yes: bool = False
    force: bool = False
    dry_run: bool = False
    as_exported: bool = False


class Difference(NamedTuple):
    """What a row would change: columns of `user`, and values of extra fields by id."""

    columns: dict[str, Any]
    extra: dict[int, str | None]

    def __bool__(self) -> bool:
        """Tell whether the row changes anything."""
        return bool(self.columns or self.extra)


@dataclass(slots=True)
class Plan:
    """What an import would write: `new` users, and the rows that change a user, each with the user's id.

    `found` holds the ids of all existing users in the file. `losing` holds the rows that make an administrator an
    ordinary user, by the user's id.
    """

    new: list[FileRow] = field(default_factory=list)
    changed: list[tuple[FileRow, int]] = field(default_factory=list)
    found: set[int] = field(default_factory=set)
    losing: dict[int, FileRow] = field(default_factory=dict)
    bad: list[BadRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Missing:
    """The active users of the home portal who are not in a file.

    `names` has the names of those to deactivate, by id. `kept` has the names of administrators who stay active. `of_all` is the
    number of all active users of the portal.
    """

    names: dict[int, str]
    kept: list[str]
    of_all: int


class Planner:
    """Compares a file with the database in one pass. It writes nothing, and leaves no transaction open."""

    def __init__(self, ours: Parts, key: Key, choices: Choices, rows: Sequence[FileRow], fields: Mapping[int, str]) -> None:
        """Take the rows, whose extra fields are keyed by id, and the names of these fields."""
        self._ours = ours
        self._key = key
        self._choices = choices
        self._rows = rows
        self._present = ours.users.columns(db.session()).names
        given = {column for row in rows for column in row.columns}
        #: The columns of a user that comparing and writing need.
        self.columns = tuple(dict.fromkeys((*ADMINISTRATOR_COLUMNS, "username", "password", *sorted(given & self._present))))
        self.fields = fields

    def plan(self) -> Plan:
        """Return the plan, with the faults of all rows."""
        plan = Plan(bad=list(find_twice(self._rows)))
        places: dict[str, str] = {}
        for start in range(0, len(self._rows), CHUNK):
            rows = self._rows[start : start + CHUNK]
            plan.bad += self._key_faults(rows, places)
            self._plan_chunk(plan, rows)
        rows_of_users = [*((row, 0) for row in plan.new), *plan.changed]
        plan.bad += find_taken(db.session(), rows_of_users, self._present)
        plan.bad += self._administrator_faults(plan.losing)
        # Rows without an id go last, so that the database gives them no id that another row asks for.
        plan.new.sort(key=lambda row: "id" not in row.columns)
        db.session.rollback()
        return plan

    def difference(self, row: FileRow, stored: Any, extra: dict[int, str]) -> Difference:
        """Return the changes that a row makes to a stored user. `extra` holds the user's values of extra fields, by field id."""
        # An import never changes an id, and a password only with `--set-passwords`.
        compared = self._present - ({"id"} if self._choices.set_passwords else {"id", "password"})
        columns = {
            name: value
            for name, value in row.columns.items()
            if name in compared and _differs(name, value, getattr(stored, name))
        }
        return Difference(columns, {field: text for field, text in row.extra.items() if extra.get(field) != text})

    def _key_faults(self, rows: Sequence[FileRow], places: dict[str, str]) -> Iterator[BadRow]:
        for row in rows:
            value = self._key.of(row)
            if value is None:
                yield BadRow(row.place, self._key.column, "must not be blank: it identifies the user")
            elif (first := places.setdefault(value, row.place)) != row.place:
                yield BadRow(row.place, self._key.column, f"is already at {first}")

    def _administrator_faults(self, losing: Mapping[int, FileRow]) -> Iterator[BadRow]:
        if losing and not find_administrators(db.session(), self._ours.clock()) - losing.keys():
            for row in losing.values():
                yield BadRow(row.place, self._key.column, "no administrator would be left")

    def _plan_chunk(self, plan: Plan, rows: Sequence[FileRow]) -> None:
        stored: dict[str, list[Any]] = {}
        values = [self._key.of(row) or "" for row in rows]
        for value, user in self._key.find(db.session(), self.columns, set(values) - {""}):
            stored.setdefault(value, []).append(user)
        ids = [user.id for users in stored.values() for user in users]
        plan.found.update(ids)
        extra = extra_values_of(db.session(), self._ours.extra_fields, ids, self.fields)
        for row, value in zip(rows, values, strict=True):
            users = stored.get(value, [])
            plan.bad += self._faults_of_user(row, users)
            if not users:
                plan.bad += self._faults(row, None)
                plan.new.append(row)
            elif len(users) == 1:
                self._plan_change(plan, row, users[0], self.difference(row, users[0], extra.get(users[0].id, {})))

    def _plan_change(self, plan: Plan, row: FileRow, user: Any, change: Difference) -> None:
        if not change and not (row.clear_password and self._choices.set_passwords):
            return
        plan.bad += self._faults(row, user)
        if not self._choices.update:
            what = ", ".join(sorted({*map(field_of, change.columns), *(["extra fields"] if change.extra else [])})) or "password"
            plan.bad.append(BadRow(row.place, self._key.column, f"this user exists, with another {what}; --update changes it"))
        plan.changed.append((row, user.id))
        if loses_administrator(user, change.columns, self._ours.clock()):
            plan.losing[user.id] = row

    def _faults_of_user(self, row: FileRow, users: Sequence[Any]) -> Iterator[BadRow]:
        if len(users) > 1:
            numbers = " and ".join(str(user.id) for user in users[:2])
            yield BadRow(row.place, self._key.column, f"{len(users)} users have it: those with the ids {numbers}")
        elif users and row.columns.get("id", users[0].id) != users[0].id:
            yield BadRow(row.place, "id", f"the user has the id {users[0].id}, which cannot change")

    def _faults(self, row: FileRow, user: Any) -> Iterator[BadRow]:
        if not self._choices.as_exported:
            yield from violations(self._ours, row, user)
        yield from blanks(row, user)


def _differs(name: str, value: Any, stored: Any) -> bool:
    if name == "roles":
        return bool(value != roles_to_store(stored))
    # Times are stored in whole seconds.
    return bool((value.replace(microsecond=0) if isinstance(value, datetime) else value) != stored)


def find_missing(ours: Parts, plan: Plan) -> Missing:
    """Return the active users who are not in the file. Administrators among them are kept if otherwise none would be left."""
    session, portal_id = db.session(), ours.home_portal().id
    users = select(User.id, User.username).where(is_linked_to([portal_id]), User.active == ACTIVE)
    of_all = session.scalar(select(func.count()).select_from(users.subquery())) or 0
    names = {row.id: row.username for row in chain.from_iterable(in_chunks(session, users, User.id)) if row.id not in plan.found}
    administrators = find_administrators(session, ours.clock())
    kept = []
    if not administrators - plan.losing.keys() - names.keys():
        kept = [names.pop(user_id) for user_id in sorted(administrators & names.keys())]
    session.rollback()
    return Missing(names, kept, of_all)
