"""From the `Authorization` header to the caller of a request (RFC 6750), through flask-jwt-extended."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, cast

from flask import g, request
from flask_jwt_extended import get_current_user, verify_jwt_in_request

from models import db
from models.roles import reachable_roles
from models.user import refusal, shown_roles
from models.user_table import UserTable
from security.errors import BadCredentials, InvalidToken, MissingToken
from security.tokens import StrictJWTManager


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as their row says now: never as the token says."""

    id: int
    username: str
    roles: frozenset[str]

    def is_granted(self, role: str) -> bool:
        """Tell whether the caller has a role, by themselves or through the hierarchy."""
        return role in self.roles


def authenticate_caller() -> Caller:
    """Verify the token of the request and load its user. Raises security.errors.AuthenticationFailure."""
    token = bearer_token(request.headers.get("Authorization", ""))
    if token is None:
        raise MissingToken
    # flask-jwt-extended parses the header itself, and falls over some; it is given one that it cannot misread.
    request.environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    verify_jwt_in_request(verify_type=False)
    return cast("Caller", get_current_user())


def bearer_token(header: str) -> str | None:
    """Take the token from a header: the scheme in any case, one space, one word. Anything else counts as no token."""
    scheme, _, token = header.strip(" ").partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        return None
    return token


def register_loaders(manager: StrictJWTManager, users: UserTable) -> None:
    """Give flask-jwt-extended our user look-up, and our failures for all of its own."""
    manager.user_lookup_loader(partial(_load_caller, users))
    manager.unauthorized_loader(_raise_missing)
    for loader in (manager.invalid_token_loader, manager.user_lookup_error_loader, manager.token_verification_failed_loader):
        loader(_raise_invalid)
    for loader in (manager.expired_token_loader, manager.revoked_token_loader, manager.needs_fresh_token_loader):
        loader(_raise_invalid)


def _load_caller(users: UserTable, _header: dict[str, Any], claims: dict[str, Any]) -> Caller:
    username = claims.get("username")
    if not isinstance(username, str):
        raise BadCredentials("the username claim is no text")
    account = users.find_account(db.session(), username)
    if account is None:
        raise BadCredentials("unknown user")
    if reason := refusal(account, g.now):
        raise BadCredentials(reason)
    return Caller(account.id, account.username, reachable_roles(frozenset(shown_roles(account))))


def _raise_missing(_reason: str) -> NoReturn:
    raise MissingToken


def _raise_invalid(*_reason: Any) -> NoReturn:
    raise InvalidToken
