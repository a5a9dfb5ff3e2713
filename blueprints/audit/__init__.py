"""The commands that read and shorten the audit."""

from blueprints.audit.cli import cli

__all__ = ["cli"]
