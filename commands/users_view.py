"""`bin/poort users list` and `show`: find users, and show one."""

import json
from itertools import chain, islice
from typing import Any

import click

from blueprints.parts import parts
from blueprints.users.resource import USER, full_name, read_filters
from commands.terminal import say, say_table, words
from commands.users import cli, get_user, refuse_what_is_no_text
from models import User, db
from models.database import in_chunks
from models.extra_fields import values_of
from models.user import ACTIVE, INACTIVE, SOFT_DELETED
from rest.resource import fields, texts

_HEADER = ("id", "username", "name", "email", "roles", "state")

_STATES = {ACTIVE: "active", INACTIVE: "inactive", SOFT_DELETED: "deleted"}

with_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line, as the API shows a user.")


@cli.command("list")
@click.option("--search", default="", help="Match part of the user name, first or last name. Ignores case and accents.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show at most N users.")
@with_json
def list_users(search: str, limit: int | None, as_json: bool) -> None:
    """List users: a table on a terminal, else one user per line and tabs between the columns.

    Example: bin/poort users list --search liddell --limit 20
    """
    refuse_what_is_no_text("--search", search)
    filters = read_filters(parts().users, {"search": search}, privileged=True)
    users = parts().users.select(db.session(), USER.readable.columns).where(*filters.conditions)
    rows = islice(chain.from_iterable(in_chunks(db.session(), users, User.id)), limit)
    if as_json:
        for row in rows:
            say(json.dumps(texts(fields(USER.readable, row))))
        return
    say_table(_HEADER, (_cells(row) for row in rows))


@cli.command("show")
@click.argument("username")
@with_json
def show(username: str, as_json: bool) -> None:
    """Show a user, with the values of extra fields.

    Example: bin/poort users show alice
    """
    user_id, table = get_user(username).id, parts().users
    row = db.session().execute(table.select(db.session(), USER.readable.columns).where(User.id == user_id)).one()
    shown = texts(fields(USER.readable, row))
    if not table.is_campus:
        shown |= {f"extra:{name}": value for name, value in sorted(values_of(db.session(), [user_id]).get(user_id, {}).items())}
    if as_json:
        say(json.dumps(shown))
        return
    for name, value in shown.items():
        say(f"{name}: {words(value) if isinstance(value, list) else value}")


def _cells(row: Any) -> tuple[str, ...]:
    state = _STATES.get(row.active, f"active={row.active}")
    return str(row.id), row.username, full_name(row).strip(), row.email, words(row.roles), state
