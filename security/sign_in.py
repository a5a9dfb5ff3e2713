"""From a user name and a password to an account, in the time of one hash whoever asks."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from models.passwords import hash_password, is_too_long, needs_rehash, padding_costs, spend_time, verify_password
from models.user import Account, find_account, refusal
from security.errors import BadCredentials

#: Longer user names are refused without a look, as Symfony refuses them; in characters.
MAX_USERNAME_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account that signed in, and the new hash of its password, where the old one is to be replaced."""

    account: Account
    new_hash: str | None


def authenticate(session: Session, username: str, password: str, now: datetime, cost: int) -> SignedIn:
    """Check a password. No connection is held while it is hashed. Raises BadCredentials with the true reason."""
    if not username or not password or len(username) > MAX_USERNAME_LENGTH:
        raise BadCredentials("an empty or over-long user name or password")
    account = find_account(session, username)
    session.rollback()
    if account is None or is_too_long(password):
        spend_time([cost])
        raise BadCredentials("unknown user" if account is None else "over-long password")
    if not verify_password(password, account.password, account.salt):
        spend_time(padding_costs(account.password, cost))
        raise BadCredentials("wrong password")
    if reason := refusal(account, now):
        spend_time(padding_costs(account.password, cost))
        raise BadCredentials(reason)
    return SignedIn(account, hash_password(password, cost) if needs_rehash(account.password, cost) else None)
