"""Signing in: the token endpoint, and the commands for its keys."""

from blueprints.auth.cli import cli
from blueprints.auth.routes import bp

__all__ = ["bp", "cli"]
