"""`bin/poort jwt rotate-key` and `prune`, and the effect of a replaced or leaked key; on each database, with folders as hosts."""

import errno
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers import body_of
from click.testing import Result
from factories import Clock, Database, bearer
from flask import Flask
from hosts import pair_number

from models import AuditRecord, User, VerificationKey
from security import bearer as bearer_module
from security.keys import files as key_files
from security.keys.pair import load_key_pair, write_key_pair

MakeServer = Callable[..., Flask]


@pytest.fixture
def user(database: Database) -> User:
    return database.make_user("alice", ["ROLE_ADMIN"])


@pytest.fixture
def make_server(make_app: Any, tmp_path: Path) -> MakeServer:
    """Make a server with the keys of a folder; each new server reads them again."""

    def make(name: str = "a", **variables: str) -> Flask:
        private, public = tmp_path / name / "private.pem", tmp_path / name / "public.pem"
        if not private.exists():
            write_key_pair(private, public, *pair_number(ord(name)))
        return make_app(**{"JWT_SECRET_KEY": str(private), "JWT_PUBLIC_KEY": str(public), "JWT_PASSPHRASE": ""} | variables)

    return make


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["jwt", *arguments])


def accepts(app: Flask, user: User, headers: dict[str, str]) -> bool:
    status = app.test_client().get(f"/api/users/{user.id}", headers=headers).status_code
    assert status in {200, 401}
    return status == 200


def kid_of(app: Flask) -> str:
    return str(app.extensions["poort"].keys.files.load().kid)


def rows(database: Database) -> dict[str, bool]:
    return {row.kid: row.is_withdrawn for row in database.rows(VerificationKey)}


def test_rotation_changes_the_key_and_keeps_the_tokens(
    make_server: MakeServer, database: Database, user: User, tmp_path: Path
) -> None:
    app = make_server()
    old, headers = kid_of(app), bearer(app, user)
    result = run(app, "rotate-key")
    new = kid_of(app)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"The new key is published: {new}. It signs in 2 s.\n"
        f"The new key signs. The old one verifies until its last token has expired: {old}.\n"
    )
    assert old != new
    folder = tmp_path / "a"
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.glob("*.pem")} == {
        "private.pem": 0o600,
        "public.pem": 0o644,
        f"public-{old}.pem": 0o644,
    }
    assert rows(database) == {old: False, new: False}
    for server in (make_server(), make_server("b")):
        assert accepts(server, user, headers)
        assert accepts(server, user, bearer(make_server(), user))
    [event] = database.rows(AuditRecord)
    assert (event.event, event.details) == ("key_rotated", {"kid": new, "old_kid": old, "bits": 2048})
    assert event.actor.startswith("console:")


def test_new_key_is_published_before_it_signs(
    make_server: MakeServer, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, seen = make_server(), []

    def look(seconds: float) -> None:
        seen.append((seconds, kid_of(make_server()), set(rows(database))))

    monkeypatch.setattr(Clock, "advance", lambda _clock, seconds: look(seconds))
    app = make_server()
    old = kid_of(app)
    assert run(app, "rotate-key", "--wait", "300").exit_code == 0
    assert seen == [(300.0, old, {old, kid_of(app)})]
    assert clock


def test_rotation_makes_the_size_that_is_asked_for(make_server: MakeServer) -> None:
    app = make_server()
    assert run(app, "rotate-key", "--bits", "3072").exit_code == 0
    assert app.extensions["poort"].keys.files.load().signing_key.key_size == 3072
    assert run(app, "rotate-key", "--bits", "1024").exit_code == 2
    assert run(app, "rotate-key", "--wait", "1801").exit_code == 2


def test_key_before_last_is_still_there(make_server: MakeServer, user: User) -> None:
    app = make_server()
    headers = []
    for _ in range(3):
        headers.append(bearer(make_server(), user))
        assert run(app, "rotate-key").exit_code == 0
    assert all(accepts(server, user, one) for server in (make_server(), make_server("b")) for one in headers)


def test_leftovers_of_killed_rotations_go_with_the_next_one(make_server: MakeServer, tmp_path: Path) -> None:
    app, folder = make_server(), tmp_path / "a"
    for name in (".private.pem.x1", ".public.pem.x2", f".public-{'x' * 43}.pem.x3"):
        (folder / name).write_text("half")
    assert run(app, "rotate-key").exit_code == 0
    assert [file.name for file in folder.glob(".*")] == [".lock"]


REFUSALS = {
    "keys as text": ({"JWT_SECRET_KEY": "text", "JWT_PUBLIC_KEY": "text"}, "hold keys instead of paths"),
    "one key as text": ({"JWT_PUBLIC_KEY": "text"}, "hold keys instead of paths"),
    "read-only": ({"READ_ONLY": "1"}, "This server is read-only"),
    "wrong passphrase": ({"JWT_PASSPHRASE": "wrong"}, ""),
    "no keys": ({"JWT_SECRET_KEY": "/nowhere/private.pem"}, "The keys cannot be written: "),
    "no database": ({"DATABASE_URL": "sqlite:////proc/nowhere.db"}, "The database cannot be used (OperationalError): "),
}


@pytest.mark.parametrize("command", ["rotate-key", "prune"])
@pytest.mark.parametrize("case", [name for name in REFUSALS if name != "wrong passphrase"])
def test_what_cannot_be_done_is_said_in_a_sentence(make_server: MakeServer, tmp_path: Path, case: str, command: str) -> None:
    make_server()
    before = kid_of(make_server())
    variables, sentence = REFUSALS[case]
    texts = {"JWT_SECRET_KEY": pair_number(1)[0].decode(), "JWT_PUBLIC_KEY": pair_number(1)[1].decode()}
    result = run(make_server(**{name: texts[name] if value == "text" else value for name, value in variables.items()}), command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert kid_of(make_server()) == before
    assert not list((tmp_path / "a").glob(".*.pem.*"))


def test_two_rotations_at_once_are_refused(make_server: MakeServer) -> None:
    app = make_server()
    with app.extensions["poort"].keys.files.locked():
        result = run(app, "rotate-key")
    assert (result.exit_code, result.stderr) == (1, "Error: Someone else is changing the keys at the moment.\n")


def test_pair_that_does_not_fit_is_not_rotated(make_server: MakeServer, tmp_path: Path) -> None:
    app = make_server()
    (tmp_path / "a" / "public.pem").write_bytes(pair_number(1)[1])
    result = run(app, "rotate-key")
    assert result.exit_code == 1
    assert "does not belong to the private key" in result.stderr


def test_prune_leaves_what_is_needed(make_server: MakeServer, database: Database, user: User) -> None:
    app = make_server()
    headers = bearer(app, user)
    run(app, "rotate-key")
    result = run(make_server(), "prune")
    assert (result.exit_code, result.stdout) == (0, "Removed keys: 0 in the database, 0 in files.\n")
    assert accepts(make_server(), user, headers)
    assert database.rows(AuditRecord)[-1].event == "keys_pruned"


def test_prune_removes_what_is_over(
    make_server: MakeServer, database: Database, user: User, clock: Clock, tmp_path: Path
) -> None:
    app = make_server()
    bearer(app, user)
    run(app, "rotate-key")
    clock.advance(3 * 3600)
    result = run(make_server(), "prune")
    assert result.stdout == "Removed keys: 2 in the database, 1 in files.\n"
    assert rows(database) == {}
    assert sorted(file.name for file in (tmp_path / "a").glob("*.pem")) == ["private.pem", "public.pem"]
    assert accepts(make_server(), user, bearer(make_server(), user))


def test_leaked_key_is_withdrawn_everywhere_at_once(
    make_server: MakeServer, database: Database, user: User, tmp_path: Path
) -> None:
    a = make_server()
    leaked, headers = kid_of(a), bearer(a, user)
    refused = run(a, "prune", "--kid", leaked)
    assert (refused.exit_code, "This key signs now. Run `bin/poort jwt rotate-key` first" in refused.stderr) == (1, True)
    run(a, "rotate-key")
    assert run(make_server(), "prune", "--kid", leaked).exit_code == 0
    assert not (tmp_path / "a" / f"public-{leaked}.pem").exists()
    assert rows(database)[leaked]
    for server in (make_server(), make_server("b")):
        assert not accepts(server, user, headers)
        assert accepts(server, user, bearer(make_server(), user))
        assert leaked not in server.test_client().get("/.well-known/jwks.json").text


def test_token_whose_key_is_withdrawn_while_it_is_verified_is_good_for_nothing_more(
    make_server: MakeServer, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server()
    leaked, headers, decode = kid_of(server), bearer(server, user), bearer_module.decode_token
    keys = server.extensions["poort"].keys

    def withdraw_meanwhile(token: str) -> Any:
        claims = decode(token)
        monkeypatch.setattr(bearer_module, "decode_token", decode)
        run(make_server(), "rotate-key")
        assert run(make_server(), "prune", "--kid", leaked).exit_code == 0
        monkeypatch.setattr(keys, "timer", lambda: time.monotonic() + 2)
        assert accepts(server, user, bearer(make_server(), user)), "another thread has read the new key set"
        return claims

    monkeypatch.setattr(bearer_module, "decode_token", withdraw_meanwhile)
    accepts(server, user, headers)
    assert not accepts(server, user, headers)


def test_key_of_another_host_is_withdrawn_there_too(make_server: MakeServer, user: User) -> None:
    a, b = make_server(), make_server("b")
    headers, leaked = bearer(b, user), kid_of(b)
    run(b, "rotate-key")
    assert run(make_server("a"), "prune", "--kid", leaked).exit_code == 0
    assert not accepts(make_server("b"), user, headers), "its file is still there, but does not count"
    assert run(make_server("b"), "prune").stdout.endswith(", 1 in files.\n")
    assert a


@pytest.mark.parametrize("kid", ["x", "", "../../etc/passwd", "x" * 43])
def test_key_that_there_is_not_cannot_be_withdrawn(make_server: MakeServer, kid: str) -> None:
    result = run(make_server(), "prune", "--kid", kid)
    assert (result.exit_code, result.stderr.startswith(f"Error: There is no key {kid}. ")) == (1, True)


def test_overwriting_the_keys_ends_what_they_have_signed(
    make_server: MakeServer, database: Database, user: User, tmp_path: Path
) -> None:
    a = make_server()
    headers = [bearer(a, user)]
    run(a, "rotate-key")
    headers.append(bearer(make_server(), user))
    result = run(make_server(), "generate-keypair", "--overwrite", "-n")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Done!\n", "")
    assert sorted(file.name for file in (tmp_path / "a").glob("*.pem")) == ["private.pem", "public.pem"]
    for server in (make_server(), make_server("b")):
        assert [accepts(server, user, one) for one in headers] == [False, False]
    assert sorted(rows(database).values()) == [True, True]
    assert database.rows(AuditRecord)[-1].event == "keys_replaced"


def test_overwriting_needs_no_database(make_server: MakeServer) -> None:
    before = kid_of(make_server())
    result = run(make_server(DATABASE_URL="sqlite:////proc/nowhere.db"), "generate-keypair", "--overwrite", "-n")
    assert (result.exit_code, result.stdout) == (0, "Done!\n")
    assert kid_of(make_server()) != before


def test_token_of_the_console_is_good_for_as_long_as_it_says(
    make_server: MakeServer, database: Database, user: User, clock: Clock
) -> None:
    result = run(make_server(), "generate-token", "alice", "--ttl", "1000000")
    headers = {"Authorization": f"Bearer {result.stdout.strip()}"}
    run(make_server(), "rotate-key")
    clock.advance(999_990)
    assert run(make_server(), "prune").exit_code == 0
    assert all(accepts(make_server(name), user, headers) for name in "ab")
    assert not re.search("PRIVATE", str(database.rows(VerificationKey)[0].public_pem))


def test_start_repairs_what_a_killed_rotation_left(make_server: MakeServer, tmp_path: Path) -> None:
    run(make_server(), "rotate-key")
    folder = tmp_path / "a"
    old = next(folder.glob("public-*.pem")).read_text()
    (folder / "public.pem").write_text(old)
    assert run(make_server(), "check-config").stdout == "The configuration seems correct.\n"
    assert (folder / "public.pem").read_text() != old
    load_key_pair(str(folder / "private.pem"), str(folder / "public.pem"), "")
    assert body_of(make_server().test_client().get("/readyz"))["status"] == "ok"


def test_folder_that_cannot_be_written_does_not_stop_a_start(
    make_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(make_server(), "rotate-key")
    folder = tmp_path / "a"
    old = next(folder.glob("public-*.pem")).read_text()
    (folder / "public.pem").write_text(old)

    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(key_files, "write_beside", refuse)
    assert run(make_server(), "check-config").exit_code == 0
    assert (folder / "public.pem").read_text() == old
    assert caplog.records[-1].message.endswith("cannot be replaced: Read-only file system")
    result = run(make_server(), "rotate-key")
    assert (result.exit_code, "The keys cannot be written: " in result.stderr) == (1, True)
