"""Write an export to a private file, which replaces the old one once it is complete, or to a pipe or device."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from commands.private_file import private_file

# Linux itself follows at most this many symbolic links.
_MOST_LINKS = 40


def is_regular(path: Path) -> bool:
    """Tell whether a path is, or would be, a regular file: not a pipe, a device or an open descriptor."""
    return descriptor_of(path) is None and (path.is_file() or not path.exists())


def descriptor_of(path: Path) -> int | None:
    """Return the descriptor of this process that a path such as /dev/stdout or /dev/fd/3 names, or None."""
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
    """Open a text file for writing. A regular file is replaced only after everything is written, as in private_file.

    Raises OSError.
    """
    if not is_regular(path):
        with os.fdopen(_open_as_it_is(path), "w", newline="", encoding="utf-8") as out:
            yield out
        return
    with private_file(path) as new, new.open("w", newline="", encoding="utf-8") as out:
        yield out


def _open_as_it_is(path: Path) -> int:
    """Open a pipe or device. A descriptor is duplicated: reopening fails for sockets, and loses the position of a `>>` file."""
    descriptor = descriptor_of(path)
    if descriptor is not None:
        return os.dup(descriptor)
    # With O_CREAT the kernel refuses a pipe that another user has put into a shared folder (fs.protected_fifos in proc(5)).
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY, 0o600)
