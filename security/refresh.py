"""Refresh tokens: opaque and single-use. Each is derived from its predecessor, so that a lost response can be repeated.

A session is the family of tokens that follow from one sign-in. A token that is used again after the grace period counts as
copied, so its session ends. Guessing needs no throttle, since a token has 256 bits. The view limits the refreshes of a session,
between `find_presented` and `refresh`. What clients see: docs/refresh.md.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from models import refresh_token as stored
from models.campus import refusal_of_portal
from models.database import ADDRESS_LENGTH, epoch_ms, storable
from models.platform import STAND_ALONE, PortalOfRequest
from models.refresh_token import USER_AGENT_LENGTH, RefreshToken, SignInSession
from models.token_validity import revoke
from models.user import Account, refusal
from models.user_table import ACCOUNT
from security.errors import InvalidRefreshToken, ReusedRefreshToken
from security.sign_in import SignIns
from security.verified_tokens import session_key

#: The grace period. For this long after its first use a token gives the same successor again, since a response may be lost, and
#: two tabs may refresh at once.
GRACE_MS = 10_000

SESSION_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RefreshRules:
    """Limits of sessions: `ttl_seconds` without a refresh, `max_lifetime_seconds` in all, `max_sessions` a user.

    `access_ttl_seconds` is the longest time that an access token is accepted, leeway included.
    """

    ttl_seconds: int
    max_lifetime_seconds: int
    access_ttl_seconds: int
    max_sessions: int


@dataclass(frozen=True, slots=True)
class Client:
    """Where a sign-in came from, as the list of the user's sessions shows it."""

    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A refresh token for the client, and its session. The database has only a hash of it."""

    session_id: str
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Presented:
    """A known refresh token that a client sent, its session and its user. `asked_at` is when the request arrived."""

    token: str = field(repr=False)
    session_id: str
    user_id: int
    asked_at: datetime
    portal: PortalOfRequest


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The outcome of a refresh: the current account, the time of issue for an access token, and the next refresh token."""

    account: Account
    issued_at: datetime
    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Begins, refreshes and ends sessions. All methods write in the transaction of their caller."""

    rules: RefreshRules
    sign_ins: SignIns

    def begin(self, session: Session, account: Account, password_hash: str, client: Client, now: datetime) -> Grant:
        """Begin a session with its first refresh token. The transaction must have locked the user's row."""
        token, session_id = secrets.token_urlsafe(32), secrets.token_hex(16)
        begun = SignInSession(
            id=session_id,
            user_id=account.id,
            created_at=now,
            last_used_at=now,
            expires_at=_session_end(now, now, self.rules),
            password_digest=_password_digest(session_id, password_hash),
            address=storable(client.address, ADDRESS_LENGTH),
            user_agent=storable(client.user_agent, USER_AGENT_LENGTH),
        )
        session.add_all((begun, _token_row(token, session_id)))
        return Grant(session_id, token, begun.expires_at)

    def make_room(self, session: Session, user_id: int, now: datetime) -> list[str]:
        """End sessions of a user, the longest unused first, until one more may begin. Return the ids of the ended ones."""
        stored.remove_expired_sessions(session, now, user_id)
        by_use = sorted(stored.live_sessions_of(session, user_id, now), key=lambda alive: alive.last_used_at, reverse=True)
        surplus = [alive.id for alive in by_use[self.rules.max_sessions - 1 :]]
        for session_id in surplus:
            self.end(session, session_id, user_id, now)
        return surplus

    def end(self, session: Session, session_id: str, user_id: int, now: datetime) -> bool:
        """End a session of a user and all its tokens. Tell whether there was one."""
        # The database may match an id in another case or with spaces, and `session_key` would then revoke nothing.
        ended = SESSION_ID.fullmatch(session_id) is not None and stored.end_session(session, session_id, user_id)
        if ended:
            revoke(session, session_key(session_id), int(now.timestamp()) + self.rules.access_ttl_seconds, now)
        return ended

    def refresh(self, session: Session, presented: Presented) -> Refreshed:
        """Exchange a refresh token for its successor. The caller commits.

        Locks the user's row, then the session's. So a change that ends the session runs either before or after this refresh. The
        grace period is measured at the arrival of the request, `presented.asked_at`: waiting for locks does not use it up.

        Raises InvalidRefreshToken, its subclass ReusedRefreshToken (then the caller must commit as well), or ClockBehind.
        """
        account = self.sign_ins.begin_when_good(session, partial(self._hold_account, session, presented))
        now = self.sign_ins.clock()
        about = {"username": account.username, "user_id": account.id, "details": {"session": presented.session_id}}
        held, row = self._hold_session(session, presented, account, now, about)
        token = self._find_successor(session, held, row, presented, now)
        if token is None:
            self.end(session, held.id, account.id, now)
            raise ReusedRefreshToken("used before", **about)
        held.last_used_at = now
        return Refreshed(account, now, Grant(held.id, token, held.expires_at))

    def _hold_account(self, session: Session, presented: Presented) -> Account:
        """Begin the transaction with a lock on the account. Raises InvalidRefreshToken if the account may not sign in."""
        account: Account | None = self.sign_ins.users.lock(session, presented.user_id, ACCOUNT)
        about = {"user_id": presented.user_id, "details": {"session": presented.session_id}}
        if account is None:
            raise InvalidRefreshToken("unknown user", **about)
        reason = refusal(account, self.sign_ins.clock())
        if reason is None and presented.portal is not STAND_ALONE:
            reason = refusal_of_portal(account, presented.portal.id)
        if reason is not None:
            raise InvalidRefreshToken(reason, username=account.username, **about)
        return account

    def _hold_session(
        self, session: Session, presented: Presented, account: Account, now: datetime, about: dict[str, Any]
    ) -> tuple[SignInSession, RefreshToken]:
        """Return the session, locked, and the row of the token. Raises InvalidRefreshToken if the session is over."""
        held = stored.hold_session(session, presented.session_id, now)
        row = session.get(RefreshToken, _hash(presented.token))
        if held is None or row is None or _session_end(now, held.created_at, self.rules) <= now:
            raise InvalidRefreshToken("the session is over", **about)
        if held.password_digest != _password_digest(held.id, account.password):
            raise InvalidRefreshToken("the password is another one", **about)
        return held, row

    def _find_successor(
        self, session: Session, held: SignInSession, row: RefreshToken, presented: Presented, now: datetime
    ) -> str | None:
        """Return the next token: new at first use, the same within the grace period; None later, or once it was used."""
        used_at_ms, salt = row.used_at_ms, row.salt
        if salt is None:
            return None
        token = _derive(presented.token, salt)
        if stored.use_token(session, row.hash, epoch_ms(now)):
            stored.forget_salts(session, held.id, but_of=row.hash)
            session.add(_token_row(token, held.id))
            held.expires_at = _session_end(now, held.created_at, self.rules)
            return token
        return token if used_at_ms is None or epoch_ms(presented.asked_at) - used_at_ms < GRACE_MS else None


def find_session(session: Session, presented: str, user_id: int) -> str | None:
    """Return the id of the session of a refresh token, used or not, or None. The token must belong to the user."""
    owner = stored.find_owner(session, _hash(presented))
    return owner.session_id if owner is not None and owner.user_id == user_id else None


def find_presented(session: Session, token: str, asked_at: datetime, portal: PortalOfRequest) -> Presented:
    """Find the session and the user of a refresh token, used or not. Locks nothing. Raises InvalidRefreshToken."""
    owner = stored.find_owner(session, _hash(token))
    session.rollback()
    if owner is None:
        raise InvalidRefreshToken("unknown")
    return Presented(token, owner.session_id, owner.user_id, asked_at, portal)


def _token_row(token: str, session_id: str) -> RefreshToken:
    return RefreshToken(hash=_hash(token), session_id=session_id, salt=secrets.token_hex(32))


def _session_end(now: datetime, created_at: datetime, rules: RefreshRules) -> datetime:
    """Return when a session that is used now will end: after the time without use, or at its maximum age if that is earlier."""
    idle, aged = timedelta(seconds=rules.ttl_seconds), timedelta(seconds=rules.max_lifetime_seconds)
    return min(now + idle, created_at + aged).replace(microsecond=0)


def _derive(presented: str, salt: str) -> str:
    digest = hmac.digest(presented.encode(), bytes.fromhex(salt), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _password_digest(session_id: str, password_hash: str) -> str:
    return hashlib.sha256(f"{session_id}:{password_hash}".encode()).hexdigest()
