"""`bin/poort backup`: copy an SQLite database while the server runs, and check the copy."""

import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import URL

from blueprints.parts import parts
from commands.private_file import UNFINISHED, private_file
from commands.setup import cli
from commands.terminal import Refusal, require_agreement, say
from models.database import LOCK_TIMEOUT_SECONDS, VERSION_TABLE

# Backups in a folder are named by their time in UTC, so that their names sort by age.
_NAME, _NAMES = "poort-%Y%m%dT%H%M%SZ.db", "poort-????????T??????Z.db"

# Unfinished files of killed backups are removed at this age. No backup takes so long.
_ABANDONED_SECONDS = 86_400

_OTHERS = {
    "postgresql": "pg_dump --format=custom --file=poort.dump{} {}",
    "mysql": "mariadb-dump --single-transaction --result-file=poort.sql{} {}",
}


@cli.command("backup")
@click.argument("target", type=click.Path(readable=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file without asking.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="In a folder, keep only the newest N backups.")
def backup(target: Path, force: bool, keep: int | None) -> None:
    """Copy the SQLite database to a file, or to a new file in a folder, while the server runs.

    The copy shows the database at one moment. It gets its name only after it is checked, and only its owner can read it. It holds
    neither the key pair nor the settings: copy these, too.

    Example: bin/poort backup --keep 14 /var/backups/poort
    """
    database, is_folder = _file_of(parts().settings.database_url), target.is_dir()
    if keep and not is_folder:
        raise Refusal(f"--keep needs a folder, and {target} is not one.")
    file = target / parts().clock().astimezone(UTC).strftime(_NAME) if is_folder else target
    _refuse_own_files(file, database)
    if os.path.lexists(file):
        require_agreement(f"{file} exists. Replace it?", "--force", given=force)
    with _said_of(file), private_file(file) as new:
        _copy(database, new)
        _check(database, new)
    say(f"The database is copied to {file} ({file.stat().st_size / 1e6:,.1f} MB), without the key pair and the settings.")
    if keep:
        _remove_old(target, keep)


def _file_of(url: URL) -> Path:
    """Return the file of the database. Raises Refusal, which says how to copy another kind of database."""
    if url.get_backend_name() == "sqlite":
        file = Path(url.database or "")
        if not file.is_file():
            raise Refusal(f"There is no database {file}: `bin/poort setup` makes it.")
        return file
    given = {"host": url.host, "port": url.port, "username" if url.get_backend_name() == "postgresql" else "user": url.username}
    options = "".join(f" --{name}={shlex.quote(str(value))}" for name, value in given.items() if value)
    command = _OTHERS[url.get_backend_name()].format(options, shlex.quote(url.database or ""))
    raise Refusal("This command copies SQLite's database only. For yours, use the program of its server:", command)


def _refuse_own_files(file: Path, database: Path) -> None:
    """Raise Refusal if a file is the database or one that SQLite keeps beside it."""
    own = [database, *(database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal"))]
    is_own = file.exists() and any(path.exists() and file.samefile(path) for path in own)
    if is_own or file.parent.resolve() / file.name in {path.resolve() for path in own}:
        raise Refusal(f"{file} belongs to the database itself. Name another file.")


@contextmanager
def _said_of(file: Path) -> Iterator[None]:
    """Turn a failure to write a file into a Refusal."""
    try:
        yield
    except OSError as reason:
        raise Refusal(f"{file} cannot be written: {reason.strerror}.") from None
    except sqlite3.Error as reason:
        code = getattr(reason, "sqlite_errorname", type(reason).__name__)
        raise Refusal(f"The database cannot be copied to {file}: {reason} ({code}).") from None


def _copy(database: Path, new: Path) -> None:
    # In a single step: between two steps, a write of the server would restart the copy. With a write-ahead log, even a long
    # read blocks nobody.
    with closing(_open(database)) as source, closing(sqlite3.connect(new)) as copy:
        copy.execute("PRAGMA journal_mode = OFF")  # a failed copy is removed, and private_file flushes a complete one
        copy.execute("PRAGMA synchronous = OFF")
        source.backup(copy)


def _check(database: Path, new: Path) -> None:
    """Raise Refusal if the copy is damaged, or has another schema than the database."""
    with closing(_open(new, immutable=True)) as copy, closing(_open(database)) as source:
        copy.execute("PRAGMA cache_size = -65536")  # in KiB; with the default of 2 MB a large index takes three times as long
        faults = [str(fault) for (fault,) in copy.execute("PRAGMA integrity_check(1)")]
        if faults != ["ok"]:
            raise Refusal(f"The copy is damaged, and so may be the database: {faults[0]}.", "No backup was made.")
        copied, there = _revisions(copy), _revisions(source)
    if not copied:
        raise Refusal("The database has no tables of Poort: `bin/poort db upgrade` makes them.", "No backup was made.")
    if copied != there:
        raise Refusal("The tables were changed while they were copied. Run this again.", "No backup was made.")


def _revisions(connection: sqlite3.Connection) -> set[str]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)).fetchone():
        return set()
    return {revision for (revision,) in connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")}  # noqa: S608 - our name


def _open(file: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open a database to read. With `immutable`, SQLite does not lock it, and creates no files beside it."""
    uri = f"{file.resolve().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
    return sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT_SECONDS)


def _remove_old(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` backups of a folder, and the unfinished files of killed ones."""
    old = sorted(folder.glob(_NAMES))[:-keep]
    for file in old:
        file.unlink()
        say(f"removed: {file}")
    abandoned = datetime.now(UTC).timestamp() - _ABANDONED_SECONDS
    for file in folder.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):  # another backup has removed it
            if file.stat().st_mtime < abandoned:
                file.unlink()
