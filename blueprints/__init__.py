"""Which URLs exist: one blueprint a room, all of them under the prefixes that are given here."""

from flask import Flask

from blueprints.auth import jwk_set, refreshing, second_factor, sessions
from blueprints.auth import routes as auth_routes
from blueprints.auth.sign_out import sign_out_blueprint
from blueprints.docs import routes as docs_routes
from blueprints.docs.explorer import Explorer
from blueprints.health import routes as health_routes
from blueprints.routing import SegmentConverter, SuffixConverter
from blueprints.users import routes as users_routes
from config import Settings


def register_blueprints(app: Flask, settings: Settings) -> None:
    """Register the routes that the settings switch on."""
    app.url_map.converters |= {"suffix": SuffixConverter, "segment": SegmentConverter}
    refreshes = settings.refresh_token_ttl_seconds > 0
    api = [auth_routes.bp, sign_out_blueprint(has_sessions=refreshes), users_routes.bp]
    if refreshes:
        api += [refreshing.bp, sessions.bp]
    if settings.database_schema == "own":
        # Beside a campus, second factors are Chamilo's.
        api.append(second_factor.bp)
    api.append(docs_routes.contexts)
    if settings.app_enable_api_entrypoint:
        api.append(docs_routes.bp)
    for blueprint in api:
        app.register_blueprint(blueprint, url_prefix="/api")
    if settings.app_enable_api_entrypoint:
        Explorer(app, docs_routes.show_openapi)
    app.register_blueprint(jwk_set.bp)
    app.register_blueprint(health_routes.bp)
