"""What `flask poort doctor` looks at on this machine: who runs it, files and their modes, proxies, workers, hashing."""

import os
import stat
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path

from dotenv import dotenv_values

from blueprints.parts import Parts
from commands.doctor.findings import ERROR, OK, WARNING, Finding
from config.settings import env_files
from models.passwords import hash_password
from security.keys.pair import is_pem

# A file that one of these is in is a secret.
_SECRETS = ("JWT_PASSPHRASE", "APP_SECRET", "DATABASE_PASSWORD", "DATABASE_URL", "REDIS_URL", "MAILER_DSN")

_LOOPBACK = ip_network("127.0.0.0/8")

# So many processes a processor wait for each other more than for anything else.
_MOST_WORKERS_A_PROCESSOR = 4

# bcrypt takes twice as long with each step of its cost: it is measured where it takes little.
_MEASURED_COST = 8


def examine_settings(ours: Parts, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say what the rest is about: whose settings they are, and who looks."""
    files = [str(file) for file in env_files(environ) if file.is_file()]
    says = f"APP_ENV is {ours.settings.app_env}; read from {', '.join(files) or 'the environment alone'}"
    yield Finding("settings", OK, says)
    if os.geteuid() == 0:
        cure = "Ask once more as the user that the server runs as: `sudo -u poort …`."
        yield Finding("user", WARNING, "root may read and write everything, which says nothing about the server's own user", cure)
    if not ours.settings.app_secret:
        says = "APP_SECRET is empty, so that JWT_PASSPHRASE keys the secrets of second factors: it can never be changed"
        yield Finding("settings", WARNING, says, "Set APP_SECRET before the first user switches a second factor on.")


def examine_files(ours: Parts, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at who may read what is secret, and whether what must be written can be."""
    found = [*_open_env_files(environ), *_open_keys(ours), *_examine_sqlite(ours)]
    yield from found or [Finding("files", OK, "nobody else may read or change what is secret, and what must be written can be")]


def _open_env_files(environ: Mapping[str, str]) -> Iterator[Finding]:
    for file in env_files(environ):
        if file.is_file() and _everyone_may(file, stat.S_IROTH) and _holds_secrets(file):
            yield Finding("files", ERROR, f"everyone on this machine may read {file}, which holds secrets", f"chmod o= {file}")


def _holds_secrets(file: Path) -> bool:
    values = dotenv_values(file)
    given = [values.get(name) or "" for name in _SECRETS]
    return any("@" in value if "://" in value else value for value in given)


def _open_keys(ours: Parts) -> Iterator[Finding]:
    """Look at who may replace the keys; who may read the private one is looked at with the pair."""
    for source in (ours.settings.jwt_secret_key, ours.settings.jwt_public_key):
        if not is_pem(source) and Path(source).exists():
            for place in (Path(source), Path(source).parent):
                if place.stat().st_mode & stat.S_IWOTH:
                    yield Finding("files", ERROR, f"everyone on this machine may change {place}", f"chmod o-w {place}")


def _examine_sqlite(ours: Parts) -> Iterator[Finding]:
    url = ours.settings.database_url
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    file = Path(url.database)
    if file.exists() and _everyone_may(file, stat.S_IROTH):
        yield Finding(
            "files", ERROR, f"everyone on this machine may read {file}, which holds password hashes", f"chmod o= {file}"
        )
    if not ours.settings.read_only and not os.access(file.parent, os.W_OK | os.X_OK):
        cure = f"Give this user the folder: `chown` or `chmod u+w {file.parent}`."
        yield Finding("files", ERROR, f"{file.parent} cannot be written, and SQLite makes files in it", cure)


def _everyone_may(file: Path, right: int) -> bool:
    """Tell whether everyone has a right to a file, and the way to it; a folder of one's own keeps others out."""
    return bool(file.stat().st_mode & right and file.parent.stat().st_mode & stat.S_IXOTH)


def examine_proxies(ours: Parts) -> Iterator[Finding]:
    """Look at whose word counts about who a client is."""
    trusted = ours.settings.trusted_proxies
    names = ", ".join(str(network) for network in trusted)
    if any(network.prefixlen == 0 for network in trusted):
        says = f"TRUSTED_PROXIES is {names}: everyone may say that they are anyone, and guess passwords without end"
        yield Finding("proxies", ERROR, says, "Name the addresses of your proxies alone.")
    elif not trusted and ours.settings.app_env == "prod":
        says = "TRUSTED_PROXIES is empty: behind a proxy all clients share one address, and so one throttle"
        yield Finding(
            "proxies", WARNING, says, "Behind nginx on this machine: TRUSTED_PROXIES=127.0.0.1. Without a proxy, leave it."
        )
    elif not trusted:
        yield Finding("proxies", OK, "TRUSTED_PROXIES is empty: a client is who connects")
    elif not any(network.overlaps(_LOOPBACK) for network in trusted if network.version == _LOOPBACK.version):
        says = f"TRUSTED_PROXIES is {names}, none of which connects to 127.0.0.1, where gunicorn listens unless told otherwise"
        yield Finding("proxies", WARNING, says, "Add 127.0.0.1 where the proxy is on this machine.")
    else:
        yield Finding("proxies", OK, f"TRUSTED_PROXIES is {names}; the proxy must overwrite X-Forwarded-For")


def examine_cors(ours: Parts) -> Iterator[Finding]:
    """Look for web origins of a developer's machine, whose scripts may call a server in production."""
    allowed, origins = ours.settings.cors_allow_origin, ("http://localhost", "http://127.0.0.1", "http://localhost:3000")
    matched = [origin for origin in origins if allowed is not None and allowed.search(origin)]
    if matched and ours.settings.app_env == "prod":
        says = f"CORS_ALLOW_ORIGIN matches {matched[0]}: a page on a user's own machine may call this server with their token"
        cure = (
            r"Name your web origins alone, like CORS_ALLOW_ORIGIN='^https://campus\.example\.org$', or leave it empty for none."
        )
        yield Finding("cors", WARNING, says, cure)
    else:
        yield Finding("cors", OK, "no web origin of a developer's machine may call" if not matched else "as for development")


def examine_workers(ours: Parts) -> Iterator[Finding]:
    """Look at processes and threads, and whether whoever waits for a hash can get a turn in time."""
    settings, processors = ours.settings, os.cpu_count() or 1
    threads = settings.password_hash_queue + 4
    says = f"{settings.web_concurrency} processes of {threads} threads on {processors} processors"
    if settings.web_concurrency > _MOST_WORKERS_A_PROCESSOR * processors:
        yield Finding("workers", WARNING, says, f"Set WEB_CONCURRENCY to {processors} or twice as many.")
    else:
        yield Finding("workers", OK, says)
    seconds = _seconds_to_hash(settings.password_hash_cost)
    last_waits = settings.password_hash_queue * seconds
    says = f"a hash of PASSWORD_HASH_COST {settings.password_hash_cost} takes about {seconds:.2f} s"
    if last_waits > settings.password_hash_wait_seconds:
        says += (
            f": who is last of PASSWORD_HASH_QUEUE {settings.password_hash_queue} waits {last_waits:.1f} s, PASSWORD_HASH_WAIT"
        )
        says += f" is {settings.password_hash_wait_seconds} s, and the answer then 503"
        yield Finding("hashing", WARNING, says, "Make the queue shorter, the wait longer, or the cost lower.")
    else:
        yield Finding("hashing", OK, f"{says}; the last in the queue gets a turn in time")


def _seconds_to_hash(cost: int) -> float:
    begun = time.perf_counter()
    hash_password("a password", _MEASURED_COST)
    return (time.perf_counter() - begun) * 2.0 ** (cost - _MEASURED_COST)
