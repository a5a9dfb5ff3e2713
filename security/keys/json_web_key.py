"""RSA public keys as JSON Web Keys (RFC 7517)."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm


def json_web_key(key: RSAPublicKey) -> dict[str, Any]:
    """Return the members that are the key itself."""
    members = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: members[name] for name in ("kty", "n", "e")}


def thumbprint(key: RSAPublicKey) -> str:
    """Return the id of a key (RFC 7638): SHA-256 over its members, in base64url, 43 characters."""
    members = json.dumps(json_web_key(key), separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
