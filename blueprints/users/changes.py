"""Creating, changing and deleting users for a caller.

Every rule is checked before a password is hashed, and again in the transaction, when all rows are locked
(docs/compatibility.md#write-rechecked).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import g, request
from werkzeug.exceptions import NotFound

from blueprints.parts import parts, requester_of
from blueprints.users import policy
from blueprints.users.resource import USER, in_name_form
from blueprints.users.writing import change_user, columns_to_write, insert_user, remove_user, save
from models import User, db
from models.administrators import ADMINISTRATOR_COLUMNS, require_other
from models.passwords import hash_password
from models.user import SOFT_DELETED
from rest.conditional import require_match
from rest.representation import Item
from security.access import Rule, current_caller
from security.bearer import Caller
from security.write_guard import Held

# The columns that answers show, and those that the rules need.
_COLUMNS = tuple(dict.fromkeys((*USER.readable.columns, *ADMINISTRATOR_COLUMNS, "linked")))


def get_row(user_id: int) -> Any:
    """Return the row of a user. Raises NotFound."""
    row = _find_row(user_id)
    if row is None:
        raise NotFound("Not Found")
    return row


def insert(
    values: dict[str, Any],
    password: str | None,
    access_url_id: int,
    rule: Rule,
    complete: Callable[[int], None] = lambda _user_id: None,
) -> Item:
    """Insert a user who can sign in to a portal; `rule` is the access rule of the route.

    `complete` takes the new id, in the same transaction. No other user can be inserted meanwhile. Raises 401, 403, 422 and 503.
    """
    ours, session = parts(), db.session()
    columns = columns_to_write(values, _hashed(password, None), g.now)

    def write() -> Any:
        caller = ours.guard.begin(session, current_caller()).caller
        policy.require_creatable(caller, rule, columns.get("roles", ()))
        user_id = insert_user(session, ours.users, columns, g.now, access_url_id)
        complete(user_id)
        return _find_row(user_id)

    return _shown(save(session, ours.users, write, values["username"]))


def update(stored: Any, values: dict[str, Any], password: str | None, more: dict[str, Any]) -> Item:
    """Change a user. `stored` is the row as it was read before, and `more` has columns that no property sets.

    Raises 401, 403, 404, 412, 422, 429 and 503.
    """
    ours, session = parts(), db.session()
    columns = columns_to_write(values, None, g.now) | more
    _require_allowed(current_caller(), stored, columns, password)
    policy.require_administrator_left(session, stored, columns, g.now)
    columns |= columns_to_write({}, _hashed(password, stored.id), g.now)

    def write() -> Any:
        held = _hold(stored.id, columns)
        policy.require_writable(held.caller, values.keys())
        _require_allowed(held.caller, held.user, columns, password)
        change_user(session, ours, held.user, columns)
        return _find_row(stored.id)

    return _shown(save(session, ours.users, write, values.get("username"), stored.id))


def delete(user_id: int) -> None:
    """Delete a user as USER_DELETE_MODE says. Raises 401, 403, 404 and 412."""
    ours, session = parts(), db.session()

    def write() -> None:
        held = _hold(user_id, {"active": SOFT_DELETED})
        policy.require_deletable(held.caller, held.user)
        require_match(request, _shown(held.user))
        remove_user(session, ours, held.user)

    save(session, ours.users, write)


def _require_allowed(caller: Caller, user: Any, columns: dict[str, Any], password: str | None) -> None:
    """Raise 412 if If-Match does not match, 403 if the caller may not change these columns or the password."""
    require_match(request, _shown(user))
    policy.require_changeable(caller, user, columns, sets_password=bool(password))


def _hashed(password: str | None, user_id: int | None) -> str | None:
    """Hash a new password, if there is one, while no database connection is held. `user_id` is None for a new user.

    Raises 503 if the queue is full, 429 after too many hashes of one's own password (docs/compatibility.md#own-password-rate).
    """
    if not password:
        return None
    caller, ours = current_caller(), parts()
    requester = requester_of(caller.username)
    db.session.rollback()
    ours.hashing.require_room(requester)
    if caller.id == user_id:
        ours.limiter.count_own_password(caller.id)
    return ours.hashing.run(partial(hash_password, password, ours.settings.password_hash_cost), requester)


def _hold(user_id: int, columns: dict[str, Any]) -> Held:
    """Begin the transaction of a change, which locks the caller and the user. Raises 401, 403 and 404."""
    ours, session = parts(), db.session()
    now, user = ours.clock(), get_row(user_id)
    others = policy.require_administrator_left(session, user, columns, now)
    held = ours.guard.begin(session, current_caller(), user_id, _COLUMNS, others)
    if held.user is None:
        raise NotFound("Not Found")
    require_other(held.user, columns, held.others, now)
    return held


def _find_row(user_id: int) -> Any:
    return db.session().execute(parts().users.select(db.session(), _COLUMNS).where(User.id == user_id)).one_or_none()


def _shown(row: Any) -> Item:
    return Item.of(USER, in_name_form(USER.readable, current_caller().portal.name_form), row)
