"""Tests that need a server are marked, so that `make check` leaves them out."""

import pytest

SERVERS = {"postgresql", "mariadb"}


def needs_a_server(item: pytest.Item) -> bool:
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return "redis" in item.fixturenames or bool({value for value in values if isinstance(value, str)} & SERVERS)


def test_each_test_on_a_server_is_marked_so(request: pytest.FixtureRequest) -> None:
    """Check the tests of this run; with `-m "not services"` these are the unmarked ones."""
    on_servers = [item for item in request.session.items if needs_a_server(item)]
    assert [item.nodeid for item in on_servers if not item.get_closest_marker("services")] == []
