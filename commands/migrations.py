"""The migrations of the database: Flask-Migrate, limited to the branches that DATABASE_SCHEMA needs."""

from typing import Any

from flask import Flask
from flask_migrate import Migrate

from config.settings import ROOT
from models import db


def install_migrations(app: Flask) -> None:
    """Install Flask-Migrate, for `bin/poort db` and `bin/poort setup`."""
    migrate = Migrate(app, db, directory=str(ROOT / "migrations"), render_as_batch=True)
    if app.config.get("DATABASE_IS_CAMPUS"):
        # Chamilo owns its tables: beside a campus, Alembic does not even know the branch that creates them.
        migrate.configure(_leave_out_the_tables_of_chamilo)


def _leave_out_the_tables_of_chamilo(config: Any) -> Any:
    config.set_main_option("version_locations", str(ROOT / "migrations" / "versions" / "poort"))
    return config
