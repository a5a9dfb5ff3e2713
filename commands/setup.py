"""`bin/poort setup` and `bin/poort db`: set up a server, migrate its tables and check them."""

import secrets
from pathlib import Path
from typing import Any

from flask import Flask
from flask.cli import with_appcontext
from flask_migrate import Migrate, upgrade
from flask_migrate.cli import db as migration_commands
from sqlalchemy import select

from blueprints.parts import Parts, parts
from blueprints.users.writing import insert_user
from commands.doctor.schema import lacking
from commands.terminal import Commands, Refusal, complete, say
from config.settings import ROOT
from models import User, db
from models.passwords import hash_password
from models.roles import ROLE_ADMIN
from models.user import STATUS_TEACHER
from security.keys.pair import MINIMUM_BITS, make_key_pair, write_key_pair

# Its commands can also be called without its name: `bin/poort setup` (register_commands).
cli = Commands("poort", help="Set up and check the server.", hidden=True)


def install_migrations(app: Flask) -> None:
    """Install Flask-Migrate, limited to the branches of migrations that DATABASE_SCHEMA needs."""
    migrate = Migrate(app, db, directory=str(ROOT / "migrations"), render_as_batch=True)
    if app.config.get("DATABASE_IS_CAMPUS"):
        # Chamilo owns its tables: beside a campus, Alembic does not even know the branch that creates them.
        migrate.configure(_leave_out_the_tables_of_chamilo)


def _leave_out_the_tables_of_chamilo(config: Any) -> Any:
    config.set_main_option("version_locations", str(ROOT / "migrations" / "versions" / "poort"))
    return config


def check_schema(**_options: object) -> None:
    """Report missing tables and columns. Raises Refusal if any is needed."""
    missing, not_needed = lacking(parts())
    for what in not_needed:
        say(f"not there, and not needed: {what}")
    for what in missing:
        say(f"missing: {what}")
    if missing:
        raise Refusal("The database does not fit. Run `bin/poort db upgrade` to create Poort's own tables.")
    say("The database fits.")


# Replaces Flask-Migrate's `check`, which looks for missing migrations. Our tests do that.
migration_commands.commands["check"].callback = with_appcontext(check_schema)
migration_commands.commands["check"].help = "Check that the database has the tables and columns that Poort needs."

# There are two branches of migrations, so `bin/poort db upgrade` needs `heads`. Flask-Migrate's default, `head`, allows one.
for parameter in migration_commands.commands["upgrade"].params:
    if parameter.name == "revision":
        parameter.default = "heads"

for command in (migration_commands, *migration_commands.commands.values()):
    complete(command)


@cli.command("setup")
def setup() -> None:
    """Create whatever is missing: the key pair, the tables and a first user.

    Existing keys, tables and users stay as they are. The password of the first user, `admin`, is printed once.

    Example: bin/poort setup
    """
    if not parts().settings.read_only:
        upgrade(revision="heads")  # first, because it refuses a database that is not ours
    _make_keys(parts())
    if not parts().settings.read_only and not parts().users.is_campus:
        _make_first_user(parts())


def _make_keys(ours: Parts) -> None:
    paths = Path(ours.settings.jwt_secret_key), Path(ours.settings.jwt_public_key)
    if ours.keys.files.are_paths and not any(path.exists() for path in paths):
        write_key_pair(*paths, *make_key_pair(ours.settings.jwt_passphrase, MINIMUM_BITS))
        say(f"key pair written: {paths[0]}")


def _make_first_user(ours: Parts) -> None:
    if db.session.execute(select(User.id).limit(1)).first() is not None:
        return
    password, now = secrets.token_urlsafe(12), ours.clock()
    values = {
        "username": "admin",
        "email": "admin@example.com",
        "roles": [ROLE_ADMIN],
        "password": hash_password(password, ours.settings.password_hash_cost),
        "password_updated_at": now,
        "status": STATUS_TEACHER,
    }
    insert_user(db.session(), ours.users, values, now, ours.home_portal().id)
    db.session.commit()
    say(f"admin password: {password}")
