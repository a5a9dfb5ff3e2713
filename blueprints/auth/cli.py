"""`flask jwt`: the key pair, and tokens for trying things out."""

from pathlib import Path
from typing import NoReturn

import click
from flask.cli import AppGroup

from blueprints.parts import parts
from models import db
from models.user import shown_roles
from security.keys import MINIMUM_BITS, UnusableKey, make_key_pair, write_key_pair

cli = AppGroup("jwt", help="Keys and tokens.")

_MAX_BITS = 16_384


@cli.command("generate-keypair")
@click.option("--dry-run", is_flag=True, help="Print both keys and write nothing.")
@click.option("--skip-if-exists", is_flag=True, help="Do nothing where there are keys already.")
@click.option("--overwrite", is_flag=True, help="Replace keys that exist; asks before it does.")
@click.option("--no-interaction", "-n", is_flag=True, help="Do not ask.")
@click.option(
    "--bits", type=click.IntRange(MINIMUM_BITS, _MAX_BITS), default=MINIMUM_BITS, show_default=True, help="Size of the RSA key."
)
def generate_keypair(dry_run: bool, skip_if_exists: bool, overwrite: bool, no_interaction: bool, bits: int) -> None:
    r"""Make an RSA key pair under JWT_PASSPHRASE.

    Messages and exit codes are those of lexik:jwt:generate-keypair; like it, this prints all of them on standard output.

    \b
    Example: flask jwt generate-keypair --skip-if-exists
    """
    settings = parts().settings
    if dry_run:
        private_pem, public_pem = make_key_pair(settings.jwt_passphrase, bits)
        click.echo("Your keys have been generated!\n")
        click.echo(f"Your private key:\n\n{private_pem.decode()}\nYour public key:\n\n{public_pem.decode()}")
        return
    if skip_if_exists and overwrite:
        _stop("Both options `--skip-if-exists` and `--overwrite` cannot be combined.")
    if "-----BEGIN" in settings.jwt_secret_key + settings.jwt_public_key:
        _stop("JWT_SECRET_KEY and JWT_PUBLIC_KEY hold keys instead of paths; there is nowhere to write new ones.")
    private_path, public_path = Path(settings.jwt_secret_key), Path(settings.jwt_public_key)
    if private_path.exists() or public_path.exists():
        if skip_if_exists:
            click.echo("Your key files already exist, they won't be overriden.")
            return
        if not overwrite:
            _stop("Your keys already exist. Use the `--overwrite` option to force regeneration.")
        if not no_interaction and not _is_sure():
            click.echo("Your action was canceled.")
            return
    try:
        write_key_pair(private_path, public_path, *make_key_pair(settings.jwt_passphrase, bits))
    except OSError as reason:
        _stop(f"The keys cannot be written: {reason}.")
    click.echo("Done!")


def _stop(message: str) -> NoReturn:
    click.echo(message)
    raise SystemExit(1)


def _is_sure() -> bool:
    question = "You are about to replace your existing keys. Are you sure you wish to continue? (yes/no)"
    answer: str = click.prompt(question, default="yes")
    return answer.strip().lower().startswith("y")


@cli.command("check-config")
def check_config() -> None:
    r"""Look at the key pair and name what is wrong with it.

    \b
    Example: flask jwt check-config && systemctl start poort
    """
    try:
        parts().check_keys()
    except UnusableKey as problem:
        raise click.ClickException(str(problem)) from None
    click.echo("The configuration seems correct.")


@cli.command("generate-token")
@click.argument("username")
@click.option("--ttl", type=click.IntRange(min=1), help="How long the token is good for, in seconds.  [default: JWT_TOKEN_TTL]")
def generate_token(username: str, ttl: int | None) -> None:
    r"""Print a token for a user, without asking for a password.

    \b
    Example: curl -H "Authorization: Bearer $(flask jwt generate-token alice)" http://127.0.0.1:8000/api/users
    """
    account = parts().users.find_account(db.session(), username)
    if account is None:
        raise click.ClickException(f"There is no user {username!r}.")
    try:
        click.echo(parts().tokens.issue(account.username, shown_roles(account), ttl_seconds=ttl))
    except UnusableKey as problem:
        raise click.ClickException(str(problem)) from None
