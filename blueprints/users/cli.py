"""`flask users`: accounts without the API."""

from flask.cli import AppGroup

cli = AppGroup("users", help="User accounts.")
