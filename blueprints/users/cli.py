"""`flask users`: accounts without the API."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import click
from flask.cli import AppGroup

from blueprints.auditing import note
from blueprints.parts import parts
from blueprints.users.asking import ask_password, show_password, with_password
from blueprints.users.resource import USER, columns_of, full_name, read_filters
from blueprints.users.writing import change_user, columns_to_write, insert_user, saving, validate_user
from models import User, db
from models.database import in_chunks
from models.passwords import hash_password
from models.roles import roles_to_store
from models.token_validity import end_all_tokens
from models.user import ACTIVE, INACTIVE, Account
from models.user_table import ACCOUNT
from rest.problem import ValidationFailed

cli = AppGroup("users", help="User accounts.")


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
    now = parts().clock()
    columns = columns_to_write(values, _hash(values["plainPassword"]), now)
    with saving(db.session(), parts().users, username):
        user_id = insert_user(db.session(), parts().users, columns, now, parts().settings.access_url_id)
    click.echo(f"User {username} created with the id {user_id}.")
    show_password(values["plainPassword"], generated=generate_password)


@cli.command("set-password")
@click.argument("username")
@with_password
def set_password(username: str, password_stdin: bool, generate_password: bool) -> None:
    r"""Give a user a new password.

    \b
    Example: flask users set-password alice --generate-password
    """
    user = get_user(username)
    password = ask_password(password_stdin=password_stdin, generate=generate_password)
    _refuse_invalid({"plainPassword": password}, user)
    _change(user, columns_to_write({}, _hash(password), parts().clock()))
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


@cli.command("sign-out")
@click.argument("username")
def sign_out(username: str) -> None:
    r"""End every token and session that a user has; they may sign in again.

    \b
    Example: flask users sign-out alice
    """
    user = get_user(username)
    with saving(db.session(), parts().users, None):
        held = _hold(user)
        end_all_tokens(db.session(), held.id, held.username, parts().clock())
        note("all_tokens_ended", username=held.username, user_id=held.id)
    click.echo(f"{username} is signed out everywhere.")


@cli.command("list")
@click.option("--search", default="", help="A part of the user name, first or last name, whatever its case and accents.")
def list_users(search: str) -> None:
    r"""List users, one a line.

    \b
    Example: flask users list --search liddell
    """
    table = parts().users
    filters = read_filters(table, {"search": search}, privileged=True)
    users = table.select(db.session(), columns_of(USER.readable)).where(*filters.conditions)
    for row in chain.from_iterable(in_chunks(db.session(), users, User.id)):
        state = "active" if row.active == ACTIVE else f"active={row.active}"
        click.echo("\t".join((str(row.id), row.username, full_name(row).strip(), row.email, " ".join(row.roles), state)))


@cli.command("recount")
def recount() -> None:
    r"""Count all users anew, where somebody else deleted some from the table.

    Lists say how many users there are from a number that is kept. Poort keeps it right by itself, and finds out who else
    inserts users or empties the table.

    \b
    Example: flask users recount
    """
    parts().users.recount(db.session())
    db.session.commit()
    click.echo("The users are counted.")


def get_user(username: str) -> Account:
    """Return the account of a user name. Raises ClickException."""
    account = parts().users.find_account(db.session(), username)
    if account is None:
        raise click.ClickException(f"There is no user {username!r}.")
    return account


def _change(user: Account, columns: dict[str, Any]) -> None:
    with saving(db.session(), parts().users, None):
        held, now = _hold(user), parts().clock()
        change_user(db.session(), parts().users, held, columns | {"updated_at": now}, now)


def _hold(user: Account) -> Account:
    """Return the row of a user as it is now, held until the transaction ends."""
    held: Account | None = parts().users.lock(db.session(), user.id, ACCOUNT)
    if held is None:
        raise click.ClickException(f"There is no user {user.username!r} any more.")
    return held


def _set_roles(username: str, change: Callable[[list[str]], list[str]]) -> None:
    user = get_user(username)
    roles = roles_to_store(change(user.roles))
    _change(user, {"roles": roles})
    click.echo(f"{username} has the roles: {' '.join(roles) or 'none'}.")


def _set_active(username: str, active: int) -> None:
    _change(get_user(username), {"active": active})
    click.echo(f"{username} is {'active' if active == ACTIVE else 'inactive'}.")


def _hash(password: str) -> str:
    return hash_password(password, parts().settings.password_hash_cost)


def _refuse_invalid(values: dict[str, Any], user: Account | None) -> None:
    if values.get("plainPassword") == "":
        raise click.ClickException("The password must not be empty.")
    try:
        validate_user(db.session(), parts().users, values, user, parts().password_policy)
    except ValidationFailed as failure:
        raise click.ClickException(failure.description or "") from None
