"""Access tokens: claims and keys to a compact JWS (RFC 7515) and back, strictly and in one pass."""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn, cast

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask
from flask_jwt_extended import JWTManager

from security.claims import claims_for
from security.errors import ExpiredToken, InvalidToken, MissingUsername
from security.keys import KeyPair

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)

# What a header line may hold; a longer text is no token of ours and is not worth a look.
_MAX_LENGTH = 8190

_ALGORITHM = "RS256"


class AccessTokens:
    """Issues and verifies access tokens. The keys are loaded at the first use, so that commands run without them."""

    def __init__(
        self, load_keys: Callable[[], KeyPair], clock: Callable[[], datetime], ttl_seconds: int, clock_skew_seconds: int
    ) -> None:
        """Take what loads the key pair, the clock, and both times in seconds."""
        self._load_keys = load_keys
        self._keys: KeyPair | None = None
        self._clock = clock
        self.ttl_seconds = ttl_seconds
        self.clock_skew_seconds = clock_skew_seconds

    @property
    def keys(self) -> KeyPair:
        """Return the key pair. Raises security.keys.UnusableKey."""
        if self._keys is None:
            self._keys = self._load_keys()
        return self._keys

    def issue(
        self,
        username: str,
        roles: list[str],
        *,
        ttl_seconds: int | None = None,
        issued_at: datetime | None = None,
        session_id: str | None = None,
    ) -> str:
        """Sign a token for a user, good from `issued_at`, or now, for `ttl_seconds`, or as long as is set."""
        claims = claims_for(username, roles, issued_at or self._clock(), ttl_seconds or self.ttl_seconds)
        if session_id is not None:
            claims["sid"] = session_id
        return jwt.encode(claims, self.keys.signing_key, _ALGORITHM, {"typ": "JWT", "alg": _ALGORITHM}, sort_headers=False)

    def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a token. Raises ExpiredToken or InvalidToken, in lexik's order: shape, expiry, the rest."""
        match = _COMPACT.fullmatch(token) if len(token) <= _MAX_LENGTH else None
        if match is None:
            raise InvalidToken
        header, claims = _json_object(match[1]), _json_object(match[2])
        signature = _base64url(match[3])
        if "enc" in header or "" in claims:
            raise InvalidToken
        now, leeway = int(self._clock().timestamp()), self.clock_skew_seconds
        if _numeric_date(claims, "exp") + leeway <= now:
            raise ExpiredToken
        if _numeric_date(claims, "iat") - leeway > now or ("nbf" in claims and _numeric_date(claims, "nbf") - leeway > now):
            raise InvalidToken
        # The algorithm is ours, never the header's; an extension that must be understood is not (RFC 7515, 4.1.11).
        if header.get("alg") != _ALGORITHM or "crit" in header:
            raise InvalidToken
        try:
            self.keys.verification_key.verify(signature, token[: match.end(2)].encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            raise InvalidToken from None
        return claims


class StrictJWTManager(JWTManager):
    """flask-jwt-extended with our verification in the place of its own, which is lax and parses a token four times."""

    def __init__(self, app: Flask, tokens: AccessTokens) -> None:
        """Take the application and what verifies."""
        self._tokens = tokens
        super().__init__(app)

    def _decode_jwt_from_config(self, encoded_token: str, *_unused: Any, **_options: Any) -> dict[str, Any]:
        claims = self._tokens.verify(encoded_token)
        if claims.get("username") is None:  # flask-jwt-extended would fall over a missing identity claim
            raise MissingUsername
        return claims


def _json_object(segment: str) -> dict[str, Any]:
    try:
        value = json.loads(_base64url(segment).decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InvalidToken from None
    if not isinstance(value, dict):
        raise InvalidToken
    return cast("dict[str, Any]", value)


def _base64url(segment: str) -> bytes:
    """Decode base64url in its one canonical form: without padding, with zeros in the bits that carry nothing."""
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise InvalidToken from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise InvalidToken
    return decoded


def _numeric_date(claims: dict[str, Any], name: str) -> float:
    """Return a NumericDate (RFC 7519, section 2): a finite JSON number, neither text nor bool. Raises InvalidToken."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidToken
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
