"""Check services for `bin/poort doctor`: keys, passphrase, database, schema, hashes, clock, the throttle's store and mail."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from smtplib import SMTPException
from urllib.parse import urlsplit

from sqlalchemy import column, false, table, text, update
from sqlalchemy.exc import SQLAlchemyError

from blueprints.parts import Parts
from commands.doctor.findings import ERROR, OK, WARNING, Finding, why
from commands.doctor.rights import examine_rights
from commands.doctor.schema import examine_time_limit, examine_version, lacking, revisions
from commands.doctor.writing import examine_writing
from config.database_hosts import shown
from config.parsing import AccessUrlId
from models import db
from models.platform import Platform
from models.stored_hashes import find_dear_hashes
from security.keys.json_web_key import thumbprint
from security.keys.pair import UnusableKey, is_pem, read_public_key, refuse_weak_passphrase
from security.throttle.stores import StoreUnavailable

_OLD_KEY = timedelta(days=365)

# Clocks that a time service keeps differ by less than this.
_SMALL_DIFFERENCE_SECONDS = 2

# The code of an authenticator app is valid this long before and after its own interval.
_LARGE_DIFFERENCE_SECONDS = 30

# The current time in UTC, by database.
_NOW = {
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
    "postgresql": "SELECT clock_timestamp()",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
    "mariadb": "SELECT UTC_TIMESTAMP(6)",
}


def examine_keys(ours: Parts) -> Iterator[Finding]:
    """Check the key pair."""
    settings = ours.settings
    try:
        ours.check_keys()
        key = read_public_key(settings.jwt_public_key)  # opening the private key again would take 40 ms
    except UnusableKey as problem:
        fault, _, cure = str(problem).partition(". ")
        yield Finding("keys", ERROR, f"{fault}.", cure)
        return
    says = f"the pair fits: RSA, {key.key_size} bits, kid {thumbprint(key)}"
    if not is_pem(settings.jwt_secret_key):
        age = ours.clock() - datetime.fromtimestamp(Path(settings.jwt_secret_key).stat().st_mtime, UTC)
        says += f", {age.days} days old"
        if age > _OLD_KEY:
            yield Finding("keys", WARNING, says, "Replace it now and then: `bin/poort jwt rotate-key`.")
            return
    yield Finding("keys", OK, says)


def examine_passphrase(ours: Parts) -> Iterator[Finding]:
    """Check for a passphrase that a start in production would refuse, whatever APP_ENV is."""
    try:
        refuse_weak_passphrase(ours.settings.jwt_passphrase)
    except UnusableKey as problem:
        fault, _, cure = str(problem).partition(". ")
        allowed = ours.settings.jwt_allow_weak_passphrase
        says = f"{fault}, and JWT_ALLOW_WEAK_PASSPHRASE allows it." if allowed else f"{fault}."
        yield Finding("passphrase", WARNING, says, cure)
    else:
        yield Finding("passphrase", OK, "of your own")


def examine_database(ours: Parts) -> Iterator[Finding]:
    """Check the database, and if it can be reached, its schema, its clock and its hashes."""
    where = shown(ours.settings.database_url)
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError as reason:
        says = f"{where} cannot be reached: {why(ours, reason)}"
        yield Finding("database", ERROR, says, "Check DATABASE_URL, that the database runs, and that it admits this user.")
        return
    dialect = db.engine.dialect
    version = ".".join(str(number) for number in dialect.server_version_info or ())
    kind = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    yield from examine_writing(ours, f"{kind} {version} at {where}")
    yield from _examine_own_key(ours)
    if "pgbouncer" in ours.settings.database_url.query:
        yield examine_time_limit()
    missing, _ = lacking(ours)
    yield _examine_schema(ours, missing)
    yield _examine_clock(ours)
    if not missing:
        yield from _examine_hashes(ours)
        yield from examine_rights(ours)
    if not missing and ours.platform:
        yield examine_version(ours)
        yield _examine_portals(ours.platform, ours.settings.access_url_id)
        yield from _examine_api_keys(ours)


def _examine_own_key(ours: Parts) -> Iterator[Finding]:
    with suppress(UnusableKey):  # `examine_keys` reports it
        if kid := ours.settings.read_only and ours.keys.refused_elsewhere():
            says = f"with READ_ONLY=1 the key {kid} of this host is not published, and the other hosts refuse its tokens"
            cure = "Copy the folder of the keys and JWT_PASSPHRASE of a host that writes, then reload."
            yield Finding("keys", ERROR, says, cure)


def _examine_api_keys(ours: Parts) -> Iterator[Finding]:
    """Check that the last use of a campus's API keys can be written. Yields nothing if the campus has no table of keys."""
    if ours.settings.read_only or not (ours.api_keys and ours.api_keys.are_taken):
        return
    keys = table("user_api_key", column("last_used_at"))
    try:
        db.session.execute(update(keys).where(false()).values(last_used_at=keys.c.last_used_at))
    except SQLAlchemyError as reason:
        says = f"the last use of API keys cannot be written: {why(ours, reason)}"
        yield Finding("api-keys", WARNING, says, "Grant this user UPDATE (last_used_at) on `user_api_key`.")
    else:
        yield Finding("api-keys", OK, "the last use of API keys can be written")
    finally:
        db.session.rollback()


def _examine_schema(ours: Parts, missing: list[str]) -> Finding:
    upgrade = "Run `bin/poort db upgrade`, which creates Poort's own tables and columns."
    if missing:
        return Finding("schema", ERROR, f"missing: {', '.join(missing)}", upgrade)
    here, there = revisions()
    if here == there or (ours.settings.read_only and not there):
        run = f"all migrations have run: {', '.join(sorted(there))}"
        return Finding("schema", OK, run if there else "all tables and columns that are needed exist")
    known, run = ", ".join(sorted(here)), ", ".join(sorted(there)) or "none"
    says = f"the latest migrations of this code are {known}, those of the database {run}"
    return Finding("schema", ERROR, says, f"{upgrade} If the database is newer, upgrade the code.")


def _examine_portals(platform: Platform, chosen: AccessUrlId) -> Finding:
    portals, home = platform.portals(), platform.default().id
    if isinstance(chosen, int) and chosen not in portals:
        says = f"ACCESS_URL_ID is {chosen}, and there is no such portal"
        return Finding("portals", ERROR, says, "Set it to an id in `access_url`.")
    if chosen is None and portals.are_several:
        says = f"ACCESS_URL_ID is not set: this server stands for portal {home}, and users of the other portals get 401"
        cure = "Set ACCESS_URL_ID to the id of a portal, or to host if this server stands for all."
        return Finding("portals", WARNING, says, cure)
    which = "each request's Host header chooses the portal" if chosen == "host" else f"this server stands for portal {home}"
    return Finding("portals", OK, which)


def _examine_hashes(ours: Parts) -> Iterator[Finding]:
    """Find stored hashes that take longer to check than a refusal, which reveals user names, and hashes too costly to check."""
    cost = ours.settings.password_hash_cost
    found = find_dear_hashes(db.session(), cost)
    if found.dearer:
        says = f"{found.dearer} stored hashes cost more than PASSWORD_HASH_COST={cost},"
        says += " so the time of a refusal reveals their users"
        cure = f"Set PASSWORD_HASH_COST={found.highest_cost}: then every refusal takes as long as the costliest of them."
        yield Finding("hashes", WARNING, says, cure)
    if found.refused:
        says = f"{found.refused} stored hashes are too costly to check; their users cannot sign in"
        yield Finding("hashes", WARNING, says, "Set new passwords for these users: the log names each by user_id at a sign-in.")
    if not found.dearer and not found.refused:
        yield Finding("hashes", OK, f"no stored hash costs more than PASSWORD_HASH_COST={cost}")


def _examine_clock(ours: Parts) -> Finding:
    asked_at, begun = ours.clock(), time.monotonic()
    said = db.session.execute(text(_NOW[db.engine.dialect.name])).scalar_one()
    told = datetime.fromisoformat(said) if isinstance(said, str) else said
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    # The database read its clock somewhere between query and result.
    behind = (told - asked_at).total_seconds() - (time.monotonic() - begun) / 2
    says = f"{abs(behind):.1f} s {'behind' if behind > 0 else 'ahead of'} the database's"
    cure = "Let a time service (systemd-timesyncd, chrony) set both clocks. JWT_CLOCK_SKEW tolerates small differences in tokens."
    if abs(behind) > _LARGE_DIFFERENCE_SECONDS:
        return Finding("clock", ERROR, f"{says}: tokens of other hosts and codes of second factors are refused", cure)
    if abs(behind) > _SMALL_DIFFERENCE_SECONDS + ours.settings.jwt_clock_skew_seconds:
        return Finding("clock", WARNING, f"{says}: tokens of other hosts may be refused at first", cure)
    return Finding("clock", OK, f"{says}; JWT_CLOCK_SKEW is {ours.settings.jwt_clock_skew_seconds} s")


def examine_store(ours: Parts) -> Iterator[Finding]:
    """Check the store in which failed sign-ins are counted."""
    settings = ours.settings
    if not settings.login_throttling_max_attempts:
        says = "LOGIN_THROTTLING_MAX_ATTEMPTS is 0: passwords can be guessed without limit"
        yield Finding("store", WARNING, says, "Keep the default, 10, if others can reach the server.")
    elif not settings.redis_url:
        where = "in the memory of each worker" if settings.read_only else "in the database"
        yield Finding("store", OK, f"failed sign-ins are counted {where}")
    else:
        url = urlsplit(settings.redis_url)
        where = url._replace(netloc=url.netloc.rpartition("@")[2], query="").geturl()  # without credentials
        try:
            ours.limiter.check()
        except StoreUnavailable as reason:
            cure = "Check REDIS_URL, and that Redis runs and is writable. Until then, failed sign-ins are not counted."
            yield Finding("store", ERROR, f"{where} cannot be used: {reason}", cure)
        else:
            yield Finding("store", OK, f"failed sign-ins are counted at {where}")


def examine_mail(ours: Parts) -> Iterator[Finding]:
    """Check that the mail server would take mail."""
    if ours.mailer is None:
        yield Finding("mail", OK, "MAILER_DSN names no server: new users get no mail")
        return
    server = f"the mail server {ours.mailer.address}"
    try:
        ours.mailer.check()
    except (SMTPException, OSError, UnicodeError) as reason:
        says = f"{server} cannot be used: {reason or type(reason).__name__}"
        yield Finding("mail", WARNING, says, "Check MAILER_DSN and the server. Until then, mail to new users is lost.")
    else:
        yield Finding("mail", OK, f"{server} answers")
