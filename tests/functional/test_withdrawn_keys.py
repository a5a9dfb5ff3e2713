"""A running server forgets a verified token when the token's key is withdrawn."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import Database, bearer
from flask import Flask
from hosts import pair_number

from security.keys.pair import write_key_pair

MakeServer = Callable[[], Flask]


@pytest.fixture
def make_server(make_app: Callable[..., Flask], tmp_path: Path) -> MakeServer:
    """Make a server with the keys of one folder, for a worker or an operator's command."""
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    write_key_pair(private, public, *pair_number(1))
    return lambda: make_app(JWT_SECRET_KEY=str(private), JWT_PUBLIC_KEY=str(public), JWT_PASSPHRASE="")


def run(app: Flask, *words: str) -> None:
    done = app.test_cli_runner().invoke(args=["jwt", *words])
    assert done.exit_code == 0, done.output


def test_remembered_token_of_a_withdrawn_key_is_refused_by_the_same_server(
    make_server: MakeServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, user = make_server(), database.make_user("alice")
    client, keys, old = server.test_client(), server.extensions["poort"].keys, bearer(server, user)

    def statuses() -> list[int]:
        return [client.get("/api/me", headers=headers).status_code for headers in (old, old, bearer(server, user))]

    def pass_a_second(number: int) -> None:
        monkeypatch.setattr(keys, "timer", lambda: time.monotonic() + 2 * number)

    assert statuses() == [200, 200, 200]
    leaked = keys.files.load().kid
    run(make_server(), "rotate-key", "--wait", "0")
    pass_a_second(1)
    assert statuses() == [200, 200, 200], "the key was set aside, and still verifies"
    run(make_server(), "prune", "--kid", leaked)
    pass_a_second(2)
    assert statuses() == [401, 401, 200]
