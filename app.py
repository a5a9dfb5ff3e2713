"""The application factory; the only module that imports every package of the server."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask
from sqlalchemy import Engine
from werkzeug.utils import import_string

from blueprints import register_blueprints
from blueprints.application import Application
from blueprints.docs.routes import declared_operations
from blueprints.mail import Mailer
from blueprints.parts import Parts, install_parts
from blueprints.request_hooks import register_request_hooks
from blueprints.users.resource import USER, in_name_form
from config import InvalidSetting, Settings, load_settings
from models import db
from models.api_keys import ApiKeyTable
from models.caller import Callers, ItemOfPath
from models.campus_extra_fields import CampusExtraFields
from models.compiled_reads import Reader
from models.database import engine_options, make_folder_of
from models.extra_fields import ExtraFields
from models.password_policy import PasswordPolicy, common_passwords
from models.platform import Platform
from models.second_factor import SecondFactorTable
from models.token_validity import TokenValidity
from models.user_lists import UserLists
from models.user_table import UserTable
from models.write_probe import WriteProbe
from rest.dialect import DIALECTS
from rest.negotiation import install_negotiation
from rest.representation import shared_maker_of
from security.access import refuse_undeclared_routes
from security.api_keys import ApiKeys
from security.audit import AuditTrail
from security.bearer import Authentication, install_bearers, refuse_bad_token
from security.client_address import TrustedProxies
from security.hashing import HashingThread
from security.keys.files import KeyFiles
from security.keys.key_set import KeySet
from security.refresh import RefreshRules, Sessions
from security.second_factor import SecondFactors
from security.sign_in import SignInRules, SignIns
from security.throttle.limiter import LoginLimiter
from security.throttle.redis_store import RedisWindows
from security.throttle.stores import DatabaseWindows, MemoryWindows, WindowStore
from security.tokens import AccessTokens, StrictJWTManager
from security.verified_tokens import VerifiedTokens
from security.write_guard import WriteGuard

MAX_BODY_BYTES = 1024 * 1024

_ITEM = ItemOfPath(USER.readable.columns, lambda form: shared_maker_of(USER, in_name_form(USER.readable, form)))


def utc_now() -> datetime:
    """Return the current time as an aware UTC datetime."""
    return datetime.now(UTC)


def create_app(
    settings: Settings | None = None,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
    *,
    has_commands: bool = True,
) -> Flask:
    """Build an application. By default its settings are those of the environment. Raises config.InvalidSetting.

    A gunicorn worker needs no commands. Without them, and so without Alembic, it is 4 MB smaller and starts 0.2 s sooner.
    """
    settings = settings or load_settings()
    app = _configure(settings)
    _set_up_database(app, settings)
    _install(app, _build_parts(app, settings, clock, sleep))
    if has_commands:
        import_string("commands.register_commands")(app)
    return app


def _configure(settings: Settings) -> Flask:
    app = Application(__name__, static_folder=None)
    if app.debug and settings.app_env == "prod":
        raise InvalidSetting(
            "FLASK_DEBUG must be 0 where APP_ENV is prod: the debugger shows the server's code and data to clients."
        )
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        # flask-jwt-extended must accept only RS256. Its HMAC secret, JWT_SECRET_KEY, stays unset.
        JWT_ALGORITHM="RS256",
        JWT_IDENTITY_CLAIM="username",
        JWT_TOKEN_LOCATION=["headers"],
    )
    app.url_map.merge_slashes = False
    return app


def _set_up_database(app: Flask, settings: Settings) -> None:
    app.config.update(
        DATABASE_IS_CAMPUS=settings.database_schema == "chamilo",
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.database_url),
    )
    try:
        make_folder_of(settings.database_url)
    except OSError as reason:
        raise InvalidSetting(
            f"DATABASE_URL names a file in a folder that cannot be created: {reason.filename}: {reason.strerror}."
        ) from None
    db.init_app(app)


def _build_parts(app: Flask, settings: Settings, clock: Callable[[], datetime], sleep: Callable[[float], None]) -> Parts:
    users, reader = _user_table(settings), Reader(lambda: db.engine)
    keys, sign_ins = _key_set(app, settings, clock), _sign_ins(settings, users, clock, sleep)
    limiter, key_table = _limiter(settings, clock), ApiKeyTable(reader, users, _ITEM)
    return Parts(
        settings=settings,
        sleep=sleep,
        keys=keys,
        tokens=_access_tokens(settings, keys, clock),
        users=users,
        extra_fields=CampusExtraFields() if users.is_campus else ExtraFields(),
        reader=reader,
        lists=UserLists(reader, db.session, users),
        guard=WriteGuard(users, sign_ins.validity, key_table, clock),
        write_probe=WriteProbe(lambda: db.engine, writes_rows=sign_ins.may_write),
        platform=Platform(reader, settings.access_url_id) if users.is_campus else None,
        limiter=limiter,
        api_keys=_api_keys(settings, key_table, limiter),
        password_policy=_password_policy(settings),
        sign_ins=sign_ins,
        sessions=Sessions(rules=_refresh_rules(settings), sign_ins=sign_ins),
        second_factors=_second_factors(settings, users),
        audit=AuditTrail(lambda: db.engine, clock, writes_rows=sign_ins.may_write),
        mailer=Mailer(settings.mailer_dsn, settings.mailer_from) if settings.mailer_dsn else None,
    )


def _install(app: Flask, parts: Parts) -> None:
    """Attach the parts to the application, and register routes and hooks."""
    settings = parts.settings
    install_parts(app, parts)
    callers = Callers(parts.reader, parts.users, parts.sign_ins.validity, _ITEM)
    authentication = Authentication(parts.tokens, callers, VerifiedTokens(), parts.platform, parts.api_keys)
    install_bearers(app, StrictJWTManager(app, parts.tokens), authentication)
    register_request_hooks(app, settings, parts.clock)
    dialect = DIALECTS[settings.chamilo_version]
    register_blueprints(app, settings, dialect)
    install_negotiation(app, dialect, declared_operations(app), refuse_bad_token)
    refuse_undeclared_routes(app)
    app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]


def _user_table(settings: Settings) -> UserTable:
    """Return the table of users with the operator's defaults for new ones. Beside a campus, Chamilo's defaults apply."""
    is_campus = settings.database_schema == "chamilo"
    defaults = {} if is_campus else {"locale": settings.default_locale, "timezone": settings.default_timezone}
    return UserTable(is_campus=is_campus, defaults=defaults)


def _key_set(app: Flask, settings: Settings, clock: Callable[[], datetime]) -> KeySet:
    def engine() -> Engine:
        with app.app_context():
            return db.engine

    return KeySet(
        KeyFiles(settings.jwt_secret_key, settings.jwt_public_key, settings.jwt_passphrase),
        engine,
        clock,
        settings.jwt_token_ttl_seconds + settings.jwt_clock_skew_seconds,
        writes_rows=not settings.read_only,
    )


def _sign_ins(settings: Settings, users: UserTable, clock: Callable[[], datetime], sleep: Callable[[float], None]) -> SignIns:
    rehashes = settings.password_rehash and not settings.read_only
    return SignIns(
        rules=SignInRules(settings.password_hash_cost, rehashes, settings.allow_md5),
        users=users,
        validity=TokenValidity(tables_may_be_missing=settings.read_only),
        hashing=HashingThread(settings.password_hash_queue, settings.password_hash_wait_seconds),
        clock=clock,
        sleep=sleep,
        may_write=not settings.read_only,
    )


def _refresh_rules(settings: Settings) -> RefreshRules:
    return RefreshRules(
        ttl_seconds=settings.refresh_token_ttl_seconds,
        max_lifetime_seconds=settings.refresh_token_max_lifetime_seconds,
        access_ttl_seconds=settings.jwt_token_ttl_seconds + settings.jwt_clock_skew_seconds,
        max_sessions=settings.refresh_token_max_sessions,
    )


def _access_tokens(settings: Settings, keys: KeySet, clock: Callable[[], datetime]) -> AccessTokens:
    return AccessTokens(
        keys,
        clock,
        settings.jwt_token_ttl_seconds,
        settings.jwt_clock_skew_seconds,
        names_key=settings.jwt_kid,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


def _second_factors(settings: Settings, users: UserTable) -> SecondFactors:
    table = SecondFactorTable(is_campus=users.is_campus, tables_may_be_missing=settings.read_only)
    return SecondFactors(_secret(settings), table)


def _secret(settings: Settings) -> str:
    """Return the text that protects the secrets of second factors and the hashes of throttled names."""
    return settings.app_secret or settings.jwt_passphrase


def _limiter(settings: Settings, clock: Callable[[], datetime]) -> LoginLimiter:
    store: WindowStore = MemoryWindows() if settings.read_only else DatabaseWindows(lambda: db.engine)
    if settings.redis_url:
        store = RedisWindows(settings.redis_url)
    attempts, interval = settings.login_throttling_max_attempts, settings.login_throttling_interval_seconds
    return LoginLimiter(store, clock, attempts, interval, _secret(settings))


def _api_keys(settings: Settings, table: ApiKeyTable, limiter: LoginLimiter) -> ApiKeys | None:
    """Return the authentication by API key, or None if it is off. Beside a campus, a setting of Chamilo turns it on."""
    is_campus = settings.database_schema == "chamilo"
    if not is_campus and not settings.api_keys:
        return None
    return ApiKeys(table, limiter, lambda: db.engine, is_campus=is_campus, marks_use=not settings.read_only)


def _password_policy(settings: Settings) -> PasswordPolicy:
    return PasswordPolicy(settings.password_min_length, common_passwords() if settings.password_refuse_common else frozenset())
