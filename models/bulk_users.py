"""Read, lock and change many users in few statements."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models.database import begin_write
from models.extra_fields import ExtraFields
from models.user import User
from models.user_table import UserTable


def hold_many(session: Session, table: UserTable, names: Iterable[str], ids: Collection[int]) -> dict[int, Any]:
    """Begin a transaction that locks rows exclusively, by ascending id. Return columns of the rows that exist, by id."""
    begin_write(session)
    if not ids:
        return {}
    chosen = table.select(session, names).where(User.id.in_(ids)).order_by(User.id).with_for_update(of=User)
    return {row.id: row for row in session.execute(chosen)}


def change_many(session: Session, changes: Collection[Mapping[str, Any]]) -> None:
    """Update users. Each of `changes` has the id of a user, and the columns that UserTable.columns_of_change returned."""
    # All rows of a statement need the same columns.
    for columns in {frozenset(change) for change in changes}:
        session.execute(update(User), [change for change in changes if change.keys() == columns])


def extra_values_of(session: Session, fields: ExtraFields, ids: Collection[int], field_ids: Collection[int]) -> dict[int, Any]:
    """Return the values of users in some extra fields, by user id and field id."""
    found: dict[int, dict[int, str]] = {}
    if field_ids:
        user_id, field_id, _, text = fields.value_columns(session)
        chosen = select(user_id, field_id, text).where(user_id.in_(ids), field_id.in_(field_ids))
        for user, field, value in session.execute(chosen):
            if value is not None:
                found.setdefault(user, {})[field] = value
    return found
