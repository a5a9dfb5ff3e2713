"""Run the migrations: of the tables of `models` only, and never of tables that another program made."""

from alembic import context
from flask import current_app
from sqlalchemy import Connection, Engine, NullPool, create_engine, inspect

from models import db
from models.database import CONNECT_TIMEOUT_SECONDS, LOCK_TIMEOUT_SECONDS, VERSION_TABLE
from models.user_search import is_of_search


def refuse_foreign_database(connection: Connection, *, is_campus: bool) -> None:
    """Stop before anything is written if another program made the `user` table.

    Beside a campus that table is Chamilo's and must exist; only tables of our own are created then.
    """
    tables = set(inspect(connection).get_table_names())
    if is_campus:
        if "user" not in tables:
            raise SystemExit("DATABASE_SCHEMA=chamilo is for the database of a campus, and this one has no table `user`.")
        return
    if "user" in tables and VERSION_TABLE not in tables:
        name = connection.engine.url.render_as_string(hide_password=True)
        raise SystemExit(
            f"The database {name} has a `user` table that Poort did not make: it may be a Chamilo campus. "
            "Nothing was written. Point DATABASE_URL at an empty database, or set DATABASE_SCHEMA=chamilo."
        )


def patient_engine() -> Engine:
    """Return an engine without the time limit of requests: to index many rows takes longer."""
    is_sqlite = db.engine.dialect.name == "sqlite"
    timeout = {"timeout": LOCK_TIMEOUT_SECONDS} if is_sqlite else {"connect_timeout": CONNECT_TIMEOUT_SECONDS}
    return create_engine(db.engine.url, connect_args=timeout, hide_parameters=True, poolclass=NullPool)


def run_migrations() -> None:
    """Migrate the database to the requested revision, in one transaction if the database can."""
    with patient_engine().connect() as connection:
        refuse_foreign_database(connection, is_campus=current_app.config["DATABASE_IS_CAMPUS"])
        connection.rollback()
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            connection.commit()
        if getattr(connection.dialect, "is_mariadb", False):
            connection.exec_driver_sql("SET max_statement_time = 0")
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            version_table=VERSION_TABLE,
            include_name=lambda name, _kind, _parents: not is_of_search(name),
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # the role may have a limit
            context.run_migrations()


run_migrations()
