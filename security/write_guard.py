"""A write ends with its right: its caller is looked at again under the locks of the transaction that writes."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from models.caller import CALLER_COLUMNS, FoundCaller
from models.folding import canonical_username
from models.roles import reachable_roles, roles_to_show
from models.token_validity import TokenValidity
from models.user_table import UserTable
from security.bearer import Caller, judged


class Held(NamedTuple):
    """What a transaction holds: the caller and the user who is written, as they are now, and the rows of others."""

    caller: Caller
    user: Any
    others: Sequence[Any]


class WriteGuard:
    """Begins the transactions of writes."""

    def __init__(self, users: UserTable, validity: TokenValidity, clock: Callable[[], datetime]) -> None:
        """Take what is known of the tables, and the clock."""
        self._users = users
        self._validity = validity
        self._clock = clock

    def begin(
        self, session: Session, caller: Caller, user_id: int = 0, columns: Sequence[str] = (), others: Collection[int] = ()
    ) -> Held:
        """Begin a transaction that holds the row of a user, and those of the caller and of others, shared.

        `columns` are read of each, beside those of a caller; the user is None where there is none. Between the request's
        authentication and this moment the token may have been ended and the caller demoted or deactivated.

        Raises BadCredentials or InvalidToken, as authentication does. Whether the caller still may is for the view to ask.
        """
        names = tuple(dict.fromkeys((*CALLER_COLUMNS, *columns)))
        rows = self._users.hold(session, names, user_id, {caller.id, *others})
        # A statement of its own: one that waits for a lock goes on with what was committed before it.
        valid_after, is_revoked = self._validity.judge(session, caller.username, caller.token.keys)
        row, found = rows.get(caller.id), None
        if row is not None and canonical_username(row.username) == canonical_username(caller.username):
            granted = reachable_roles(frozenset(roles_to_show(row.roles)))
            state = (row.active, row.locked, row.expiration_date, row.linked, row.active_in, row.signs_in_to)
            found = FoundCaller(row.id, row.username, granted, *state, valid_after, is_revoked)
        now_allowed = judged(found, caller.token, self._clock(), caller.portal)
        return Held(now_allowed, rows.get(user_id), [rows[other] for other in others if other in rows])
