"""Read, check, make and write the RSA key pair. Every PEM form that PHP and OpenSSL write can be read."""

import os
import pwd
import stat
import tempfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from security.keys.json_web_key import thumbprint

MINIMUM_BITS = 2048

# The passphrase in the `.env` that Chamilo ships, which is public.
_SHIPPED_PASSPHRASE = "your_secret_passphrase"  # noqa: S105 - the one that must not be used

_PEM_START = "-----BEGIN "


class UnusableKey(Exception):
    """A key cannot be used. The text names the fault and the remedy, and never contains a part of a key or a passphrase."""


@dataclass(frozen=True)
class KeyPair:
    """A private key, and its public key."""

    signing_key: RSAPrivateKey

    @cached_property
    def verification_key(self) -> RSAPublicKey:
        """The public key, derived from the private one."""
        return self.signing_key.public_key()

    @cached_property
    def kid(self) -> str:
        """The `kid` of the public key."""
        return thumbprint(self.verification_key)

    @cached_property
    def public_pem(self) -> str:
        """The public key as PEM."""
        return public_pem_of(self.verification_key)


def public_pem_of(key: RSAPublicKey) -> str:
    """Return a public key as SPKI PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def load_key_pair(private: str, public: str, passphrase: str) -> KeyPair:
    """Load the pair from two paths or PEM texts. Raises UnusableKey.

    The public key may be an older one that was set aside: a rotation is under way, or was killed, between its last two steps.
    """
    pair = KeyPair(read_private_key(private, passphrase))
    given = read_public_key(public, private)
    if pair.verification_key != given and (is_pem(public) or not path_put_aside(public, thumbprint(given)).exists()):
        raise UnusableKey(
            f"The public key {_describe(public)} does not belong to the private key {_describe(private)}. "
            f"If the private key is the right one, run {_extracting(private, public)}; else restore both from your backup; "
            f"{_NO_BACKUP}"
        )
    return pair


def path_put_aside(public: str, kid: str) -> Path:
    """Return the path where the public key with a `kid` is set aside. `public` is the path of the current one."""
    return Path(public).resolve().parent / f"public-{kid}.pem"


def refuse_weak_passphrase(passphrase: str) -> None:
    """Raise UnusableKey if a passphrase is empty, or the one that Chamilo ships."""
    if passphrase in {"", _SHIPPED_PASSPHRASE}:
        fault = "is the one that Chamilo ships" if passphrase else "is empty"
        raise UnusableKey(
            f"JWT_PASSPHRASE {fault}, which is not safe in production. Set another one. {_NEW_PAIR} "
            "Or set JWT_ALLOW_WEAK_PASSPHRASE=1 to start anyway."
        )


def check_keys(private: str, public: str, passphrase: str, *, weak_passphrase_is_fine: bool) -> KeyPair:
    """Load the pair, and check that a server can sign safely with it. Raises UnusableKey."""
    if not weak_passphrase_is_fine:
        refuse_weak_passphrase(passphrase)
    pair = load_key_pair(private, public, passphrase)
    if not is_pem(private) and Path(private).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise UnusableKey(f"Everyone on this machine may read the private key {private}. Run `chmod 600 {private}`.")
    return pair


def make_key_pair(passphrase: str, bits: int) -> tuple[bytes, bytes]:
    """Make a pair: the private key as PKCS#8 PEM, encrypted unless the passphrase is empty, the public one as SPKI PEM."""
    key = generate_private_key(public_exponent=65537, key_size=bits)
    encryption = BestAvailableEncryption(os.fsencode(passphrase)) if passphrase else NoEncryption()
    private_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return private_pem, public_pem_of(key.public_key()).encode()


def write_key_pair(private_path: Path, public_path: Path, private_pem: bytes, public_pem: bytes) -> None:
    """Write both files, with modes 0600 and 0644. Both are on disk before either is moved into place, and then their names."""
    unfinished: dict[Path, Path] = {}
    try:
        for path, content, mode in ((private_path, private_pem, 0o600), (public_path, public_pem, 0o644)):
            unfinished[path] = write_beside(path, content, mode)
        for path, file in unfinished.items():
            file.replace(path)
        for folder in {path.parent for path in unfinished}:
            sync(folder)
    finally:
        for file in unfinished.values():
            file.unlink(missing_ok=True)


def write_beside(path: Path, content: bytes, mode: int) -> Path:
    """Write a temporary file in the folder of `path`, flush it to disk, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        Path(name).unlink()
        raise
    return Path(name)


def sync(path: Path) -> None:
    """Flush a file to disk, or the entries of a folder: renames in it must survive a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private_key(source: str, passphrase: str) -> RSAPrivateKey:
    """Read a private key from a path or a PEM text. Raises UnusableKey."""
    name, pem = _describe(source), _read_pem(source, "private")
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        key = _decrypt(pem, passphrase, name)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey(f"{name} is not a private key in PEM form, or was cut off. {_RESTORE}") from None
    if not isinstance(key, RSAPrivateKey):
        raise UnusableKey(f"The private key {name} is not an RSA key, which RS256 needs. {_NEW_PAIR}")
    _refuse_weak(key.public_key(), f"private key {name}")
    return key


def _decrypt(pem: bytes, passphrase: str, name: str) -> PrivateKeyTypes:
    try:
        # The library refuses an empty password. For PBKDF2 a NUL is the same password, since HMAC pads its key with zeros.
        return load_pem_private_key(pem, os.fsencode(passphrase) or b"\0")
    except (ValueError, UnsupportedAlgorithm) as reason:
        if isinstance(reason, UnsupportedAlgorithm) or "unknown" in str(reason).lower():
            cure = "Encrypt it again with `openssl pkey -in private.pem -aes256 -out new.pem`."
            raise UnusableKey(f"The private key {name} is encrypted in a way that is not supported. {cure}") from None
    cure = f"Set JWT_PASSPHRASE to the passphrase of that key, or restore both from your backup; {_NO_BACKUP}"
    raise UnusableKey(f"JWT_PASSPHRASE does not open the private key {name}. {cure}")


def read_public_key(source: str, private: str = "private.pem") -> RSAPublicKey:
    """Read a public key from a path or a PEM text; `private` is its private key, for messages. Raises UnusableKey."""
    return parse_public_key(_read_pem(source, "public", private), _describe(source), private)


@lru_cache(maxsize=256)  # KeySet reads the same keys every second
def parse_public_key(pem: bytes, name: str, private: str = "private.pem") -> RSAPublicKey:
    """Parse a public key in PEM form; `name` and `private` are for messages. Raises UnusableKey."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        cure = f"Extract it from the private key with {_extracting(private, name)}."
        raise UnusableKey(f"{name} is not a public key in PEM form. {cure}") from None
    if not isinstance(key, RSAPublicKey):
        raise UnusableKey(f"The public key {name} is not an RSA key, which RS256 needs. {_NEW_PAIR}")
    _refuse_weak(key, f"public key {name}")
    return key


_NEW_PAIR = "Make a new pair with `bin/poort jwt generate-keypair --overwrite`; then all users must sign in again."
_NO_BACKUP = "without one, `bin/poort jwt generate-keypair --overwrite` makes a new pair, and all users must sign in again."
_RESTORE = f"Restore it from your backup, with its JWT_PASSPHRASE; {_NO_BACKUP}"


def _extracting(private: str, public: str) -> str:
    """Return the command that writes the public key of a private one."""
    return f"`openssl pkey -in {'private.pem' if is_pem(private) else private} -pubout -out {public}`"


def _refuse_weak(key: RSAPublicKey, name: str) -> None:
    if key.key_size < MINIMUM_BITS:
        raise UnusableKey(f"The {name} has {key.key_size} bits, and RS256 needs {MINIMUM_BITS} (RFC 7518). {_NEW_PAIR}")
    if key.public_numbers().e != 65537:  # noqa: PLR2004 - the only exponent in use
        raise UnusableKey(f"The {name} has the public exponent {key.public_numbers().e} instead of 65537. {_NEW_PAIR}")


def _read_pem(source: str, kind: str, private: str = "") -> bytes:
    if is_pem(source):
        return source.encode()
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        cure = f"Extract it from the private key with {_extracting(private, source)}." if private else _RESTORE
        raise UnusableKey(f"There is no {kind} key at {source}. {cure}") from None
    except OSError as reason:
        cure = "Give that user the right to read it, for example with `chown`, and to enter the folders above it."
        raise UnusableKey(f"The {kind} key {source} cannot be read by {_this_user()}: {reason.strerror}. {cure}") from None


def _this_user() -> str:
    uid = os.geteuid()
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def is_pem(source: str) -> bool:
    """Tell whether a setting is a key in PEM form, rather than a path."""
    return source.lstrip().startswith(_PEM_START)


def _describe(source: str) -> str:
    return "given in the environment" if is_pem(source) else source
