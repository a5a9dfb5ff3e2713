"""Limits on guessing codes and passwords with an access token: too many wrong guesses end the token and its session."""

from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.exceptions import TooManyRequests

from blueprints.auditing import record_event, record_now
from blueprints.auth.codes import rolled_back
from blueprints.auth.refreshing import record_session_end
from blueprints.parts import parts
from models import db
from models.token_validity import revoke
from models.transactions import commit
from models.user_table import ACCOUNT
from security.bearer import Caller
from security.errors import AccessDenied, BadCredentials, TooManyAttempts, WrongCode
from security.verified_tokens import BearerToken

# A token that Chamilo signed may expire later than any column can hold.
_YEAR_SECONDS = 366 * 86_400


@contextmanager
def codes_bounded(caller: Caller) -> Iterator[None]:
    """Limit guesses of a code. After too many wrong codes at sign-ins, every code is refused, here as well."""
    with guesses_bounded(caller, WrongCode):
        parts().second_factors.require_unlocked(db.session(), caller)
        db.session.rollback()
        yield


@contextmanager
def guesses_bounded(caller: Caller, wrong: type[AccessDenied]) -> Iterator[None]:
    """Limit guesses, and end the token and its session after too many wrong ones.

    A wrong guess raises `wrong` (403), and guesses that come too fast raise 429, instead of the 401 of a sign-in. The audit gets
    the true reason. The limits are for the token or its session, not for the user: a thief of a token cannot lock the user out.
    """
    limiter, key = parts().limiter, caller.access_token.keys[-1]
    try:
        with limiter.attempt_by_token(key), rolled_back():
            yield
    except TooManyAttempts as refusal:
        if refusal.is_first:
            record_now("totp_refused", has_row=False, username=caller.username, user_id=caller.id, reason=refusal.description)
        raise TooManyRequests(refusal.description, retry_after=refusal.retry_after_seconds) from None
    except BadCredentials as refusal:
        record_now("totp_refused", username=caller.username, user_id=caller.id, reason=refusal.reason)
        if limiter.is_last_failure(key, _longest_life_seconds(caller.access_token)):
            _end_token(caller)
        raise wrong from None
    limiter.forget_failures(key)


def _longest_life_seconds(token: BearerToken) -> int:
    """Return for how long to remember failures: the longest life of the session or, without a session, of the token."""
    rules = parts().sessions.rules
    if token.session_id:
        return rules.max_lifetime_seconds
    return min(max(rules.access_ttl_seconds, token.expires_at - int(token.issued_at)), _YEAR_SECONDS)


def _end_token(caller: Caller) -> None:
    """End the token of a caller and its session."""
    ours, reason = parts(), "too many wrong codes or passwords in a row"
    session, token = db.session(), caller.access_token

    def write() -> None:
        ours.users.lock(session, caller.id, ACCOUNT)
        now = ours.clock()
        if token.session_id and ours.sessions.end(session, token.session_id, caller.id, now):
            record_session_end(caller.username, caller.id, token.session_id, reason)
        own_end = token.expires_at + ours.settings.jwt_clock_skew_seconds
        until = max(own_end, int(now.timestamp()) + ours.sessions.rules.access_ttl_seconds)
        for key in token.keys:
            revoke(session, key, until, now)
        record_event("token_ended", username=caller.username, user_id=caller.id, reason=reason)

    commit(session, write)
