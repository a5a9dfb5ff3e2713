"""The files of the key pair, and safe ways to change them.

`private.pem` and `public.pem` are the pair. `public-<kid>.pem` are public keys of earlier pairs, set aside to verify tokens.
"""

import fcntl
import os
import re
import stat
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from security.keys.json_web_key import thumbprint
from security.keys.pair import (
    KeyPair,
    UnusableKey,
    is_pem,
    load_key_pair,
    make_key_pair,
    path_put_aside,
    read_private_key,
    read_public_key,
    sync,
    write_beside,
)

_PUT_ASIDE = re.compile(r"public-([A-Za-z0-9_-]{43})\.pem", re.ASCII)


class FilesInUse(Exception):
    """Another process is changing the pair."""


@dataclass(frozen=True, slots=True)
class NextPair:
    """A pair that is on disk, but not yet in its final place."""

    pair: KeyPair
    _unfinished: dict[Path, Path]

    def take_over(self) -> None:
        """Move the pair into place. The private key goes first, since the public one can be derived from it."""
        for path, unfinished in self._unfinished.items():
            unfinished.replace(path)
            sync(path.parent)


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The two keys as the settings give them, each a path or a PEM text, and the passphrase of the private key."""

    private: str = field(repr=False)  # may be the key itself
    public: str
    passphrase: str = field(repr=False)

    @property
    def are_paths(self) -> bool:
        """Tell whether both keys are files."""
        return not is_pem(self.private) and not is_pem(self.public)

    def load(self) -> KeyPair:
        """Load the pair, and check that the keys belong together. Raises UnusableKey."""
        return load_key_pair(self.private, self.public, self.passphrase)

    def load_signing_pair(self) -> KeyPair:
        """Load the private key only, since a rotation replaces it before the public one. Raises UnusableKey."""
        return KeyPair(read_private_key(self.private, self.passphrase))

    def keys_put_aside(self, put_aside_after: float) -> Iterator[tuple[str, RSAPublicKey | UnusableKey]]:
        """Yield the `kid` of each key set aside after a time (in seconds since the epoch), and the key or why it is unusable."""
        for kid, path, put_aside_at in self._paths_put_aside():
            if put_aside_at > put_aside_after:
                try:
                    key = read_public_key(str(path))
                except UnusableKey as problem:
                    yield kid, problem
                else:
                    yield kid, key if thumbprint(key) == kid else UnusableKey(f"{path} is not the key that its name says.")

    def public_keys(self) -> dict[str, RSAPublicKey]:
        """Return every public key that the files give, by `kid`. Keys that cannot be read are left out."""
        found = [key for _, key in self.keys_put_aside(0) if isinstance(key, RSAPublicKey)]
        with suppress(UnusableKey):
            found.append(read_public_key(self.public))
        with suppress(UnusableKey):
            found.append(self.load_signing_pair().verification_key)
        return {thumbprint(key): key for key in found}

    def remove_put_aside(self, put_aside_before: float, kids: Collection[str]) -> int:
        """Remove the keys set aside up to a time (in seconds since the epoch), and those with these `kids`. Return how many."""
        paths = [path for kid, path, put_aside_at in self._paths_put_aside() if kid in kids or put_aside_at <= put_aside_before]
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def _paths_put_aside(self) -> list[tuple[str, Path, float]]:
        """Return the `kid`, the path and the time of each key that was set aside."""
        if is_pem(self.public):
            return []
        found = []
        for path in sorted(Path(self.public).resolve().parent.glob("public-*.pem")):
            if name := _PUT_ASIDE.fullmatch(path.name):
                with suppress(FileNotFoundError):  # another process has removed it
                    found.append((name[1], path, path.stat().st_mtime))
        return found

    def repair(self, pair: KeyPair) -> None:
        """Rewrite the public key if a killed rotation has replaced only the private one. Raises OSError."""
        if is_pem(self.public) or read_public_key(self.public) == pair.verification_key:
            return
        path = Path(self.public).resolve()
        _replace(path, pair.public_pem.encode(), like=path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder of the pair against other processes that want to change it. Raises FilesInUse, OSError."""
        folder = Path(self.private).resolve().parent
        with (folder / ".lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FilesInUse from None
            yield

    def put_aside(self, pair: KeyPair, now: datetime) -> None:
        """Set the public key of a pair aside, to verify the tokens that the pair signed up to `now`. Raises OSError."""
        public = Path(self.public).resolve()
        _replace(path_put_aside(self.public, pair.kid), pair.public_pem.encode(), like=public, modified_at=now)

    @contextmanager
    def next_pair(self, bits: int) -> Iterator[NextPair]:
        """Write a new pair next to the current one. If `take_over` is not called, remove it at the end.

        Call it under the lock. Raises OSError.
        """
        private, public = Path(self.private).resolve(), Path(self.public).resolve()
        for path in (private, public):
            for left in path.parent.glob(f".{path.stem}*.pem.*"):  # unfinished files of killed rotations
                left.unlink(missing_ok=True)
        private_pem, public_pem = make_key_pair(self.passphrase, bits)
        with ExitStack() as stack:
            contents = {private: private_pem, public: public_pem}
            unfinished = {path: stack.enter_context(_written_like(path, pem, path)) for path, pem in contents.items()}
            yield NextPair(KeyFiles(private_pem.decode(), public_pem.decode(), self.passphrase).load(), unfinished)


def file_version(source: str) -> tuple[int, ...]:
    """Return a value that changes whenever a file does; empty if there is no file, or if `source` is a PEM text."""
    try:
        found = Path(source).stat()
    except (OSError, ValueError):
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _replace(path: Path, content: bytes, *, like: Path, modified_at: datetime | None = None) -> None:
    with _written_like(path, content, like) as unfinished:
        if modified_at is not None:
            os.utime(unfinished, (modified_at.timestamp(), modified_at.timestamp()))
        unfinished.replace(path)
    sync(path.parent)


@contextmanager
def _written_like(path: Path, content: bytes, like: Path) -> Iterator[Path]:
    """Write an unfinished file next to `path`, and remove it at the end if it was not moved.

    It gets owner and mode of `like`, so the server can read what root wrote.
    """
    wanted = like.stat()
    unfinished = write_beside(path, content, 0o600)
    try:
        written = unfinished.stat()
        if (written.st_uid, written.st_gid) != (wanted.st_uid, wanted.st_gid):
            os.chown(unfinished, wanted.st_uid, wanted.st_gid)
        unfinished.chmod(stat.S_IMODE(wanted.st_mode))
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)
