"""Servers of two workers, alone and behind nginx, for tests that change nothing on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from system.proxied import Proxied, serve_behind_nginx
from system.serving import Home, Server


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = Home(tmp_path_factory.mktemp("served"))
    home.write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4", LOGIN_THROTTLING_MAX_ATTEMPTS="0")
    password = home.set_up()
    server = home.serve()
    server.environment["ADMIN_PASSWORD"] = password
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    yield from serve_behind_nginx(tmp_path_factory.mktemp("proxied"), LOGIN_THROTTLING_MAX_ATTEMPTS="0")
