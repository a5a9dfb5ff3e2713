"""GET /healthz (the process answers) and GET /readyz (database, writing, keys and throttle store work)."""

import logging
from functools import lru_cache

from flask import Blueprint, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from blueprints.parts import Parts, parts
from models import db
from models.outages import code_of, reason_of
from models.user_table import UnusableTable
from rest.answer import answer_json
from rest.error_codes import HEADER
from security.access import public
from security.keys.files import file_version
from security.keys.pair import UnusableKey
from security.throttle.stores import StoreUnavailable

bp = Blueprint("health", __name__)
logger = logging.getLogger(__name__)


@bp.get("/healthz")
@public
def show_health() -> Response:
    """Answer that the process is alive."""
    return answer_json({"status": "ok"}, 200)


@bp.get("/readyz")
@public
def show_readiness() -> Response:
    """Name the parts that fail. The status is 503 if the server cannot work without one of them. The log has the reasons."""
    failing = [name for name, check in (("database", _check_database), ("keys", _check_keys)) if not check()]
    degraded = [] if _check_store() else ["store"]
    if "database" not in failing and not _check_writing():
        degraded.append("writing")
    status = "failing" if failing else "degraded" if degraded else "ok"
    answer = answer_json({"status": status, "failing": failing, "degraded": degraded}, 503 if failing else 200)
    if failing:
        answer.headers[HEADER] = "not_ready"
    return answer


def _check_database() -> bool:
    try:
        db.session.execute(text("SELECT 1"))
        parts().check_table()
    except (SQLAlchemyError, UnusableTable) as reason:
        why = str(reason) if isinstance(reason, UnusableTable) else reason_of(reason)
        logger.error("not ready: the database cannot be used: %s", why, extra={"code": code_of(reason)})
        return False
    return True


def _check_keys() -> bool:
    settings = parts().settings
    try:
        _check_once(parts(), file_version(settings.jwt_secret_key), file_version(settings.jwt_public_key))
    except UnusableKey as reason:
        logger.error("not ready: %s", reason)
        return False
    return True


def _check_store() -> bool:
    """Check Redis if the throttle uses it. Otherwise the throttle uses the database, which has its own check, or memory."""
    if not parts().settings.redis_url:
        return True
    try:
        parts().limiter.check()
    except StoreUnavailable as reason:
        logger.error("degraded: the throttle store cannot be reached, and sign-ins are not counted: %s", reason)
        return False
    return True


def _check_writing() -> bool:
    """Check that the database accepts writes. If not, reads still work, so a load balancer must keep this host."""
    code = parts().write_probe.refusal()
    if code:
        logger.error("degraded: the database can be read and not written, and sign-ins get 503", extra={"code": code})
    return not code


@lru_cache(maxsize=1)
def _check_once(ours: Parts, *_versions: tuple[int, ...]) -> None:
    """Check the keys once for each version of their files. A check takes 40 ms, and any client may request one."""
    ours.check_keys()
