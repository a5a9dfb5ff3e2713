"""Writing an export: to a new file of its owner's, which takes the old one's place when it is whole, or to a pipe or device."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

# Their entries may be links to files, and are written to as they are: /dev/stdout is what standard output is.
_OPEN_ALREADY = ("/dev/", "/proc/")


def is_regular(path: Path) -> bool:
    """Tell whether a path is, or would be, a file of a folder: no pipe, no device, nothing that is open already."""
    return not str(path.absolute()).startswith(_OPEN_ALREADY) and (path.is_file() or not path.exists())


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Open a text file for writing; a regular one is replaced when all of it is written, and stays as it was if that fails.

    The new file has mode 0600, whatever the old one had and whatever the umask. A symbolic link is replaced too: what it
    points to is left alone. Raises OSError.
    """
    if not is_regular(path):
        # Appended, since /dev/stdout may be a file that a shell opened with `>>`.
        with path.open("a", newline="", encoding="utf-8") as out:
            yield out
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # it has mode 0600
    try:
        with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
