"""Issue and verify access tokens: JWTs (RFC 7519) in compact JWS form (RFC 7515), signed with RS256.

docs/adr/0001-own-verification-of-tokens.md says why flask-jwt-extended's own verification is not used.
"""

import base64
import binascii
import json
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, cast

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask
from flask_jwt_extended import JWTManager

from security.errors import ExpiredToken, InvalidToken, MissingUsername
from security.keys.key_set import KeySet

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)

# gunicorn accepts no longer header field (`limit_request_field_size`).
_MAX_LENGTH = 8190

_ALGORITHM = "RS256"


class Claims(dict[str, Any]):
    """The claims of a verified token, and the `kid` of the key that verified it."""

    def __init__(self, claims: Mapping[str, Any], kid: str) -> None:
        super().__init__(claims)
        self.kid = kid


@dataclass(frozen=True, repr=False)
class AccessTokens:
    """Issues access tokens that live for `ttl_seconds` (JWT_TOKEN_TTL), and verifies them.

    `clock_skew_seconds` (JWT_CLOCK_SKEW) is the leeway for `exp`, `iat` and `nbf`. With `names_key` the header has `kid`.
    If `issuer` or `audience` is set, issued tokens carry it and accepted tokens must match it.
    """

    keys: KeySet
    clock: Callable[[], datetime]
    ttl_seconds: int
    clock_skew_seconds: int
    names_key: bool = True
    issuer: str = ""
    audience: str = ""

    def issue(
        self,
        username: str,
        roles: list[str],
        *,
        ttl_seconds: int | None = None,
        issued_at: datetime | None = None,
        session_id: str | None = None,
    ) -> str:
        """Sign a token for a user. By default it is valid from now on, for `ttl_seconds` of this object.

        This may first publish the key in a separate transaction. Commit your own writes before you call it, since SQLite
        has one writer at a time. Raises SQLAlchemyError if the key cannot be published.
        """
        second, ttl = int((issued_at or self.clock()).timestamp()), ttl_seconds or self.ttl_seconds
        # The order is lexik's, since some clients compare tokens as text (docs/compatibility.md#token).
        claims: dict[str, Any] = {"iat": second, "exp": second + ttl, "roles": roles, "username": username}
        claims |= {name: value for name, value in (("sid", session_id), ("iss", self.issuer), ("aud", self.audience)) if value}
        pair = self.keys.signing_pair(claims["exp"] + self.clock_skew_seconds)
        header = {"typ": "JWT", "alg": _ALGORITHM} | ({"kid": pair.kid} if self.names_key else {})
        return jwt.encode(claims, pair.signing_key, _ALGORITHM, header, sort_headers=False)

    def verify(self, token: str) -> Claims:
        """Return the claims of a token. Raises ExpiredToken if `exp` has passed, InvalidToken for all else.

        The checks come in lexik's order (docs/compatibility.md#bearer): form, expiry, the rest. So an expired token gets
        ExpiredToken whatever its signature.
        """
        match = _COMPACT.fullmatch(token) if len(token) <= _MAX_LENGTH else None
        if match is None:
            raise InvalidToken
        header, claims = _json_object(match[1]), _json_object(match[2])
        signature = _base64url(match[3])
        if "enc" in header or "" in claims:
            raise InvalidToken
        now, leeway = self.clock().timestamp(), self.clock_skew_seconds
        if _numeric_date(claims, "exp") + leeway <= now:
            raise ExpiredToken
        if _numeric_date(claims, "iat") - leeway > now or ("nbf" in claims and _numeric_date(claims, "nbf") - leeway > now):
            raise InvalidToken
        # The header never chooses the algorithm. No critical extension is understood (RFC 7515, section 4.1.11).
        if header.get("alg") != _ALGORITHM or "crit" in header or not isinstance(header.get("kid", ""), str):
            raise InvalidToken
        kid = self._get_signer(header.get("kid", ""), token[: match.end(2)].encode(), signature)
        if self.issuer and claims.get("iss") != self.issuer:
            raise InvalidToken
        if self.audience and not _is_for(self.audience, claims.get("aud")):
            raise InvalidToken
        return Claims(claims, kid)

    def _get_signer(self, named_kid: str, signed: bytes, signature: bytes) -> str:
        """Return the `kid` of the key that signed. If the set has the token's `kid`, only that key is tried, else every key.

        Raises InvalidToken.
        """
        keys = self.keys.verification_keys()
        candidates = {named_kid: keys[named_kid]} if named_kid in keys else keys
        kid = _find_verifying_kid(candidates, signed, signature)
        if kid is None and named_kid not in keys:
            # Another host may have started to sign with a new key a moment ago.
            newer = self.keys.newer_verification_keys()
            kid = _find_verifying_kid({kid: key for kid, key in newer.items() if kid not in keys}, signed, signature)
        if kid is None:
            raise InvalidToken
        return kid


class StrictJWTManager(JWTManager):
    """flask-jwt-extended with our verification instead of its own, which is lax and parses a token four times."""

    def __init__(self, app: Flask, tokens: AccessTokens) -> None:
        self._tokens = tokens
        super().__init__(app)

    def _decode_jwt_from_config(self, encoded_token: str, *_unused: Any, **_options: Any) -> Claims:
        claims = self._tokens.verify(encoded_token)
        if claims.get("username") is None:  # flask-jwt-extended would raise KeyError
            raise MissingUsername
        return claims


def _find_verifying_kid(keys: Mapping[str, RSAPublicKey], signed: bytes, signature: bytes) -> str | None:
    for kid, key in keys.items():
        with suppress(InvalidSignature):
            key.verify(signature, signed, PKCS1v15(), SHA256())
            return kid
    return None


def _is_for(audience: str, aud: Any) -> bool:
    """Tell whether an `aud` claim, a text or a list, names `audience` (RFC 7519, section 4.1.3)."""
    return bool(aud == audience) or (isinstance(aud, list) and audience in aud)


def _json_object(segment: str) -> dict[str, Any]:
    """Decode a JSON object strictly: UTF-8, no NaN, no duplicate names, which parsers read in different ways."""
    try:
        text = _base64url(segment).decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise InvalidToken from None
    if not isinstance(value, dict):
        raise InvalidToken
    return cast("dict[str, Any]", value)


def _base64url(segment: str) -> bytes:
    """Decode base64url in its canonical form only: no padding, and zeros in the unused bits."""
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise InvalidToken from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise InvalidToken
    return decoded


# Calculating with a larger integer would raise an error.
_LARGEST = sys.float_info.max


def _numeric_date(claims: dict[str, Any], name: str) -> float:
    """Return a NumericDate (RFC 7519, section 2): a finite JSON number, neither text nor bool. Raises InvalidToken."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        raise InvalidToken
    return value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members
