"""Authenticate a request: from its `Authorization` header (RFC 6750) to the caller, through flask-jwt-extended."""

from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple, NoReturn, cast

from flask import Flask
from flask.globals import app_ctx, request_ctx
from flask_jwt_extended import decode_token

from models.api_keys import FoundKey
from models.caller import Callers, FoundCaller
from models.campus import refusal_of_portal
from models.platform import STAND_ALONE, Platform, PortalOfRequest
from models.user import HasMembership, refusal
from security.api_keys import ApiKeys, presented_key
from security.errors import AccessDenied, BadCredentials, InvalidToken, MissingToken, RefusedByPortal
from security.tokens import AccessTokens, Claims, StrictJWTManager
from security.verified_tokens import BearerToken, VerifiedTokens

_EXTENSION = "poort-bearer"

# `{"` in base64url, with which nearly every token begins. Only other texts are looked up as API keys.
_USUAL_START = "eyJ"


class Caller(NamedTuple):
    """The user who sent a request, as the database has them now, not as the token describes them.

    `token` is what the request was authenticated with: an access token, or an API key.
    """

    id: int
    username: str
    roles: frozenset[str]
    token: BearerToken | FoundKey
    linked: frozenset[int]
    portal: PortalOfRequest

    def is_granted(self, role: str) -> bool:
        """Tell whether the caller has a role, directly or through the role hierarchy."""
        return role in self.roles

    @property
    def has_signed_in(self) -> bool:
        """Tell whether the caller has an access token, which comes from a sign-in, and not an API key."""
        return isinstance(self.token, BearerToken)

    @property
    def access_token(self) -> BearerToken:
        """Return the access token of the request. Raises AccessDenied if the request has an API key instead."""
        if not isinstance(self.token, BearerToken):
            raise AccessDenied
        return self.token


class Authentication(NamedTuple):
    """The objects that authenticate the requests of one application."""

    tokens: AccessTokens
    callers: Callers
    verified: VerifiedTokens
    platform: Platform | None
    api_keys: ApiKeys | None


def install_bearers(app: Flask, manager: StrictJWTManager, authentication: Authentication) -> None:
    """Set up the authentication of an application, and replace every failure of flask-jwt-extended by one of ours."""
    app.extensions[_EXTENSION] = authentication
    manager.user_lookup_loader(lambda _header, _claims: authenticate_caller()[0])
    manager.unauthorized_loader(_raise_missing)
    for loader in (manager.invalid_token_loader, manager.user_lookup_error_loader, manager.token_verification_failed_loader):
        loader(_raise_invalid)
    for loader in (manager.expired_token_loader, manager.revoked_token_loader, manager.needs_fresh_token_loader):
        loader(_raise_invalid)


def authenticate_caller(item_id: int = 0) -> tuple[Caller, Any]:
    """Return the caller of the current request, and the user with the id `item_id` (None if there is no such user).

    Raises security.errors.AuthenticationFailure.
    """
    # `request.headers` would parse the whole environment; this reads one entry of it.
    header = request_ctx.request.environ.get("HTTP_AUTHORIZATION", "")
    token = bearer_token(header)
    authentication: Authentication = app_ctx.app.extensions[_EXTENSION]
    if token is None or not token.startswith(_USUAL_START):
        if by_key := _find_caller_by_key(authentication, header, item_id):
            return by_key
        if token is None:
            raise MissingToken
    tokens, callers, verified, platform, _ = authentication
    now: datetime = app_ctx.g.now
    bearer = verified.find(token, tokens.keys.verification_kids(), int(now.timestamp()), tokens.clock_skew_seconds)
    if bearer is None:
        claims = cast("Claims", decode_token(token))
        bearer = BearerToken.of(token, claims)
        verified.add(token, bearer, claims.kid)
    if not isinstance(bearer.username, str):
        raise BadCredentials("the username claim is not a text")
    portal = portal_of(platform)
    found, item = callers.find(bearer.username, bearer.keys, item_id, portal.name_form)
    return get_caller(found, bearer, now, portal), item


def refuse_bad_token() -> None:
    """Raise AuthenticationFailure if the current request has a token or an API key that is not accepted."""
    with suppress(MissingToken):
        authenticate_caller()


def _find_caller_by_key(authentication: Authentication, header: str, item_id: int) -> tuple[Caller, Any] | None:
    """Return the caller if the header has an API key and this server takes keys, else None. Raises RefusedApiKey."""
    keys, text = authentication.api_keys, presented_key(header)
    if keys is None or text is None or not keys.are_taken:
        return None
    portal, address = portal_of(authentication.platform), request_ctx.request.remote_addr or ""
    key, user, item = keys.authenticate(text, address, portal, item_id, app_ctx.g.now)
    return caller_with_key(user, key, portal), item


def portal_of(platform: Platform | None) -> PortalOfRequest:
    """Return the portal that the current request is for."""
    if platform is None:
        return STAND_ALONE
    request = request_ctx.request
    return platform.of_request(request.scheme, request.host)


def bearer_token(header: str) -> str | None:
    """Return the token of an `Authorization` header that has `Bearer` in any case, one space and one word; else None.

    See docs/compatibility.md#bearer.
    """
    scheme, _, token = header.strip(" ").partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        return None
    return token


def get_caller(found: FoundCaller | None, bearer: BearerToken, now: datetime, portal: PortalOfRequest) -> Caller:
    """Return the caller, if the row that was found for their token allows it.

    Raises BadCredentials if the account may not be used at all, RefusedByPortal if it may not be used at this portal, and
    InvalidToken if the token was revoked or ended.
    """
    if found is None:
        raise BadCredentials("unknown user")
    if reason := refusal(found, now):
        raise BadCredentials(reason)
    has_ended = found.valid_after is not None and bearer.issued_at < found.valid_after
    if found.is_revoked or has_ended:
        raise InvalidToken
    require_portal(found, portal)
    return Caller(found.id, found.username, found.granted, bearer, found.linked, portal)


def caller_with_key(user: FoundCaller, key: FoundKey, portal: PortalOfRequest) -> Caller:
    """Return the user of an API key as the caller. security.api_keys.require_usable must have accepted both."""
    return Caller(user.id, user.username, user.granted, key, user.linked, portal)


def require_portal(user: HasMembership, portal: PortalOfRequest) -> None:
    """Raise RefusedByPortal if a portal does not let a user in (docs/compatibility.md#portal-scope)."""
    if portal is not STAND_ALONE and (reason := refusal_of_portal(user, portal.id)):
        raise RefusedByPortal(reason)


def _raise_missing(_reason: str) -> NoReturn:
    raise MissingToken


def _raise_invalid(*_reason: Any) -> NoReturn:
    raise InvalidToken
