"""The claims of an access token (docs/compatibility.md#token)."""

from datetime import datetime
from typing import Any


def claims_for(
    username: str, roles: list[str], issued_at: datetime, ttl_seconds: int, session_id: str | None = None
) -> dict[str, Any]:
    """Return the claims of a token that lives for `ttl_seconds`: JWT_TOKEN_TTL, unless a command asked for another time.

    The order is lexik's, since some clients compare tokens as text. Only a token of a session has `sid` (docs/refresh.md).
    """
    issued_second = int(issued_at.timestamp())
    claims: dict[str, Any] = {
        "iat": issued_second,
        "exp": issued_second + ttl_seconds,
        "roles": roles,
        "username": username,
    }
    return claims | ({"sid": session_id} if session_id else {})


def party_claims(issuer: str, audience: str) -> dict[str, Any]:
    """Return `iss` and `aud` (RFC 7519, section 4.1), each left out if it is empty."""
    return {name: value for name, value in (("iss", issuer), ("aud", audience)) if value}
