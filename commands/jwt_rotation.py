"""`bin/poort jwt rotate-key` and `prune`: replace the key pair while the server runs, and remove expired keys."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from blueprints.auditing import record_event
from blueprints.parts import Parts, parts
from commands.jwt import MAX_TTL_SECONDS, cli, with_bits
from commands.terminal import Refusal, say
from models import db
from models.refresh_token import remove_expired_sessions
from models.token_validity import remove_outlived
from models.verification_key import find_verification_keys, publish_key, remove_expired_keys, withdraw_key
from security.keys.files import FilesInUse, KeyFiles
from security.keys.key_set import MARGIN_SECONDS
from security.keys.pair import KeyPair, public_pem_of

# The old key is kept for MARGIN_SECONDS after the last token from before the wait expires. But it signs until the end of the
# wait. So the wait must be shorter than the margin.
_LONGEST_WAIT_SECONDS = MARGIN_SECONDS // 2


@cli.command("rotate-key")
@with_bits
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, _LONGEST_WAIT_SECONDS),
    default=2,
    show_default=True,
    help="Seconds between publishing the new key and signing with it.",
)
def rotate_key(bits: int, wait_seconds: float) -> None:
    """Sign with a new key pair, and keep accepting tokens of the old one.

    All servers, also on other hosts, notice without a restart. Clients may cache /.well-known/jwks.json for 300 seconds:
    if you have such clients, use --wait 300.

    Example: bin/poort jwt rotate-key --wait 300
    """
    ours = parts()
    with _changing_keys(ours) as (files, old):
        now = ours.clock()
        files.put_aside(old, now)
        with files.next_pair(bits) as following:
            new = following.pair
            for pair in (old, new):
                publish_key(db.session(), pair.kid, pair.public_pem, ours.keys.needed_until(now))
            db.session.commit()
            say(f"The new key is published: {new.kid}. It signs in {wait_seconds:g} s.")
            ours.sleep(wait_seconds)
            following.take_over()
        say(f"The new key signs. The old one verifies until its last token has expired: {old.kid}.")
        record_event("key_rotated", details={"kid": new.kid, "old_kid": old.kid, "bits": bits})
        db.session.commit()


@cli.command("prune")
@click.option("--kid", help="Also withdraw the key with this id, on all hosts at once, because it has leaked.")
def prune(kid: str | None) -> None:
    """Remove expired public keys, sessions and revocations of tokens.

    Example: bin/poort jwt prune
    """
    ours = parts()
    with _changing_keys(ours) as (files, own):
        now = ours.clock()
        if kid is not None:
            _withdraw(ours, own, kid)
        withdrawn = {row.kid for row in find_verification_keys(db.session(), int(now.timestamp())) if row.is_withdrawn}
        rows = remove_expired_keys(db.session(), int(now.timestamp()))
        remove_expired_sessions(db.session(), now)
        remove_outlived(db.session(), now, MAX_TTL_SECONDS + ours.tokens.clock_skew_seconds)
        record_event("keys_pruned", details={"kid": kid, "rows": rows})
        db.session.commit()
        removed = files.remove_put_aside(ours.keys.put_aside_before(now), withdrawn)
    say(f"Removed keys: {rows} in the database, {removed} in files.")


def _withdraw(ours: Parts, own: KeyPair, kid: str) -> None:
    if kid == own.kid:
        raise Refusal("This key signs now. Run `bin/poort jwt rotate-key` first, then withdraw it.")
    key = ours.keys.verification_keys().get(kid)
    if key is None:
        raise Refusal(f"There is no key {kid}. /.well-known/jwks.json lists the keys.")
    withdraw_key(db.session(), kid, public_pem_of(key), ours.keys.needed_until(ours.clock()))


@contextmanager
def _changing_keys(ours: Parts) -> Iterator[tuple[KeyFiles, KeyPair]]:
    """Lock the key files, and finish a rotation that was killed. Raises Refusal and UnusableKey."""
    if ours.settings.read_only:
        raise Refusal("This server is read-only, and writes no keys to the database.")
    files = ours.keys.files
    if not files.are_paths:
        raise Refusal("JWT_SECRET_KEY and JWT_PUBLIC_KEY hold keys instead of paths. Change the keys in these settings.")
    try:
        with files.locked():
            own = files.load()
            files.repair(own)
            yield files, own
    except FilesInUse:
        raise Refusal("Someone else is changing the keys at the moment.") from None
    except OSError as reason:
        raise Refusal(f"The keys cannot be written: {reason}.") from None
