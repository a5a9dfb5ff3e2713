"""Fixtures for API clients: a server, and the npm packages."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clients.installing import Npm, run
from clients.serving import Served, serve


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for the tests of one file."""
    served = serve(tmp_path_factory.mktemp("served"))
    yield served
    served.server.stop()


@pytest.fixture(scope="session")
def npm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Npm:
    """The packages of npm/package-lock.json."""
    cache = getattr(request.config, "cache", None)
    return Npm.install(cache.mkdir("npm") if cache else tmp_path_factory.mktemp("npm"))


@pytest.fixture
def node(npm: Npm, tmp_path: Path) -> Callable[..., str]:
    """Run a program of npm/ or of a package with node; return its output."""
    folder = npm.programs(tmp_path)

    def run_node(program: str, *arguments: str, **variables: str) -> str:
        return run([npm.node, program, *arguments], folder, **variables)

    return run_node
