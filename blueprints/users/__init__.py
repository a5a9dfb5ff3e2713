"""Users: the collection, its items, and the commands for them."""

from blueprints.users.cli import cli
from blueprints.users.routes import bp

__all__ = ["bp", "cli"]
