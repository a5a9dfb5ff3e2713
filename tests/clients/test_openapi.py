"""The OpenAPI document is valid, and the server answers as it says."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from clients.attack import Run, attack
from clients.serving import ROOT_PASSWORD, ROOT_USER, Served, serve
from openapi_spec_validator import OpenAPIV31SpecValidator

from benchmarks.services import free_port
from rest.dialect import DIALECTS

SEED = 20261124

#: Operations whose example cannot succeed, since they need the caller's own password or a current code; and their answers.
TAKES_MORE = {
    ("post", "/api/me/totp"): (403, "The password is not right."),
    ("put", "/api/me/totp"): (409, "No second factor was begun."),
    ("delete", "/api/me/totp"): (409, "The second factor is not on."),
    ("post", "/api/me/totp/backup-codes"): (409, "The second factor is not on."),
}

#: The best status without a current code, for a caller whose password is the example's, as the attacker's is.
REACHED_WITHOUT_A_CODE = {
    ("put", "/api/me/totp"): 403,
    ("delete", "/api/me/totp"): 409,
    ("post", "/api/me/totp/backup-codes"): 409,
}

#: Operations that end the caller's token: attacked last, each with its own token.
LAST = ("/api/token/invalidate", "/api/token/invalidate-all")


@pytest.mark.parametrize("version", DIALECTS, indirect=True)
def test_document_is_openapi(served: Served) -> None:
    for path, accept in (("/api/docs.jsonopenapi", "*/*"), ("/api/docs", "application/vnd.openapi+json")):
        status, _, document = served.server.request("GET", path, Accept=accept)
        assert (status, document["openapi"]) == (200, "3.1.0")
        assert list(map(str, OpenAPIV31SpecValidator(document).iter_errors())) == []


@pytest.mark.parametrize("version", DIALECTS, indirect=True)
def test_examples_can_be_sent_as_they_are(served: Served) -> None:
    document = served.server.request("GET", "/api/docs.jsonopenapi")[2]
    bearer = f"Bearer {served.token()}"
    sent = []
    for path, methods in document["paths"].items():
        where = path.replace("{id}", "1" if "access_urls" in path else "3")
        for method, operation in methods.items():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                body: dict[str, Any] = json.loads(json.dumps(content["example"]))
                named = body.get("data", {}).get("attributes", body)
                if "username" in named and path != "/api/authentication_token":
                    named["username"] += str(len(sent))  # a name can be used once, and in a portal an address as well
                    named["email"] = f"{len(sent)}{named['email']}"
                headers = {"Authorization": bearer, "Content-Type": media_type}
                status, _, answer = served.server.request(method.upper(), where, body, **headers)
                sent.append((path, method, media_type))
                if path == "/api/authentication_token":
                    assert (status, answer["message"]) == (401, "Invalid credentials.")
                elif (method, path) in TAKES_MORE:
                    assert (status, answer["error"]) == TAKES_MORE[method, path]
                else:
                    assert status == int(next(iter(operation["responses"]))), (path, method, media_type, answer)
    assert len(sent) == 18, sent


# Creation has its own server: elsewhere the names that schemathesis tries first are taken.
ALONE = "/api/users"
RUNS = (
    [(2, ("--include-path", ALONE))],
    [
        (13, ("--exclude-path-regex", f"^({'|'.join((ALONE, *LAST))})$")),
        *((1, ("--include-path", path)) for path in LAST),
    ],
)


@pytest.mark.parametrize("version", DIALECTS)
def test_schemathesis_finds_nothing(tmp_path: Path, version: str) -> None:
    runs: list[Run] = []
    tested: list[int] = []
    with ExitStack() as stack:
        for server, choices in enumerate(RUNS):
            folder = tmp_path / str(server)
            folder.mkdir()
            # Without a mail server, a valid `sendEmail` is 501.
            served = serve(folder, CHAMILO_VERSION=version, MAILER_DSN=f"smtp://127.0.0.1:{free_port()}")
            stack.callback(served.server.stop)
            for number, (operations, choice) in enumerate(choices):
                runs.append(Run(served.url, {"username": ROOT_USER, "password": ROOT_PASSWORD}, folder, SEED + number, choice))
                tested.append(operations)
        found = attack(runs, tmp_path, max_examples=50)
        document = served.server.request("GET", "/api/docs.jsonopenapi")[2]
    answers: Counter[tuple[str, int]] = Counter()
    for of_run, operations in zip(found, tested, strict=True):
        assert [str(finding) for finding in of_run.unexpected] == []
        assert f"Tested: {operations}" in of_run.output, of_run.output
        assert "Error" not in of_run.without_answers, of_run.output
        answers += of_run.answers
    # Prove that each operation was reached.
    described = {(method, path): of for path, methods in document["paths"].items() for method, of in methods.items()}
    for (method, path), operation in described.items():
        done = next(int(status) for status in operation["responses"] if status.startswith("2"))
        reached = REACHED_WITHOUT_A_CODE.get((method, path), done)
        if path != "/api/authentication_token":
            assert answers[f"{method.upper()} {path}", reached] > 0, (method, path, answers)
    assert sum(answers.values()) > 1000
    assert {status for _, status in answers if status >= 500 or not status} == set()
