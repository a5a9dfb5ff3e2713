"""Copy extra fields and their values from the database of a campus to our own schema. Can be repeated."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from commands.transfer.campus_import import Side
from models.bulk_users import extra_values_of
from models.campus_extra_fields import CampusExtraFields
from models.database import CHUNK
from models.extra_fields import ExtraFields, insert_field

_OWN = ExtraFields()


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
        moved += _insert_new(target.session, [ids[user_id] for user_id in chunk], given, now)
        target.session.commit()
    return moved


def _move_fields(names: Mapping[int, str], target: Session, now: datetime) -> dict[int, int]:
    """Create the missing fields. Returns the ids of all fields in the target, by their ids in the source."""
    for _, name in sorted(names.items()):
        if not _OWN.find(target, name):
            insert_field(target, name, None, now)
    target.commit()
    return {field_id: _OWN.resolve(target, [name])[name] for field_id, name in names.items()}


def _insert_new(target: Session, users: Sequence[int], given: Mapping[tuple[int, int], str], now: datetime) -> int:
    known = extra_values_of(target, _OWN, users, list({field_id for _, field_id in given}))
    new = [(user, field, text) for (user, field), text in given.items() if field not in known.get(user, {})]
    _OWN.insert_values(target, new, now)
    return len(new)
