"""The database of the campus stops and restarts under load: reads answer 503 and recover, and no confirmed write is lost."""

import time
from pathlib import Path
from typing import Any

import pytest
from campus.campuses import Campus
from factories import CONTRACT, Clock
from installed import needed
from load import Load
from system.serving import Home
from system.serving import Server as HttpServer

from benchmarks.database_servers import STARTERS
from benchmarks.services import Server, ready, spawn

pytestmark = pytest.mark.services


@pytest.fixture
def database_server(campus_kind: str) -> Any:
    server = needed(STARTERS[campus_kind])
    yield server
    server.stop()


def stop(server: Server) -> list[str]:
    command = [str(word) for word in server.process.args]
    server.process.terminate()
    server.process.wait(60)
    return command


class Clients(Load):
    """Two readers and a writer, and their answers."""

    def __init__(self, server: HttpServer, headers: dict[str, str]) -> None:
        self.server, self.headers = server, headers
        self.reads: list[tuple[int, dict[str, str], Any]] = []
        self.created: list[str] = []
        super().__init__(self.read, self.read, self.create)

    def read(self) -> None:
        while self.goes_on():
            self.reads.append(self.server.request("GET", "/api/users/2", **self.headers))

    def create(self) -> None:
        number = 0
        while self.goes_on():
            number += 1
            body = {"username": f"new{number}", "email": f"new{number}@example.com"}
            if self.server.request("POST", "/api/users", body, **self.headers)[0] == 201:
                self.created.append(body["username"])


@pytest.fixture
def campus(database_server: Server) -> Any:
    campus = Campus(3, database_server.create_database(), Clock())
    campus.build()
    yield campus
    campus.engine.dispose()


@pytest.fixture
def server(campus: Campus, tmp_path: Path) -> Any:
    for name in ("private.pem", "public.pem"):
        (tmp_path / name).write_bytes((CONTRACT / "jwt" / name).read_bytes())
        (tmp_path / name).chmod(0o600)
    home = Home(tmp_path).write_env(
        DATABASE_URL=campus.url,
        DATABASE_SCHEMA="chamilo",
        PASSWORD_HASH_COST="4",
        JWT_SECRET_KEY=f"{tmp_path}/private.pem",
        JWT_PUBLIC_KEY=f"{tmp_path}/public.pem",
        JWT_PASSPHRASE=(CONTRACT / "jwt" / "PASSPHRASE").read_text().strip(),
    )
    assert home.flask("db", "upgrade").returncode == 0
    server = home.serve(WEB_CONCURRENCY="2")
    yield server
    server.stop()


def test_reads_recover_by_themselves_and_what_was_created_stays(
    database_server: Server, campus: Campus, server: HttpServer
) -> None:
    headers = {"Authorization": f"Bearer {server.sign_in('admin', 'adminpass')[2]['token']}"}
    with Clients(server, headers) as load:
        server.wait_until(lambda: len(load.created) > 5)
        command = stop(database_server)
        time.sleep(2)
        database_server.process = spawn(command, database_server.folder)
        ready(database_server)
        server.wait_until(lambda: len(load.created) > 10)
        time.sleep(2)
    assert {status for status, *_ in load.reads} == {200, 503}, server.log
    refused = [answer for answer in load.reads if answer[0] == 503]
    assert all(int(answer[1]["retry-after"]) > 0 and list(answer[2]) == ["error"] for answer in refused)
    assert (load.reads[-1][0], len(load.created) > 10) == (200, True)
    campus.engine.dispose()  # its connections belong to the stopped server
    assert set(load.created) <= {row["username"] for row in campus.run("SELECT username FROM `user`")}
    booted = [line for line in server.log_lines if "Booting worker" in line["message"]]
    assert (server.process.poll(), len(booted)) == (None, 2), "no process died"


def test_missing_column_stops_the_start_in_one_sentence(campus: Campus, tmp_path: Path) -> None:
    campus.run("ALTER TABLE `user` DROP COLUMN phone")
    home = Home(tmp_path).write_env(DATABASE_URL=campus.url, DATABASE_SCHEMA="chamilo", JWT_PASSPHRASE="long enough")
    assert home.flask("jwt", "generate-keypair").returncode == 0
    with pytest.raises(AssertionError, match="does not answer") as stopped:
        home.serve()
    assert "The table `user` lacks the columns phone." in str(stopped.value)
    assert "Traceback" not in str(stopped.value)
