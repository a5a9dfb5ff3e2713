"""Password hashes: bcrypt as Symfony writes it, and older kinds in a campus (docs/compatibility.md#passwords)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable

import argon2
import bcrypt

#: In bytes, as PHP counts. Longer passwords never match and are never hashed.
MAX_PASSWORD_BYTES = 4096

# bcrypt reads at most 72 bytes and stops at NUL. So Symfony's hasher first digests passwords that are longer or contain NUL.
_BCRYPT_BYTES = 72

_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)
_SHA1 = re.compile(r"[0-9a-fA-F]{40}", re.ASCII)
_MD5 = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)
_SHA512 = re.compile(r"[A-Za-z0-9+/]{86}==", re.ASCII)

_SHA512_ROUNDS = 5000

_ARGON2 = ("$argon2id$", "$argon2i$")

#: Hashes beyond these bounds are refused without computing them. bcrypt at cost 16 takes four seconds.
MAX_BCRYPT_COST = 16
_MAX_ARGON2_KIB, _MAX_ARGON2_PASSES, _MAX_ARGON2_LANES = 1024 * 1024, 20, 64


def is_too_costly(hashed: str) -> bool:
    """Tell whether a hash would take too long or too much memory to check. Poort never writes such a hash."""
    if kind := _BCRYPT.fullmatch(hashed):
        return int(kind[1]) > MAX_BCRYPT_COST
    if not hashed.startswith(_ARGON2):
        return False
    try:
        asked = argon2.extract_parameters(hashed)
    except argon2.exceptions.InvalidHashError:
        return False
    return asked.memory_cost > _MAX_ARGON2_KIB or asked.time_cost > _MAX_ARGON2_PASSES or asked.parallelism > _MAX_ARGON2_LANES


def hash_password(password: str, cost: int) -> str:
    """Hash a password as bcrypt's `$2y$`, with 2**cost rounds. Raises ValueError over 4096 bytes."""
    secret = _encode(password)
    if secret is None:
        raise ValueError(f"a password has at most {MAX_PASSWORD_BYTES} bytes")
    hashed = bcrypt.hashpw(_bcrypt_input(secret), bcrypt.gensalt(cost)).decode("ascii")
    # `$2b$` and `$2y$` name the same algorithm, but PHP knows only the latter.
    return "$2y$" + hashed.removeprefix("$2b$")


def verify_password(password: str, hashed: str, salt: str = "", *, allow_md5: bool = False) -> bool:
    """Tell whether the password matches the hash. Always false if the hash is too costly, or is MD5 without `allow_md5`."""
    secret = _encode(password)
    if not secret or is_too_costly(hashed):
        return False
    if _BCRYPT.fullmatch(hashed):
        return _verify_bcrypt(secret, hashed)
    if hashed.startswith(_ARGON2):
        return _verify_argon2(secret, hashed)
    salted = secret + (b"{" + salt.encode() + b"}" if salt else b"")
    if _SHA1.fullmatch(hashed) or (allow_md5 and _MD5.fullmatch(hashed)):
        digest = hashlib.sha1 if _SHA1.fullmatch(hashed) else hashlib.md5
        return hmac.compare_digest(digest(salted, usedforsecurity=False).hexdigest(), hashed.lower())
    if _SHA512.fullmatch(hashed):
        return hmac.compare_digest(_sha512(salted), hashed)
    return False


def needs_rehash(hashed: str, cost: int) -> bool:
    """Tell whether to replace a hash after a successful sign-in: every hash except `$2y$` at `cost` or above."""
    kind = _BCRYPT.fullmatch(hashed)
    return not (kind and hashed.startswith("$2y$") and int(kind[1]) >= cost)


def is_too_long(password: str) -> bool:
    """Tell whether a password can neither be hashed nor match."""
    return _encode(password) is None


def padding_costs(hashed: str, cost: int) -> Iterable[int]:
    """Return the bcrypt costs to spend after checking `hashed`, so that check and padding together take one hash at `cost`.

    Otherwise the time of a refusal would reveal the kind of hash, and so the age of the account
    (docs/compatibility.md#same-time).
    """
    if kind := _BCRYPT.fullmatch(hashed):
        # 2**c + 2**c + 2**(c+1) + … + 2**(cost-1) = 2**cost
        return range(int(kind[1]), cost)
    if hashed.startswith("$argon2"):
        return range(cost - 1, cost)  # Symfony's argon2id takes about as long as bcrypt at cost 12
    return (cost,)


def spend_time(costs: Iterable[int]) -> None:
    """Spend the time of one bcrypt hash at each of `costs`."""
    for cost in costs:
        bcrypt.hashpw(b"nobody's password", bcrypt.gensalt(max(cost, 4)))


def _encode(password: str) -> bytes | None:
    """Return the bytes of a password; None if it is too long or UTF-8 cannot encode it."""
    try:
        secret = password.encode()
    except UnicodeEncodeError:
        return None
    return secret if len(secret) <= MAX_PASSWORD_BYTES else None


def _bcrypt_input(secret: bytes) -> bytes:
    if len(secret) > _BCRYPT_BYTES or b"\0" in secret:
        # bcrypt reads 72 of the 88 base64 characters, as in Symfony's hasher.
        return base64.b64encode(hashlib.sha512(secret).digest())[:_BCRYPT_BYTES]
    return secret


def _verify_bcrypt(secret: bytes, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(_bcrypt_input(secret), hashed.encode("ascii"))
    except ValueError:
        return False


def _verify_argon2(secret: bytes, hashed: str) -> bool:
    try:
        return argon2.PasswordHasher().verify(hashed, secret)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _sha512(salted: bytes) -> str:
    digest = hashlib.sha512(salted).digest()
    for _ in range(_SHA512_ROUNDS - 1):
        digest = hashlib.sha512(digest + salted).digest()
    return base64.b64encode(digest).decode("ascii")
