"""Writing an export: to a new file of its owner's, which takes the old one's place when it is whole, or to a pipe or device."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

# As many links as Linux itself follows.
_MOST_LINKS = 40


def is_regular(path: Path) -> bool:
    """Tell whether a path is, or would be, a file in a folder: no pipe, no device, no descriptor that is open already."""
    return descriptor_of(path) is None and (path.is_file() or not path.exists())


def descriptor_of(path: Path) -> int | None:
    """Return the descriptor of this process that a path names, as /dev/stdout and /dev/fd/3 do; None where it names none."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            break
        folder = Path(os.path.realpath(path.parent))
        if folder == Path(f"/proc/{os.getpid()}/fd"):
            return int(path.name)
        path = folder / path.readlink()
    return None


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Open a text file for writing; a regular one is replaced when all of it is written, and stays as it was if that fails.

    The new file has mode 0600, whatever the old one had and whatever the umask. A symbolic link is replaced too: what it
    points to is left alone. Raises OSError.
    """
    if not is_regular(path):
        with os.fdopen(_open_as_it_is(path), "w", newline="", encoding="utf-8") as out:
            yield out
        return
    descriptor, name = tempfile.mkstemp(prefix=".poort-export-", dir=path.parent)  # it has mode 0600
    try:
        with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _open_as_it_is(path: Path) -> int:
    """Open a pipe or device. A descriptor is copied: opening it anew fails for sockets, and loses the end of a `>>` file."""
    descriptor = descriptor_of(path)
    if descriptor is not None:
        return os.dup(descriptor)
    # O_CREAT lets the kernel refuse a pipe that someone else has laid in a folder of all (fs.protected_fifos in proc(5)).
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY, 0o600)
