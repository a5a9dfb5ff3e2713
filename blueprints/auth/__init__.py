"""Signing in and out: the token endpoint, ending tokens, and the commands for keys."""

from blueprints.auth.cli import cli
from blueprints.auth.routes import bp
from blueprints.auth.signing_out import bp as signing_out

__all__ = ["bp", "cli", "signing_out"]
