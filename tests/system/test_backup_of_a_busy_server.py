"""`bin/poort backup` beside a server that writes, and the restore that docs/operations.md describes."""

import shutil
from pathlib import Path

import pytest
from system.serving import Home
from system.test_restarts import Clients, usernames

pytestmark = pytest.mark.slow


def test_backup_beside_writes_is_restored_and_holds_all_that_was_answered_before(tmp_path: Path) -> None:
    home = Home(tmp_path).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4")
    password = home.set_up()
    backups = tmp_path / "backups"
    backups.mkdir()
    server = home.serve(WEB_CONCURRENCY="2")
    with Clients(server, password) as clients:
        server.wait_until(lambda: len(clients.created) > 20)
        before = set(clients.created)
        done = home.flask("backup", "--keep", "2", str(backups))
        assert done.returncode == 0, done.stderr
        after = len(clients.created)
        server.wait_until(lambda: len(clients.created) > after + 20)
    assert clients.statuses.keys() == {200, 201}, "no request met a lock"
    assert server.stop() == 0

    (made,) = backups.iterdir()
    database = tmp_path / "var" / "poort.db"
    for name in ("poort.db-wal", "poort.db-shm"):
        (tmp_path / "var" / name).unlink(missing_ok=True)
    shutil.copy(made, database)
    for words in (("db", "upgrade"), ("db", "check")):
        checked = home.flask(*words)
        assert checked.returncode == 0, checked.stderr
    found = {line.split()[1]: line.split()[0] for line in home.flask("doctor").stdout.splitlines() if line[0] != " "}
    assert (found["database"], found["schema"]) == ("ok", "ok")
    assert before <= usernames(tmp_path) < before | set(clients.created) | {"admin"}

    server = home.serve(WEB_CONCURRENCY="1")
    try:
        headers = {"Authorization": f"Bearer {server.sign_in('admin', password)[2]['token']}"}
        created = server.request("POST", "/api/users", {"username": "later", "email": "later@example.com"}, **headers)
        searched = server.request("GET", "/api/users?search=later", **headers)[2]
        assert (created[0], [user["username"] for user in searched["hydra:member"]]) == (201, ["later"])
    finally:
        assert server.stop() == 0
