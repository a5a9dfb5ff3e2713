"""JSON-LD processors keep every value: each property has a term, and each context can be fetched."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
from clients.serving import Served
from pyld import jsonld

CLASSES = {"2": "http://schema.org/Person", "3": "#User"}

HYDRA = "http://www.w3.org/ns/hydra/core#"

#: An item, collections with and without all optional parts, the signed-in user, and the entrypoint.
PATHS = ("/api/users/2", "/api/users?itemsPerPage=2&page=2&username=user", "/api/users", "/api/me", "/api")


def values(document: Any, base: str, vocabulary: str) -> Iterator[Any]:
    """Yield what the expansion of a document must contain: its values, with ids and types as full IRIs, without nulls."""
    if isinstance(document, list):
        for element in document:
            yield from values(element, base, vocabulary)
    elif isinstance(document, dict):
        for key, value in document.items():
            if key == "@id":
                yield urljoin(base, value)
            elif key == "@type":
                yield value.replace("hydra:", HYDRA) if ":" in value else vocabulary + value
            elif key != "@context":
                yield from values(value, base, vocabulary)
    elif document is not None:
        yield document


def expanded_values(expansion: Any) -> Iterator[Any]:
    if isinstance(expansion, list):
        for element in expansion:
            yield from expanded_values(element)
    elif "@value" in expansion:
        yield expansion["@value"]
    else:
        for key, value in expansion.items():
            if key == "@id":
                yield value
            elif key == "@type":
                yield from value
            else:
                assert key.startswith(("http://", "https://")), key
                yield from expanded_values(value)


def counted(found: Iterator[Any]) -> Counter[tuple[str, Any]]:
    return Counter((type(value).__name__, value) for value in found)


def expand_with_pyld(served: Served, path: str, document: Any) -> Any:
    def load(url: str, _options: Any) -> dict[str, Any]:
        assert url.startswith(f"{served.url}/api/contexts/"), url
        status, headers, context = served.server.request("GET", url.removeprefix(served.url))
        assert status == 200
        return {"contentType": headers["content-type"], "contextUrl": None, "documentUrl": url, "document": context}

    return jsonld.expand(document, {"base": served.url + path, "documentLoader": load})


@pytest.fixture(scope="module", params=["2", "3"])
def version(request: pytest.FixtureRequest) -> str:
    """Each version of Chamilo."""
    return str(request.param)


@pytest.fixture(scope="module")
def token(served: Served) -> str:
    """One token for all tests, since each sign-in changes `lastLogin`."""
    return served.token()


@pytest.fixture
def documents(served: Served, token: str) -> dict[str, Any]:
    bearer = {"Authorization": f"Bearer {token}"}
    return {path: served.server.request("GET", path, **bearer)[2] for path in PATHS}


def hold(served: Served, path: str, document: Any, expansion: Any) -> None:
    """Assert that an expansion has every value of its document."""
    wanted = counted(values(document, served.url + path, f"{served.url}/api/docs.jsonld#"))
    if path == "/api":  # the context makes its links IRIs
        wanted = Counter({(kind, urljoin(served.url, value)): times for (kind, value), times in wanted.items()})
    assert sum(wanted.values()) >= 3
    assert counted(expanded_values(expansion)) == wanted, path


def test_pyld_loses_no_value(served: Served, documents: dict[str, Any]) -> None:
    for path, document in documents.items():
        hold(served, path, document, expand_with_pyld(served, path, document))


@pytest.mark.services
def test_jsonld_js_loses_no_value(served: Served, token: str, documents: dict[str, Any], node: Callable[..., str]) -> None:
    expansions = json.loads(node("src/expand.mjs", served.url, token, *PATHS))
    for (path, document), expansion in zip(documents.items(), expansions, strict=True):
        hold(served, path, document, expansion)


def test_failures_expand_too(served: Served, token: str) -> None:
    bearer = {"Authorization": f"Bearer {token}"}
    for body, status in (({"username": "", "email": "x"}, 422), ({"username": 1}, 400)):
        answer = served.server.request("POST", "/api/users", body, **bearer)
        assert answer[0] == status
        hold(served, "/api/users", answer[2], expand_with_pyld(served, "/api/users", answer[2]))


def test_properties_have_the_terms_of_the_documentation(served: Served, version: str, documents: dict[str, Any]) -> None:
    """The Hydra documentation and the context of an item use the same IRI for a property."""
    documentation = served.server.request("GET", "/api/docs.jsonld")[2]
    vocabulary = f"{served.url}/api/docs.jsonld"
    person = next(found for found in documentation["hydra:supportedClass"] if found["hydra:title"] == "User")
    described = {urljoin(vocabulary, each["hydra:property"]["@id"]) for each in person["hydra:supportedProperty"]}
    [alice] = expand_with_pyld(served, PATHS[0], documents[PATHS[0]])
    assert (alice["@type"], person["@id"]) == (["http://schema.org/Person"], CLASSES[version])
    assert set(alice) - {"@id", "@type", f"{vocabulary}#id"} <= described
