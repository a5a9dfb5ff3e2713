"""`flask users`: accounts without the API."""

import secrets
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from blueprints.parts import parts
from blueprints.users.moving import Side, count_users, move_links, move_users
from blueprints.users.resource import USER, apply_filters, full_name, needed
from blueprints.users.transfer import COLUMNS, Row, find_conflicts, insert_rows, read_file, write_file
from blueprints.users.writing import columns_to_write, saving, validate_user
from config.parsing import database_url
from config.settings import require_driver
from models import User, db
from models.campus import enrol
from models.database import RoleList, continue_after_given_ids, engine_options
from models.passwords import hash_password
from models.roles import roles_to_store
from models.user import ACTIVE, INACTIVE, Account
from models.user_table import UnusableTable, UserTable
from rest.problem import ValidationFailed

cli = AppGroup("users", help="User accounts.")

_CHUNK = 1000

_PASSWORD_OPTIONS = (
    click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line."),
    click.option("--generate-password", is_flag=True, help="Make a random password and print it."),
)


def _with_password(command: Any) -> Any:
    for option in _PASSWORD_OPTIONS:
        command = option(command)
    return command


@cli.command("create")
@click.argument("username")
@click.option("--email", required=True, help="The e-mail address.")
@click.option("--firstname", help="The first name.")
@click.option("--lastname", help="The last name.")
@click.option("--role", "roles", multiple=True, help="A role, such as ROLE_TEACHER; may be given several times.")
@_with_password
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
    values["plainPassword"] = _ask_password(password_stdin=password_stdin, generate=generate_password)
    _refuse_invalid(values, None)
    stored = columns_to_write(values | {"roles": roles_to_store(roles)}, _hash(values["plainPassword"]), parts().clock())
    with saving(db.session(), parts().users, username):
        user_id = parts().users.insert(db.session(), stored, parts().clock())
        enrol(db.session(), [user_id], parts().settings.access_url_id)
    click.echo(f"User {username} created with the id {user_id}.")
    _show_password(values["plainPassword"], generated=generate_password)


@cli.command("set-password")
@click.argument("username")
@_with_password
def set_password(username: str, password_stdin: bool, generate_password: bool) -> None:
    r"""Give a user a new password.

    \b
    Example: flask users set-password alice --generate-password
    """
    user = _get_user(username)
    password = _ask_password(password_stdin=password_stdin, generate=generate_password)
    _refuse_invalid({"plainPassword": password}, user.id)
    _change(user.id, columns_to_write({}, _hash(password), parts().clock()))
    click.echo(f"The password of {username} is changed.")
    _show_password(password, generated=generate_password)


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
    table = parts().users
    users = apply_filters(table.select(db.session(), needed(USER.readable)), table, {"search": search}, privileged=True)
    for row in db.session.execute(users.execution_options(yield_per=_CHUNK)):
        state = "active" if row.active == ACTIVE else f"active={row.active}"
        click.echo("\t".join((str(row.id), row.username, full_name(row).strip(), row.email, " ".join(row.roles), state)))


@cli.command("import")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from-database", "url", envvar="POORT_SOURCE_URL", help="The database of a campus, instead of a file.")
def import_users(file: Path | None, url: str | None) -> None:
    r"""Add the users of a .json or .csv file, or of a campus.

    All of them, or none where a row is bad. Ids, hashes and salts are kept as they are; `password`, a clear one, is
    hashed. Bad rows are told by place, column and reason, all at once.

    From the database of a campus come users, hashes and links; what is here already, by user name, is left alone, so that
    it may be broken off and run again. POORT_SOURCE_URL keeps the password off the command line.

    \b
    Example: flask users import users.json
    """
    if (file is None) == (url is None):
        raise click.UsageError("Name a file, or a database with --from-database; one of them.")
    if file is None:
        _move_in(url or "")
    else:
        _import_file(file)


def _import_file(file: Path) -> None:
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
            insert_rows(db.session(), parts().users, chunk, parts().settings.access_url_id, now)
    continue_after_given_ids(db.session(), User.__table__)
    db.session.commit()
    click.echo(f"{len(rows)} users imported.")


def _move_in(url: str) -> None:
    if parts().users.is_campus:
        raise click.ClickException("Users move into our own schema, and DATABASE_SCHEMA is chamilo.")
    try:
        source_url = database_url(url)
        require_driver(source_url)
    except ValueError as reason:
        raise click.ClickException(f"--from-database {reason}") from None
    engine = create_engine(source_url, **engine_options(source_url))
    try:
        with Session(engine) as session:
            source, target = Side(session, UserTable(is_campus=True)), Side(db.session(), parts().users)
            with click.progressbar(length=count_users(source), label="Moving users in", file=sys.stderr) as bar:
                ids = move_users(source, target, parts().clock(), bar.update)
            links = move_links(source, target, ids)
    except (UnusableTable, DBAPIError) as reason:
        fault = str(reason) if isinstance(reason, UnusableTable) else type(reason.orig).__name__
        raise click.ClickException(f"The database of the campus cannot be read: {fault}") from None
    click.echo(f"{len(ids)} users are here now, and {links} new links.")


@cli.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_users(file: Path) -> None:
    r"""Write all users to a .json or .csv file.

    `import` reads it back identically: it holds hashes and salts, and is made readable to its owner only.

    \b
    Example: flask users export users.csv
    """
    present = parts().users.select(db.session(), [column.key for column in COLUMNS.values()])
    rows = db.session.execute(present.order_by(User.id).execution_options(yield_per=_CHUNK))
    file.touch(mode=0o600)
    with file.open("w", newline="", encoding="utf-8") as out:
        write_file(rows, out, as_csv=file.suffix.lower() == ".csv")
    click.echo(f"Users written to {file}.")


def _completed(row: Row, cost: int) -> Row:
    clear = row.pop("password_in_clear", None)
    return row | {"password": hash_password(clear, cost)} if clear else row


def _get_user(username: str) -> Account:
    account = parts().users.find_account(db.session(), username)
    if account is None:
        raise click.ClickException(f"There is no user {username!r}.")
    return account


def _change(user_id: int, columns: dict[str, Any]) -> None:
    with saving(db.session(), parts().users, None):
        parts().users.change(db.session(), user_id, columns | {"updated_at": parts().clock()})


def _set_roles(username: str, change: Callable[[list[str]], list[str]]) -> None:
    user = _get_user(username)
    roles = RoleList(roles_to_store(change(user.roles)), user.roles.encoding)
    _change(user.id, {"roles": roles})
    click.echo(f"{username} has the roles: {' '.join(roles) or 'none'}.")


def _set_active(username: str, active: int) -> None:
    _change(_get_user(username).id, {"active": active})
    click.echo(f"{username} is {'active' if active == ACTIVE else 'inactive'}.")


def _ask_password(*, password_stdin: bool, generate: bool) -> str:
    if password_stdin and generate:
        raise click.UsageError("--password-stdin and --generate-password exclude each other.")
    if generate:
        return secrets.token_urlsafe(12)
    if password_stdin:
        return sys.stdin.readline().rstrip("\n")
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return answer


def _show_password(password: str, *, generated: bool) -> None:
    if generated:
        click.echo(f"password: {password}")


def _hash(password: str) -> str:
    return hash_password(password, parts().settings.password_hash_cost)


def _refuse_invalid(values: dict[str, Any], user_id: int | None) -> None:
    if values.get("plainPassword") == "":
        raise click.ClickException("The password must not be empty.")
    try:
        validate_user(db.session(), parts().users, values, user_id, parts().password_policy)
    except ValidationFailed as failure:
        raise click.ClickException(failure.description or "") from None
