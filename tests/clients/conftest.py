"""What the clients of the API talk to, and where they come from."""

from collections.abc import Iterator

import pytest
from clients.serving import Served, serve


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that the tests of one file have to themselves."""
    served = serve(tmp_path_factory.mktemp("served"))
    yield served
    served.server.stop()
