"""`bin/poort users export`: write all users to a file."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from blueprints.parts import parts
from commands.terminal import Refusal, require_agreement, say
from commands.transfer.export_file import is_regular, replacing
from commands.transfer.export_rows import write_file
from commands.transfer.rows import COLUMNS
from commands.users import cli
from models import User, db
from models.database import in_chunks
from models.extra_fields import list_fields, values_of

with_format = click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv"]),
    help="The format.  [default: from the file extension; JSON for a pipe]",
)


@cli.command("export")
@click.argument("file", type=click.Path(dir_okay=False, readable=False, path_type=Path))
@with_format
@click.option("--force", is_flag=True, help="Replace a file without asking.")
def export_users(file: Path, form: str | None, force: bool) -> None:
    """Export all users to a .json or .csv file, or to a pipe or device such as /dev/stdout.

    The file holds hashes and salts, so only its owner can read it, and `import` restores it exactly. An existing file is
    replaced if you agree, and only after all users are written.

    Example: bin/poort users export users.csv
    """
    as_csv = is_csv(file, form)
    if is_regular(file) and os.path.lexists(file):
        require_agreement(f"{file} exists. Replace it?", "--force", given=force)
    # Beside a campus, extra fields are left to Chamilo's own export: no other server would know their names.
    extra = [] if parts().users.is_campus else [field.variable for field, _ in list_fields(db.session())]
    try:
        with replacing(file) as out:
            write_file(_rows(has_extra=bool(extra)), out, as_csv=as_csv, extra=extra)
    except OSError as reason:
        raise Refusal(f"{file} cannot be written: {reason.strerror}.") from None
    say(f"Users written to {file}.", err=not is_regular(file))


def _rows(*, has_extra: bool) -> Iterator[tuple[Any, Mapping[str, str]]]:
    """Yield the columns of each user, and the values of our own extra fields by field name."""
    columns = [column.key for column in COLUMNS.values()]
    for rows in in_chunks(db.session(), parts().users.select(db.session(), columns), User.id):
        values = values_of(db.session(), [row.id for row in rows]) if has_extra else {}
        yield from ((row, values.get(row.id, {})) for row in rows)


def is_csv(file: Path, form: str | None) -> bool:
    """Tell whether a file is CSV, by --format or else by its extension; a pipe without either is JSON. Raises Refusal."""
    ending = file.suffix.lower()
    if form is None and ending not in {".json", ".csv"} and is_regular(file):
        raise Refusal(f"{file} ends neither in .json nor in .csv. Add --format json or --format csv.")
    return form == "csv" or (form is None and ending == ".csv")
