"""Define every variable of the server, one line each. They are parsed once, at the start.

Values come from `.env`, then `.env.local`, then the environment; the last one wins. None comes from a database.
"""

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from re import Pattern
from typing import Any

from dotenv import dotenv_values, find_dotenv
from sqlalchemy import URL

from config import home, parsing
from config.database_hosts import hosts_of
from config.database_url import database_url, database_url_of_parts
from config.logging import printable
from config.parsing import AccessUrlId, MailServer
from config.secret_files import joined

ROOT = home.ROOT


class InvalidSetting(ValueError):
    """A variable with an unusable value. The message is one sentence that names the variable."""


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable: its name, default as text, parser, unit or form, and meaning."""

    name: str
    default: str
    parse: Callable[[str], Any]
    unit: str
    meaning: str


def _variable(name: str, default: str, parse: Callable[[str], Any], unit: str, meaning: str) -> Any:
    return dataclasses.field(metadata={"variable": Variable(name, default, parse, unit, meaning)})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The parsed settings, from `load_settings` or `parse_settings`. There is no `repr`, since some are secret."""

    # fmt: off
    app_env: str = _variable("APP_ENV", "prod", parsing.one_of("dev", "test", "prod"), "dev, test or prod", "prod refuses to start with a weak passphrase; under the `flask` command the default is dev")
    app_secret: str = _variable("APP_SECRET", "", str, "text", "protects the hashes of throttled names and the secrets of second factors; use the same on every host, and never change it; if empty, JWT_PASSPHRASE takes its place")
    chamilo_version: str = _variable("CHAMILO_VERSION", "2", parsing.one_of("2", "3"), "2 or 3", "this server answers as that version of Chamilo does; the versions differ in error documents, header fields and API documents")
    app_enable_api_entrypoint: bool = _variable("APP_ENABLE_API_ENTRYPOINT", "0", parsing.boolean, "1/true/yes/on", "serves the explorer and the API documents under /api")
    jwt_secret_key: str = _variable("JWT_SECRET_KEY", "%kernel.project_dir%/config/jwt/private.pem", str, "path, or the PEM itself", "the RSA private key that signs tokens; not an HMAC secret")
    jwt_public_key: str = _variable("JWT_PUBLIC_KEY", "%kernel.project_dir%/config/jwt/public.pem", str, "path, or the PEM itself", "the RSA public key that verifies tokens")
    jwt_passphrase: str = _variable("JWT_PASSPHRASE", "", str, "text", "decrypts the private key")
    jwt_allow_weak_passphrase: bool = _variable("JWT_ALLOW_WEAK_PASSPHRASE", "0", parsing.boolean, "1/true/yes/on", "allows APP_ENV=prod with an empty passphrase or the one that Chamilo ships")
    jwt_token_ttl_seconds: int = _variable("JWT_TOKEN_TTL", "3600", parsing.integer(1, 10**9), "seconds", "lifetime of an access token")
    jwt_clock_skew_seconds: int = _variable("JWT_CLOCK_SKEW", "0", parsing.integer(0, 3600), "seconds", "leeway for exp, iat and nbf")
    jwt_kid: bool = _variable("JWT_KID", "1", parsing.boolean, "1/true/yes/on", "puts the key id (RFC 7638) into the header of tokens; a token without one is tried against every key")
    jwt_issuer: str = _variable("JWT_ISSUER", "", str, "text", "the iss claim; if set, issued tokens carry it and accepted tokens must match it")
    jwt_audience: str = _variable("JWT_AUDIENCE", "", str, "text", "the aud claim; if set, issued tokens carry it and accepted tokens must match it")
    refresh_token_ttl_seconds: int = _variable("REFRESH_TOKEN_TTL", "0", parsing.integer(0, 10**9), "seconds", "how long a session lasts without a refresh; 0 switches refresh tokens off")
    refresh_token_max_lifetime_seconds: int = _variable("REFRESH_TOKEN_MAX_LIFETIME", "2592000", parsing.integer(1, 10**9), "seconds", "how long a session lasts at most, however often it is refreshed")
    refresh_token_max_sessions: int = _variable("REFRESH_TOKEN_MAX_SESSIONS", "10", parsing.integer(1, 1000), "sessions", "allowed per user; one more ends the session that has been unused for longest")
    api_keys: bool = _variable("API_KEYS", "0", parsing.boolean, "1/true/yes/on", "accepts API keys, which `bin/poort api-key create` creates; with DATABASE_SCHEMA=chamilo, Chamilo's own setting decides instead")
    login_throttling_max_attempts: int = _variable("LOGIN_THROTTLING_MAX_ATTEMPTS", "10", parsing.integer(0, 10**6), "failures", "allowed per user name and address in an interval, and five times as many per address; 0 switches both limits off")
    login_throttling_interval_seconds: int = _variable("LOGIN_THROTTLING_INTERVAL", "60", parsing.integer(1, 86_400), "seconds", "length of a throttle window, which starts at the first failure")
    redis_url: str = _variable("REDIS_URL", "", parsing.redis_url, "redis://, rediss:// or unix://", "counts failed sign-ins in Redis instead of the database")
    password_hash_cost: int = _variable("PASSWORD_HASH_COST", "13", parsing.integer(4, 16), "log2 of rounds", "bcrypt cost of new password hashes")
    password_hash_queue: int = _variable("PASSWORD_HASH_QUEUE", "12", parsing.integer(0, 100), "sign-ins or password changes", "allowed to wait while a worker hashes another; further ones get 503")
    password_hash_wait_seconds: int = _variable("PASSWORD_HASH_WAIT", "5", parsing.integer(1, 60), "seconds", "how long a sign-in or password change waits for its turn; after that it gets 503")
    password_min_length: int = _variable("PASSWORD_MIN_LENGTH", "0", parsing.integer(0, 4096), "characters", "minimum length of a new password; 0 sets no minimum")
    password_refuse_common: bool = _variable("PASSWORD_REFUSE_COMMON", "0", parsing.boolean, "1/true/yes/on", "refuses the 30,000 most common passwords as new passwords")
    max_items_per_page: int = _variable("MAX_ITEMS_PER_PAGE", "1000", parsing.integer(1, 10**6), "users", "upper limit of itemsPerPage; larger values are lowered silently")
    user_delete_mode: str = _variable("USER_DELETE_MODE", "soft", parsing.one_of("soft", "hard"), "soft or hard", "soft keeps the row of a deleted user, with active = -2; hard removes it")
    default_locale: str = _variable("DEFAULT_LOCALE", "en_US", parsing.short_text(10), "language code", "the default locale of new users; with DATABASE_SCHEMA=chamilo, the campus's settings count instead")
    default_timezone: str = _variable("DEFAULT_TIMEZONE", "Europe/Paris", parsing.short_text(64), "time zone name", "the default time zone of new users; with DATABASE_SCHEMA=chamilo, the campus's settings count instead")
    mailer_dsn: MailServer | None = _variable("MAILER_DSN", "", parsing.mailer_dsn, "smtp://, smtps:// or null://null", "the server that delivers mail to new users, in the form of Symfony's mailer; if empty or null://null, no mail is sent")
    mailer_from: str = _variable("MAILER_FROM", "", parsing.mail_address, "e-mail address", "the sender of mail; if empty, noreply at the host of the portal's URL")
    cors_allow_origin: Pattern[str] | None = _variable("CORS_ALLOW_ORIGIN", r"^https?://(localhost|127\.0\.0\.1)(:[0-9]+)?$", parsing.origin_pattern, "regular expression", "web origins whose scripts may call the API; empty allows none")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = _variable("TRUSTED_PROXIES", "", parsing.networks, "addresses or networks, comma-separated", "proxies whose X-Forwarded-* headers count; private_ranges stands for private and loopback networks")
    database_url: URL = _variable("DATABASE_URL", "sqlite:///%kernel.project_dir%/var/poort.db", database_url, "URL in Doctrine's form", "mysql://, postgresql:// or sqlite:///; if not set, DATABASE_HOST, _PORT, _NAME, _USER and _PASSWORD are used")
    database_schema: str = _variable("DATABASE_SCHEMA", "own", parsing.one_of("own", "chamilo"), "own or chamilo", "chamilo serves the tables of a running campus, on MariaDB 10.11+ or MySQL 8+")
    access_url_id: AccessUrlId = _variable("ACCESS_URL_ID", "", parsing.access_url_id, "id in access_url, or host", "the portal that this server serves: an id, or the word host, which chooses the portal by the host of each request; if empty, portal 1")
    read_only: bool = _variable("READ_ONLY", "0", parsing.boolean, "1/true/yes/on", "never writes to the database: sign-ins leave no trace and writes get 503; for a trial")
    password_rehash: bool = _variable("PASSWORD_REHASH", "1", parsing.boolean, "1/true/yes/on", "replaces an older kind of hash with bcrypt after a successful sign-in")
    allow_md5: bool = _variable("ALLOW_MD5", "0", parsing.boolean, "1/true/yes/on", "sign-ins accept MD5 hashes, which old campuses hold and Chamilo 3 accepts; if stolen, an MD5 hash soon gives away its password")
    port: int = _variable("PORT", "8000", parsing.integer(1, 65_535), "TCP port", "where `make serve` listens on 127.0.0.1")
    web_concurrency: int = _variable("WEB_CONCURRENCY", "2", parsing.integer(1, 256), "processes", "gunicorn workers")
    metrics_port: int = _variable("METRICS_PORT", "0", parsing.integer(0, 65_535), "TCP port", "where gunicorn serves /metrics for Prometheus on 127.0.0.1; 0 switches metrics off")
    log_level: str = _variable("LOG_LEVEL", "info", parsing.one_of("debug", "info", "warning", "error"), "debug, info, warning or error", "the least severe level that is logged")
    log_format: str = _variable("LOG_FORMAT", "auto", parsing.one_of("auto", "json", "text"), "auto, json or text", "form of log lines; auto is text on a terminal and JSON elsewhere")
    # fmt: on


VARIABLES: Mapping[str, Variable] = {field.name: field.metadata["variable"] for field in dataclasses.fields(Settings)}

# Chamilo's own variables for its database, read only if DATABASE_URL is not set.
DATABASE_PARTS = ("DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USER", "DATABASE_PASSWORD")


def parse_settings(variables: Mapping[str, str], project_dir: Path = ROOT) -> Settings:
    """Parse variables; missing ones have their defaults. Raises InvalidSetting.

    `%kernel.project_dir%` in a value stands for `project_dir`.
    """
    given = dict(variables)
    if not given.get("DATABASE_URL") and any(given.get(name) for name in DATABASE_PARTS):
        given["DATABASE_URL"] = database_url_of_parts(*(given.get(name, "") for name in DATABASE_PARTS))
    parsed = {}
    for attribute, variable in VARIABLES.items():
        text = given.get(variable.name, variable.default)
        if not text and variable.default and variable.name not in _EMPTY_MEANS_SOMETHING:
            text = variable.default
        try:
            parsed[attribute] = variable.parse(text.replace("%kernel.project_dir%", str(project_dir)))
        except ValueError as reason:
            raise InvalidSetting(f"{variable.name} {reason}.") from None
    settings = Settings(**parsed)
    if settings.read_only and settings.refresh_token_ttl_seconds:
        raise InvalidSetting("REFRESH_TOKEN_TTL must be 0 if READ_ONLY is on: refresh tokens are stored in the database.")
    if settings.metrics_port == settings.port:
        raise InvalidSetting(f"METRICS_PORT must differ from PORT, which is {settings.port}.")
    if settings.database_schema == "chamilo":
        _refuse_beside_campus(settings)
    _refuse_standbys(settings)
    return settings


def _refuse_standbys(settings: Settings) -> None:
    """Refuse standbys without READ_ONLY: they take no writes, and accept ended tokens until they have caught up."""
    wanted = settings.database_url.query.get("target_session_attrs", "read-write")
    if hosts_of(settings.database_url) and wanted not in {"read-write", "primary"} and not settings.read_only:
        raise InvalidSetting(
            f"DATABASE_URL has several hosts with target_session_attrs={wanted}, which needs READ_ONLY=1: a standby takes no writes, "
            "and accepts ended tokens for a moment. Use read-write."
        )


def _refuse_beside_campus(settings: Settings) -> None:
    if settings.database_url.get_backend_name() != "mysql":
        raise InvalidSetting(
            "DATABASE_SCHEMA=chamilo needs a DATABASE_URL of MariaDB or MySQL, like mysql://user:password@host/chamilo."
        )
    if settings.user_delete_mode == "hard":
        raise InvalidSetting("USER_DELETE_MODE must be soft with DATABASE_SCHEMA=chamilo: other tables there refer to users.")


_EMPTY_MEANS_SOMETHING = {"CORS_ALLOW_ORIGIN", "JWT_PASSPHRASE"}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Parse the settings from `.env`, `.env.local` and the environment. Raises InvalidSetting.

    `.env` lies in the folder of state, which is created if it is missing. POORT_ENV_FILE names a file to use instead, such as
    Chamilo's. `%kernel.project_dir%` is the folder of the file.
    """
    environment = dict(os.environ if environ is None else environ)
    under_flask = environment.get("FLASK_RUN_FROM_CLI") == "true"
    if under_flask:
        environment = _without_what_flask_loaded(environment)
    if not environment.get("POORT_ENV_FILE"):
        make_home(environment)
    env_file, local_file = env_files(environment)
    if "POORT_ENV_FILE" in environment and not env_file.is_file():
        raise InvalidSetting(f"POORT_ENV_FILE names {env_file}, which is not a file.")
    variables = {"APP_ENV": "dev"} if under_flask else {}
    try:
        variables |= joined(dotenv_values(env_file), dotenv_values(local_file), environment)
    except ValueError as reason:
        raise InvalidSetting(str(reason)) from None
    return parse_settings(variables, env_file.parent)


def env_files(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """Return the paths of `.env` and `.env.local`, which may not exist."""
    env_file = Path(environ.get("POORT_ENV_FILE") or home.home_of(environ) / ".env").resolve()
    return env_file, env_file.with_name(env_file.name + ".local")


def make_home(environ: Mapping[str, str]) -> Path:
    """Return the folder of state, and create it for this user alone if it is missing. Raises InvalidSetting."""
    try:
        folder = home.home_of(environ)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except RuntimeError:
        raise InvalidSetting("POORT_HOME must name a folder for settings, keys and data: this user has no home folder.") from None
    except OSError as reason:
        raise InvalidSetting(
            f"POORT_HOME must name a folder that this user may create: {reason.filename}: {reason.strerror}."
        ) from None
    return folder


def _without_what_flask_loaded(environment: dict[str, str]) -> dict[str, str]:
    """Remove the variables that the `flask` command loaded from the `.env` and the `.flaskenv` of the working folder.

    They would override `.env.local`. A variable that an operator set to the same value is removed too, which only matters if
    `.env.local` differs.
    """
    if environment.get("FLASK_SKIP_DOTENV", "0").lower() not in {"0", "false", "no"}:
        return environment
    loaded = dotenv_values(find_dotenv(".flaskenv", usecwd=True)) | dotenv_values(find_dotenv(".env", usecwd=True))
    return {name: value for name, value in environment.items() if loaded.get(name) != value}


def stop_start(problem: Exception) -> SystemExit:
    """Return the exit of a failed start: one sentence on standard error, status 1."""
    return SystemExit(f"{Path(sys.argv[0]).name}: {home.as_typed(printable(str(problem)))}")
