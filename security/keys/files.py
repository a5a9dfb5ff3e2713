"""The key pair as files: where they are, the public keys that were put aside beside them, and changing the pair safely.

`private.pem` and `public.pem` are the pair; `public-<kid>.pem` are the public keys of pairs before it.
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
    write_beside,
)

_PUT_ASIDE = re.compile(r"public-([A-Za-z0-9_-]{43})\.pem", re.ASCII)


class FilesInUse(Exception):
    """Someone else is changing the pair."""


@dataclass(frozen=True, slots=True)
class NextPair:
    """A pair that is on the disk and not in its place yet."""

    pair: KeyPair
    _files: dict[Path, Path]

    def take_over(self) -> None:
        """Put the pair in its place: the private key first, from which the public one can be made again."""
        for path, unfinished in self._files.items():
            unfinished.replace(path)
            _write_folder(path.parent)


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The two keys, as settings name them: paths or PEM texts; and what opens the private one."""

    private: str = field(repr=False)  # it may be the key itself
    public: str
    passphrase: str = field(repr=False)

    @property
    def are_paths(self) -> bool:
        """Tell whether both keys are files."""
        return not is_pem(self.private) and not is_pem(self.public)

    def version(self) -> tuple[int, ...]:
        """Return what changes whenever the private key does."""
        return file_version(self.private)

    def load(self) -> KeyPair:
        """Load the pair and hold the keys against each other. Raises UnusableKey."""
        return load_key_pair(self.private, self.public, self.passphrase)

    def load_signing_pair(self) -> KeyPair:
        """Load the private key alone: while it is being replaced, the public one is a step behind. Raises UnusableKey."""
        return KeyPair(read_private_key(self.private, self.passphrase))

    def keys_put_aside(self, put_aside_after: float) -> Iterator[tuple[str, RSAPublicKey | UnusableKey]]:
        """Yield the keys that were put aside after a second since the epoch, by their ids, or what is wrong with one."""
        for kid, path, put_aside_at in self._put_aside():
            if put_aside_at > put_aside_after:
                try:
                    key = read_public_key(str(path))
                except UnusableKey as problem:
                    yield kid, problem
                else:
                    yield kid, key if thumbprint(key) == kid else UnusableKey(f"{path} is not the key that its name says.")

    def public_keys(self) -> dict[str, RSAPublicKey]:
        """Return every public key that can be told from the files, by its id, whether or not the passphrase opens a key."""
        found = [key for _, key in self.keys_put_aside(0) if isinstance(key, RSAPublicKey)]
        with suppress(UnusableKey):
            found.append(read_public_key(self.public))
        with suppress(UnusableKey):
            found.append(self.load_signing_pair().verification_key)
        return {thumbprint(key): key for key in found}

    def remove_put_aside(self, put_aside_before: float, kids: Collection[str]) -> int:
        """Remove the keys that were put aside up to a second since the epoch, and those with some ids; return how many."""
        over = [path for kid, path, put_aside_at in self._put_aside() if kid in kids or put_aside_at <= put_aside_before]
        for path in over:
            path.unlink(missing_ok=True)
        return len(over)

    def _put_aside(self) -> list[tuple[str, Path, float]]:
        if is_pem(self.public):
            return []
        found = []
        for path in sorted(Path(self.public).resolve().parent.glob("public-*.pem")):
            if name := _PUT_ASIDE.fullmatch(path.name):
                with suppress(FileNotFoundError):  # removed meanwhile
                    found.append((name[1], path, path.stat().st_mtime))
        return found

    def repair(self, pair: KeyPair) -> None:
        """Write the public key of a private key that a killed rotation left alone. Raises OSError."""
        if is_pem(self.public) or read_public_key(self.public).public_numbers() == pair.verification_key.public_numbers():
            return
        path = Path(self.public).resolve()
        _replace(path, pair.public_pem.encode(), like=path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from changing the pair meanwhile. Raises FilesInUse, OSError."""
        folder = Path(self.private).resolve().parent
        with (folder / ".lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FilesInUse from None
            yield

    def put_aside(self, pair: KeyPair, now: datetime) -> None:
        """Keep the public key of a pair for verification, as of now. Raises OSError."""
        public = Path(self.public).resolve()
        _replace(path_put_aside(self.public, pair.kid), pair.public_pem.encode(), like=public, modified_at=now)

    @contextmanager
    def next_pair(self, bits: int) -> Iterator[NextPair]:
        """Make a pair and write it next to the one that it will replace, for as long as the context lasts. Raises OSError."""
        private, public = Path(self.private).resolve(), Path(self.public).resolve()
        self._remove_unfinished()
        private_pem, public_pem = make_key_pair(self.passphrase, bits)
        with ExitStack() as unfinished:
            files = {}
            for path, content in ((private, private_pem), (public, public_pem)):
                files[path] = _write_like(path, content, like=path)
                unfinished.callback(files[path].unlink, missing_ok=True)
            yield NextPair(KeyFiles(private_pem.decode(), public_pem.decode(), self.passphrase).load(), files)

    def _remove_unfinished(self) -> None:
        """Remove what killed rotations have left; only under the lock."""
        for source in (self.private, self.public):
            path = Path(source).resolve()
            for left in path.parent.glob(f".{path.stem}*.pem.*"):
                left.unlink(missing_ok=True)


def file_version(source: str) -> tuple[int, ...]:
    """Return what changes whenever a file does; nothing where there is none, or where the setting is the key itself."""
    try:
        found = Path(source).stat()
    except (OSError, ValueError):
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _replace(path: Path, content: bytes, *, like: Path, modified_at: datetime | None = None) -> None:
    unfinished = _write_like(path, content, like=like)
    try:
        if modified_at is not None:
            os.utime(unfinished, (modified_at.timestamp(), modified_at.timestamp()))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    _write_folder(path.parent)


def _write_like(path: Path, content: bytes, *, like: Path) -> Path:
    """Write a file beside `path`, with the owner and the mode of another: the server must read it, whoever changes the keys."""
    model = like.stat()
    unfinished = write_beside(path, content, 0o600)
    try:
        made = unfinished.stat()
        if (made.st_uid, made.st_gid) != (model.st_uid, model.st_gid):
            os.chown(unfinished, model.st_uid, model.st_gid)
        unfinished.chmod(stat.S_IMODE(model.st_mode))
    except OSError:
        unfinished.unlink()
        raise
    return unfinished


def _write_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
