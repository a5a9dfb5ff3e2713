"""Access tokens: claims and keys to a compact JWS (RFC 7515) and back, strictly and in one pass."""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, Protocol, cast

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask
from flask_jwt_extended import JWTManager

from security.claims import claims_for, party_claims
from security.errors import ExpiredToken, InvalidToken, MissingUsername
from security.keys.pair import KeyPair

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)

# What a header line may hold; a longer text is no token of ours and is not worth a look.
_MAX_LENGTH = 8190

_ALGORITHM = "RS256"


class Keys(Protocol):
    """What signs, and what verifies: security.keys.key_set.KeySet in a server."""

    def signing_pair(self, until: int) -> KeyPair:
        """Return the pair that signs, once every host verifies what it signs until then, in seconds since the epoch."""

    def verification_keys(self) -> Mapping[str, RSAPublicKey]:
        """Return the public keys of the set by their ids, the one of the signing pair first."""

    def verification_kids(self) -> frozenset[str]:
        """Return the ids of these keys."""

    def newer_verification_keys(self) -> Mapping[str, RSAPublicKey]:
        """Return them as they are now, where what `verification_keys` gives may have been read a moment ago."""


class Claims(dict[str, Any]):
    """The claims of a verified token, and `kid`, the id of the key that verified it."""

    def __init__(self, claims: Mapping[str, Any], kid: str) -> None:
        """Take the claims and the key's id."""
        super().__init__(claims)
        self.kid = kid


@dataclass(frozen=True, repr=False)
class AccessTokens:
    """Issues and verifies access tokens.

    Headers have `kid` where `names_key` says so. Where `issuer` and `audience` are set, issued tokens carry them and accepted
    tokens must match them.
    """

    keys: Keys
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
        """Sign a token for a user, good from `issued_at`, or now, for `ttl_seconds`, or as long as is set.

        It may publish the key first, in a transaction of its own: hold none that has written meanwhile, since SQLite has
        one writer at a time. Raises SQLAlchemy's errors where that fails.
        """
        lasts = ttl_seconds or self.ttl_seconds
        claims = claims_for(username, roles, issued_at or self.clock(), lasts, session_id)
        claims |= party_claims(self.issuer, self.audience)
        pair = self.keys.signing_pair(claims["exp"] + self.clock_skew_seconds)
        header = {"typ": "JWT", "alg": _ALGORITHM} | ({"kid": pair.kid} if self.names_key else {})
        return jwt.encode(claims, pair.signing_key, _ALGORITHM, header, sort_headers=False)

    @property
    def kids(self) -> frozenset[str]:
        """Return the ids of the keys that verify now. Raises UnusableKey."""
        return self.keys.verification_kids()

    def verify(self, token: str) -> Claims:
        """Return the claims of a token. Raises ExpiredToken or InvalidToken, in lexik's order: shape, expiry, the rest."""
        match = _COMPACT.fullmatch(token) if len(token) <= _MAX_LENGTH else None
        if match is None:
            raise InvalidToken
        header, claims = _json_object(match[1]), _json_object(match[2])
        signature = _base64url(match[3])
        if "enc" in header or "" in claims:
            raise InvalidToken
        now, leeway = int(self.clock().timestamp()), self.clock_skew_seconds
        if _numeric_date(claims, "exp") + leeway <= now:
            raise ExpiredToken
        if _numeric_date(claims, "iat") - leeway > now or ("nbf" in claims and _numeric_date(claims, "nbf") - leeway > now):
            raise InvalidToken
        # The algorithm is ours, never the header's; an extension that must be understood is not (RFC 7515, 4.1.11).
        if header.get("alg") != _ALGORITHM or "crit" in header or not isinstance(header.get("kid", ""), str):
            raise InvalidToken
        kid = self._verifying_kid(header.get("kid", ""), token[: match.end(2)].encode(), signature)
        if self.issuer and claims.get("iss") != self.issuer:
            raise InvalidToken
        if self.audience and not _is_for(self.audience, claims.get("aud")):
            raise InvalidToken
        return Claims(claims, kid)

    def _verifying_kid(self, named: str, signed: bytes, signature: bytes) -> str:
        """Return the id of the key that signed: the `named` one, or any of the set if it has no such key.

        Raises InvalidToken.
        """
        keys = self.keys.verification_keys()
        candidates = {named: keys[named]} if named in keys else keys
        kid = _signer(candidates, signed, signature)
        if kid is None and named not in keys:
            # A host may have begun to sign a moment ago.
            newer = self.keys.newer_verification_keys()
            kid = _signer({kid: key for kid, key in newer.items() if kid not in keys}, signed, signature)
        if kid is None:
            raise InvalidToken
        return kid


class StrictJWTManager(JWTManager):
    """flask-jwt-extended with our verification in the place of its own, which is lax and parses a token four times."""

    def __init__(self, app: Flask, tokens: AccessTokens) -> None:
        """Take the application and what verifies."""
        self._tokens = tokens
        super().__init__(app)

    def _decode_jwt_from_config(self, encoded_token: str, *_unused: Any, **_options: Any) -> Claims:
        claims = self._tokens.verify(encoded_token)
        if claims.get("username") is None:  # flask-jwt-extended would fall over a missing identity claim
            raise MissingUsername
        return claims


def _signer(keys: Mapping[str, RSAPublicKey], signed: bytes, signature: bytes) -> str | None:
    return next((kid for kid, key in keys.items() if _has_signed(key, signed, signature)), None)


def _has_signed(key: RSAPublicKey, signed: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _is_for(audience: str, named: Any) -> bool:
    """Tell whether an `aud` names us: alone, or among others (RFC 7519, section 4.1.3)."""
    return bool(named == audience) or (isinstance(named, list) and audience in named)


def _json_object(segment: str) -> dict[str, Any]:
    """Read a JSON object without doubt: strict UTF-8, no NaN, and no name twice, of which readers take different ones."""
    try:
        text = _base64url(segment).decode("utf-8")
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_without_duplicates)
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


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is there twice")
    return members
