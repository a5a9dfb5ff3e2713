"""Signing in and out: the token endpoint, ending tokens, and the commands for keys."""

from blueprints.auth import cli_rotation
from blueprints.auth.cli import cli
from blueprints.auth.jwk_set import bp as jwk_set
from blueprints.auth.refreshing import bp as refreshing
from blueprints.auth.routes import bp
from blueprints.auth.second_factor import bp as second_factor
from blueprints.auth.sessions import bp as sessions
from blueprints.auth.signing_out import signing_out

__all__ = ["bp", "cli", "cli_rotation", "jwk_set", "refreshing", "second_factor", "sessions", "signing_out"]
