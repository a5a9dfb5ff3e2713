"""Authenticate a request: from its `Authorization` header (RFC 6750) to the caller, through flask-jwt-extended."""

from datetime import datetime
from typing import Any, NamedTuple, NoReturn, cast

from flask import Flask
from flask.globals import app_ctx, request_ctx
from flask_jwt_extended import decode_token

from models.caller import Callers, FoundCaller
from models.user import refusal
from security.errors import BadCredentials, InvalidToken, MissingToken
from security.tokens import AccessTokens, Claims, StrictJWTManager
from security.verified_tokens import BearerToken, VerifiedTokens

_EXTENSION = "poort-bearer"


class Caller(NamedTuple):
    """The user who sent a request, as the database has them now, not as the token describes them."""

    id: int
    username: str
    roles: frozenset[str]
    token: BearerToken

    def is_granted(self, role: str) -> bool:
        """Tell whether the caller has a role, directly or through the role hierarchy."""
        return role in self.roles


class Authentication(NamedTuple):
    """What authenticates the requests of one application."""

    tokens: AccessTokens
    callers: Callers
    verified: VerifiedTokens


def install_bearers(app: Flask, manager: StrictJWTManager, tokens: AccessTokens, callers: Callers) -> None:
    """Have an application authenticate requests, and replace every failure of flask-jwt-extended by one of ours."""
    app.extensions[_EXTENSION] = Authentication(tokens, callers, VerifiedTokens())
    manager.user_lookup_loader(lambda _header, _claims: authenticate_caller()[0])
    manager.unauthorized_loader(_raise_missing)
    for loader in (manager.invalid_token_loader, manager.user_lookup_error_loader, manager.token_verification_failed_loader):
        loader(_raise_invalid)
    for loader in (manager.expired_token_loader, manager.revoked_token_loader, manager.needs_fresh_token_loader):
        loader(_raise_invalid)


def authenticate_caller(item_id: int = 0) -> tuple[Caller, Any]:
    """Return the caller of the current request, and the user with the id `item_id`, or None.

    Raises security.errors.AuthenticationFailure.
    """
    # `request.headers` would parse the whole environment; this reads one entry of it.
    token = bearer_token(request_ctx.request.environ.get("HTTP_AUTHORIZATION", ""))
    if token is None:
        raise MissingToken
    authentication: Authentication = app_ctx.app.extensions[_EXTENSION]
    tokens, callers, verified = authentication
    now: datetime = app_ctx.g.now
    bearer = verified.find(token, tokens.keys.verification_kids(), int(now.timestamp()), tokens.clock_skew_seconds)
    if bearer is None:
        claims = cast("Claims", decode_token(token))
        bearer = BearerToken.of(token, claims)
        verified.add(token, bearer, claims.kid)
    if not isinstance(bearer.username, str):
        raise BadCredentials("the username claim is no text")
    found, item = callers.find(bearer.username, bearer.keys, item_id)
    return get_caller(found, bearer, now), item


def bearer_token(header: str) -> str | None:
    """Return the token of an `Authorization` header, or None: `Bearer` in any case, one space, one word.

    See docs/compatibility.md#bearer.
    """
    scheme, _, token = header.strip(" ").partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        return None
    return token


def get_caller(found: FoundCaller | None, bearer: BearerToken, now: datetime) -> Caller:
    """Return the caller, if the row found for a token lets them in.

    Raises BadCredentials if the account may not be used, InvalidToken if the token was revoked or ended.
    """
    if found is None:
        raise BadCredentials("unknown user")
    if reason := refusal(found, now):
        raise BadCredentials(reason)
    if found.is_revoked or bearer.issued_at < (found.valid_after or 0):
        raise InvalidToken
    return Caller(found.id, found.username, found.granted, bearer)


def _raise_missing(_reason: str) -> NoReturn:
    raise MissingToken


def _raise_invalid(*_reason: Any) -> NoReturn:
    raise InvalidToken
