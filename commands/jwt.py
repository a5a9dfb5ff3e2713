"""`bin/poort jwt`: create and check the key pair, and issue tokens for trials."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from blueprints.auditing import record_event
from blueprints.parts import Parts, parts
from commands.terminal import Commands, say
from commands.users import get_user
from models import db
from models.roles import roles_to_show
from models.verification_key import VerificationKey, withdraw_key
from security.keys.pair import MINIMUM_BITS, make_key_pair, public_pem_of, write_key_pair

logger = logging.getLogger(__name__)

cli = Commands("jwt", help="Manage keys and tokens.")

#: The maximum of JWT_TOKEN_TTL, and of --ttl.
MAX_TTL_SECONDS = 10**9

with_bits = click.option(
    "--bits", type=click.IntRange(MINIMUM_BITS, 16_384), default=MINIMUM_BITS, show_default=True, help="Size of the RSA key."
)


@cli.command("generate-keypair")
@click.option("--dry-run", is_flag=True, help="Print both keys and write nothing.")
@click.option("--skip-if-exists", is_flag=True, help="Do nothing if keys exist.")
@click.option("--overwrite", is_flag=True, help="Replace existing keys, after asking.")
@click.option("--no-interaction", "-n", is_flag=True, help="Do not ask.")
@with_bits
def generate_keypair(dry_run: bool, skip_if_exists: bool, overwrite: bool, no_interaction: bool, bits: int) -> None:
    """Create an RSA key pair, encrypted with JWT_PASSPHRASE.

    Prints the messages of lexik:jwt:generate-keypair to standard output, and exits with its codes. Replacing keys ends all
    tokens.

    Example: bin/poort jwt generate-keypair --skip-if-exists
    """
    ours = parts()
    if dry_run:
        private_pem, public_pem = make_key_pair(ours.settings.jwt_passphrase, bits)
        click.echo("Your keys have been generated!\n")
        click.echo(f"Your private key:\n\n{private_pem.decode()}\nYour public key:\n\n{public_pem.decode()}")
        return
    if skip_if_exists and overwrite:
        _stop("Both options `--skip-if-exists` and `--overwrite` cannot be combined.")
    if not ours.keys.files.are_paths:
        _stop("JWT_SECRET_KEY and JWT_PUBLIC_KEY hold keys instead of paths; there is nowhere to write new ones.")
    paths = Path(ours.settings.jwt_secret_key), Path(ours.settings.jwt_public_key)
    if not any(path.exists() for path in paths) or _may_replace(skip_if_exists, overwrite, asks=not no_interaction):
        _write_key_pair(ours, *paths, bits)
        say("Done!")


def _may_replace(skip_if_exists: bool, overwrite: bool, *, asks: bool) -> bool:
    """Tell whether to replace the existing keys; if not, print the reason. Raises SystemExit if neither option is given."""
    if skip_if_exists:
        say("Your key files already exist, they won't be overriden.")
        return False
    if not overwrite:
        _stop("Your keys already exist. Use the `--overwrite` option to force regeneration.")
    question = "You are about to replace your existing keys. Are you sure you wish to continue? (yes/no)"
    if asks and not click.prompt(question, default="yes").strip().lower().startswith("y"):
        say("Your action was canceled.")
        return False
    return True


def _write_key_pair(ours: Parts, private_path: Path, public_path: Path, bits: int) -> None:
    """Write a new pair, and end the tokens that the replaced keys have signed."""
    replaced = ours.keys.files.public_keys()
    try:
        write_key_pair(private_path, public_path, *make_key_pair(ours.settings.jwt_passphrase, bits))
    except OSError as reason:
        _stop(f"The keys cannot be written: {reason}.")
    if replaced:
        _end_tokens_of(replaced, ours)


def _end_tokens_of(keys: Mapping[str, RSAPublicKey], ours: Parts) -> None:
    """Withdraw replaced keys, so that no host accepts their tokens. Without our tables, there is no other host to tell."""
    ours.keys.files.remove_put_aside(sys.maxsize, ())
    try:
        if not ours.settings.read_only and inspect(db.engine).has_table(VerificationKey.__tablename__):
            for kid, key in keys.items():
                withdraw_key(db.session(), kid, public_pem_of(key), ours.keys.needed_until(ours.clock()))
            record_event("keys_replaced", details={"old_kids": list(keys)})
            db.session.commit()
    except SQLAlchemyError as reason:
        why = type(reason).__name__
        logger.warning("other hosts still accept the replaced keys: the database cannot be used: %s", why)


def _stop(message: str) -> NoReturn:
    say(message)
    raise SystemExit(1)


@cli.command("check-config")
def check_config() -> None:
    """Check the key pair, and explain what is wrong with it.

    Example: bin/poort jwt check-config && systemctl start poort
    """
    parts().check_keys()
    say("The configuration seems correct.")


@cli.command("generate-token")
@click.argument("username")
@click.option(
    "--ttl", type=click.IntRange(1, MAX_TTL_SECONDS), help="The lifetime of the token in seconds.  [default: JWT_TOKEN_TTL]"
)
def generate_token(username: str, ttl: int | None) -> None:
    """Print a token for a user, without a password.

    Example: curl -H "Authorization: Bearer $(bin/poort jwt generate-token alice)" http://127.0.0.1:8000/api/users
    """
    account = get_user(username)
    token = parts().tokens.issue(account.username, roles_to_show(account.roles), ttl_seconds=ttl)
    details = {"ttl_seconds": ttl or parts().tokens.ttl_seconds}
    record_event("token_issued", username=account.username, user_id=account.id, details=details)
    db.session.commit()
    say(token)
