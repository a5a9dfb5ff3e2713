"""A campus: Chamilo's tables in a real MariaDB, with PHP-serialized roles (2.x) or JSON roles (3.x)."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from factories import CONTRACT, Clock, dispose, settings_for
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from app import create_app
from config.database_url import database_url
from models.database import engine_options
from models.outages import code_of
from models.php_serialize import serialize_strings, unserialize_strings

SCHEMA = (Path(__file__).parent / "chamilo.sql").read_text()

#: What a whole campus has beside that: portals, extra fields, settings, keys, and the users 301 to 307.
WHOLE_SCHEMA = (Path(__file__).parent / "campus-schema.sql").read_text()
OF_CHAMILO_3 = ", `password_updated_at` datetime DEFAULT NULL, `mfa_enabled` tinyint(1) NOT NULL DEFAULT 0"

Rows = dict[str, list[dict[str, Any]]]


@dataclass
class Campus:
    """The database of a campus, and an application beside it."""

    version: int
    url: str
    clock: Clock
    is_migrated: bool = False
    engine: Engine = field(init=False)
    apps: list[Flask] = field(default_factory=list)

    def __post_init__(self) -> None:
        url = database_url(self.url)
        self.engine = create_engine(url, **engine_options(url))

    def run(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Execute plain SQL, as another program would; return the rows."""
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def build(self) -> None:
        """Create the tables and the fixture users."""
        schema = SCHEMA.replace("{columns_of_3}", OF_CHAMILO_3 if self.version == 3 else "")
        schema = schema.replace(" {roles} ", " json " if self.version == 3 else " longtext ")
        with self.engine.begin() as connection:
            for statement in statements_of(schema):
                connection.exec_driver_sql(statement)
            for user in json.loads((CONTRACT / "users.json").read_text()):
                connection.execute(text(INSERT), self.values_of(user))
                portal = {"id": user["id"]}
                connection.execute(text("INSERT INTO access_url_rel_user (user_id, access_url_id) VALUES (:id, 1)"), portal)
                source = "INSERT INTO user_auth_source (authentication, url_id, user_id) VALUES ('platform', 1, :id)"
                connection.execute(text(source), portal)

    def complete(self) -> None:
        """Add the tables and the users of a whole campus."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET sql_mode = ''")  # a plugin's column has no default
            for statement in statements_of(WHOLE_SCHEMA):
                self.extend(connection, self.with_roles(statement))
            connection.exec_driver_sql("SET sql_mode = DEFAULT")

    def extend(self, connection: Connection, statement: str) -> None:
        """Execute a statement of the whole schema. MySQL's ALTER TABLE lacks IF NOT EXISTS, so each part is tried there."""
        if self.engine.dialect.is_mariadb or "ADD " not in statement:
            connection.exec_driver_sql(statement)
            return
        table, *parts = re.split(r",?\s+(?=ADD )", statement)
        for part in parts:
            try:
                connection.exec_driver_sql(f"{table} {part.replace('IF NOT EXISTS ', '')}")
            except DBAPIError as reason:
                if code_of(reason) not in {"1060", "1061"}:  # a column or an index of this name exists
                    raise

    def with_roles(self, statement: str) -> str:
        """Return a statement of the whole schema with the roles as this version stores them."""
        if self.version == 2:
            return statement
        return re.sub(r"'(a:\d+:{[^']*})'", lambda found: f"'{json.dumps(unserialize_strings(found[1]))}'", statement)

    def headers_of(self, app: Flask, username: str) -> dict[str, str]:
        """Return the headers of a request of a user."""
        return {"Authorization": f"Bearer {app.extensions['poort'].tokens.issue(username, [])}"}

    def values_of(self, user: dict[str, Any]) -> dict[str, Any]:
        roles = serialize_strings(user["roles"]) if self.version == 2 else json.dumps(user["roles"])
        return user | {
            "roles": roles,
            "lower": user["username"].lower(),
            "expires_at": user["expires_at"][:19].replace("T", " "),
            "uuid": user["id"].to_bytes(16, "big"),
        }

    def app(self, **variables: str) -> Flask:
        """Return an application beside the campus, after creating our own tables unless it is read-only."""
        self.apps.append(
            create_app(
                settings_for(DATABASE_URL=self.url, DATABASE_SCHEMA="chamilo", **variables), self.clock, self.clock.advance
            )
        )
        if variables.get("READ_ONLY") != "1" and not self.is_migrated:
            with self.apps[-1].app_context():
                upgrade()
            self.is_migrated = True
        return self.apps[-1]

    def close(self) -> None:
        """Close all connections."""
        for app in self.apps:
            dispose(app)
        self.engine.dispose()

    def snapshot(self) -> Rows:
        """Return all rows of Chamilo's tables."""
        return {table: self.run(f"SELECT * FROM `{table}` ORDER BY 1") for table in TABLES}

    def definitions(self) -> dict[str, str]:
        """Return the definitions of Chamilo's tables, without the next id."""
        shown = {table: self.run(f"SHOW CREATE TABLE `{table}`")[0]["Create Table"] for table in TABLES}
        return {table: " ".join(word for word in made.split() if "AUTO_INCREMENT=" not in word) for table, made in shown.items()}


def statements_of(schema: str) -> list[str]:
    """Return the statements of a file of SQL."""
    lines = "\n".join(line for line in schema.splitlines() if not line.startswith("--"))
    return list(filter(str.strip, f"{lines}\n".split(";\n")))


TABLES = (
    "user",
    "access_url",
    "access_url_rel_user",
    "user_auth_source",
    "user_rel_user",
    "track_e_login",
    "track_e_login_record",
    "settings",
)
INSERT = """INSERT INTO `user` (id, username, firstname, lastname, website, biography, locale, password, username_canonical,
timezone, email_canonical, email, locked, expired, credentials_expired, expires_at, salt, roles, status, active, uuid, created_at,
updated_at, of_a_plugin, theme, official_code) VALUES (:id, :username, :firstname, :lastname, :website, :biography, :locale,
:password_hash, :lower, :timezone, :email, :email, 0, 0, 0, :expires_at, :salt, :roles, :status, :active, :uuid, '2020-01-01',
'2020-01-01', 'theirs', 'chamilo', CONCAT('code-', :id))"""

#: What tells one schema from another: columns, indexes, triggers and views. A test may change any of them.
SHAPE = """SELECT table_name, column_name, column_type FROM information_schema.columns WHERE table_schema = DATABASE()
UNION ALL SELECT table_name, index_name, seq_in_index FROM information_schema.statistics WHERE table_schema = DATABASE()
UNION ALL SELECT event_object_table, trigger_name, '' FROM information_schema.triggers WHERE trigger_schema = DATABASE()
UNION ALL SELECT table_name, table_type, '' FROM information_schema.tables WHERE table_schema = DATABASE()"""


class SharedCampus:
    """A campus that tests share, and its schema and rows as they were made. Making one takes half a second."""

    def __init__(self, campus: Campus) -> None:
        self._campus = campus
        with campus.engine.connect() as connection:
            self._shape = _shape(connection)
            self._tables = sorted({table for table, *_ in self._shape})
            self._checksums = self._checksums_of(connection)
            self._rows = {table: list(connection.exec_driver_sql(f"SELECT * FROM `{table}`")) for table in self._tables}

    def restore(self, clock: Clock) -> Campus | None:
        """Return the campus with the rows of its beginning, or None if a test has changed its schema."""
        with self._campus.engine.connect() as connection:
            if _shape(connection) != self._shape:
                return None
            now = self._checksums_of(connection)
            if changed := [table for table in self._tables if now[table] != self._checksums[table]]:
                connection.exec_driver_sql("SET foreign_key_checks = 0, sql_mode = ''")
                for table in changed:
                    self._refill(connection, table)
                connection.commit()
                connection.exec_driver_sql("SET foreign_key_checks = 1, sql_mode = DEFAULT")
        return Campus(self._campus.version, self._campus.url, clock, is_migrated=True)

    def close(self) -> None:
        """Close all connections."""
        self._campus.close()

    def _checksums_of(self, connection: Connection) -> dict[str, Any]:
        tables = ", ".join(f"`{table}`" for table in self._tables)
        return {name.rpartition(".")[2]: checksum for name, checksum in connection.exec_driver_sql(f"CHECKSUM TABLE {tables}")}

    def _refill(self, connection: Connection, table: str) -> None:
        connection.exec_driver_sql(f"DELETE FROM `{table}`")  # TRUNCATE takes 20 ms
        if rows := self._rows[table]:
            places = ", ".join(["%s"] * len(rows[0]))
            connection.exec_driver_sql(f"INSERT INTO `{table}` VALUES ({places})", [tuple(row) for row in rows])


def _shape(connection: Connection) -> frozenset[Any]:
    return frozenset(tuple(row) for row in connection.exec_driver_sql(SHAPE))
