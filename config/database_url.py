"""Parse DATABASE_URL in Doctrine's form. Texts of errors complete a sentence, as in parsing.py, and hold no password."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from config.database_hosts import hosts_in_query, options_of_hosts, without_hosts
from config.parsing import boolean, one_of

_DRIVERS = {
    **dict.fromkeys(("mysql", "mariadb", "pdo_mysql", "mysql2"), "mysql+pymysql"),
    **dict.fromkeys(("postgresql", "postgres", "pgsql", "pdo_pgsql"), "postgresql+psycopg"),
    **dict.fromkeys(("sqlite", "sqlite3", "pdo_sqlite"), "sqlite"),
}

#: Doctrine's options that have no effect here. They are accepted and dropped.
NO_MEANING = {
    *("serverVersion", "server_version", "charset", "driver", "driverClass", "wrapperClass", "default_dbname"),
    *("persistent", "logging", "profiling", "profiling_collect_backtrace", "use_savepoints", "keepReplica", "keepSlave"),
}

#: The options that the driver gets, under its names for them. models/connecting.py handles `ssl_mode` and `pgbouncer`.
MEANING = {
    "mysql+pymysql": ("unix_socket", "ssl_mode", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher"),
    "postgresql+psycopg": (
        *("pgbouncer", "host", "port", "target_session_attrs", "application_name", "channel_binding", "gssencmode"),
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "ssl_min_protocol_version"),
    ),
    "sqlite": (),
}

_FILES = {"ssl_ca", "ssl_cert", "ssl_key", "sslrootcert", "sslcert", "sslkey", "sslcrl"}

_WORDS = {
    "ssl_mode": one_of("disabled", "preferred", "required", "verify_ca", "verify_identity"),
    "sslmode": one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": one_of("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}


def database_url(text: str) -> URL:
    """Turn a URL with PHP's schemes and Doctrine's options into one with the names of our drivers."""
    try:
        scheme, separator, rest = text.partition("://")
        rest, hosts = without_hosts(rest)
        url = make_url(scheme.lower().replace("-", "_") + separator + rest)
        driver = _DRIVERS[url.drivername.partition("+")[0]]
    except (ArgumentError, KeyError, ValueError):
        raise ValueError("must be a URL like mysql://user:password@host:3306/name, postgresql://… or sqlite:///file") from None
    if driver == "sqlite":
        if hosts:
            raise ValueError("has several hosts, and SQLite has none: name the file, like sqlite:////var/lib/poort/poort.db")
        if not url.database or url.database == ":memory:":
            raise ValueError("must name a file that the workers can share, like sqlite:////var/lib/poort/poort.db")
        _options(driver, url)
        return URL.create("sqlite", database=url.database)
    if not url.database:
        raise ValueError("must name the database after the host, like mysql://user:password@host:3306/name")
    options = _options(driver, url) | _several_hosts(driver, url, hosts)
    if driver == "mysql+pymysql":
        options["charset"] = "utf8mb4"
    return url.set(drivername=driver, query=options)


def _several_hosts(driver: str, url: URL, hosts: list[str]) -> dict[str, str]:
    """Return the options of several hosts. models/connecting.py tries them in turn, until one takes writes."""
    in_query = hosts_in_query(url.query) if driver == "postgresql+psycopg" else []
    if (in_query and (hosts or url.host)) or (hosts and "host" in url.query):
        raise ValueError("has hosts both before the name of the database and in the option `host`")
    if not (hosts or in_query):
        return {}
    if "unix_socket" in url.query:
        raise ValueError("has several hosts and a unix_socket, which would take their place")
    options = options_of_hosts(driver.partition("+")[0], hosts or in_query)
    if driver == "postgresql+psycopg" and "target_session_attrs" not in url.query:
        options["target_session_attrs"] = "read-write"
    return options


def _options(driver: str, url: URL) -> dict[str, str | tuple[str, ...]]:
    """Return the options to pass on. Raises ValueError for an option that is unknown, doubled or unusable."""
    options: dict[str, str | tuple[str, ...]] = {}
    for given, value in url.query.items():
        name = _name_of(driver, given)
        if given in NO_MEANING:
            continue
        if name not in MEANING[driver]:
            raise ValueError(f"has {_shown(given)}, which is not in docs/operators.md#database-url-options")
        if name == "host":  # several hosts, or the folder of a unix socket
            options[name] = value
        elif name in options or not isinstance(value, str):
            raise ValueError(f"has {_shown(given)} twice")
        else:
            options[name] = _checked(name, _shown(given), value)
    if options.get("pgbouncer") == "0":
        del options["pgbouncer"]
    _refuse_useless_files(options)
    return options


def _name_of(driver: str, given: str) -> str:
    """Return our driver's name of an option. Those of MySQL are also spelled `ssl-mode`, `sslmode` and `sslMode`."""
    if driver != "mysql+pymysql":
        return given
    name = given.lower().replace("-", "_")
    return re.sub(r"\Assl(?=mode|ca|cert|key)", "ssl_", name)


def _shown(name: str) -> str:
    """Describe an option in a message, without a name that may be part of a password that was not percent-encoded."""
    is_name = re.fullmatch(r"[A-Za-z][A-Za-z0-9_.\[\]-]{0,40}", name, re.ASCII)
    return f"the option `{name}`" if is_name else "an option with an unusual name"


def _checked(name: str, shown: str, value: str) -> str:
    try:
        if name == "pgbouncer":
            return "1" if boolean(value) else "0"
        if name in _WORDS:
            return _WORDS[name](value.replace("-", "_") if name == "ssl_mode" else value)
    except ValueError as reason:
        raise ValueError(f"has {shown}, which {reason}") from None
    # libpq understands the word `system` as the certificates of the operating system.
    if (
        name in _FILES
        and (name, value) != ("sslrootcert", "system")
        and not (Path(value).is_file() and os.access(value, os.R_OK))
    ):
        raise ValueError(f"has {shown}, but {value} is not a file that this user can read")
    return value


def _refuse_useless_files(options: Mapping[str, object]) -> None:
    mode = options.get("ssl_mode")
    if "ssl_key" in options and "ssl_cert" not in options:
        raise ValueError("has an ssl-key, which needs its ssl-cert")
    # In these modes MySQL's client would not use certificates. An operator who names one expects it to be used.
    if mode in {"disabled", "preferred"} and not options.keys().isdisjoint(("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key")):
        raise ValueError(f"has certificates that ssl-mode={mode} would not use: choose REQUIRED, VERIFY_CA or VERIFY_IDENTITY")


def database_url_of_parts(host: str, port: str, name: str, user: str, password: str) -> str:
    """Build the URL of a MariaDB from Chamilo's five variables. The port is that of each host."""
    hosts = ",".join(f"{each or 'localhost'}:{port or '3306'}" for each in host.split(","))
    return f"mysql://{quote(user, safe='')}:{quote(password, safe='')}@{hosts}/{quote(name, safe='')}"
