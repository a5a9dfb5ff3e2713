"""From the `Authorization` header to the caller of a request (RFC 6750), through flask-jwt-extended."""

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, cast

from flask import g, request
from flask_jwt_extended import get_current_user, verify_jwt_in_request

from models import db
from models.roles import reachable_roles
from models.token_validity import TokenValidity
from models.user import refusal, shown_roles
from models.user_table import UserTable
from security.errors import BadCredentials, InvalidToken, MissingToken
from security.tokens import StrictJWTManager

# A token of another hand may claim to last longer than a column can say.
_END_OF_TIME = 2**53


@dataclass(frozen=True, slots=True)
class BearerToken:
    """What is to be remembered of a token where it is to be refused: a hash, its session, if any, and when it expires."""

    key: str
    session_id: str | None
    issued_at: int
    expires_at: int

    @classmethod
    def of(cls, token: str, claims: dict[str, Any]) -> "BearerToken":
        """Name a token by its `jti`, else by its payload: never by its whole text, which may have several forms."""
        jti, session_id = claims.get("jti"), claims.get("sid")
        name = f"jti:{jti}" if isinstance(jti, str) and jti else f"payload:{token.split('.')[1]}"
        expires_at = min(int(claims["exp"]), _END_OF_TIME)
        session_id = session_id if isinstance(session_id, str) and session_id else None
        return cls(_hash(name), session_id, int(claims["iat"]), expires_at)

    @property
    def keys(self) -> list[str]:
        """Return all keys under which the token may have been revoked."""
        return [self.key] if self.session_id is None else [self.key, session_key(self.session_id)]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as their row says now: never as the token says."""

    id: int
    username: str
    roles: frozenset[str]
    token: BearerToken

    def is_granted(self, role: str) -> bool:
        """Tell whether the caller has a role, by themselves or through the hierarchy."""
        return role in self.roles


def session_key(session_id: str) -> str:
    """Return the key under which all tokens of a session are revoked."""
    return _hash(f"sid:{session_id}")


def authenticate_caller() -> Caller:
    """Verify the token of the request and load its user. Raises security.errors.AuthenticationFailure."""
    token = bearer_token(request.headers.get("Authorization", ""))
    if token is None:
        raise MissingToken
    # flask-jwt-extended parses the header itself, and falls over some; it is given one that it cannot misread.
    request.environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    g.bearer_token = token
    verify_jwt_in_request(verify_type=False)
    return cast("Caller", get_current_user())


def bearer_token(header: str) -> str | None:
    """Take the token from a header: the scheme in any case, one space, one word. Anything else counts as no token."""
    scheme, _, token = header.strip(" ").partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        return None
    return token


def register_loaders(manager: StrictJWTManager, users: UserTable, validity: TokenValidity) -> None:
    """Give flask-jwt-extended our user look-up, and our failures for all of its own."""
    manager.user_lookup_loader(partial(_load_caller, users, validity))
    manager.unauthorized_loader(_raise_missing)
    for loader in (manager.invalid_token_loader, manager.user_lookup_error_loader, manager.token_verification_failed_loader):
        loader(_raise_invalid)
    for loader in (manager.expired_token_loader, manager.revoked_token_loader, manager.needs_fresh_token_loader):
        loader(_raise_invalid)


def _load_caller(users: UserTable, validity: TokenValidity, _header: dict[str, Any], claims: dict[str, Any]) -> Caller:
    username, token, session = claims.get("username"), BearerToken.of(g.bearer_token, claims), db.session()
    if not isinstance(username, str):
        raise BadCredentials("the username claim is no text")
    account: Any = users.find_account(session, username, *validity.columns(session, username, token.keys))
    if account is None:
        raise BadCredentials("unknown user")
    if reason := refusal(account, g.now):
        raise BadCredentials(reason)
    if account.is_revoked or claims["iat"] < (account.valid_after or 0):
        raise InvalidToken
    return Caller(account.id, account.username, reachable_roles(frozenset(shown_roles(account))), token)


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()


def _raise_missing(_reason: str) -> NoReturn:
    raise MissingToken


def _raise_invalid(*_reason: Any) -> NoReturn:
    raise InvalidToken
