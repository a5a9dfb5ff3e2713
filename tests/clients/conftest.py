"""Fixtures for API clients: a server, the npm packages, and a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clients.browser import Browser, chromium
from clients.installing import HERE, Npm, run
from clients.serving import Served, serve

from config.settings import ROOT


@pytest.fixture(scope="module")
def version(request: pytest.FixtureRequest) -> str:
    """The version of Chamilo whose clients the server answers: 2, or the test's parameter."""
    return str(getattr(request, "param", "2"))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    """Start a server of a version at its first use; tests of one file come in any order."""
    started: dict[str, Served] = {}

    def server_of(version: str) -> Served:
        if version not in started:
            started[version] = serve(tmp_path_factory.mktemp("served"), CHAMILO_VERSION=version)
        return started[version]

    yield server_of
    for served in started.values():
        served.server.stop()


@pytest.fixture(scope="module")
def served(servers: Callable[[str], Served], version: str) -> Served:
    """A server for the tests of one file."""
    return servers(version)


@pytest.fixture(scope="session")
def npm_cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of installed packages, which later runs of the tests find again."""
    cache = getattr(request.config, "cache", None)
    return cache.mkdir("npm") if cache else tmp_path_factory.mktemp("npm")


@pytest.fixture(scope="session")
def npm_of_example(npm_cache: Path) -> Npm:
    """The packages of examples/admin, as its users install them."""
    return Npm.install(npm_cache, ROOT / "examples" / "admin")


@pytest.fixture(scope="session")
def npm(npm_cache: Path, npm_of_example: Npm) -> Npm:
    """The packages of npm/package-lock.json, and API Platform Admin and React from those of examples/admin."""
    return Npm.install(npm_cache, HERE / "npm", npm_of_example)


@pytest.fixture
def node(npm: Npm, tmp_path: Path) -> Callable[..., str]:
    """Run a program of npm/ or of a package with node; return its output."""
    folder = npm.programs(tmp_path)

    def run_node(program: str, *arguments: str, **variables: str) -> str:
        return run([npm.node, program, *arguments], folder, **variables)

    return run_node


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A window for the tests of one file."""
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser) -> Browser:
    """The window, with its logs emptied."""
    window.complaints()
    window.requested()
    return window
