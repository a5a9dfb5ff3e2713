"""`bin/poort extra-fields`: fields that users have in addition to Chamilo's columns, and their values."""

import click

from blueprints.auditing import record_event
from blueprints.parts import parts
from commands.read_only import writes
from commands.terminal import Commands, Refusal, say, say_row
from commands.transfer.extra_columns import PREFIX
from commands.users import get_user, lock_user, refuse_what_is_no_text, saved
from models import db
from models.extra_fields import VARIABLE_LENGTH, UnknownExtraField, find_value, insert_field, list_fields
from models.user import Account

cli = Commands("extra-fields", help="Extra fields of users.")


@cli.command("create")
@click.argument("variable")
@click.option("--label", help="The name that people see.")
@writes
def create(variable: str, label: str | None) -> None:
    """Create an extra field of users.

    VARIABLE is the name that requests and files use. Names that differ only in case or accents are the same.

    Example: bin/poort extra-fields create legal_id --label "Legal number"
    """
    _refuse_beside_campus()
    for name, text in (("VARIABLE", variable), ("--label", label or "")):
        refuse_what_is_no_text(name, text)
        if len(text) > VARIABLE_LENGTH:
            raise Refusal(f"{name} has more than {VARIABLE_LENGTH} characters.")
    if not variable.strip():
        raise Refusal("VARIABLE must not be blank.")

    def write() -> None:
        if parts().extra_fields.find(db.session(), variable):
            raise Refusal(f"There is an extra field {variable!r} already.")
        insert_field(db.session(), variable, label, parts().clock())
        record_event("extra_field_created", details={"fields": [PREFIX + variable]})

    saved(write)
    say(f"Extra field {variable} created.")


@cli.command("list")
def list_extra_fields() -> None:
    """List the fields, one a line: name, label, and how many users have a value.

    Example: bin/poort extra-fields list
    """
    _refuse_beside_campus()
    for field, number in list_fields(db.session()):
        say_row(field.variable, field.display_text or "", str(number))


@cli.command("set")
@click.argument("username")
@click.argument("variable")
@click.argument("value", required=False)
@click.option("--unset", is_flag=True, help="Remove the value.")
@writes
def set_value(username: str, variable: str, value: str | None, unset: bool) -> None:
    """Set a user's value in a field, or remove it.

    The value may be empty. The filter `extrafieldvalue[]=` finds users with an empty value, but not users without a value.

    Example: bin/poort extra-fields set alice legal_id AB-12
    """
    if (value is None) != unset:
        raise click.UsageError("Give either a value or --unset.")
    _refuse_beside_campus()
    refuse_what_is_no_text("VALUE", value)
    is_changed = _write(get_user(username), variable, value)
    state = "has no value in" if value is None else "has the value in"
    say(f"{username} {state} {variable}{'' if is_changed else ' already'}.")


def _write(user: Account, variable: str, value: str | None) -> bool:
    """Set or remove a value, and return whether that changed anything. Raises Refusal."""
    session, fields = db.session(), parts().extra_fields
    try:
        field_id = fields.resolve(session, [variable])[variable]
    except UnknownExtraField:
        raise Refusal(f"There is no extra field {variable!r}.") from None

    def write() -> bool:
        lock_user(user)
        if find_value(session, user.id, field_id) == value:
            return False
        fields.write_values(session, user.id, {field_id: value}, parts().clock())
        record_event("user_changed", username=user.username, user_id=user.id, details={"fields": [PREFIX + variable]})
        return True

    return saved(write)


def _refuse_beside_campus() -> None:
    if parts().users.is_campus:
        raise Refusal("Beside a campus, extra fields are Chamilo's own: create and fill them there.")
