"""The claims of an access token, one line each."""

from datetime import datetime
from typing import Any


def claims_for(
    username: str,
    roles: list[str],
    issued_at: datetime,
    ttl_seconds: int,
    *,
    session_id: str | None = None,
    issuer: str = "",
    audience: str = "",
) -> dict[str, Any]:
    """Return the claims in the order in which lexik writes them, which clients that compare text rely on; then ours."""
    second = int(issued_at.timestamp())
    claims: dict[str, Any] = {
        "iat": second,
        "exp": second + ttl_seconds,
        "roles": roles,
        "username": username,
    }
    if session_id:
        claims["sid"] = session_id
    if issuer:
        claims["iss"] = issuer
    if audience:
        claims["aud"] = audience
    return claims
