"""`flask users grant-role`, `revoke-role`, `activate` and `deactivate`: what a user may, and whether they may sign in."""

import click

from blueprints.terminal import Refusal, say
from blueprints.users.cli import change, cli, get_user
from models.roles import are_role_names, roles_to_store
from models.user import ACTIVE, INACTIVE, SOFT_DELETED, Account

with_force = click.option("--force", is_flag=True, help="Do it to the last administrator, too.")


@cli.command("grant-role")
@click.argument("username")
@click.argument("role")
def grant_role(username: str, role: str) -> None:
    r"""Give a user a role.

    \b
    Example: flask users grant-role alice ROLE_TEACHER
    """
    user, (name,) = get_user(username), roles_to_store([role]) or [""]
    if not name or not are_role_names([role], user.roles):
        raise Refusal(f"{role!r} is no role to grant: its name is ROLE_ and 1 to 60 letters, digits and underscores.")
    if name in roles_to_store(user.roles):
        say(f"{username} has the role {name} already.")
        return
    _set_roles(user, [*user.roles, name])


@cli.command("revoke-role")
@click.argument("username")
@click.argument("role")
@with_force
def revoke_role(username: str, role: str, force: bool) -> None:
    r"""Take a role from a user. The last administrator keeps the role, unless --force is given.

    \b
    Example: flask users revoke-role alice ROLE_TEACHER
    """
    user, name = get_user(username), role.strip().upper()
    kept = [held for held in roles_to_store(user.roles) if held != name]
    if len(kept) == len(roles_to_store(user.roles)):
        raise Refusal(f"{username} does not have the role {name}.")
    _set_roles(user, kept, force=force)


@cli.command("activate")
@click.argument("username")
@click.option("--restore", is_flag=True, help="Bring a deleted user back as well.")
def activate(username: str, restore: bool) -> None:
    r"""Let a user sign in again.

    \b
    Example: flask users activate alice
    """
    user = get_user(username)
    if user.active == SOFT_DELETED and not restore:
        raise Refusal(f"{username} is deleted. With --restore the user comes back.")
    _set_active(user, ACTIVE)


@cli.command("deactivate")
@click.argument("username")
@with_force
def deactivate(username: str, force: bool) -> None:
    r"""Keep a user from signing in and from using a token. The last administrator stays active, unless --force is given.

    \b
    Example: flask users deactivate alice
    """
    _set_active(get_user(username), INACTIVE, force=force)


def _set_roles(user: Account, roles: list[str], *, force: bool = False) -> None:
    change(user, {"roles": roles}, force=force)
    say(f"{user.username} has the roles: {' '.join(roles) or 'none'}.")


def _set_active(user: Account, active: int, *, force: bool = False) -> None:
    change(user, {"active": active}, force=force)
    say(f"{user.username} is {'active' if active == ACTIVE else 'inactive'}.")
