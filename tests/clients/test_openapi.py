"""The OpenAPI document is one, and the server answers as it says."""

import json
from pathlib import Path
from typing import Any

from clients.attack import attack
from clients.serving import ROOT_PASSWORD, ROOT_USER, Served, serve
from openapi_spec_validator import OpenAPIV31SpecValidator

SEED = 20261124


def test_document_is_openapi(served: Served) -> None:
    for path in ("/api/docs", "/api/docs.json", "/api/docs.jsonopenapi"):
        status, _, document = served.server.request("GET", path, Accept="application/json")
        assert (status, document["openapi"]) == (200, "3.1.0")
        assert list(map(str, OpenAPIV31SpecValidator(document).iter_errors())) == []


def test_examples_can_be_sent_as_they_are(served: Served) -> None:
    document = served.server.request("GET", "/api/docs.json")[2]
    bearer = f"Bearer {served.token()}"
    sent = []
    for path, methods in document["paths"].items():
        where = path.replace("{id}", "1" if "access_urls" in path else "3")
        for method, operation in methods.items():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                body: dict[str, Any] = json.loads(json.dumps(content["example"]))
                named = body.get("data", {}).get("attributes", body)
                if "username" in named and path != "/api/authentication_token":
                    named["username"] += str(len(sent))  # each name once
                headers = {"Authorization": bearer, "Content-Type": media_type}
                status, _, answer = served.server.request(method.upper(), where, body, **headers)
                sent.append((path, method, media_type))
                if path == "/api/authentication_token":
                    assert (status, answer["message"]) == (401, "Invalid credentials.")
                else:
                    assert status == int(next(iter(operation["responses"]))), (path, method, media_type, answer)
    assert len(sent) == 14, sent


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    served = serve(tmp_path)
    try:
        attack_and_judge(served, tmp_path)
    finally:
        served.server.stop()


def attack_and_judge(served: Served, tmp_path: Path) -> None:
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
