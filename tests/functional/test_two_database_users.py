"""Two database users, by the statements of docs/operators.md: one owns the tables, the other serves and can do no more."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from campus.campuses import Campus
from factories import CONTRACT, Clock, dispose, settings_for
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate.cli import db as migration_commands
from installed import needed
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from app import create_app
from benchmarks.database_servers import STARTERS
from benchmarks.services import Server
from config.settings import ROOT

pytestmark = pytest.mark.services

SECTION = (ROOT / "docs" / "operators.md").read_text().partition("### Two database users")[2].partition("\n### ")[0]
BLOCKS = re.findall(r"```sql\n(.*?)```", SECTION, re.DOTALL)

#: Before and after `db upgrade`.
STATEMENTS = {"postgresql": (BLOCKS[0], BLOCKS[2]), "mariadb": (BLOCKS[1], BLOCKS[3])}


def execute(server: Server, block: str, database: str) -> None:
    """Execute statements as the administrator of the database server; `\\connect` names a database."""
    if server.name == "mariadb":
        block = f"FLUSH PRIVILEGES;\n{block}"  # ends --skip-grant-tables
    for place, part in re.findall(r"(?:\\connect (\w+)\n)?((?:(?!\\connect).)+)", block, re.DOTALL):
        engine = create_engine(server.driver_url.rpartition("/")[0] + f"/{place or database}", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in part.replace("'…'", "'x'").split(";"):
                if statement.strip():
                    connection.execute(text(statement))
        engine.dispose()


def url_of(server: Server, user: str) -> str:
    if server.name == "mariadb":  # the account is one of localhost, which is the socket
        return f"mysql://{user}:x@localhost/poort?unix_socket={server.folder}/socket"
    return f"{server.address}/poort".replace("postgres@", f"{user}:x@")


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A database server after the whole recipe."""
    server = needed(STARTERS[request.param])
    try:
        before, after = STATEMENTS[server.name]
        execute(server, before, "postgres" if server.name == "postgresql" else "mysql")
        owner = create_app(settings_for(DATABASE_URL=url_of(server, "poort_owner")))
        done = owner.test_cli_runner().invoke(migration_commands, args=["upgrade"])
        assert done.exit_code == 0, done.output
        dispose(owner)
        execute(server, after, "poort")
        yield server
    finally:
        server.stop()


@pytest.fixture
def make(server: Server, tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Make an application of a database user, with key files of its own."""
    keys = tmp_path / "jwt"
    shutil.copytree(CONTRACT / "jwt", keys)
    (keys / "private.pem").chmod(0o600)
    clock, made = Clock(), []

    def make(user: str = "poort", **variables: str) -> Flask:
        files = {"JWT_SECRET_KEY": str(keys / "private.pem"), "JWT_PUBLIC_KEY": str(keys / "public.pem")}
        settings = settings_for(DATABASE_URL=url_of(server, user), **files, **variables)
        made.append(create_app(settings, clock, clock.advance))
        return made[-1]

    yield make
    for app in made:
        dispose(app)


def run(app: Flask, *words: str, given: str | None = None) -> tuple[int, str]:
    done = app.test_cli_runner().invoke(args=words, input=given)
    return done.exit_code, done.output


def finding(app: Flask) -> dict[str, str]:
    findings = json.loads(run(app, "poort", "doctor", "--json")[1])["findings"]
    (found,) = [finding for finding in findings if finding["part"] == "rights"]
    return found


class Walker:
    """A client that expects each request to have the status that it names."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()
        self.headers: dict[str, str] = {}

    def __call__(self, status: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.open(path, method=method, json=body, headers=self.headers | named)
        assert answer.status_code == status, (method, path, answer.text)
        return answer.json if answer.data and answer.is_json else None

    def sign_in(self, username: str, password: str, **more: str) -> Any:
        self.headers = {}
        answer = self(200, "POST", "/api/authentication_token", {"username": username, "password": password} | more)
        self.headers = {"Authorization": f"Bearer {answer['token']}"}
        return answer


PATCH = {"Content_Type": "application/merge-patch+json"}


def walk_through_the_routes(app: Flask, password: str) -> None:
    ask = Walker(app)
    ask(401, "POST", "/api/authentication_token", {"username": "admin", "password": "wrong"})
    tokens = ask.sign_in("admin", password)
    tokens = ask(200, "POST", "/api/token/refresh", {"refresh_token": tokens["refresh_token"]})
    body = {"username": "zoe", "email": "zoe@example.com", "plainPassword": "secret", "roles": ["ROLE_ADMIN"]}
    zoe = ask(201, "POST", "/api/users", body)["id"]
    ask(200, "PATCH", f"/api/users/{zoe}", {"firstname": "Zoe"}, **PATCH)
    ask(200, "PUT", f"/api/users/{zoe}", body | {"lastname": "Last"})
    portal = {"username": "bob", "email": "bob@example.com", "password": "secret", "firstname": "Bob", "lastname": "B"}
    ask(201, "POST", "/api/access_urls/1/user", portal)
    for path in (
        "/api/users?search=zoe",
        f"/api/users/{zoe}",
        "/api/me",
        "/api/me/sessions",
        "/readyz",
        "/.well-known/jwks.json",
    ):
        ask(200, "GET", path)
    ask(204, "DELETE", f"/api/users/{zoe}")

    ask.sign_in("bob", "secret")
    begun = ask(200, "POST", "/api/me/totp", {"password": "secret"})
    clock, app_of_bob = app.extensions["poort"].clock, pyotp.TOTP(begun["secret"])
    codes = ask(200, "PUT", "/api/me/totp", {"totp": app_of_bob.at(clock())})["backupCodes"]
    ask.sign_in("bob", "secret", totp=codes[0])
    clock.advance(60)
    ask(200, "POST", "/api/me/totp/backup-codes", {"totp": app_of_bob.at(clock())})
    clock.advance(60)
    ask(204, "DELETE", "/api/me/totp", {"totp": app_of_bob.at(clock())})
    ask(204, "DELETE", "/api/me/sessions")
    ask.sign_in("bob", "secret")
    ask(204, "POST", "/api/token/invalidate")
    clock.advance(1)
    ask.sign_in("bob", "secret")
    ask(204, "POST", "/api/token/invalidate-all")


COMMANDS = (
    "db check",
    "users create eve --email eve@example.com --generate-password",
    "users grant-role eve ROLE_TEACHER",
    "users revoke-role eve ROLE_TEACHER",
    "users set-password eve --generate-password",
    "users sign-out eve",
    "users deactivate eve",
    "users activate eve",
    "users reset-totp eve",
    "users list",
    "users export --format csv /dev/null",
    "users recount",
    "extra-fields create legal_id",
    "extra-fields set eve legal_id AB-12",
    "extra-fields set eve legal_id --unset",
    "api-key create eve",
    "api-key revoke eve",
    "jwt generate-token eve",
    "jwt rotate-key",
    "jwt prune",
    "audit tail",
    "users delete eve --yes",
)


def test_user_who_serves_can_do_what_every_route_and_command_does_and_no_more(
    server: Server, make: Callable[..., Flask], tmp_path: Path
) -> None:
    app = make(REFRESH_TOKEN_TTL="3600", USER_DELETE_MODE="hard", API_KEYS="1")
    code, said = run(app, "poort", "setup")
    assert code == 0, said
    assert finding(app)["says"] == "this database user can use the tables, but cannot alter them or change past audit events"
    walk_through_the_routes(app, said.rpartition("admin password: ")[2].strip())
    for command in COMMANDS:
        code, said = run(app, *command.split())
        assert code == 0, (command, said)
    file = tmp_path / "users.csv"
    file.write_text("username,email,id,extra:legal_id\nann,ann@example.com,77,CD-34\n")
    code, said = run(app, "users", "import", str(file), "--update")
    assert code == 0, said

    engine = create_engine(app.config["SQLALCHEMY_DATABASE_URI"])
    refused = (
        'DROP TABLE "user"',
        'ALTER TABLE "user" ADD COLUMN planted integer',
        "CREATE TABLE planted (id integer)",
        "CREATE INDEX planted ON poort_audit (event)",
        "TRUNCATE TABLE poort_audit",
        "DELETE FROM poort_audit",
        "UPDATE poort_audit SET event = 'planted'",
        "DELETE FROM poort_alembic_version",
        "UPDATE access_url SET url = 'http://planted.example/'",
    )
    for statement in refused:
        quoted = statement if server.name == "postgresql" else statement.replace('"', "`")
        with engine.connect() as connection, pytest.raises(DBAPIError, match=r"denied|must be owner"):
            connection.execute(text(quoted))
    engine.dispose()
    code, said = run(app, "audit", "prune", "--older-than", "1")
    assert (code, said.count("\n"), "denied" in said or "DELETE" in said) == (1, 1, True), said
    assert run(make("poort_owner"), "audit", "prune", "--older-than", "1") == (0, "0 events removed.\n")


def test_doctor_names_the_statement_for_what_is_missing_and_what_is_too_much(server: Server, make: Callable[..., Flask]) -> None:
    app, user = make(), "poort" if server.name == "postgresql" else "poort@localhost"
    prefix = "" if server.name == "postgresql" else "poort."
    execute(server, f"REVOKE DELETE ON {prefix}poort_session FROM {user}; GRANT DELETE ON {prefix}poort_audit TO {user}", "poort")
    for state, start in (("error", "GRANT DELETE ON poort_session TO "), ("warning", "REVOKE DELETE ON poort_audit FROM ")):
        found = finding(app)
        assert (found["state"], start in found["cure"]) == (state, True), found
        execute(server, found["cure"].partition(": ")[2], "poort")
    assert finding(app)["state"] == "ok"
    if server.name == "postgresql":
        execute(server, "REVOKE UPDATE ON SEQUENCE user_id_seq FROM poort", "poort")
        assert "GRANT USAGE, UPDATE ON SEQUENCE user_id_seq TO poort;" in finding(app)["cure"]
        execute(server, finding(app)["cure"].partition(": ")[2], "poort")
    assert finding(make("poort_owner"))["says"].startswith("the same database user serves requests and may change the tables")


@pytest.mark.parametrize("server", ["mariadb"], indirect=True)
def test_grants_beside_a_campus_are_enough_and_doctor_names_one_that_is_missing(server: Server) -> None:
    """As in docs/campus.md, shared mode; the account is there already."""
    execute(server, "CREATE DATABASE chamilo CHARACTER SET utf8mb4", "mysql")
    campus = Campus(2, f"mysql://root@localhost/chamilo?unix_socket={server.folder}/socket", Clock())
    try:
        campus.build()
        campus.app()
        section = (ROOT / "docs" / "campus.md").read_text().partition("## 2. Shared mode")[2].partition("\n### ")[0]
        grants = [line for line in section.splitlines() if line.strip().startswith("GRANT ")]
        execute(server, "".join(line.partition("--")[0] for line in grants), "chamilo")
        campus.url = url_of(server, "poort").replace("/poort?", "/chamilo?")
        app = campus.app()
        assert finding(app)["says"] == "this database user can use Poort's own tables"
        execute(server, "REVOKE DELETE ON chamilo.poort_session FROM poort@localhost", "chamilo")
        found = finding(app)
        assert (found["state"], found["cure"].partition(": ")[2]) == (
            "error",
            "GRANT DELETE ON poort_session TO 'poort'@'localhost';",
        )
    finally:
        campus.close()
