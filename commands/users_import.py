"""`bin/poort users import`: read users from a file or a campus."""

import re
import sys
from pathlib import Path
from typing import Any

import click
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from blueprints.auditing import record_event
from blueprints.parts import parts
from commands.read_only import require_writable
from commands.terminal import Refusal, counted, say
from commands.transfer.campus_import import Side, count_users, move_links, move_users, move_values
from commands.transfer.extra_columns import PREFIX
from commands.transfer.file_import import import_file
from commands.transfer.planning import Choices
from commands.users import cli
from commands.users_export import is_csv, with_format
from config.database_url import database_url
from config.drivers import require_driver
from models import db
from models.database import engine_options
from models.outages import reason_of
from models.user_table import UnusableTable, UserTable

_KEY = re.compile(rf"username|email|{PREFIX}.+")


def _check_key(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not _KEY.fullmatch(value):
        raise click.BadParameter("use username, email or extra:NAME.")
    return value


@cli.command("import")
@click.argument("file", required=False, type=click.Path(dir_okay=False, readable=False, path_type=Path))
@click.option("--from-database", "url", envvar="POORT_SOURCE_URL", help="Import from the database of a campus instead of a file.")
@with_format
@click.option("--update", is_flag=True, help="Change existing users. Without this, any difference from one is an error.")
@click.option(
    "--key",
    default="username",
    metavar="KEY",
    callback=_check_key,
    help="What identifies a user: username, email or extra:NAME.  [default: username]",
)
@click.option("--set-passwords", is_flag=True, help="Set the passwords of users who exist as well, not only of new ones.")
@click.option("--deactivate-missing", is_flag=True, help="Show which active users of the portal are not in the file.")
@click.option("--yes", is_flag=True, help="Deactivate the missing users.")
@click.option("--force", is_flag=True, help="Deactivate them even if they are more than a tenth of all.")
@click.option("--dry-run", is_flag=True, help="Check the file and say what would change. Writes nothing.")
@click.option("--as-exported", is_flag=True, help="Accept values that the API would refuse, such as those of an old campus.")
def import_users(file: Path | None, url: str | None, form: str | None, **options: Any) -> None:
    """Import users from a .json or .csv file, from a pipe such as /dev/stdin, or from a campus.

    All rows are checked first: if one is bad, you get the place, column and reason of every fault, and nothing is written.
    Ids, hashes and salts are kept. A clear `password` is hashed. Users are then written in short transactions. If the import
    is stopped, run it again: it goes on where it stopped.

    From the database of a campus, this imports users, hashes, links and values of extra fields. Users who already exist stay
    as they are, so you can interrupt and repeat it. Use POORT_SOURCE_URL to keep the password off the command line.

    Example: bin/poort users import users.csv --update --dry-run
    """
    if (file is None) == (url is None):
        raise click.UsageError("Name either a file, or a database with --from-database.")
    choices = Choices(**options)
    if not choices.dry_run:
        require_writable()
    if file is not None:
        import_file(file, choices, as_csv=is_csv(file, form))
    elif choices != Choices():
        raise click.UsageError("--from-database cannot be combined with the options for a file.")
    else:
        _move_in(url or "")


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
            links, values = move_links(source, target, ids), move_values(source, target, ids, parts().clock())
    except (UnusableTable, DBAPIError) as reason:
        fault = str(reason) if isinstance(reason, UnusableTable) else reason_of(reason)
        raise Refusal(f"The database of the campus cannot be read: {fault}") from None
    finally:
        engine.dispose()
    parts().users.recount(db.session())
    record_event("users_moved_in", details={"number": len(ids), "links": links, "values": values})
    db.session.commit()
    say(f"{counted(len(ids), 'user')} here now, {counted(links, 'new link')} and {counted(values, 'new value')} of extra fields.")
