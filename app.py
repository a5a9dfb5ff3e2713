"""Joins the rooms to an application; the one file that knows all of them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from flask_migrate import Migrate
from sqlalchemy import Engine

from blueprints import register_blueprints
from blueprints.application import Application
from blueprints.parts import Parts, install_parts
from blueprints.request_hooks import register_every_request
from blueprints.users.resource import USER, columns_of, shared_maker_of
from commands import register_commands
from config import InvalidSetting, Settings, load_settings
from config.settings import ROOT
from models import db
from models.caller import Callers
from models.compiled_reads import Reader
from models.database import engine_options, make_folder_of
from models.password_policy import PasswordPolicy, common_passwords
from models.second_factor import SecondFactorTable
from models.token_validity import TokenValidity
from models.user_lists import UserLists
from models.user_table import UserTable
from security.access import refuse_undeclared_routes
from security.audit import AuditTrail
from security.bearer import install_bearers
from security.client_address import TrustedProxies
from security.hashing import HashingThread
from security.keys.files import KeyFiles
from security.keys.key_set import KeySet
from security.second_factor import SecondFactors
from security.throttle.limiter import LoginLimiter
from security.throttle.redis_store import RedisWindows
from security.throttle.stores import DatabaseWindows, MemoryWindows, WindowStore
from security.tokens import AccessTokens, StrictJWTManager
from security.write_guard import WriteGuard

MAX_BODY_BYTES = 1024 * 1024


def utc_now() -> datetime:
    """Return the time: an aware UTC datetime."""
    return datetime.now(UTC)


def _engine_of(app: Flask) -> Engine:
    with app.app_context():
        return db.engine


def _leave_out_the_tables_of_chamilo(config: Any) -> Any:
    config.set_main_option("version_locations", str(ROOT / "migrations" / "versions" / "poort"))
    return config


def _window_store(settings: Settings) -> WindowStore:
    if settings.redis_url:
        return RedisWindows(settings.redis_url)
    return MemoryWindows() if settings.read_only else DatabaseWindows(lambda: db.engine)


def create_app(
    settings: Settings | None = None,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> Flask:
    """Build an application. Without settings it reads them; `sleep` waits by `clock`. Raises config.InvalidSetting."""
    settings = settings or load_settings()
    is_campus = settings.database_schema == "chamilo"
    app = Application(__name__, static_folder=None)
    if app.debug and settings.app_env == "prod":
        raise InvalidSetting("FLASK_DEBUG must be 0 where APP_ENV is prod: debugging shows the inside to whoever meets a fault.")
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        DATABASE_IS_CAMPUS=is_campus,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.database_url),
        # flask-jwt-extended: RS256 only. JWT_SECRET_KEY is an HMAC secret there and stays unset.
        JWT_ALGORITHM="RS256",
        JWT_IDENTITY_CLAIM="username",
        JWT_TOKEN_LOCATION=["headers"],
    )
    app.url_map.merge_slashes = False
    try:
        make_folder_of(settings.database_url)
    except OSError as reason:
        raise InvalidSetting(
            f"DATABASE_URL names a file in a folder that cannot be made: {reason.filename}: {reason.strerror}."
        ) from None
    db.init_app(app)
    migrate = Migrate(app, db, directory=str(ROOT / "migrations"), render_as_batch=True)
    if is_campus:
        # Chamilo's tables are Chamilo's: beside a campus Alembic does not even know the branch that makes them.
        migrate.configure(_leave_out_the_tables_of_chamilo)

    keys = KeySet(
        KeyFiles(settings.jwt_secret_key, settings.jwt_public_key, settings.jwt_passphrase),
        lambda: _engine_of(app),
        clock,
        settings.jwt_token_ttl_seconds + settings.jwt_clock_skew_seconds,
        writes_rows=not settings.read_only,
    )
    tokens = AccessTokens(
        keys,
        clock,
        settings.jwt_token_ttl_seconds,
        settings.jwt_clock_skew_seconds,
        names_key=settings.jwt_kid,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )
    users = UserTable(is_campus=is_campus)
    limiter = LoginLimiter(
        _window_store(settings),
        clock,
        settings.login_throttling_max_attempts,
        settings.login_throttling_interval_seconds,
        settings.app_secret or settings.jwt_passphrase,
    )
    hashing = HashingThread(settings.password_hash_queue, settings.password_hash_wait_seconds)
    policy = PasswordPolicy(settings.password_min_length, common_passwords() if settings.password_refuse_common else frozenset())
    audit = AuditTrail(lambda: db.engine, clock, writes_rows=not settings.read_only)
    validity = TokenValidity(tables_may_be_missing=settings.read_only)
    reader = Reader(lambda: db.engine)
    lists = UserLists(reader, db.session, users)
    second_factors = SecondFactors(
        settings.app_secret or settings.jwt_passphrase,
        SecondFactorTable(is_campus=is_campus, tables_may_be_missing=settings.read_only),
    )
    install_parts(
        app,
        Parts(
            settings=settings,
            clock=clock,
            keys=keys,
            tokens=tokens,
            users=users,
            limiter=limiter,
            hashing=hashing,
            password_policy=policy,
            audit=audit,
            validity=validity,
            second_factors=second_factors,
            reader=reader,
            lists=lists,
            sleep=sleep,
            guard=WriteGuard(users, validity, clock),
        ),
    )
    callers = Callers(reader, db.session, users, validity, columns_of(USER.readable), shared_maker_of(USER.readable))
    install_bearers(app, StrictJWTManager(app, tokens), tokens, callers)
    register_every_request(app, settings, clock)
    register_blueprints(app, settings)
    register_commands(app)
    refuse_undeclared_routes(app)
    app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    return app
