"""`flask users import` and `export`: read users from a file or a campus, and write them to a file."""

import os
import sys
from itertools import chain, islice
from pathlib import Path

import click
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from blueprints.auditing import record_event
from blueprints.parts import parts
from commands.terminal import Refusal, is_agreed, say
from commands.transfer.campus_import import Side, count_users, move_links, move_users
from commands.transfer.export_file import is_regular, replacing
from commands.transfer.extra_columns import insert_taken, resolver, take_values, with_values
from commands.transfer.files import COLUMNS, BadRow, Row, find_conflicts, insert_rows, read_file, write_file
from commands.users import cli
from config.database_url import database_url
from config.settings import require_driver
from models import User, db
from models.database import CHUNK, engine_options, in_chunks
from models.extra_fields import list_fields
from models.passwords import hash_password
from models.user_table import UnusableTable, UserTable

with_format = click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv"]),
    help="The format.  [default: from the file extension; JSON for a pipe]",
)


@cli.command("import")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from-database", "url", envvar="POORT_SOURCE_URL", help="Import from the database of a campus instead of a file.")
@with_format
def import_users(file: Path | None, url: str | None, form: str | None) -> None:
    """Import users from a .json or .csv file, or from a campus.

    A file is imported completely, or not at all if a row is bad: then you get the place, column and reason of every
    fault. Ids, hashes and salts are kept. A clear `password` is hashed.

    From the database of a campus, this imports users, hashes and links. Users who already exist stay as they are, so you
    can interrupt and repeat it. Use POORT_SOURCE_URL to keep the password off the command line.

    Example: flask users import users.json
    """
    if (file is None) == (url is None):
        raise click.UsageError("Name either a file, or a database with --from-database.")
    if file is None:
        _move_in(url or "")
    else:
        _import_file(file, as_csv=_is_csv(file, form))


def _import_file(file: Path, *, as_csv: bool) -> None:
    try:
        rows, bad = read_file(file, as_csv=as_csv)
    except (ValueError, OSError) as reason:
        raise Refusal(f"{file} cannot be read: {reason}") from None
    bad += [BadRow(*fault) for fault in take_values(rows, resolver(db.session(), parts().extra_fields))]
    bad += find_conflicts(db.session(), parts().users, rows)
    db.session.rollback()
    if bad:
        for fault in bad:
            say(str(fault), err=True)
        raise Refusal(f"{len(bad)} faults; nothing was written.")
    # Rows without an id go last, so that they do not take a given one.
    rows.sort(key=lambda placed: "id" not in placed[1])
    cost, now = parts().settings.password_hash_cost, parts().clock()
    with click.progressbar(rows, label="Importing", file=sys.stderr) as shown:
        prepared = (_completed(row, cost) for _, row in shown)
        while chunk := list(islice(prepared, CHUNK)):
            ids = insert_rows(db.session(), parts().users, chunk, parts().home_portal().id, now)
            insert_taken(db.session(), parts().extra_fields, chunk, ids, now)
    parts().users.recount(db.session())
    record_event("users_imported", details={"number": len(rows)})
    db.session.commit()
    say(f"{len(rows)} users imported.")


def _move_in(url: str) -> None:
    if parts().users.is_campus:
        raise Refusal("DATABASE_SCHEMA is chamilo, and this import needs Poort's own schema.")
    try:
        source_url = database_url(url)
        require_driver(source_url)
    except ValueError as reason:
        raise Refusal(f"--from-database {reason}") from None
    engine = create_engine(source_url, **engine_options(source_url))
    try:
        with Session(engine) as session:
            source, target = Side(session, UserTable(is_campus=True)), Side(db.session(), parts().users)
            with click.progressbar(length=count_users(source), label="Importing", file=sys.stderr) as bar:
                ids = move_users(source, target, parts().clock(), bar.update)
            links = move_links(source, target, ids)
    except (UnusableTable, DBAPIError) as reason:
        fault = str(reason) if isinstance(reason, UnusableTable) else type(reason.orig).__name__
        raise Refusal(f"The database of the campus cannot be read: {fault}") from None
    parts().users.recount(db.session())
    record_event("users_moved_in", details={"number": len(ids), "links": links})
    db.session.commit()
    say(f"{len(ids)} users are here now, and {links} new links.")


@cli.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@with_format
@click.option("--force", is_flag=True, help="Replace a file without asking.")
def export_users(file: Path, form: str | None, force: bool) -> None:
    """Export all users to a .json or .csv file, or to a pipe or device such as /dev/stdout.

    The file holds hashes and salts, so only its owner can read it, and `import` restores it exactly. An existing file is
    replaced if you agree, and only after all users are written.

    Example: flask users export users.csv
    """
    as_csv = _is_csv(file, form)
    if is_regular(file) and os.path.lexists(file) and not force:
        _ask_to_replace(file)
    present = parts().users.select(db.session(), [column.key for column in COLUMNS.values()])
    # Beside a campus the fields are Chamilo's to export, and no other server would know their names.
    extra = [] if parts().users.is_campus else [field.variable for field, _ in list_fields(db.session())]
    chunks = in_chunks(db.session(), present, User.id)
    rows = with_values(db.session(), chunks) if extra else ((row, {}) for row in chain.from_iterable(chunks))
    try:
        with replacing(file) as out:
            write_file(rows, out, as_csv=as_csv, extra=extra)
    except OSError as reason:
        raise Refusal(f"{file} cannot be written: {reason.strerror}.") from None
    say(f"Users written to {file}.", err=not is_regular(file))


def _is_csv(file: Path, form: str | None) -> bool:
    """Tell whether a file is CSV: by the option, by its extension, or not for a pipe or device. Raises Refusal."""
    ending = file.suffix.lower()
    if form is None and ending not in {".json", ".csv"} and is_regular(file):
        raise Refusal(f"{file} ends neither in .json nor in .csv. Add --format json or --format csv.")
    return form == "csv" or (form is None and ending == ".csv")


def _ask_to_replace(file: Path) -> None:
    if not _is_terminal():
        raise Refusal(f"{file} exists. Add --force to replace it.")
    if not is_agreed(f"{file} exists. Replace it?"):
        raise Refusal("Nothing was written.")


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _completed(row: Row, cost: int) -> Row:
    clear = row.pop("password_in_clear", None)
    return row | {"password": hash_password(clear, cost)} if clear else row
