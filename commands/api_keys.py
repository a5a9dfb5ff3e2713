"""`bin/poort api-key`: keys that let a user's programs call the API without signing in. Only for our own schema."""

from datetime import UTC, datetime

import click

from blueprints.auditing import record_event
from blueprints.parts import parts
from commands.read_only import writes
from commands.terminal import Commands, Refusal, say, say_row
from commands.users import get_user, lock_user, saved
from models import ApiKey, db
from models.api_keys import PREFIX_LENGTH, find_key_of, list_keys, replace_key, revoke_key
from security.api_keys import new_key

cli = Commands("api-key", help="API keys of users.")


@cli.command("create")
@click.argument("username")
@click.option(
    "--until",
    type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")),
    metavar="DATE",
    help="When the key ends, in UTC: 2030-01-31 or 2030-01-31T18:00:00; a date alone means 00:00 on that day.  [default: never]",
)
@writes
def create(username: str, until: datetime | None) -> None:
    """Create a key for a user, and print it. It is shown only now, and replaces an earlier key of the user.

    Example: bin/poort api-key create alice --until 2030-01-31
    """
    _refuse_beside_campus()
    user, key = get_user(username), new_key()
    ends_at = until.replace(tzinfo=UTC) if until else None
    if ends_at and ends_at <= parts().clock():
        raise Refusal("--until must be in the future.")

    def write() -> None:
        lock_user(user)
        replace_key(db.session(), user.id, key, ends_at, parts().clock())
        details = {"key_prefix": key[:PREFIX_LENGTH]}
        record_event("api_key_created", username=user.username, user_id=user.id, details=details)

    saved(write)
    say(key)
    if not parts().settings.api_keys:
        say("The server takes no API keys yet: set API_KEYS=1 and restart it.", err=True)


@cli.command("revoke")
@click.argument("username")
@writes
def revoke(username: str) -> None:
    """Revoke the key of a user. The next request with it is refused.

    Example: bin/poort api-key revoke alice
    """
    _refuse_beside_campus()
    user = get_user(username)

    def write() -> bool:
        lock_user(user)  # a request that writes locks it, too: it commits before this, or sees that the key is revoked
        key = find_key_of(db.session(), user.id)
        if key is None:
            raise Refusal(f"{username} has no API key.")
        prefix = key.key_prefix
        is_revoked = revoke_key(db.session(), user.id, parts().clock())
        if is_revoked:
            record_event("api_key_revoked", username=user.username, user_id=user.id, details={"key_prefix": prefix})
        return is_revoked

    is_revoked = saved(write)
    say(f"The API key of {username} is {'' if is_revoked else 'already '}revoked.")


@cli.command("list")
def list_api_keys() -> None:
    """List the keys, one a line: user name, start of the key, state, when it was created, when it ends, and its last use.

    Example: bin/poort api-key list
    """
    _refuse_beside_campus()
    now = parts().clock()
    for key, username in list_keys(db.session()):
        times = (key.created_date, key.validity_end_date, key.last_used_at)
        say_row(username, key.key_prefix or "", _state(key, now), *(moment.isoformat() if moment else "-" for moment in times))


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "ended" if key.validity_end_date is not None and key.validity_end_date <= now else "valid"


def _refuse_beside_campus() -> None:
    if parts().users.is_campus:
        raise Refusal(
            "Beside a campus, API keys are Chamilo's own: `php bin/console chamilo:security:generate-external-api-key`"
            " creates and revokes them there."
        )
