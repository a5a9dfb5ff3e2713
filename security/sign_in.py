"""From a user name and a password to an account, in the time of one hash whoever asks."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session
from werkzeug.exceptions import ServiceUnavailable

from models.passwords import hash_password, is_too_costly, is_too_long, needs_rehash, padding_costs, spend_time, verify_password
from models.token_validity import TokenValidity
from models.user import Account, refusal
from models.user_table import ACCOUNT, UserTable
from security.errors import BadCredentials
from security.fair_queue import Requester
from security.hashing import HashingThread

logger = logging.getLogger(__name__)

#: Longer user names are refused without a look, as Symfony refuses them; in characters.
MAX_USERNAME_LENGTH = 4096

# The end of a second is at most one away; more means that the clock of some host is wrong.
_MAX_WAIT_SECONDS = 2

_MAX_WAITS = 5


@dataclass(frozen=True, slots=True)
class SignInRules:
    """What a server holds of sign-ins: the cost of new hashes, and whether old ones are renewed."""

    hash_cost: int
    rehashes: bool


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account that signed in, and the new hash of its password, where the old one is to be replaced."""

    account: Account
    new_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIns:
    """Checks passwords, and begins the transactions that let accounts in. One object serves a whole application.

    `may_write` is false where the server is read-only: it locks no row then.
    """

    rules: SignInRules
    users: UserTable
    validity: TokenValidity
    hashing: HashingThread
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    may_write: bool

    def authenticate(self, session: Session, username: str, password: str, requester: Requester, now: datetime) -> SignedIn:
        """Check a password. No connection is held while it is hashed.

        Raises BadCredentials with the true reason, 503 where too many passwords are being checked.
        """
        return self._verify(session, username, password, requester, partial(_check, now=now, rules=self.rules))

    def verify_password(self, session: Session, username: str, password: str, requester: Requester, now: datetime) -> None:
        """Check the password of a signed-in user once more. Raises BadCredentials and 503 as `authenticate` does."""
        rules = replace(self.rules, rehashes=False)
        self._verify(session, username, password, requester, partial(_check, now=now, rules=rules))

    def _verify(
        self, session: Session, username: str, password: str, requester: Requester, check: Callable[..., SignedIn]
    ) -> SignedIn:
        if not username or not password or len(username) > MAX_USERNAME_LENGTH:
            # A refusal writes rows, and what it costs is what bounds them.
            self.hashing.run(partial(spend_time, [self.rules.hash_cost]), requester)
            raise BadCredentials("an empty or over-long user name or password")
        account = self.users.find_account(session, username)
        session.rollback()
        return self.hashing.run(partial(check, account, password), requester)

    def admit(self, session: Session, checked: Account) -> Account:
        """Begin the transaction that lets a checked account in. Return the account as it is now: its roles count.

        Locks the row until the commit, so "end all tokens" runs either before or after this sign-in, never in the middle.
        A token that is issued now is good. In a second in which all tokens were ended this waits for the next second, since
        `iat` has no fractions.

        Raises BadCredentials where the account changed while its password was hashed, 503 where the clock is behind.
        """
        return self.begin_when_good(session, partial(self._hold, session, checked))

    def begin_when_good(self, session: Session, begin: Callable[[], Account]) -> Account:
        """Begin a transaction with `begin` in a second whose tokens are good for the account that it returns. Raises 503."""
        for _ in range(_MAX_WAITS):
            account = begin()
            wait = self.validity.find_valid_after(session, account.username) - self.clock().timestamp()
            if wait <= 0:
                return account
            session.rollback()
            if wait > _MAX_WAIT_SECONDS:
                break
            self.sleep(wait)
        raise ServiceUnavailable("The clock of this server is behind.", retry_after=_MAX_WAIT_SECONDS)

    def _hold(self, session: Session, checked: Account) -> Account:
        account: Account | None
        if self.may_write:
            account = self.users.lock(session, checked.id, ACCOUNT)
        else:
            account = self.users.find_account(session, checked.username)
        if account is None or account.password != checked.password or refusal(account, self.clock()):
            raise BadCredentials("changed while signing in")
        return account


def _check(account: Account | None, password: str, now: datetime, rules: SignInRules) -> SignedIn:
    """Do all the hashing of a sign-in, in one turn: nobody is refused, or waits again, in the middle of it."""
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
    if not verify_password(password, account.password, account.salt):
        spend_time(padding_costs(account.password, cost))
        raise BadCredentials("wrong password")
    if reason := refusal(account, now):
        spend_time(padding_costs(account.password, cost))
        raise BadCredentials(reason)
    is_old = rules.rehashes and needs_rehash(account.password, cost)
    return SignedIn(account, hash_password(password, cost) if is_old else None)
