"""Check a user name and a password. Every refusal takes the time of one hash (docs/compatibility.md#same-time)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from models.passwords import hash_password, is_too_costly, is_too_long, needs_rehash, padding_costs, spend_time, verify_password
from models.token_validity import TokenValidity
from models.user import Account, refusal
from models.user_table import ACCOUNT, UserTable
from security.errors import BadCredentials, ClockBehind
from security.fair_queue import Requester
from security.hashing import HashingThread

logger = logging.getLogger(__name__)

#: In characters. Symfony refuses longer user names too.
MAX_USERNAME_LENGTH = 4096

# The next whole second is at most one second away. A longer wait means that the clock of some host is wrong.
_MAX_WAIT_SECONDS = 2

_MAX_WAITS = 5


@dataclass(frozen=True, slots=True)
class SignInRules:
    """Settings of sign-ins: the cost of new hashes, whether to renew old ones, and whether MD5 hashes are accepted."""

    hash_cost: int
    rehashes: bool
    allows_md5: bool


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account whose password was right, and a new hash of that password if the stored one must be replaced."""

    account: Account
    new_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIns:
    """Checks passwords, and begins the transactions of sign-ins. Each application has one instance.

    With READ_ONLY, `may_write` is false and no row is locked.
    """

    rules: SignInRules
    users: UserTable
    validity: TokenValidity
    hashing: HashingThread
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    may_write: bool

    def authenticate(self, session: Session, username: str, password: str, requester: Requester, now: datetime) -> SignedIn:
        """Check a password. No connection is held during the hash.

        Raises BadCredentials with the true reason, and 503 if too many passwords are being checked.
        """
        if not username or not password or len(username) > MAX_USERNAME_LENGTH:
            # A refusal writes rows. The cost of a hash limits how many rows a client can cause.
            self.hashing.run(partial(spend_time, [self.rules.hash_cost]), requester)
            raise BadCredentials("an empty or over-long user name or password")
        account = self.users.find_account(session, username)
        session.rollback()
        return self.hashing.run(partial(_check, account, password, now, self.rules), requester)

    def verify_password(self, session: Session, username: str, password: str, requester: Requester, now: datetime) -> None:
        """Check the password of a signed-in user once more. Raises BadCredentials and 503 as `authenticate` does."""
        unchanging = replace(self, rules=replace(self.rules, rehashes=False))
        unchanging.authenticate(session, username, password, requester, now)

    def admit(self, session: Session, checked: Account) -> Account:
        """Begin the transaction of a sign-in whose password was right. Return the account as it is now, with its roles.

        Locks the row until the commit, so "end all tokens" runs either before or after this sign-in, never in the middle.
        If all tokens were ended in this second, waits for the next one: `iat` has no fractions, and a token from this second
        would be refused.

        Raises BadCredentials if the account changed during the hash, and 503 if the clock is behind.
        """
        return self.begin_when_good(session, partial(self._hold, session, checked))

    def begin_when_good(self, session: Session, begin: Callable[[], Account]) -> Account:
        """Begin a transaction with `begin`, and repeat that until a token issued now would be valid. Raises ClockBehind."""
        for _ in range(_MAX_WAITS):
            account = begin()
            wait = self.validity.find_valid_after(session, account.username) - self.clock().timestamp()
            if wait <= 0:
                return account
            session.rollback()
            if wait > _MAX_WAIT_SECONDS:
                break
            self.sleep(wait)
        raise ClockBehind(retry_after=_MAX_WAIT_SECONDS)

    def _hold(self, session: Session, checked: Account) -> Account:
        users = self.users
        account = users.lock(session, checked.id, ACCOUNT) if self.may_write else users.find_account(session, checked.username)
        if account is None or account.password != checked.password or refusal(account, self.clock()):
            raise BadCredentials("changed while signing in")
        return account


def _check(account: Account | None, password: str, now: datetime, rules: SignInRules) -> SignedIn:
    """Do all the hashing of a sign-in. It is one turn of the queue, so that nobody is refused, or waits again, in the middle."""
    cost = rules.hash_cost
    if account is None or is_too_long(password):
        spend_time([cost])
        raise BadCredentials("unknown user" if account is None else "over-long password")
    if is_too_costly(account.password):
        logger.error(
            "the stored password hash of a user is too costly to check: set a new password", extra={"user_id": account.id}
        )
        spend_time([cost])
        raise BadCredentials("a stored hash that is too costly to check")
    is_right = verify_password(password, account.password, account.salt, allow_md5=rules.allows_md5)
    if reason := refusal(account, now) if is_right else "wrong password":
        spend_time(padding_costs(account.password, cost))
        raise BadCredentials(reason)
    is_old = rules.rehashes and needs_rehash(account.password, cost)
    return SignedIn(account, hash_password(password, cost) if is_old else None)
