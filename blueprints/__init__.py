"""Which URLs exist: one blueprint a room, all of them under the prefixes that are given here."""

from flask import Flask

from blueprints import auth, docs, health, users
from blueprints.routing import SegmentConverter, SuffixConverter
from config import Settings


def register_blueprints(app: Flask, settings: Settings) -> None:
    """Register routes and commands."""
    app.url_map.converters |= {"suffix": SuffixConverter, "segment": SegmentConverter}
    for blueprint in (auth.bp, auth.signing_out, users.bp):
        app.register_blueprint(blueprint, url_prefix="/api")
    app.register_blueprint(docs.contexts, url_prefix="/api")
    if settings.app_enable_api_entrypoint:
        app.register_blueprint(docs.bp, url_prefix="/api")
        docs.Explorer(app, docs.show_openapi)
    app.register_blueprint(health.bp)
    for group in (auth.cli, users.cli, health.cli):
        app.cli.add_command(group)
