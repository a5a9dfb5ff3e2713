"""Fixtures of campuses. Tests share one of each kind, whose rows are restored for each of them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from campus.campuses import Campus, SharedCampus
from databases import KINDS, Databases
from factories import Clock
from flask import Flask


class Campuses:
    """The campuses of a test session."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._shared: dict[tuple[str, int, bool], SharedCampus] = {}

    def make(self, kind: str, version: int, clock: Clock, *, whole: bool) -> Campus:
        """Make a campus on MariaDB or MySQL; a whole one has all tables, and the users 301 to 307."""
        made = Campus(version, self._databases.empty_url(kind), clock)
        made.build()
        if whole:
            made.complete()
        return made

    def share(self, kind: str, version: int, clock: Clock, *, whole: bool) -> Campus:
        """Return the shared campus of a kind as it was made, with our own tables beside it."""
        key = kind, version, whole
        if key in self._shared:
            if restored := self._shared[key].restore(clock):
                return restored
            self._shared.pop(key).close()
        made = self.make(kind, version, clock, whole=whole)
        made.app()
        self._shared[key] = SharedCampus(made)
        return Campus(version, made.url, clock, is_migrated=True)

    def close(self) -> None:
        """Close all connections."""
        for shared in self._shared.values():
            shared.close()


@pytest.fixture(scope="session")
def campuses(databases: Databases) -> Iterator[Campuses]:
    made = Campuses(databases)
    yield made
    made.close()


@pytest.fixture(params=[kind for kind in KINDS if kind in {"mariadb", "mysql"}])
def campus_kind(request: pytest.FixtureRequest) -> str:
    """The kind of server that the campus is on."""
    return str(request.param)


@pytest.fixture(params=[2, 3])
def campus(request: pytest.FixtureRequest, campus_kind: str, campuses: Campuses, clock: Clock) -> Iterator[Campus]:
    """A campus of Chamilo 2 or 3. With the mark `bare_campus` it is the test's own, and has none of our tables."""
    bare, whole = request.node.get_closest_marker("bare_campus"), "whole_campus" in request.fixturenames
    made = (campuses.make if bare else campuses.share)(campus_kind, request.param, clock, whole=whole)
    yield made
    made.close()


@pytest.fixture
def whole_campus(campus: Campus) -> Campus:
    """A campus with all tables and the users 301 to 307."""
    return campus


@pytest.fixture
def examples(whole_campus: Campus) -> Campus:
    """The campus with the users of the numbered examples alone."""
    for table in ("access_url_rel_user", "user_auth_source", "user_rel_user"):
        whole_campus.run(f"DELETE FROM {table} WHERE user_id < 300")
    whole_campus.run("DELETE FROM `user` WHERE id < 300")
    return whole_campus


class Client:
    """A user at a portal."""

    def __init__(self, examples: Campus, app: Flask, username: str, host: str = "localhost") -> None:
        self.http, self.headers, self.host = app.test_client(), examples.headers_of(app, username), host

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        if method == "PATCH":
            headers |= {"Content-Type": "application/merge-patch+json"}
        given = {"data": body, "content_type": "application/json"} if isinstance(body, bytes) else {"json": body}
        return self.http.open(path, method=method, headers=self.headers | headers, base_url=f"https://{self.host}", **given)

    def ids(self, path: str = "/api/users.json") -> list[int]:
        answer = self("GET", path)
        assert answer.status_code == 200, answer.json
        return [user["id"] for user in answer.json]


#: Makes a client of a user at a portal, of an application with further variables.
At = Callable[..., Client]


@pytest.fixture
def at(examples: Campus) -> At:
    apps: dict[tuple[Any, ...], Flask] = {}

    def make(portal: int, username: str, **variables: str) -> Client:
        key = (portal, *sorted(variables.items()))
        if key not in apps:
            apps[key] = examples.app(**{"ACCESS_URL_ID": str(portal), "PASSWORD_HASH_COST": "4"} | variables)
        return Client(examples, apps[key], username)

    return make
