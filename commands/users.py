"""`bin/poort users`: manage accounts without the API."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from blueprints.auditing import record_event
from blueprints.parts import parts
from blueprints.users.writing import change_user, columns_to_write, insert_user, save, validate_user
from commands.password_prompt import ask_password, with_password
from commands.read_only import writes
from commands.terminal import Commands, Refusal, say
from commands.transfer.column_values import require_storable
from models import User, db
from models.administrators import LastAdministrator, find_others, require_other
from models.passwords import hash_password
from models.second_factor import remove_second_factor
from models.token_validity import end_all_tokens
from models.transactions import ChangedMeanwhile
from models.user import Account
from models.user_table import ACCOUNT
from rest.problem import ValidationFailed

Result = TypeVar("Result")

Columns = dict[str, Any]

#: Takes a user's row, and returns the columns to change with their new values.
Wanted = Callable[[Account], Columns]

cli = Commands("users", help="Manage user accounts.")


@cli.command("create")
@click.argument("username")
@click.option("--email", required=True, help="The e-mail address.")
@click.option("--firstname", help="The first name.")
@click.option("--lastname", help="The last name.")
@click.option("--role", "roles", multiple=True, help="A role, such as ROLE_TEACHER. Repeat the option for several.")
@with_password
@writes
def create(username: str, password_stdin: bool, generate_password: bool, **profile: Any) -> None:
    """Create a user who can sign in.

    Example: bin/poort users create alice --email alice@example.com --role ROLE_STUDENT --generate-password
    """
    password = ask_password(password_stdin=password_stdin, generate=generate_password)
    values = {"username": username, **profile, "roles": list(profile["roles"]), "plainPassword": password}
    _refuse_invalid(values, None)
    now = parts().clock()
    columns = columns_to_write(values, _hash(password), now)
    user_id = saved(lambda: insert_user(db.session(), parts().users, columns, now, parts().home_portal().id), username)
    say(f"User {username} created with the id {user_id}.")
    if generate_password:
        say(f"password: {password}")


@cli.command("set-password")
@click.argument("username")
@with_password
@writes
def set_password(username: str, password_stdin: bool, generate_password: bool) -> None:
    """Give a user a new password.

    Example: bin/poort users set-password alice --generate-password
    """
    user = get_user(username)
    password = ask_password(password_stdin=password_stdin, generate=generate_password)
    _refuse_invalid({"plainPassword": password}, user)
    columns = columns_to_write({}, _hash(password), parts().clock())
    change(user, lambda _held: columns)
    say(f"The password of {username} is changed.")
    if generate_password:
        say(f"password: {password}")


@cli.command("sign-out")
@click.argument("username")
@writes
def sign_out(username: str) -> None:
    """End all tokens and sessions of a user, who may sign in again.

    Example: bin/poort users sign-out alice
    """
    user = get_user(username)

    def write() -> None:
        held, _ = hold(user, lambda _held: {}, force=False)
        end_all_tokens(db.session(), held.id, held.username, parts().clock())
        record_event("all_tokens_ended", username=held.username, user_id=held.id)

    saved(write)
    say(f"{username} is signed out everywhere.")


@cli.command("reset-totp")
@click.argument("username")
@writes
def reset_totp(username: str) -> None:
    """Remove a user's second factor and backup codes. The user signs in with the password alone until they enroll again.

    Example: bin/poort users reset-totp alice
    """
    if parts().users.is_campus:
        raise Refusal("Beside a campus, Chamilo manages second factors. Reset this one there.")
    user = get_user(username)

    def write() -> bool:
        parts().users.lock(db.session(), user.id, ACCOUNT)
        was_there = remove_second_factor(db.session(), user.id)
        if was_there:
            record_event("totp_reset", username=user.username, user_id=user.id)
        return was_there

    say(f"The second factor of {user.username} is removed." if saved(write) else f"{user.username} has no second factor.")


@cli.command("recount")
@writes
def recount() -> None:
    """Recount all users. Run this if you have deleted users with SQL.

    Lists take the number of users from a stored total. Poort keeps it correct, and notices if another program inserts
    users or empties the table.

    Example: bin/poort users recount
    """
    parts().users.recount(db.session())
    db.session.commit()
    say("The users are counted.")


def get_user(username: str) -> Account:
    """Return the account of a user name. Raises Refusal."""
    account = parts().users.find_account(db.session(), username)
    if account is None:
        raise Refusal(f"There is no user {username!r}.")
    return account


def change(user: Account, wanted: Wanted, *, force: bool = False) -> Columns:
    """Change a user. `wanted` takes the locked row and returns the columns to change, which this function returns, too.

    Raises Refusal if no administrator would be left, unless `force` allows that.
    """

    def write() -> Columns:
        held, is_forced = hold(user, wanted, force=force)
        columns, now = wanted(held), parts().clock()
        if columns:
            change_user(db.session(), parts(), held, columns | {"updated_at": now}, is_forced=is_forced)
        return columns

    return saved(write)


def saved(write: Callable[[], Result], username: str | None = None) -> Result:
    """Commit all that `write` writes, or nothing. Raises Refusal, for instance if the new `username` was taken meanwhile."""
    try:
        return save(db.session(), parts().users, write, username)
    except ValidationFailed as failure:
        raise _refusal(failure) from None
    except ChangedMeanwhile:
        raise Refusal("Another request is changing administrators. Nothing was written. Try again.") from None


def lock_user(user: Account) -> None:
    """Begin a transaction that locks a user's row. Raises Refusal if the user was deleted meanwhile."""
    if parts().users.lock(db.session(), user.id, ACCOUNT) is None:
        raise Refusal(f"There is no user {user.username!r} any more.")


def hold(user: Account, wanted: Wanted, *, force: bool) -> tuple[Account, bool]:
    """Lock the row of a user until the transaction ends. `wanted` is the change that the caller is about to make.

    If the user would no longer be an administrator, the rows of the other administrators are locked, too. Returns the current
    row, and whether the change removes the last administrator. Without `force`, such a change raises Refusal.
    """
    session, users, now = db.session(), parts().users, parts().clock()
    stored: Account | None = session.execute(users.select(session, ACCOUNT).where(User.id == user.id)).one_or_none()
    others: frozenset[int] = frozenset()
    try:
        others, is_forced = find_others(session, stored, wanted(stored), now) if stored else others, False
    except LastAdministrator:
        is_forced = force
        if not force:
            raise Refusal(f"{user.username} is the last administrator. Add --force to do it anyway.") from None
    rows = users.hold(session, ACCOUNT, user.id, others)
    held: Account | None = rows.get(user.id)
    if held is None:
        raise Refusal(f"The user {user.username!r} no longer exists.")
    if not is_forced:
        require_other(held, wanted(held), [rows[other] for other in others if other in rows], now)
    return held, is_forced


def _hash(password: str) -> str:
    return hash_password(password, parts().settings.password_hash_cost)


def _refuse_invalid(values: dict[str, Any], user: Account | None) -> None:
    if values.get("plainPassword") == "":
        raise Refusal("The password must not be empty.")
    for name, value in values.items():
        refuse_what_is_no_text(name, value)
    try:
        validate_user(db.session(), parts(), values, user)
    except ValidationFailed as failure:
        raise _refusal(failure) from None


def refuse_what_is_no_text(name: str, value: Any) -> None:
    """Refuse an argument that is not UTF-8. Python decodes such bytes as lone surrogates, which no database accepts."""
    try:
        require_storable(value if isinstance(value, str) else "")
    except ValueError as reason:
        raise Refusal(f"{name} {reason}.") from None


def _refusal(failure: ValidationFailed) -> Refusal:
    return Refusal(*(f"{violation.property_path}: {violation.message}" for violation in failure.violations))
