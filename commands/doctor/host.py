"""Check this machine for `bin/poort doctor`: the user, file modes, proxies, origins, workers and hashing."""

import os
import platform
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path

from dotenv import dotenv_values

from blueprints.parts import Parts
from commands.doctor.findings import ERROR, OK, WARNING, Finding
from config.secret_files import SECRETS
from config.settings import ROOT, env_files
from config.version import VERSION
from models.passwords import hash_password
from security.keys.pair import is_pem

# Folders that other users need not read, since they hold no modules: keys, SQLite's file, files that Python and npm make.
_NO_PARTS = {"jwt", "var", "__pycache__", "node_modules"}

_LOOPBACK = ip_network("127.0.0.0/8")

# More workers than this on a processor would mostly wait for each other.
_MOST_WORKERS_A_PROCESSOR = 4

# Each step of the cost doubles the time of bcrypt, so a short measurement is enough.
_MEASURED_COST = 8


def examine_settings(ours: Parts, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Report which settings are checked, and by which user."""
    files = [str(file) for file in env_files(environ) if file.is_file()]
    says = f"Poort {VERSION} on Python {platform.python_version()}; "
    says += f"APP_ENV is {ours.settings.app_env}; read from {', '.join(files) or 'the environment alone'}"
    yield Finding("settings", OK, says)
    if os.geteuid() == 0:
        cure = "Run this again as the server's user: `sudo -u poort …`."
        yield Finding("user", WARNING, "root may read and write everything, so this does not test the server's user", cure)
        yield from _examine_program()
    if not ours.settings.app_secret:
        says = "APP_SECRET is empty, so JWT_PASSPHRASE encrypts the secrets of second factors and can never be changed"
        yield Finding("settings", WARNING, says, "Set APP_SECRET before the first user enables a second factor.")


def _examine_program() -> Iterator[Finding]:
    """Check that users other than root can read the program: after a clone or pull under `umask 027` or 077 they cannot."""
    for place in (*reversed(ROOT.parents), ROOT, Path(sys.prefix), *_parts_of_program()):
        found = place.stat()
        right = stat.S_IXOTH if place.is_dir() else stat.S_IROTH
        if not found.st_mode & right and (found.st_uid, found.st_gid) == (os.getuid(), os.getgid()):
            says = f"only root can read {place}, so no other user can run the server"
            inside = place.is_relative_to(ROOT)
            cure = f"chgrp -R poort {ROOT} && chmod -R g=rX {ROOT}" if inside else f"chmod o+x {place}, or move {ROOT} elsewhere."
            yield Finding("files", ERROR, says, cure)
            return


def _parts_of_program() -> Iterator[Path]:
    """Yield the folders and modules of the program and its packages."""
    for place, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name == ".venv" or not (name.startswith(".") or name in _NO_PARTS)]
        yield from (Path(place, name) for name in (*folders, *(name for name in files if name.endswith(".py"))))


def examine_files(ours: Parts, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check who can read or change secret files, and whether SQLite's folder is writable."""
    found = [*_open_env_files(environ), *_open_keys(ours), *_examine_sqlite(ours)]
    says = "no other user can read or change secret files, and folders are writable as needed"
    yield from found or [Finding("files", OK, says)]


def _open_env_files(environ: Mapping[str, str]) -> Iterator[Finding]:
    for file in env_files(environ):
        if file.is_file() and _everyone_may(file, stat.S_IROTH) and _holds_secrets(file):
            yield Finding("files", ERROR, f"everyone on this machine may read {file}, which holds secrets", f"chmod o= {file}")


def _holds_secrets(file: Path) -> bool:
    values = dotenv_values(file)
    given = [values.get(name) or "" for name in SECRETS]
    return any("@" in value if "://" in value else value for value in given)


def _open_keys(ours: Parts) -> Iterator[Finding]:
    """Check who may replace the key files. `examine_keys` checks who may read the private key."""
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
        says = f"everyone on this machine may read {file}, which holds password hashes"
        yield Finding("files", ERROR, says, f"chmod o= {file}")
    if not ours.settings.read_only and not os.access(file.parent, os.W_OK | os.X_OK):
        cure = f"Give this user the folder: `chown` or `chmod u+w {file.parent}`."
        yield Finding("files", ERROR, f"{file.parent} cannot be written, but SQLite creates files in it", cure)


def _everyone_may(file: Path, right: int) -> bool:
    """Tell whether everyone has a right to a file, and can reach it through its folder."""
    return bool(file.stat().st_mode & right and file.parent.stat().st_mode & stat.S_IXOTH)


def examine_proxies(ours: Parts) -> Iterator[Finding]:
    """Check which proxies are trusted to tell the client's address."""
    trusted = ours.settings.trusted_proxies
    names = ", ".join(str(network) for network in trusted)
    if any(network.prefixlen == 0 for network in trusted):
        says = f"TRUSTED_PROXIES is {names}: anyone can forge an address, and guess passwords without limit"
        yield Finding("proxies", ERROR, says, "List only the addresses of your proxies.")
    elif not trusted and ours.settings.app_env == "prod":
        says = "TRUSTED_PROXIES is empty: behind a proxy all clients share one address and one throttle"
        cure = "Behind nginx on this machine: TRUSTED_PROXIES=127.0.0.1. Without a proxy, leave it."
        yield Finding("proxies", WARNING, says, cure)
    elif not trusted:
        yield Finding("proxies", OK, "TRUSTED_PROXIES is empty: the address of a connection is the client's")
    elif not any(network.overlaps(_LOOPBACK) for network in trusted if network.version == _LOOPBACK.version):
        says = f"TRUSTED_PROXIES is {names}, which includes no address of this machine, where gunicorn listens by default"
        yield Finding("proxies", WARNING, says, "Add 127.0.0.1 if the proxy runs on this machine.")
    else:
        says = f"TRUSTED_PROXIES is {names}; the proxy must overwrite X-Forwarded-For, -Proto, -Host and -Port"
        yield Finding("proxies", OK, says)


def examine_cors(ours: Parts) -> Iterator[Finding]:
    """Check that a server in production allows no web origin of a developer's machine."""
    allowed, origins = ours.settings.cors_allow_origin, ("http://localhost", "http://127.0.0.1", "http://localhost:3000")
    matched = [origin for origin in origins if allowed is not None and allowed.search(origin)]
    if not matched:
        yield Finding("cors", OK, "no web origin of a developer's machine is allowed")
    elif ours.settings.app_env != "prod":
        yield Finding("cors", OK, "local web origins are allowed, for development")
    else:
        says = f"CORS_ALLOW_ORIGIN matches {matched[0]}: a page on a user's own machine can call this server with their token"
        cure = r"List only your web origins, like CORS_ALLOW_ORIGIN='^https://campus\.example\.org$', or leave it empty for none."
        yield Finding("cors", WARNING, says, cure)


def examine_workers(ours: Parts) -> Iterator[Finding]:
    """Check the number of workers, and whether a full hash queue can be served in time."""
    settings, processors = ours.settings, os.cpu_count() or 1
    threads = settings.password_hash_queue + 4
    says = f"{settings.web_concurrency} workers with {threads} threads each on {processors} processors"
    if settings.web_concurrency > _MOST_WORKERS_A_PROCESSOR * processors:
        yield Finding("workers", WARNING, says, f"Set WEB_CONCURRENCY to {processors}, or to {2 * processors}.")
    else:
        yield Finding("workers", OK, says)
    seconds = _seconds_to_hash(settings.password_hash_cost)
    last_waits = settings.password_hash_queue * seconds
    says = f"a hash of PASSWORD_HASH_COST {settings.password_hash_cost} takes about {seconds:.2f} s"
    if last_waits > settings.password_hash_wait_seconds:
        says += f": the last of PASSWORD_HASH_QUEUE {settings.password_hash_queue} would wait {last_waits:.1f} s,"
        says += f" and gets 503 after PASSWORD_HASH_WAIT {settings.password_hash_wait_seconds} s"
        yield Finding("hashing", WARNING, says, "Shorten the queue, lengthen the wait, or lower the cost.")
    else:
        yield Finding("hashing", OK, f"{says}; the last in a full queue is served in time")


def _seconds_to_hash(cost: int) -> float:
    begun = time.perf_counter()
    hash_password("a password", _MEASURED_COST)
    return (time.perf_counter() - begun) * 2.0 ** (cost - _MEASURED_COST)
