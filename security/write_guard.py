"""Check the caller again in the transaction that writes (docs/compatibility.md#write-rechecked)."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from models.api_keys import ApiKeyTable, FoundKey, found_user
from models.caller import CALLER_COLUMNS, found_caller
from models.folding import canonical_username
from models.token_validity import TokenValidity
from models.user_table import UserTable
from security.api_keys import require_usable
from security.bearer import Caller, caller_with_key, get_caller


class Held(NamedTuple):
    """The rows that a transaction has locked, in their current state: the caller, the user to be written, and others."""

    caller: Caller
    user: Any
    others: Sequence[Any]


class WriteGuard:
    """Begins transactions that write."""

    def __init__(self, users: UserTable, validity: TokenValidity, keys: ApiKeyTable, clock: Callable[[], datetime]) -> None:
        self._users = users
        self._validity = validity
        self._keys = keys
        self._clock = clock

    def begin(
        self, session: Session, caller: Caller, user_id: int = 0, columns: Sequence[str] = (), others: Collection[int] = ()
    ) -> Held:
        """Begin a transaction with an exclusive lock on a user's row, and shared locks on the rows of the caller and of others.

        Each row has `columns` and the columns of a caller. The user is None if there is no such row. The caller is checked
        again: in the meantime the token may have been ended, the key revoked, or the caller demoted or deactivated.

        Raises BadCredentials, InvalidToken or RefusedApiKey, as authentication does. The view must check its access rule again.
        """
        names = tuple(dict.fromkeys((*CALLER_COLUMNS, *columns)))
        rows = self._users.hold(session, names, user_id, {caller.id, *others})
        caller_now = self._caller_now(session, caller, rows.get(caller.id))
        return Held(caller_now, rows.get(user_id), [rows[other] for other in others if other in rows])

    def _caller_now(self, session: Session, caller: Caller, row: Any) -> Caller:
        # A separate statement, since one that waited for a lock may still see the state from before the wait.
        token, values = caller.token, tuple(getattr(row, name) for name in CALLER_COLUMNS) if row is not None else None
        if isinstance(token, FoundKey):
            key = self._keys.find_again(session, token, caller.portal.id)
            key, user = require_usable(key, found_user(values) if values else None, caller.portal, self._clock())
            return caller_with_key(user, key, caller.portal)
        ended = self._validity.judge(session, caller.username, token.keys)
        is_renamed = row is not None and canonical_username(row.username) != canonical_username(caller.username)
        found = None if values is None or is_renamed else found_caller((*values, *ended))
        return get_caller(found, token, self._clock(), caller.portal)
