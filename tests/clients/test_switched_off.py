"""Without APP_ENABLE_API_ENTRYPOINT there are no documents; the contexts that bodies point to exist in any case."""

from collections.abc import Iterator

import pytest
from clients.serving import Served, serve

DOCUMENTS = (
    *("/api", "/api/index.jsonld", "/api/docs", "/api/docs.json", "/api/docs.jsonopenapi", "/api/docs.jsonld", "/api/docs.html"),
    *("/api/docs/assets/swagger-ui-bundle.js", "/api/docs/explorer/explorer.js"),
)
CONTEXTS = ("User", "Entrypoint", "Error", "ConstraintViolationList", "CurrentUserProfile")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server without documents."""
    served = serve(tmp_path_factory.mktemp("bare"), APP_ENABLE_API_ENTRYPOINT="0")
    yield served
    served.server.stop()


@pytest.mark.parametrize("accept", ["text/html", "application/ld+json", "application/json", "*/*"])
@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_are_not_there(bare: Served, path: str, accept: str) -> None:
    status, headers, body = bare.server.request("GET", path, Accept=accept)
    assert (status, body) == (404, {"error": f'No route found for "GET {bare.url}{path}"'})
    assert headers["content-type"] == "application/json"
    assert "link" not in headers


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_are_there_where_it_is_on(served: Served, path: str) -> None:
    """Prove that the setting switches the paths above."""
    answer = served.server.exchange(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())[0]
    assert (answer.status, bool(answer.text)) == (200, True)


@pytest.mark.parametrize("name", CONTEXTS)
def test_contexts_are_there(bare: Served, name: str) -> None:
    for path in (f"/api/contexts/{name}", f"/api/contexts/{name}.jsonld"):
        status, headers, body = bare.server.request("GET", path)
        assert (status, headers["content-type"]) == (200, "application/ld+json; charset=utf-8")
        assert body["@context"]["@vocab"] == f"{bare.url}/api/docs.jsonld#"
        assert "link" not in headers


def test_no_answer_points_to_the_documentation(bare: Served) -> None:
    bearer = {"Authorization": f"Bearer {bare.token()}"}
    for method, path, body in (
        ("GET", "/api/users", None),
        ("GET", "/api/users/2", None),
        ("GET", "/api/me", None),
        ("POST", "/api/users", {"username": ""}),
        ("POST", "/api/users", {"username": 1}),
    ):
        status, headers, _ = bare.server.request(method, path, body, **bearer)
        assert status in {200, 400, 422}
        assert "link" not in headers
