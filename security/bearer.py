"""From the `Authorization` header to the caller of a request (RFC 6750), through flask-jwt-extended."""

from datetime import datetime
from typing import Any, NamedTuple, NoReturn, cast

from flask import Flask
from flask.globals import app_ctx, request_ctx
from flask_jwt_extended import decode_token

from models.caller import Callers, FoundCaller
from models.campus import HasMembership, refusal_of_portal
from models.platform import STAND_ALONE, Platform, PortalOfRequest
from models.user import refusal
from security.errors import BadCredentials, InvalidToken, MissingToken, RefusedByPortal
from security.tokens import AccessTokens, Claims, StrictJWTManager
from security.verified_tokens import BearerToken, VerifiedTokens

_NAME = "poort-bearer"


class Caller(NamedTuple):
    """Who sent a request, as their row says now: never as the token says."""

    id: int
    username: str
    roles: frozenset[str]
    token: BearerToken
    linked: frozenset[int]
    portal: PortalOfRequest

    def is_granted(self, role: str) -> bool:
        """Tell whether the caller has a role, by themselves or through the hierarchy."""
        return role in self.roles


class Bearers(NamedTuple):
    """What finds the caller of a request, for one application."""

    tokens: AccessTokens
    callers: Callers
    verified: VerifiedTokens
    platform: Platform | None


def install_bearers(app: Flask, manager: StrictJWTManager, bearers: Bearers) -> None:
    """Give an application what finds callers, and flask-jwt-extended our look-up, and our failures for all of its own."""
    app.extensions[_NAME] = bearers
    manager.user_lookup_loader(lambda _header, _claims: authenticate_caller()[0])
    manager.unauthorized_loader(_raise_missing)
    for loader in (manager.invalid_token_loader, manager.user_lookup_error_loader, manager.token_verification_failed_loader):
        loader(_raise_invalid)
    for loader in (manager.expired_token_loader, manager.revoked_token_loader, manager.needs_fresh_token_loader):
        loader(_raise_invalid)


def authenticate_caller(item_id: int = 0) -> tuple[Caller, Any]:
    """Verify the token of the request, and load its user and the row of the user with an id, or None.

    Raises security.errors.AuthenticationFailure.
    """
    # Werkzeug's own header would be made anew; this is one word of the request as it came.
    token = bearer_token(request_ctx.request.environ.get("HTTP_AUTHORIZATION", ""))
    if token is None:
        raise MissingToken
    bearers: Bearers = app_ctx.app.extensions[_NAME]
    tokens, callers, verified, platform = bearers
    now: datetime = app_ctx.g.now
    said = verified.find(token, tokens.kids, int(now.timestamp()), tokens.clock_skew_seconds)
    if said is None:
        claims = cast("Claims", decode_token(token))
        said = BearerToken.of(token, claims)
        verified.add(token, said, claims.kid)
    return _find(callers, said, now, item_id, portal_of(platform))


def portal_of(platform: Platform | None) -> PortalOfRequest:
    """Return the portal that the request at hand is for."""
    if platform is None:
        return STAND_ALONE
    request = request_ctx.request
    return platform.of_request(request.scheme, request.host)


def bearer_token(header: str) -> str | None:
    """Take the token from a header: the scheme in any case, one space, one word. Anything else counts as no token."""
    scheme, _, token = header.strip(" ").partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        return None
    return token


def _find(callers: Callers, said: BearerToken, now: datetime, item_id: int, portal: PortalOfRequest) -> tuple[Caller, Any]:
    if not isinstance(said.username, str):
        raise BadCredentials("the username claim is no text")
    found, item = callers.find(said.username, said.keys, item_id, portal.name_form)
    return judged(found, said, now, portal), item


def judged(found: FoundCaller | None, said: BearerToken, now: datetime, portal: PortalOfRequest) -> Caller:
    """Return the caller whose token says this, if the row that was found lets them in.

    Raises BadCredentials where the account may not be used, RefusedByPortal where not at this portal, InvalidToken where the
    token was ended.
    """
    if found is None:
        raise BadCredentials("unknown user")
    if reason := refusal(found, now):
        raise BadCredentials(reason)
    if found.is_revoked or said.issued_at < (found.valid_after or 0):
        raise InvalidToken
    require_portal(found, portal)
    return Caller(found.id, found.username, found.granted, said, found.linked, portal)


def require_portal(user: HasMembership, portal: PortalOfRequest) -> None:
    """Raise RefusedByPortal where a portal does not let a user in (docs/compatibility.md#portal-scope)."""
    if portal is not STAND_ALONE and (reason := refusal_of_portal(user, portal.id)):
        raise RefusedByPortal(reason)


def _raise_missing(_reason: str) -> NoReturn:
    raise MissingToken


def _raise_invalid(*_reason: Any) -> NoReturn:
    raise InvalidToken
