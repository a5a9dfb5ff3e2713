"""GET /healthz (the process answers) and GET /readyz (it can serve: database, keys, and the throttle's store)."""

import logging
from functools import lru_cache

from flask import Blueprint, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from blueprints.parts import Parts, parts
from models import db
from models.user_table import UnusableTable
from rest.answer import answer_json
from security.access import public
from security.keys.files import file_version
from security.keys.pair import UnusableKey
from security.throttle.stores import StoreUnavailable

bp = Blueprint("health", __name__)
logger = logging.getLogger(__name__)


@bp.get("/healthz")
@public
def show_health() -> Response:
    """Say that the process answers."""
    return answer_json({"status": "ok"}, 200)


@bp.get("/readyz")
@public
def show_readiness() -> Response:
    """Say which part, if any, keeps the server from serving, and which is only missed; the reason is in the log."""
    failing = [name for name, check in (("database", _check_database), ("keys", _check_keys)) if not check()]
    degraded = [] if _check_store() else ["store"]
    status = "failing" if failing else "degraded" if degraded else "ok"
    return answer_json({"status": status, "failing": failing, "degraded": degraded}, 503 if failing else 200)


def _check_database() -> bool:
    try:
        db.session.execute(text("SELECT 1"))
        parts().check_table()
    except (SQLAlchemyError, UnusableTable) as reason:
        why = str(reason) if isinstance(reason, UnusableTable) else type(reason).__name__
        logger.error("not ready: the database cannot be used: %s", why)
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
    """Check Redis, where it is the store; the others are the database, which is checked already, or memory."""
    if not parts().settings.redis_url:
        return True
    try:
        parts().limiter.check()
    except StoreUnavailable as reason:
        logger.error("degraded: the throttle's store cannot be reached: %s; sign-ins go on uncounted", reason)
        return False
    return True


@lru_cache(maxsize=1)
def _check_once(ours: Parts, *_versions: tuple[int, ...]) -> None:
    """Check the keys, and once more when a file changes: opening them takes 40 ms, and whoever likes may ask."""
    ours.check_keys()
