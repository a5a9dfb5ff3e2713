"""`bin/poort users reset-totp`: remove the second factor of users who have lost their app and their backup codes."""

import click

from blueprints.auditing import record_event
from blueprints.parts import parts
from blueprints.users.writing import save
from commands.read_only import writes
from commands.terminal import Refusal, say
from commands.users import cli, get_user
from models import db
from models.second_factor import remove_second_factor
from models.user_table import ACCOUNT


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

    was_there = save(db.session(), parts().users, write)
    say(f"The second factor of {user.username} is removed." if was_there else f"{user.username} has no second factor.")
