"""`bin/poort users grant-role`, `revoke-role`, `activate`, `deactivate` and `delete`: change what a user may do."""

import click

from blueprints.parts import parts
from blueprints.users.writing import remove_user
from commands.read_only import writes
from commands.terminal import Refusal, require_agreement, say, words
from commands.users import Columns, change, cli, get_user, hold, saved
from models import db
from models.roles import are_role_names, role_name, roles_to_store
from models.user import ACTIVE, INACTIVE, SOFT_DELETED, Account

with_force = click.option("--force", is_flag=True, help="Allow this even for the last administrator.")


@cli.command("grant-role")
@click.argument("username")
@click.argument("role")
@writes
def grant_role(username: str, role: str) -> None:
    """Give a user a role.

    Example: bin/poort users grant-role alice ROLE_TEACHER
    """
    user, name = get_user(username), role_name(role)
    if not are_role_names([role], user.roles):
        raise Refusal(f"{role!r} is not the name of a role, which is ROLE_ and 1 to 60 letters, digits and underscores.")
    if not roles_to_store([role]):
        raise Refusal(
            f"{name} is never stored: every user has ROLE_USER, and Chamilo grants course roles for a single page view."
        )

    def granted(held: Account) -> Columns:
        roles = roles_to_store(held.roles)
        return {} if name in roles else {"roles": [*roles, name]}

    columns = change(user, granted)
    _say_roles(username, columns) if columns else say(f"{username} has the role {name} already.")


@cli.command("revoke-role")
@click.argument("username")
@click.argument("role")
@with_force
@writes
def revoke_role(username: str, role: str, force: bool) -> None:
    """Take a role from a user. Refused for the last administrator unless you add --force.

    Example: bin/poort users revoke-role alice ROLE_TEACHER
    """
    name = role_name(role)

    def revoked(held: Account) -> Columns:
        if name not in map(role_name, held.roles):
            raise Refusal(f"{username} does not have the role {name}.")
        return {"roles": [kept for kept in roles_to_store(held.roles) if kept != name]}

    _say_roles(username, change(get_user(username), revoked, force=force))


@cli.command("activate")
@click.argument("username")
@click.option("--restore", is_flag=True, help="Also restore a deleted user.")
@writes
def activate(username: str, restore: bool) -> None:
    """Let a user sign in again.

    Example: bin/poort users activate alice
    """

    def activated(held: Account) -> Columns:
        if held.active == SOFT_DELETED and not restore:
            raise Refusal(f"{username} is deleted. Add --restore to bring the user back.")
        return {"active": ACTIVE}

    change(get_user(username), activated)
    say(f"{username} is active.")


@cli.command("deactivate")
@click.argument("username")
@with_force
@writes
def deactivate(username: str, force: bool) -> None:
    """Keep a user from signing in and from using tokens. Refused for the last administrator unless you add --force.

    Example: bin/poort users deactivate alice
    """

    def deactivated(held: Account) -> Columns:
        if held.active == SOFT_DELETED:
            raise Refusal(f"{username} is deleted, and cannot sign in.")
        return {"active": INACTIVE}

    change(get_user(username), deactivated, force=force)
    say(f"{username} is inactive.")


@cli.command("delete")
@click.argument("username")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_force
@writes
def delete(username: str, yes: bool, force: bool) -> None:
    """Delete a user, as the API does. Refused for the last administrator unless you add --force.

    USER_DELETE_MODE=soft, the default, keeps the row and its user name; `users activate --restore` brings the user back.

    Example: bin/poort users delete alice
    """
    user = get_user(username)
    is_soft = parts().settings.user_delete_mode == "soft"
    if user.active == SOFT_DELETED and is_soft:
        raise Refusal(f"{username} is deleted already.")
    require_agreement(f"Delete {username}{'' if is_soft else ' for good'}?", "--yes", given=yes)

    def write() -> None:
        held, is_forced = hold(user, lambda _held: {"active": SOFT_DELETED}, force=force)
        remove_user(db.session(), parts(), held, is_forced=is_forced)

    saved(write)
    say(f"{username} is deleted.")


def _say_roles(username: str, columns: Columns) -> None:
    say(f"{username} has the roles: {words(columns['roles']) or 'none'}.")
