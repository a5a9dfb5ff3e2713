"""Whether the server lives and can serve, and the commands that set it up."""

from blueprints.health.cli import cli
from blueprints.health.routes import bp

__all__ = ["bp", "cli"]
