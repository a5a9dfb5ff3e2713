"""The OpenAPI document is one, and the server answers as it says."""

from pathlib import Path

from clients.attack import attack
from clients.serving import ROOT_PASSWORD, ROOT_USER, Served
from openapi_spec_validator import OpenAPIV31SpecValidator

SEED = 20261124


def test_document_is_openapi(served: Served) -> None:
    for path in ("/api/docs", "/api/docs.json", "/api/docs.jsonopenapi"):
        status, _, document = served.server.request("GET", path, Accept="application/json")
        assert (status, document["openapi"]) == (200, "3.1.0")
        assert list(map(str, OpenAPIV31SpecValidator(document).iter_errors())) == []


def test_schemathesis_finds_nothing(served: Served, tmp_path: Path) -> None:
    found = attack(served.url, served.token(ROOT_USER, ROOT_PASSWORD), tmp_path, seed=SEED, max_examples=50)
    assert [str(finding) for finding in found.unexpected] == []
    assert "Tested: 10" in found.output, found.output
    assert "Error" not in found.output, found.output
    # It did reach what it was to attack.
    document = served.server.request("GET", "/api/docs.json")[2]
    operations = {f"{method.upper()} {path}": of for path, methods in document["paths"].items() for method, of in methods.items()}
    for operation, described in operations.items():
        done = next(int(status) for status in described["responses"] if status.startswith("2"))
        if operation != "POST /api/authentication_token":
            assert found.answers[operation, done] > 0, (operation, found.answers)
    assert sum(found.answers.values()) > 1000
    assert {status for _, status in found.answers if status >= 500 or not status} == set()
