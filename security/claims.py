"""The claims of an access token, one line each."""

from datetime import datetime
from typing import Any


def claims_for(username: str, roles: list[str], now: datetime, ttl_seconds: int) -> dict[str, Any]:
    """Return the claims in the order in which lexik writes them, which clients that compare text rely on."""
    issued_at = int(now.timestamp())
    return {
        "iat": issued_at,
        "exp": issued_at + ttl_seconds,
        "roles": roles,
        "username": username,
    }
