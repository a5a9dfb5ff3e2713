"""`flask users`: accounts without the API."""

import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy import select

from blueprints.parts import parts
from blueprints.users.asking import ask_password, show_password, with_password
from blueprints.users.resource import USER, apply_filters, full_name, select_users
from blueprints.users.transfer import COLUMNS, Row, find_conflicts, read_file, write_file
from blueprints.users.writing import change_user, new_user, save_changes, save_new_user, validate_user
from models import ACCESS_URL_OF_EVERYONE, User, db
from models.campus import add_users
from models.folding import canonical_username
from models.passwords import hash_password
from models.roles import roles_to_store
from models.user import ACTIVE, INACTIVE
from rest.problem import ValidationFailed

cli = AppGroup("users", help="User accounts.")

_CHUNK = 1000


@cli.command("create")
@click.argument("username")
@click.option("--email", required=True, help="The e-mail address.")
@click.option("--firstname", help="The first name.")
@click.option("--lastname", help="The last name.")
@click.option("--role", "roles", multiple=True, help="A role, such as ROLE_TEACHER; may be given several times.")
@with_password
def create(
    username: str,
    email: str,
    firstname: str | None,
    lastname: str | None,
    roles: tuple[str, ...],
    password_stdin: bool,
    generate_password: bool,
) -> None:
    r"""Create a user who can sign in.

    \b
    Example: flask users create alice --email alice@example.com --role ROLE_STUDENT --generate-password
    """
    values: dict[str, Any] = {
        "username": username,
        "email": email,
        "firstname": firstname,
        "lastname": lastname,
        "roles": list(roles),
    }
    values["plainPassword"] = ask_password(password_stdin=password_stdin, generate=generate_password)
    _refuse_invalid(values, None)
    user = new_user(values, _hash(values["plainPassword"]), parts().clock())
    save_new_user(db.session(), user, ACCESS_URL_OF_EVERYONE)
    click.echo(f"User {username} created with the id {user.id}.")
    show_password(values["plainPassword"], generated=generate_password)


@cli.command("set-password")
@click.argument("username")
@with_password
def set_password(username: str, password_stdin: bool, generate_password: bool) -> None:
    r"""Give a user a new password.

    \b
    Example: flask users set-password alice --generate-password
    """
    user = _get_user(username)
    password = ask_password(password_stdin=password_stdin, generate=generate_password)
    values = {"plainPassword": password}
    _refuse_invalid(values, user.id)
    change_user(user, values, _hash(password), parts().clock())
    save_changes(db.session())
    click.echo(f"The password of {username} is changed.")
    show_password(password, generated=generate_password)


@cli.command("grant-role")
@click.argument("username")
@click.argument("role")
def grant_role(username: str, role: str) -> None:
    r"""Give a user a role.

    \b
    Example: flask users grant-role alice ROLE_TEACHER
    """
    _set_roles(username, lambda roles: [*roles, role])


@cli.command("revoke-role")
@click.argument("username")
@click.argument("role")
def revoke_role(username: str, role: str) -> None:
    r"""Take a role from a user.

    \b
    Example: flask users revoke-role alice ROLE_TEACHER
    """
    _set_roles(username, lambda roles: [held for held in roles if held != role.strip().upper()])


@cli.command("activate")
@click.argument("username")
def activate(username: str) -> None:
    r"""Let a user sign in again.

    \b
    Example: flask users activate alice
    """
    _set_active(username, ACTIVE)


@cli.command("deactivate")
@click.argument("username")
def deactivate(username: str) -> None:
    r"""Keep a user from signing in and from using a token.

    \b
    Example: flask users deactivate alice
    """
    _set_active(username, INACTIVE)


@cli.command("list")
@click.option("--search", default="", help="A part of the user name, first or last name, whatever its case and accents.")
def list_users(search: str) -> None:
    r"""List users, one a line.

    \b
    Example: flask users list --search liddell
    """
    users = apply_filters(select_users(USER.readable), {"search": search}, privileged=True)
    for row in db.session.execute(users.execution_options(yield_per=_CHUNK)):
        state = "active" if row.active == ACTIVE else f"active={row.active}"
        click.echo("\t".join((str(row.id), row.username, full_name(row).strip(), row.email, " ".join(row.roles), state)))


@cli.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_users(file: Path) -> None:
    r"""Add the users of a .json or .csv file.

    All of them, or none where a row is bad. Ids, hashes and salts are kept; `password`, a clear one, is hashed.
    Bad rows are told by place, column and reason, all at once.

    \b
    Example: flask users import users.json
    """
    try:
        rows, bad = read_file(file)
    except (ValueError, OSError) as reason:
        raise click.ClickException(f"{file} cannot be read: {reason}") from None
    bad += find_conflicts(db.session(), rows)
    db.session.rollback()
    if bad:
        for fault in bad:
            click.echo(str(fault), err=True)
        raise click.ClickException(f"{len(bad)} faults; nothing was written.")
    cost, now = parts().settings.password_hash_cost, parts().clock()
    with click.progressbar(rows, label="Importing", file=sys.stderr) as shown:
        prepared = (_completed(row, cost) for _, row in shown)
        while chunk := list(islice(prepared, _CHUNK)):
            add_users(db.session(), chunk, ACCESS_URL_OF_EVERYONE, now)
    db.session.commit()
    click.echo(f"{len(rows)} users imported.")


@cli.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_users(file: Path) -> None:
    r"""Write all users to a .json or .csv file.

    `import` reads it back identically: it holds hashes and salts, and is made readable to its owner only.

    \b
    Example: flask users export users.csv
    """
    rows = db.session.execute(select(*COLUMNS.values()).order_by(User.id).execution_options(yield_per=_CHUNK))
    file.touch(mode=0o600)
    with file.open("w", newline="", encoding="utf-8") as out:
        write_file(rows, out, as_csv=file.suffix.lower() == ".csv")
    click.echo(f"Users written to {file}.")


def _completed(row: Row, cost: int) -> Row:
    clear = row.pop("password_in_clear", None)
    return row | {"password": hash_password(clear, cost)} if clear else row


def _get_user(username: str) -> User:
    user = db.session.scalar(select(User).where(User.username_canonical == canonical_username(username)))
    if user is None:
        raise click.ClickException(f"There is no user {username!r}.")
    return user


def _set_roles(username: str, change: Callable[[list[str]], list[str]]) -> None:
    user = _get_user(username)
    user.roles, user.updated_at = roles_to_store(change(user.roles)), parts().clock()
    save_changes(db.session())
    click.echo(f"{username} has the roles: {' '.join(_get_user(username).roles) or 'none'}.")


def _set_active(username: str, active: int) -> None:
    user = _get_user(username)
    user.active, user.updated_at = active, parts().clock()
    save_changes(db.session())
    click.echo(f"{username} is {'active' if active == ACTIVE else 'inactive'}.")


def _hash(password: str) -> str:
    return hash_password(password, parts().settings.password_hash_cost)


def _refuse_invalid(values: dict[str, Any], user_id: int | None) -> None:
    if values.get("plainPassword") == "":
        raise click.ClickException("The password must not be empty.")
    try:
        validate_user(db.session(), values, user_id, parts().password_policy)
    except ValidationFailed as failure:
        raise click.ClickException(failure.description or "") from None
