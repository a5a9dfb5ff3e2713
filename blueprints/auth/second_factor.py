"""/api/me/totp: enabling and disabling a second factor, and renewing backup codes; only in Poort's own schema."""

import io
from functools import wraps
from http import HTTPStatus
from typing import Any

import segno
from flask import Blueprint, Response, request
from flask.typing import RouteCallable
from werkzeug.exceptions import Conflict, ServiceUnavailable

from blueprints.auditing import record_event
from blueprints.auth import totp_operations as operations
from blueprints.auth.codes import codes_bounded, find_enrolment, guesses_bounded, use_code
from blueprints.auth.credentials import read_text, require_json
from blueprints.parts import parts, refuse_when_read_only, requester_of
from models import db
from models.second_factor import Enrolment, begin, confirm, count_backup_codes, remove_second_factor, replace_backup_codes
from models.transactions import commit
from rest.answer import answer_json
from rest.operation import documented
from security.access import current_caller, has_signed_in, is_authenticated, requires
from security.bearer import Caller
from security.errors import WrongPassword

bp = Blueprint("second_factor", __name__)


class NotBegun(Conflict):
    """The caller has no secret to confirm."""

    description = "No second factor was begun."
    error_code = "second_factor_not_begun"


class BegunAnew(Conflict):
    """Another request has replaced the secret that this one confirms."""

    description = "The second factor was begun anew meanwhile."
    error_code = "second_factor_begun_anew"


class AlreadyOn(Conflict):
    """The caller has a second factor already."""

    description = "The second factor is on already."
    error_code = "second_factor_on"


class NotOn(Conflict):
    """The caller has no second factor."""

    description = "The second factor is not on."
    error_code = "second_factor_off"


class NoSecret(ServiceUnavailable):
    """The server has no key to encrypt secrets with."""

    description = "Second factors need APP_SECRET."
    error_code = "second_factor_unavailable"


def takes_json(view: RouteCallable) -> RouteCallable:
    """Decorate a view with a body. Raises 415 before authentication."""

    @wraps(view)
    def negotiated() -> Any:
        require_json(request)
        return view()

    return negotiated


@bp.get("/me/totp")
@requires(is_authenticated)
@documented(operations.SHOW)
def show_second_factor() -> Response:
    """Show whether the caller has a second factor, and how many backup codes are left."""
    caller = current_caller()
    enrolment = find_enrolment(caller.id)
    enabled = enrolment is not None and enrolment.is_confirmed
    left = count_backup_codes(db.session(), caller.id) if enabled else 0
    return answer_json({"enabled": enabled, "backupCodesLeft": left})


@bp.post("/me/totp")
@takes_json
@requires(has_signed_in)
@documented(operations.BEGIN)
def begin_enrolment() -> Response:
    """Create the secret of an authenticator app. It has no effect until the caller confirms it with a code."""
    refuse_when_read_only()
    _require_keys()
    caller, ours, password = current_caller(), parts(), read_text(request, "password")
    _refuse_second(find_enrolment(caller.id))
    _require_password(caller, password)
    secret = ours.second_factors.new_secret()

    def write() -> None:
        _refuse_second(_hold(caller))
        begin(db.session(), caller.id, ours.second_factors.encrypted(secret, ours.clock()))
        record_event("totp_begun", username=caller.username, user_id=caller.id)

    commit(db.session(), write)
    uri = ours.second_factors.uri(secret, caller.username)
    return answer_json({"secret": secret, "uri": uri, "qrCode": _qr_code(uri)})


@bp.put("/me/totp")
@takes_json
@requires(has_signed_in)
@documented(operations.CONFIRM)
def confirm_enrolment() -> Response:
    """Enable the second factor with a first code of the app, and show the backup codes once."""
    refuse_when_read_only()
    _require_keys()
    caller, ours, code = current_caller(), parts(), read_text(request, "totp")
    begun = find_enrolment(caller.id)
    _refuse_second(begun)
    if begun is None:
        raise NotBegun
    now = ours.clock()
    with codes_bounded(caller):
        step = ours.second_factors.step_of(caller, begun, code, now)

    def write() -> list[str]:
        _refuse_second(_hold(caller))
        if not confirm(db.session(), caller.id, begun.secret, step, now):
            raise BegunAnew
        record_event("totp_enabled", username=caller.username, user_id=caller.id)
        return _renew_backup_codes(caller)

    return answer_json({"backupCodes": commit(db.session(), write)})


@bp.post("/me/totp/backup-codes")
@takes_json
@requires(has_signed_in)
@documented(operations.RENEW)
def renew_backup_codes() -> Response:
    """Replace the backup codes, and show the new ones once."""
    refuse_when_read_only()
    caller, ours, code = current_caller(), parts(), read_text(request, "totp")
    enrolment = _require_confirmed(find_enrolment(caller.id))
    with codes_bounded(caller):
        ours.second_factors.use_totp(db.session(), caller, enrolment, code, ours.clock())
        db.session.commit()

    def write() -> list[str]:
        _require_confirmed(_hold(caller))
        record_event("backup_codes_renewed", username=caller.username, user_id=caller.id)
        return _renew_backup_codes(caller)

    return answer_json({"backupCodes": commit(db.session(), write)})


@bp.delete("/me/totp")
@takes_json
@requires(has_signed_in)
@documented(operations.DISABLE)
def disable_second_factor() -> Response:
    """Disable the second factor with a code of the app or a backup code."""
    refuse_when_read_only()
    caller, code = current_caller(), read_text(request, "totp")
    enrolment = _require_confirmed(find_enrolment(caller.id))
    with codes_bounded(caller):
        shown = use_code(caller, enrolment, code)

    def write() -> None:
        _require_confirmed(_hold(caller))
        remove_second_factor(db.session(), caller.id)
        record_event("totp_disabled", username=caller.username, user_id=caller.id, details={"second_factor": shown})

    commit(db.session(), write)
    return Response(status=HTTPStatus.NO_CONTENT)


def _hold(caller: Caller) -> Enrolment | None:
    """Begin a transaction that locks the caller's row, and return the caller's enrolment. Raises 401."""
    parts().guard.begin(db.session(), caller, caller.id)
    return parts().second_factors.find(db.session(), caller.id)


def _refuse_second(enrolment: Enrolment | None) -> None:
    if enrolment is not None and enrolment.is_confirmed:
        raise AlreadyOn


def _require_confirmed(enrolment: Enrolment | None) -> Enrolment:
    if enrolment is None or not enrolment.is_confirmed:
        raise NotOn
    return enrolment


def _renew_backup_codes(caller: Caller) -> list[str]:
    codes = parts().second_factors.new_backup_codes()
    hashes = [parts().second_factors.hash_of(caller.id, code) for code in codes]
    replace_backup_codes(db.session(), caller.id, hashes)
    return codes


def _require_password(caller: Caller, password: str) -> None:
    """Raise 403 for a wrong password, and 429 after too many tries. A 401 would mean that the token is invalid."""
    ours = parts()
    requester = requester_of(caller.username)
    ours.hashing.require_room(requester)
    with guesses_bounded(caller, WrongPassword):
        ours.limiter.count_own_password(caller.id)
        ours.sign_ins.verify_password(db.session(), caller.username, password, requester, ours.clock())


def _require_keys() -> None:
    if not parts().second_factors.has_keys:
        raise NoSecret


def _qr_code(uri: str) -> str:
    """Draw a QR code as a standalone SVG, on white because apps cannot read it on a dark page."""
    drawn = io.BytesIO()
    code = segno.make(uri, micro=False)
    code.save(drawn, kind="svg", scale=4, light="#fff", xmldecl=False, nl=False, svgclass=None, lineclass=None)
    return drawn.getvalue().decode()
