"""Every change writes an event: each route that is not a read, and each command. A new one without an event fails here."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pyotp
import pytest
from answers import body_of
from factories import CONTRACT, Clock, Database, bearer
from flask import Flask

from models import AuditRecord, User
from models.api_keys import replace_key
from models.extra_fields import insert_field
from security.api_keys import new_key

pytestmark = pytest.mark.slow

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
NEW = {"username": "new", "email": "new@example.com"}


class World:
    """A server with every feature on, an administrator with a session, and a user to change."""

    def __init__(self, app: Flask, database: Database, clock: Clock) -> None:
        self.app, self.database, self.clock, self.client = app, database, clock, app.test_client()
        self.admin = database.make_user("root", ["ROLE_ADMIN"], password="secret")
        self.zoe = database.make_user("zoe", ["ROLE_STUDENT"])
        self.granted = self.sign_in().json
        self.headers = {"Authorization": f"Bearer {self.granted['token']}"}
        self.secret = ""

    def sign_in(self, password: str = "secret") -> Any:
        return self.client.post("/api/authentication_token", json={"username": "root", "password": password})

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.open(path, method=method, json=body, headers=self.headers | headers)

    def code(self) -> str:
        self.clock.advance(60)
        return pyotp.TOTP(self.secret).at(self.clock())

    def begin(self) -> Any:
        answer = self.ask("POST", "/api/me/totp", {"password": "secret"})
        self.secret = answer.json["secret"]
        return answer

    def confirm(self) -> Any:
        return self.ask("PUT", "/api/me/totp", {"totp": self.code()})

    def enrol(self) -> "World":
        self.begin()
        assert self.confirm().status_code == 200
        return self

    def session_id(self) -> str:
        return str(self.ask("GET", "/api/me/sessions").json[0]["id"])


@pytest.fixture
def world(make_app: Callable[..., Flask], database: Database, clock: Clock, tmp_path: Path) -> World:
    for name in ("private.pem", "public.pem"):
        shutil.copy(CONTRACT / "jwt" / name, tmp_path)
        (tmp_path / name).chmod(0o600)
    keys = {"JWT_SECRET_KEY": str(tmp_path / "private.pem"), "JWT_PUBLIC_KEY": str(tmp_path / "public.pem")}
    return World(make_app(REFRESH_TOKEN_TTL="3600", **keys), database, clock)


#: By method and route (as OpenAPI writes it): the preparation of a request, and the request.
OPERATIONS: dict[str, tuple[str, Callable[[World], Any]]] = {
    "POST /api/authentication_token": ("sign_in", lambda world: world.sign_in()),
    "POST /api/token/invalidate": ("token_ended", lambda world: world.ask("POST", "/api/token/invalidate")),
    "POST /api/token/invalidate-all": ("all_tokens_ended", lambda world: world.ask("POST", "/api/token/invalidate-all")),
    "POST /api/token/refresh": (
        "token_refreshed",
        lambda world: world.ask("POST", "/api/token/refresh", {"refresh_token": world.granted["refresh_token"]}),
    ),
    "DELETE /api/me/sessions": ("all_tokens_ended", lambda world: world.ask("DELETE", "/api/me/sessions")),
    "DELETE /api/me/sessions/{session_id}": (
        "session_ended",
        lambda world: world.ask("DELETE", f"/api/me/sessions/{world.session_id()}"),
    ),
    "POST /api/me/totp": ("totp_begun", World.begin),
    "PUT /api/me/totp": ("totp_enabled", lambda world: (world.begin(), world.confirm())[1]),
    "DELETE /api/me/totp": ("totp_disabled", lambda world: world.ask("DELETE", "/api/me/totp", {"totp": world.enrol().code()})),
    "POST /api/me/totp/backup-codes": (
        "backup_codes_renewed",
        lambda world: world.ask("POST", "/api/me/totp/backup-codes", {"totp": world.enrol().code()}),
    ),
    "POST /api/users": ("user_created", lambda world: world.ask("POST", "/api/users", NEW)),
    "PUT /api/users/{user_id}": (
        "user_changed",
        lambda world: world.ask("PUT", f"/api/users/{world.zoe.id}", {"firstname": "Z"}),
    ),
    "PATCH /api/users/{user_id}": (
        "user_changed",
        lambda world: world.ask("PATCH", f"/api/users/{world.zoe.id}", {"firstname": "Z"}, **MERGE_PATCH),
    ),
    "PATCH /api/users/{user_id}/password": (
        "user_changed",
        lambda world: world.ask("PATCH", f"/api/users/{world.zoe.id}/password", {"password": "another"}, **MERGE_PATCH),
    ),
    "DELETE /api/users/{user_id}": ("user_deleted", lambda world: world.ask("DELETE", f"/api/users/{world.zoe.id}")),
    "POST /api/access_urls/{url_id}/user": ("user_created", lambda world: world.ask("POST", "/api/access_urls/1/user", NEW)),
}

READING = {"GET", "HEAD", "OPTIONS"}


def operations_of(app: Flask) -> set[str]:
    """Return all routes that may change something, as OpenAPI writes them."""
    found = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule).removesuffix("{suffix}")
        found |= {f"{method} {path}" for method in rule.methods - READING}
    return found


def test_every_operation_is_in_the_table(world: World) -> None:
    assert operations_of(world.app) == set(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_writes_one_event(world: World, caplog: pytest.LogCaptureFixture, operation: str) -> None:
    event, request = OPERATIONS[operation]
    assert request(world).status_code in {200, 201, 204}
    rows, lines = events_of(world), [record.getMessage() for record in caplog.records if record.name == "poort.audit"]
    assert (rows[-1], rows.count(event)) == (event, 2 if event == "sign_in" else 1)
    assert rows[1:] == lines, "the first is the sign-in of the fixture"
    newest = world.database.rows(AuditRecord)[-1]
    assert (newest.address, bool(newest.request_id)) == ("127.0.0.1", True)
    assert newest.actor == ("root" if "Authorization" in world.headers and event not in {"sign_in", "token_refreshed"} else None)


REFUSED: dict[str, tuple[str, Callable[[World], Any]]] = {
    "sign-in": ("sign_in_refused", lambda world: world.sign_in("wrong")),
    "password for a second factor": ("totp_refused", lambda world: world.ask("POST", "/api/me/totp", {"password": "wrong"})),
    "code of a second factor": (
        "totp_refused",
        lambda world: world.ask("DELETE", "/api/me/totp", {"totp": world.enrol() and "wrong"}),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_of_a_secret_writes_one_event_with_its_reason(world: World, name: str) -> None:
    event, request = REFUSED[name]
    assert request(world).status_code in {401, 403}
    rows = world.database.rows(AuditRecord)
    assert ([row.event for row in rows].count(event), rows[-1].event, bool(rows[-1].reason)) == (1, event, True)


#: Strangers may send any number of these.
REFUSED_WITHOUT_A_ROW: dict[str, Any] = {"unknown refresh token": {"refresh_token": "x" * 43}, "no refresh token": {}}


@pytest.mark.parametrize("name", REFUSED_WITHOUT_A_ROW)
def test_refusal_of_a_stranger_writes_a_line_with_its_reason(world: World, caplog: pytest.LogCaptureFixture, name: str) -> None:
    before = events_of(world)
    assert world.ask("POST", "/api/token/refresh", REFUSED_WITHOUT_A_ROW[name]).status_code == 401
    line = [record for record in caplog.records if record.name == "poort.audit"][-1]
    assert (line.getMessage(), bool(line.reason), events_of(world)) == ("refresh_refused", True, before)


#: Arguments of a command, and the event that it writes.
COMMANDS: dict[str, tuple[list[str], str]] = {
    "api-key create": (["zoe"], "api_key_created"),
    "api-key revoke": (["root"], "api_key_revoked"),
    "audit prune": (["--older-than", "1"], "audit_pruned"),
    "extra-fields create": (["badge"], "extra_field_created"),
    "extra-fields set": (["zoe", "legal_id", "AB-12"], "user_changed"),
    "jwt generate-keypair": (["--overwrite", "--no-interaction"], "keys_replaced"),
    "jwt generate-token": (["zoe"], "token_issued"),
    "jwt prune": ([], "keys_pruned"),
    "jwt rotate-key": (["--wait", "0"], "key_rotated"),
    "users activate": (["zoe"], "user_changed"),
    "users create": (["new", "--email", "new@example.com", "--generate-password"], "user_created"),
    "users deactivate": (["zoe"], "user_changed"),
    "users delete": (["zoe", "--yes"], "user_deleted"),
    "users grant-role": (["zoe", "ROLE_HR"], "user_changed"),
    "users import": (["{file}"], "users_imported"),
    "users reset-totp": (["root"], "totp_reset"),
    "users revoke-role": (["zoe", "ROLE_STUDENT"], "user_changed"),
    "users set-password": (["zoe", "--generate-password"], "user_changed"),
    "users sign-out": (["zoe"], "all_tokens_ended"),
}

#: Commands that change nothing existing. `poort setup` only adds what is missing: keys, tables, a first user.
READING_COMMANDS = {
    "api-key list",
    "audit tail",
    "extra-fields list",
    "jwt check-config",
    "backup",
    "doctor",
    "poort backup",
    "poort doctor",
    "poort setup",
    "users export",
    "users list",
    "setup",
    "users recount",
    "users show",
}

#: Commands of Flask and of Flask-Migrate.
FOREIGN = {"db", "routes", "run", "shell"}


def commands_of(group: click.Group, *words: str) -> set[str]:
    found: set[str] = set()
    for name, command in group.commands.items():
        if not words and name in FOREIGN:
            continue
        found |= commands_of(command, *words, name) if isinstance(command, click.Group) else {" ".join((*words, name))}
    return found


def test_every_command_is_in_a_table(world: World) -> None:
    assert commands_of(world.app.cli) == set(COMMANDS) | READING_COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_command_writes_one_event(world: World, tmp_path: Path, name: str) -> None:
    words, event = COMMANDS[name]
    (tmp_path / "rows.json").write_text(json.dumps([NEW]))
    if name == "users reset-totp":
        world.enrol()
    with world.database.session() as session:
        insert_field(session, "legal_id", None, world.clock())
        replace_key(session, world.admin.id, new_key(), None, world.clock())
    before = len(world.database.rows(AuditRecord))
    arguments = [word.format(file=tmp_path / "rows.json") for word in words]
    done = world.app.test_cli_runner().invoke(args=[*name.split(), *arguments])
    assert done.exit_code == 0, done.output
    (row,) = world.database.rows(AuditRecord)[before:]
    assert (row.event, row.actor.startswith("console:"), row.address) == (event, True, None)


@pytest.mark.parametrize("words", [["audit", "tail"], ["jwt", "check-config"], ["users", "list"], ["users", "show", "zoe"]])
def test_reading_writes_none(world: World, words: list[str]) -> None:
    before = events_of(world)
    assert world.app.test_cli_runner().invoke(args=words).exit_code == 0
    for path in ("/api/users", f"/api/users/{world.zoe.id}", "/api/me", "/api/me/sessions", "/api/me/totp"):
        assert body_of(world.ask("GET", path))
    assert events_of(world) == before


def test_first_user_of_a_server_is_an_event(make_app: Callable[..., Flask], database: Database) -> None:
    assert make_app().test_cli_runner().invoke(args=["poort", "setup"]).exit_code == 0
    (row,), (user,) = database.rows(AuditRecord), database.rows(User)
    assert (row.event, row.username, row.user_id) == ("user_created", "admin", user.id)


def test_refused_request_is_a_line_of_the_log_and_no_event(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    before = events_of(world)
    assert world.client.get("/api/me", headers={"Authorization": "Bearer x.y.z"}).status_code == 401
    assert world.client.delete(f"/api/users/{world.admin.id}", headers=bearer(world.app, world.zoe)).status_code == 403
    assert events_of(world) == before
    bad, forbidden = [record for record in caplog.records if record.name == "poort.access"][-2:]
    assert (bad.method, bad.route, bad.status, bad.user_id) == ("GET", "/api/me<suffix:suffix>", 401, None)
    assert (forbidden.method, forbidden.status, forbidden.user_id) == ("DELETE", 403, world.zoe.id)
    assert forbidden.route == "/api/users/<segment:user_id><suffix:suffix>"


def events_of(world: World) -> list[str]:
    return [row.event for row in world.database.rows(AuditRecord)]
