"""`bin/poort users import`: read users from a file or a campus."""

import sys
from itertools import islice
from pathlib import Path

import click
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from blueprints.auditing import record_event
from blueprints.parts import parts
from commands.terminal import Refusal, say
from commands.transfer.campus_import import Side, count_users, move_links, move_users
from commands.transfer.extra_columns import insert_taken, resolver, take_values
from commands.transfer.files import BadRow, Row, find_conflicts, insert_rows, read_file
from commands.users import cli
from commands.users_export import is_csv, with_format
from config.parsing import database_url
from config.settings import require_driver
from models import db
from models.database import CHUNK, engine_options
from models.passwords import hash_password
from models.user_table import UnusableTable, UserTable


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

    Example: bin/poort users import users.json
    """
    if (file is None) == (url is None):
        raise click.UsageError("Name either a file, or a database with --from-database.")
    if file is None:
        _move_in(url or "")
    else:
        _import_file(file, as_csv=is_csv(file, form))


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


def _completed(row: Row, cost: int) -> Row:
    clear = row.pop("password_in_clear", None)
    return row | {"password": hash_password(clear, cost)} if clear else row
