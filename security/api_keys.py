"""Authenticate a request by an API key, `Authorization: Bearer chamilo_ext_…`, as Chamilo 3 does.

The order of the checks and their texts: docs/compatibility.md#api-keys.
"""

import logging
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.api_keys import PREFIX_LENGTH, USE_INTERVAL_SECONDS, ApiKeyTable, FoundKey
from models.caller import FoundCaller
from models.platform import STAND_ALONE, PortalOfRequest
from models.user import refusal
from security.errors import RefusedApiKey
from security.throttle.limiter import LoginLimiter

logger = logging.getLogger(__name__)

#: The start of every key.
KEY_START = "chamilo_ext_"

# PHP's `trim` also removes tabs and vertical tabs. Proxies and servers let no other white space through.
_HEADER = re.compile(rf"Bearer [ \t\v]*({KEY_START}[A-Za-z0-9_-]{{43}})[ \t\v]*", re.ASCII)


def new_key() -> str:
    """Return a new random key: 32 bytes in base64url."""
    return KEY_START + secrets.token_urlsafe(32)


def presented_key(header: str) -> str | None:
    """Return the key in an `Authorization` header, or None. Unlike for a token, the case of `Bearer` counts."""
    match = _HEADER.fullmatch(header)
    return match[1] if match else None


class ApiKeys:
    """Authenticates requests by API key."""

    def __init__(
        self, table: ApiKeyTable, limiter: LoginLimiter, engine: Callable[[], Engine], *, is_campus: bool, marks_use: bool
    ) -> None:
        self._table = table
        self._limiter = limiter
        self._engine = engine
        self._is_campus = is_campus
        self._marks_use = marks_use
        self._marks_again_at: datetime | None = None

    @property
    def are_taken(self) -> bool:
        """Tell whether the database can hold keys. If not, a key is treated as an invalid token."""
        return self._table.is_there

    def are_on(self, portal: PortalOfRequest) -> bool:
        """Tell whether a portal accepts keys."""
        return self.are_taken and not (self._is_campus and _is_off(portal))

    def authenticate(
        self, text: str, address: str, portal: PortalOfRequest, item_id: int, now: datetime
    ) -> tuple[FoundKey, FoundCaller, object]:
        """Return the key with this text, its user, and the user `item_id`. Counts refusals; raises RefusedApiKey."""
        user = None
        try:
            if self._is_campus:
                _require_on(portal)
            key, user, item = self._table.find(text, portal.id, item_id, portal.name_form)
            used, owner = require_usable(key, user, portal, now)
        except RefusedApiKey as reason:
            about = {"username": user.username, "user_id": user.id} if user else {}
            is_flooding = self._limiter.is_flooding(address)
            message = "Too many authentication attempts." if is_flooding else str(reason.description)
            raise RefusedApiKey(message, details={"key_prefix": text[:PREFIX_LENGTH]}, **about) from None
        self._mark_used(used, now)
        return used, owner, item

    def _mark_used(self, key: FoundKey, now: datetime) -> None:
        """Record the use of a key, unless a use was recorded lately. Only the first failure is logged; none stops the request."""
        is_waiting = self._marks_again_at is not None and now < self._marks_again_at
        if not self._marks_use or is_waiting or key.was_used_lately(now):
            return
        try:
            with Session(self._engine()) as session:
                self._table.mark_used(session, key, now)
        except SQLAlchemyError as reason:
            if self._marks_again_at is None:
                logger.warning("the last use of API keys cannot be written down: %s", type(reason).__name__)
            self._marks_again_at = now + timedelta(seconds=USE_INTERVAL_SECONDS)


def require_usable(
    key: FoundKey | None, user: FoundCaller | None, portal: PortalOfRequest, now: datetime
) -> tuple[FoundKey, FoundCaller]:
    """Return a key and its user, if the key is valid and the user may use it at a portal. Raises RefusedApiKey."""
    if key is None or not key.is_valid(now):
        raise RefusedApiKey("Invalid or revoked external API key.")
    reason = refusal(user, now) if user else "deleted"
    if user is None or reason:
        if reason == "expired":
            raise RefusedApiKey("The external API key user account has expired.")
        raise RefusedApiKey("The external API key user account is inactive.")
    if portal is not STAND_ALONE:
        if portal.id not in user.active_in:
            raise RefusedApiKey("The external API key user is not active on this Chamilo portal.")
        if portal.id not in user.signs_in_to:
            raise RefusedApiKey("User authentication method not allowed")
    return key, user


def _require_on(portal: PortalOfRequest) -> None:
    if _is_off(portal):
        raise RefusedApiKey("External API key authentication is disabled on this portal.")
    if portal.id not in portal.portals:
        raise RefusedApiKey("The current Chamilo portal could not be resolved.")


def _is_off(portal: PortalOfRequest) -> bool:
    return portal.settings.get("external_api_enabled") != "true"
