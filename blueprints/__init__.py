"""Which URLs exist: one blueprint a room, all of them under the prefixes that are given here."""

from flask import Flask

from blueprints import auth, health, users
from blueprints.routing import SuffixConverter, SegmentConverter
from config import Settings


def register_blueprints(app: Flask, settings: Settings) -> None:
    """Register routes and commands."""
    app.url_map.converters |= {"suffix": SuffixConverter, "segment": SegmentConverter}
    for blueprint in (auth.bp, users.bp):
        app.register_blueprint(blueprint, url_prefix="/api")
    app.register_blueprint(health.bp)
    for group in (auth.cli, users.cli, health.cli):
        app.cli.add_command(group)
