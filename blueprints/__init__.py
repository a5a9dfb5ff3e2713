"""The routes of the server, one package per area, registered under their prefixes."""

from flask import Flask
from werkzeug.utils import import_string

from blueprints.auth import jwk_set, refreshing, second_factor, sessions
from blueprints.auth import routes as auth_routes
from blueprints.auth.sign_out import sign_out_blueprint
from blueprints.docs import routes as docs_routes
from blueprints.docs import start_page
from blueprints.health import routes as health_routes
from blueprints.users import me, passwords, portal_users
from blueprints.users import routes as users_routes
from config import Settings
from rest.dialect import Dialect
from rest.paths import SegmentConverter, SuffixConverter


def register_blueprints(app: Flask, settings: Settings, dialect: Dialect) -> None:
    """Register the routes that the settings enable, and those of the API's documents in a dialect."""
    app.url_map.converters |= {"suffix": SuffixConverter, "segment": SegmentConverter}
    refreshes = settings.refresh_token_ttl_seconds > 0
    api = [auth_routes.bp, sign_out_blueprint(has_sessions=refreshes), users_routes.bp]
    api += [passwords.bp, portal_users.bp, me.bp]
    if refreshes:
        api += [refreshing.bp, sessions.bp]
    if settings.database_schema == "own":
        # Beside a campus, Chamilo manages second factors.
        api.append(second_factor.bp)
    api.append(docs_routes.context_blueprint(dialect))
    for blueprint in api:
        app.register_blueprint(blueprint, url_prefix="/api")
    if settings.app_enable_api_entrypoint:
        app.register_blueprint(docs_routes.document_blueprint(dialect), url_prefix="/api")
        # Imported here, so that a server without the explorer does not import flasgger: each worker is then 1 MB smaller.
        import_string("blueprints.docs.explorer.add_explorer")(app)
    for blueprint in (start_page.bp, jwk_set.bp, health_routes.bp):
        app.register_blueprint(blueprint)
