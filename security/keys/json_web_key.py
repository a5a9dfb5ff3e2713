"""RSA public keys as JSON Web Keys (RFC 7517)."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm


def json_web_key(key: RSAPublicKey) -> dict[str, Any]:
    """Return a public key as a JSON Web Key, with its required members only."""
    members = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: members[name] for name in ("kty", "n", "e")}


def thumbprint(key: RSAPublicKey) -> str:
    """Return the `kid` of a key: its thumbprint (RFC 7638), 43 characters of base64url."""
    members = json.dumps(json_web_key(key), separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
