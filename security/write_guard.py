"""Check the caller again in the transaction that writes (docs/compatibility.md#write-rechecked)."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from models.caller import CALLER_COLUMNS, found_caller
from models.folding import canonical_username
from models.token_validity import TokenValidity
from models.user_table import UserTable
from security.bearer import Caller, get_caller


class Held(NamedTuple):
    """The rows that a transaction has locked: the caller, the user who is written, and others, all as they are now."""

    caller: Caller
    user: Any
    others: Sequence[Any]


class WriteGuard:
    """Begins transactions that write."""

    def __init__(self, users: UserTable, validity: TokenValidity, clock: Callable[[], datetime]) -> None:
        """Take the tables of users and of ended tokens, and the clock."""
        self._users = users
        self._validity = validity
        self._clock = clock

    def begin(
        self, session: Session, caller: Caller, user_id: int = 0, columns: Sequence[str] = (), others: Collection[int] = ()
    ) -> Held:
        """Begin a transaction that locks the row of a user, and, shared, the rows of the caller and of others.

        Each row has `columns` and the columns of a caller. The user is None if there is no such row. Since the request was
        authenticated, the token may have been ended, or the caller demoted or deactivated.

        Raises BadCredentials or InvalidToken, as authentication does. The view must check its access rule again.
        """
        names = tuple(dict.fromkeys((*CALLER_COLUMNS, *columns)))
        rows = self._users.hold(session, names, user_id, {caller.id, *others})
        # A separate statement, since one that waited for a lock may still see the state from before the wait.
        ended = self._validity.judge(session, caller.username, caller.token.keys)
        row, found = rows.get(caller.id), None
        if row is not None and canonical_username(row.username) == canonical_username(caller.username):
            found = found_caller((*(getattr(row, name) for name in CALLER_COLUMNS), *ended))
        caller_now = get_caller(found, caller.token, self._clock())
        return Held(caller_now, rows.get(user_id), [rows[other] for other in others if other in rows])
