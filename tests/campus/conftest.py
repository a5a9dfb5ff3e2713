"""A campus: Chamilo's tables in a real MariaDB, with PHP-serialized roles (2.x) or JSON roles (3.x)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from databases import Databases
from factories import CONTRACT, Clock, dispose, settings_for
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import Engine, create_engine, text

from app import create_app
from config.parsing import database_url
from models.php_serialize import serialize_strings

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
    engine: Engine = field(init=False)
    apps: list[Flask] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = create_engine(database_url(self.url))

    def run(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Execute plain SQL, as another program would; return the rows."""
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def build(self) -> None:
        """Create the tables and the fixture users."""
        schema = SCHEMA.replace("{columns_of_3}", OF_CHAMILO_3 if self.version == 3 else "")
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
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql("SET sql_mode = DEFAULT")

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
        """Return an application beside the campus, after creating our own tables."""
        self.apps.append(
            create_app(
                settings_for(DATABASE_URL=self.url, DATABASE_SCHEMA="chamilo", **variables), self.clock, self.clock.advance
            )
        )
        if variables.get("READ_ONLY") != "1":
            with self.apps[-1].app_context():
                upgrade()
        return self.apps[-1]

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


@pytest.fixture(params=[2, 3])
def campus(request: pytest.FixtureRequest, databases: Databases, clock: Clock) -> Iterator[Campus]:
    made = Campus(request.param, databases.empty_url("mariadb"), clock)
    made.build()
    yield made
    for app in made.apps:
        dispose(app)
    made.engine.dispose()


@pytest.fixture
def whole_campus(campus: Campus) -> Campus:
    """A campus with all tables and the users 301 to 307."""
    campus.complete()
    return campus


@pytest.fixture
def examples(whole_campus: Campus) -> Campus:
    """The campus with the users of the numbered examples alone."""
    for table in ("access_url_rel_user", "user_auth_source", "user_rel_user"):
        whole_campus.run(f"DELETE FROM {table} WHERE user_id < 300")
    whole_campus.run("DELETE FROM `user` WHERE id < 300")
    return whole_campus


class Client:
    """A user at a portal."""

    def __init__(self, examples: Campus, app: Flask, username: str, host: str = "localhost") -> None:
        self.http, self.headers, self.host = app.test_client(), examples.headers_of(app, username), host

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        if method == "PATCH":
            headers |= {"Content-Type": "application/merge-patch+json"}
        given = {"data": body, "content_type": "application/json"} if isinstance(body, bytes) else {"json": body}
        return self.http.open(path, method=method, headers=self.headers | headers, base_url=f"https://{self.host}", **given)

    def ids(self, path: str = "/api/users.json") -> list[int]:
        answer = self("GET", path)
        assert answer.status_code == 200, answer.json
        return [user["id"] for user in answer.json]


#: Makes a client of a user at a portal, of an application with further variables.
At = Callable[..., Client]


@pytest.fixture
def at(examples: Campus) -> At:
    apps: dict[tuple[Any, ...], Flask] = {}

    def make(portal: int, username: str, **variables: str) -> Client:
        key = (portal, *sorted(variables.items()))
        if key not in apps:
            apps[key] = examples.app(**{"ACCESS_URL_ID": str(portal), "PASSWORD_HASH_COST": "4"} | variables)
        return Client(examples, apps[key], username)

    return make
