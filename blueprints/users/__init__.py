"""Users: the collection, its items, and the commands for them."""

from blueprints.users import cli_files, cli_rights, cli_second_factor
from blueprints.users.cli import cli
from blueprints.users.routes import bp

# Its commands are in the group as soon as it is loaded.
__all__ = ["bp", "cli", "cli_files", "cli_rights", "cli_second_factor"]
