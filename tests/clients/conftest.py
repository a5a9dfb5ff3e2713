"""What the clients of the API talk to, and where they come from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clients.installing import Npm, run
from clients.serving import Served, serve


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that the tests of one file have to themselves."""
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
    """Run node with a program of npm/, or a package's, and return what it prints."""
    folder = npm.programs(tmp_path)

    def run_node(program: str, *arguments: str, **variables: str) -> str:
        return run([npm.node, program, *arguments], folder, **variables)

    return run_node
