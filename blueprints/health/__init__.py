"""Whether the server lives and can serve, what it counts, and the commands that set it up and look it over."""

from blueprints.health import cli_doctor
from blueprints.health.cli import cli
from blueprints.health.routes import bp

# Its command is in the group as soon as it is loaded.
__all__ = ["bp", "cli", "cli_doctor"]
