"""Codes of a second factor: demanding one at sign-in, using it up, and limits on guessing codes and passwords."""

from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.exceptions import TooManyRequests

from blueprints.auditing import record_event, record_now
from blueprints.auth.refreshing import record_session_end
from blueprints.parts import parts, refuse_when_read_only
from models import db
from models.second_factor import Enrolment, count_wrong_codes, forget_wrong_codes, take_guess_back
from models.token_validity import revoke
from models.transactions import commit
from models.user import Account
from models.user_table import ACCOUNT
from security.bearer import Caller
from security.errors import AccessDenied, BadCredentials, CodeRequired, TooManyAttempts, WrongCode
from security.second_factor import LOCKED, HasName, Shown
from security.verified_tokens import BearerToken

# A token that Chamilo signed may expire later than any column can hold.
_YEAR_SECONDS = 366 * 86_400


def demand_code(account: Account, code: str | None) -> str:
    """Check the code of an account whose password was right, if it has a second factor.

    Returns the kind of second factor for the audit. Raises CodeRequired, BadCredentials, TooManyAttempts and, if the server is
    read-only and so cannot mark a code as used, 503.
    """
    enrolment = find_enrolment(account.id)
    if enrolment is None or not enrolment.is_confirmed:
        # Chamilo's own second factor protects its pages, not its API.
        return "not asked" if account.mfa_enabled else "none"
    refuse_when_read_only()
    if code is None:
        raise CodeRequired
    wrong_in_a_row = count_wrong_codes(db.session(), account.id)
    db.session.rollback()
    # The throttle counts anew after a new password or a newly set up app.
    series = f"{enrolment.secret} {account.password}"
    with parts().limiter.attempt_code(account.username, wrong_in_a_row, series):
        return _use_at_sign_in(account, enrolment, code)


def find_enrolment(user_id: int) -> Enrolment | None:
    """Return the enrolment of a user, and give the database connection back."""
    found = parts().second_factors.find(db.session(), user_id)
    db.session.rollback()
    return found


def use_code(user: HasName, enrolment: Enrolment, code: str) -> Shown:
    """Use up a code of an app or a backup code, and return its kind. Raises BadCredentials.

    Commits the transaction, since the throttle around this call writes in a transaction of its own.
    """
    return _used(user, parts().second_factors.use(db.session(), user, enrolment, code, parts().clock()))


def _use_at_sign_in(user: HasName, enrolment: Enrolment, code: str) -> Shown:
    """Use up a code as `use_code` does. The code counts as wrong before the check, and no longer once it proves right."""
    session, factors = db.session(), parts().second_factors
    with _rolled_back():
        is_last = factors.begin_guess(session, user, enrolment)
        session.commit()
    try:
        with _rolled_back():
            shown = factors.use(session, user, enrolment, code, parts().clock())
            forget_wrong_codes(session, user.id)
            return _used(user, shown)
    except BadCredentials:
        if is_last:
            record_now("totp_locked", username=user.username, user_id=user.id, reason=LOCKED)
        raise
    except BaseException:
        take_guess_back(session, user.id)
        session.commit()
        raise


@contextmanager
def _rolled_back() -> Iterator[None]:
    """Roll back on failure, before the throttle around this block writes in a transaction of its own."""
    try:
        yield
    except BaseException:
        db.session.rollback()
        raise


def _used(user: HasName, shown: Shown) -> Shown:
    if shown is Shown.BACKUP_CODE:
        record_event("backup_code_used", username=user.username, user_id=user.id)
    db.session.commit()
    return shown


@contextmanager
def codes_bounded(caller: Caller) -> Iterator[None]:
    """Limit guesses of a code. If too many wrong codes at sign-ins locked the second factor, this refuses every code, too."""
    with guesses_bounded(caller, WrongCode):
        parts().second_factors.require_unlocked(db.session(), caller)
        db.session.rollback()
        yield


@contextmanager
def guesses_bounded(caller: Caller, wrong: type[AccessDenied]) -> Iterator[None]:
    """Limit guesses, and end the token and its session after too many wrong ones.

    A wrong guess raises `wrong` (403), and too many guesses raise 429. A sign-in would raise 401 for both. The audit gets the
    true reason. The limits are for the token or its session, not for the user: a thief of a token cannot lock the user out.
    """
    limiter, key = parts().limiter, caller.access_token.keys[-1]
    try:
        with limiter.attempt_by_token(key), _rolled_back():
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
    """Return how long to remember failures: as long as the session can live or, without a session, the token."""
    rules = parts().sessions.rules
    if token.session_id:
        return rules.max_lifetime_seconds
    return min(max(rules.access_ttl_seconds, token.expires_at - int(token.issued_at)), _YEAR_SECONDS)


def _end_token(caller: Caller) -> None:
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
