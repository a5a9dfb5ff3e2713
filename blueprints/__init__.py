"""Which URLs exist: one blueprint a room, all of them under the prefixes that are given here."""

from flask import Flask

from blueprints import audit, auth, docs, health, users
from blueprints.routing import SegmentConverter, SuffixConverter
from config import Settings


def register_blueprints(app: Flask, settings: Settings) -> None:
    """Register routes and commands."""
    app.url_map.converters |= {"suffix": SuffixConverter, "segment": SegmentConverter}
    refreshes = settings.refresh_token_ttl_seconds > 0
    for blueprint in (auth.bp, auth.signing_out(has_sessions=refreshes), users.bp):
        app.register_blueprint(blueprint, url_prefix="/api")
    for blueprint in (auth.refreshing, auth.sessions) if refreshes else ():
        app.register_blueprint(blueprint, url_prefix="/api")
    if settings.database_schema == "own":
        # Beside a campus, second factors are Chamilo's.
        app.register_blueprint(auth.second_factor, url_prefix="/api")
    app.register_blueprint(docs.contexts, url_prefix="/api")
    if settings.app_enable_api_entrypoint:
        app.register_blueprint(docs.bp, url_prefix="/api")
        docs.Explorer(app, docs.show_openapi)
    app.register_blueprint(auth.jwk_set)
    app.register_blueprint(health.bp)
    for group in (auth.cli, users.cli, health.cli, audit.cli):
        app.cli.add_command(group)
