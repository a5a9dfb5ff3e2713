"""Asking for the code of a second factor, and using it in a short transaction of its own."""

from blueprints.auditing import note
from blueprints.parts import parts, refuse_when_read_only
from models import db
from models.second_factor import Enrolment
from models.user import Account
from security.errors import CodeRequired
from security.second_factor import HasName, Shown


def demand_code(account: Account, code: str | None) -> str:
    """Ask for the code of an account whose password was right, and return for the audit what was shown.

    Raises CodeRequired, BadCredentials, TooManyAttempts, and 503 where a code cannot be used up.
    """
    enrolment = parts().second_factors.find(db.session(), account.id)
    db.session.rollback()
    if enrolment is None or not enrolment.is_confirmed:
        # Chamilo's own second factor guards its pages; its API does not ask.
        return "not asked" if account.mfa_enabled else "none"
    refuse_when_read_only()
    if code is None:
        raise CodeRequired
    with parts().limiter.attempt_code(account.username):
        return use_code(account, enrolment, code)


def use_code(user: HasName, enrolment: Enrolment, code: str) -> Shown:
    """Use a code of either kind, for good, and say which it was. Raises BadCredentials.

    It ends the transaction: the throttle, which is around this, writes in one of its own.
    """
    shown = parts().second_factors.use(db.session(), user, enrolment, code, parts().clock())
    if shown is Shown.BACKUP_CODE:
        note("backup_code_used", username=user.username, user_id=user.id)
    db.session.commit()
    return shown
