"""Write a file that only its owner can read, and that appears under its name once it is complete and on the disk."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from security.keys.pair import sync

#: The beginning of the names of files that are not complete yet.
UNFINISHED = ".poort-unfinished-"


@contextmanager
def private_file(path: Path) -> Iterator[Path]:
    """Yield an empty file to write to, which takes the place of `path` at the end.

    It has mode 0600, whatever the old mode and the umask. A symbolic link is replaced, and its target stays. After a failure,
    the old file is unchanged and the new one is removed. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix=UNFINISHED, dir=path.parent)  # with mode 0600
    os.close(descriptor)
    try:
        yield Path(name)
        sync(Path(name))
        Path(name).replace(path)
        sync(path.parent)  # the new name, too, survives a power failure
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
