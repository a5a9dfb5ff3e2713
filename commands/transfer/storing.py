"""Write the plan of an import, in short transactions."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import select, text

from blueprints.parts import Parts
from blueprints.users.writing import follow_change, save
from commands.transfer.extra_columns import PREFIX
from commands.transfer.pace import Pace
from commands.transfer.planning import Difference, Planner
from commands.transfer.rows import FileRow
from models import User, db
from models.administrators import LastAdministrator, find_administrators, is_administrator, loses_administrator
from models.bulk_users import change_many, extra_values_of, hold_many
from models.campus import enrol
from models.passwords import hash_password
from models.user import ACTIVE, INACTIVE
from security.hashing import lower_priority

# A connection that waits for SQLite's lock tries again every 100 ms or sooner (sqliteDefaultBusyCallback). In a longer pause it
# finds the lock free.
_PAUSE_SECONDS = 0.12


class Storing:
    """Writes users chunk by chunk, and counts how many it has written."""

    def __init__(self, ours: Parts, planner: Planner, advance: Callable[[int], object]) -> None:
        """Take the planner, which compares rows again. `advance` is called with the number of users in each chunk."""
        self._ours = ours
        self._planner = planner
        self._advance = advance
        self._pace = Pace()
        # This thread hashes at the low priority of sign-ins, so that they need not wait. It never holds a database lock.
        self._hasher = ThreadPoolExecutor(1, "hashing", lower_priority)
        self._portal_id = ours.home_portal().id
        self._is_sqlite = db.engine.dialect.name == "sqlite"
        self.created, self.changed, self.deactivated = 0, 0, 0

    def create(self, rows: Sequence[FileRow]) -> None:
        """Insert new users, who can sign in to the home portal."""
        for chunk in self._pace.chunks(rows, self._hashed):
            self._commit(partial(self._insert, chunk))
            if not self.created and db.engine.dialect.name == "postgresql":
                # Otherwise foreign keys are checked with the plan for an empty table: 100,000 users took three times as long.
                self._commit(lambda: db.session.execute(text('ANALYZE "user"')))
            self.created += len(chunk)
            self._advance(len(chunk))

    def change(self, rows: Sequence[tuple[FileRow, int]], *, passwords: bool) -> None:
        """Change users. Each row is compared again with its user, whose row is locked."""
        prepare = (lambda pair: (self._hashed(pair[0]), pair[1])) if passwords else (lambda pair: pair)
        for chunk in self._pace.chunks(rows, prepare):
            self.changed += self._commit(partial(self._update, chunk))
            self._advance(len(chunk))

    def deactivate(self, ids: Sequence[int]) -> None:
        """Deactivate the users with these ids, if they are active."""
        for chunk in self._pace.chunks(ids):
            self.deactivated += self._commit(partial(self._switch_off, chunk))
            self._advance(len(chunk))

    def _commit(self, write: Callable[[], Any]) -> Any:
        written = save(db.session(), self._ours.users, write)
        if self._is_sqlite:
            self._ours.sleep(_PAUSE_SECONDS)
        return written

    def _hashed(self, row: FileRow) -> FileRow:
        if not row.clear_password:
            return row
        hashed = self._hasher.submit(hash_password, row.clear_password, self._ours.settings.password_hash_cost).result()
        return replace(row, columns=row.columns | {"password": hashed}, clear_password=None)

    def _insert(self, rows: Sequence[FileRow]) -> None:
        session, now = db.session(), self._ours.clock()
        hold_many(session, self._ours.users, ("id",), ())
        self._ours.users.insert_many(session, [row.columns for row in rows], now)
        named = select(User.username, User.id).where(User.username.in_([row.columns["username"] for row in rows]))
        ids = dict(session.execute(named).all())
        enrol(session, ids.values(), self._portal_id)
        values = [
            (ids[row.columns["username"]], field_id, value)
            for row in rows
            for field_id, value in row.extra.items()
            if value is not None
        ]
        if values:  # beside a campus, the tables may be missing
            self._ours.extra_fields.insert_values(session, values, now)

    def _update(self, rows: Sequence[tuple[FileRow, int]]) -> int:
        session, users = db.session(), self._ours.users
        held = hold_many(session, users, self._planner.columns, [user_id for _, user_id in rows])
        extra = extra_values_of(session, self._ours.extra_fields, list(held), self._planner.fields)
        found = (
            (held[user_id], self._planner.difference(row, held[user_id], extra.get(user_id, {})))
            for row, user_id in rows
            if user_id in held
        )
        changes = [(user, change) for user, change in found if change]
        self._write(changes)
        return len(changes)

    def _switch_off(self, ids: Sequence[int]) -> int:
        held = hold_many(db.session(), self._ours.users, self._planner.columns, ids)
        changes = [(user, Difference({"active": INACTIVE}, {})) for user in held.values() if user.active == ACTIVE]
        self._write(changes)
        return len(changes)

    def _write(self, changes: Sequence[tuple[Any, Difference]]) -> None:
        """Change locked users, with all consequences (`follow_change`). Raises LastAdministrator."""
        session, users, now = db.session(), self._ours.users, self._ours.clock()
        whole = [(user, change.extra, _with_times(change.columns, now)) for user, change in changes]
        self._require_administrator([(user, columns) for user, _, columns in whole], now)
        changed = ((user, users.columns_of_change(session, user, columns)) for user, _, columns in whole if columns)
        change_many(session, [{"id": user.id, **columns} for user, columns in changed])
        for user, extra, columns in whole:
            if extra:
                self._ours.extra_fields.write_values(session, user.id, extra, now)
            named = {PREFIX + self._planner.fields[field_id]: value for field_id, value in extra.items()}
            follow_change(session, now, user, columns | named, is_forced=False)

    def _require_administrator(self, changes: Sequence[tuple[Any, Mapping[str, Any]]], now: datetime) -> None:
        losing = {user.id for user, columns in changes if loses_administrator(user, columns, now)}
        if not losing:
            return
        others = find_administrators(db.session(), now) - losing
        chosen = self._ours.users.select(db.session(), self._planner.columns).where(User.id.in_(others)).order_by(User.id)
        # Locked, so that nobody else removes the last of them in the meantime.
        locked = db.session.execute(chosen.with_for_update(read=True, of=User))
        if not any(is_administrator(other, now) for other in locked):
            raise LastAdministrator


def _with_times(columns: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    times = {"updated_at": now} | ({"password_updated_at": now} if "password" in columns else {})
    return times | dict(columns) if columns else {}
