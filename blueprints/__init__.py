"""The routes of the server, one package per area, registered under their prefixes."""

from flask import Flask

from blueprints.auth import jwk_set, refreshing, second_factor, sessions
from blueprints.auth import routes as auth_routes
from blueprints.auth.sign_out import sign_out_blueprint
from blueprints.docs import routes as docs_routes
from blueprints.docs import start_page
from blueprints.docs.explorer import Explorer
from blueprints.health import routes as health_routes
from blueprints.users import me, passwords, portal_users
from blueprints.users import routes as users_routes
from config import Settings
from rest.paths import SegmentConverter, SuffixConverter


def register_blueprints(app: Flask, settings: Settings) -> None:
    """Register the routes that the settings enable."""
    app.url_map.converters |= {"suffix": SuffixConverter, "segment": SegmentConverter}
    refreshes = settings.refresh_token_ttl_seconds > 0
    api = [auth_routes.bp, sign_out_blueprint(has_sessions=refreshes), users_routes.bp]
    api += [passwords.bp, portal_users.bp, me.bp]
    if refreshes:
        api += [refreshing.bp, sessions.bp]
    if settings.database_schema == "own":
        # Beside a campus, Chamilo manages second factors.
        api.append(second_factor.bp)
    api.append(docs_routes.contexts)
    if settings.app_enable_api_entrypoint:
        api.append(docs_routes.bp)
    for blueprint in api:
        app.register_blueprint(blueprint, url_prefix="/api")
    if settings.app_enable_api_entrypoint:
        Explorer(app, docs_routes.show_openapi)
    app.register_blueprint(start_page.bp)
    app.register_blueprint(jwk_set.bp)
    app.register_blueprint(health_routes.bp)
