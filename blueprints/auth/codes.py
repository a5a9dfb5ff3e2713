"""Codes of a second factor: demanding one at sign-in, and using it up in a short transaction of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from blueprints.auditing import record_event, record_now
from blueprints.parts import parts, refuse_when_read_only
from models import db
from models.second_factor import Enrolment, count_wrong_codes, forget_wrong_codes, take_guess_back
from models.user import Account
from security.errors import BadCredentials, CodeRequired
from security.second_factor import LOCKED, HasName, Shown


def demand_code(account: Account, code: str | None) -> str:
    """Check the code of an account whose password was right, if it has a second factor.

    Returns the kind of second factor for the audit. Raises CodeRequired, BadCredentials, TooManyAttempts and, if the server is
    read-only and so cannot mark a code as used, 503.
    """
    enrolment = parts().second_factors.find(db.session(), account.id)
    db.session.rollback()
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


def use_code(user: HasName, enrolment: Enrolment, code: str) -> Shown:
    """Use up a code of an app or a backup code, and return its kind. Raises BadCredentials.

    Commits the transaction, since the throttle around this call writes in a transaction of its own.
    """
    return _used(user, parts().second_factors.use(db.session(), user, enrolment, code, parts().clock()))


def _use_at_sign_in(user: HasName, enrolment: Enrolment, code: str) -> Shown:
    """Use up a code as `use_code` does. It counts as wrong from before the check until it proves right."""
    session, factors = db.session(), parts().second_factors
    with rolled_back():
        is_last = factors.begin_guess(session, user, enrolment)
        session.commit()
    try:
        with rolled_back():
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
def rolled_back() -> Iterator[None]:
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
