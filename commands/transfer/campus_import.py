"""Copy users, hashes, links and values of extra fields from the database of a campus to our own schema. Can be repeated."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select
from sqlalchemy.orm import Session

from commands.transfer.rows import COLUMNS
from models.bulk_users import extra_values_of
from models.campus import AccessUrl, AccessUrlRelUser, UserAuthSource, UserRelUser
from models.campus_extra_fields import CampusExtraFields
from models.database import CHUNK, continue_after_given_ids, in_chunks
from models.extra_fields import ExtraFields, insert_field
from models.folding import canonical_username
from models.user import User
from models.user_table import UserTable

_COLUMNS = [column.key for column in COLUMNS.values()]
_OWN = ExtraFields()
_NOT_NULL = {column.name for column in User.__table__.columns if not column.nullable}


@dataclass(frozen=True, slots=True)
class Side:
    """The source or the target: its session, and its user table."""

    session: Session
    table: UserTable


def count_users(source: Side) -> int:
    """Return the number of users to copy. Raises UnusableTable."""
    source.table.columns(source.session)
    return source.session.scalar(select(func.count()).select_from(User)) or 0


def move_users(source: Side, target: Side, now: datetime, advance: Callable[[int], None]) -> dict[int, int]:
    """Copy the users whose names the target lacks. Return the ids of all users in the target, by their ids in the source.

    Each chunk is a transaction, so an interrupted copy can resume. A user whose id is taken gets another one.
    """
    ids: dict[int, int] = {}
    for rows in in_chunks(source.session, source.table.select(source.session, _COLUMNS), User.id):
        known = _ids_by_name(target.session, rows)
        new = [row for row in rows if canonical_username(row.username) not in known]
        taken = set(target.session.scalars(select(User.id).where(User.id.in_([row.id for row in new]))))
        target.table.insert_many(target.session, [_values(row, keep_id=row.id not in taken) for row in new], now)
        known = _ids_by_name(target.session, rows)
        target.session.commit()
        ids |= {row.id: known[canonical_username(row.username)] for row in rows}
        advance(len(rows))
    return ids


def move_links(source: Side, target: Side, ids: dict[int, int]) -> int:
    """Copy portals, and the missing links of copied users. Returns the number of new links."""
    _move_portals(source.session, target.session)
    moved = 0
    for model in (AccessUrlRelUser, UserAuthSource, UserRelUser):
        columns = [column for column in model.__table__.columns if not column.primary_key]
        # The first three tell links apart: the others are times.
        known = {tuple(row) for row in target.session.execute(select(*columns[:3]))}
        for rows in in_chunks(source.session, select(model.id, *columns), model.id):
            mapped = list(_mapped(rows, [column.key for column in columns], ids))
            new = [row for row in mapped if tuple(row.values())[:3] not in known]
            if new:
                target.session.execute(insert(model), new)
            target.session.commit()
            moved += len(new)
    return moved


_OF_USERS = {"user_id", "friend_user_id"}


def _mapped(rows: Sequence[Row[Any]], columns: Sequence[str], ids: dict[int, int]) -> Iterator[dict[str, Any]]:
    """Yield links with the target's user ids. Leaves out links to users who no longer exist."""
    for row in rows:
        values = {column: getattr(row, column) for column in columns}
        if all(values[name] in ids for name in _OF_USERS & values.keys()):
            yield {name: ids[value] if name in _OF_USERS else value for name, value in values.items()}


def _move_portals(source: Session, target: Session) -> None:
    known = set(target.scalars(select(AccessUrl.id)))
    columns = (AccessUrl.id, AccessUrl.url, AccessUrl.active, AccessUrl.parent_id)
    portals = [dict(row) for row in source.execute(select(*columns)).mappings()]
    new = [portal | {"description": "", "created_by": 1} for portal in portals if portal["id"] not in known]
    if new:
        target.execute(insert(AccessUrl), new)
        continue_after_given_ids(target, AccessUrl.__table__)
    target.commit()


def _ids_by_name(session: Session, rows: Sequence[Row[Any]]) -> dict[str, int]:
    names = [canonical_username(row.username) for row in rows]
    named = select(User.username_canonical, User.id).where(User.username_canonical.in_(names))
    return dict(session.execute(named).all())


def _values(row: Row[Any], *, keep_id: bool) -> dict[str, Any]:
    """Return the values of a row, without nulls that our schema does not allow."""
    values = {name: getattr(row, name) for name in _COLUMNS if name != "id" or keep_id}
    return {name: value for name, value in values.items() if value is not None or name not in _NOT_NULL}


def move_values(source: Side, target: Side, ids: Mapping[int, int], now: datetime) -> int:
    """Copy the values of users, by their ids in the source and the target. Returns the number of new values.

    Values that the target already has are kept. If fields share a name, the first one counts. If a user has several values in
    a field, one of them is copied.
    """
    campus, moved, users = CampusExtraFields(), 0, sorted(ids)
    fields = _move_fields(campus.list_names(source.session), target.session, now)
    for start in range(0, len(users), CHUNK):
        chunk = users[start : start + CHUNK]
        values = extra_values_of(source.session, campus, chunk, list(fields))
        # Where fields share a name, the value of the one with the smallest id replaces the others.
        given = {
            (ids[user_id], fields[field_id]): text
            for user_id, of in values.items()
            for field_id, text in sorted(of.items(), reverse=True)
        }
        known = extra_values_of(target.session, _OWN, [ids[user_id] for user_id in chunk], list(fields.values()))
        new = [(user, field, text) for (user, field), text in given.items() if field not in known.get(user, {})]
        _OWN.insert_values(target.session, new, now)
        target.session.commit()
        moved += len(new)
    return moved


def _move_fields(names: Mapping[int, str], target: Session, now: datetime) -> dict[int, int]:
    """Create the missing fields. Returns the ids of all fields in the target, by their ids in the source."""
    for _, name in sorted(names.items()):
        if not _OWN.find(target, name):
            insert_field(target, name, None, now)
    target.commit()
    return {field_id: _OWN.resolve(target, [name])[name] for field_id, name in names.items()}
