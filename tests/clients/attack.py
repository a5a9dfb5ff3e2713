"""Run schemathesis and read its events: every failed check of every request, not only one of each kind."""

import base64
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from rest.body import TAKEN
from rest.query import integer

TAKEN_NAME = {"propertyPath": "username", "message": TAKEN[0], "code": TAKEN[1]}

OF_PORTAL = "POST /api/access_urls/{id}/user"

UNPAIRED = "Extra field variables and values must have the same length."

REFUSED_TOGETHER = {"Page should not be greater than 1 if limit is equal to 0", "Page parameter is too large."}


@dataclass
class Finding:
    """A check that a request failed."""

    operation: str
    check: str
    message: str
    url: str
    status: int
    answer: bytes
    body: bytes

    @property
    def is_known(self) -> bool:
        """Tell whether the contract demands this answer and a schema cannot express it."""
        return (
            self.is_a_taken_name
            or self.is_a_cast_number
            or self.is_an_ignored_value
            or self.is_a_page_that_cannot_be
            or self.is_an_unknown_field
            or self.is_a_filter_by_no_field
        )

    def __str__(self) -> str:
        return f"{self.check}: {self.operation} {self.url} {self.body[:400]!r}\n  {self.message}\n  {self.status} {self.answer[:400]!r}"

    @property
    def is_a_taken_name(self) -> bool:
        """A valid body is refused because the name is taken, which no schema can express."""
        if (self.check, self.status) != ("positive_data_acceptance", 422):
            return False
        return bool(json.loads(self.answer)["violations"] == [TAKEN_NAME])

    @property
    def is_an_unknown_field(self) -> bool:
        """A valid body is refused, since no extra field has the name: no schema can say which there are."""
        if (self.operation, self.check, self.status) != (OF_PORTAL, "positive_data_acceptance", 400):
            return False
        return str(json.loads(self.answer).get("error", "")).startswith("ExtraField '")

    @property
    def is_a_filter_by_no_field(self) -> bool:
        """A list is refused, since no extra field has the name, or since names and values, each valid alone, do not pair."""
        if (self.operation, self.check, self.status) != ("GET /api/users", "positive_data_acceptance", 400):
            return False
        said = str(json.loads(self.answer).get("hydra:description"))
        return said == UNPAIRED or (said.startswith('Extra field "') and said.endswith('" not found.'))

    @property
    def is_a_page_that_cannot_be(self) -> bool:
        """`page` and `itemsPerPage`, each valid alone, are refused together, as recorded; a schema describes one parameter at a time."""
        if (self.operation, self.check, self.status) != ("GET /api/users", "positive_data_acceptance", 400):
            return False
        return json.loads(self.answer).get("hydra:description") in REFUSED_TOGETHER

    @property
    def is_an_ignored_value(self) -> bool:
        """A direction or a state that is none is ignored, as recorded, and the rest of the query is valid."""
        if (self.operation, self.check, self.status) != ("GET /api/users", "negative_data_rejection", 200):
            return False
        pages = [value for name, value in parse_qsl(urlsplit(self.url).query, keep_blank_values=True) if name == "page"]
        names = ("order", "isActive")
        return any(name in self.url for name in names) and all(page == str(integer(page)) for page in pages)

    @property
    def is_a_cast_number(self) -> bool:
        """`itemsPerPage` is cast as PHP casts, and the rest of the query is valid."""
        if (self.operation, self.check, self.status) != ("GET /api/users", "negative_data_rejection", 200):
            return False
        pages = [value for name, value in parse_qsl(urlsplit(self.url).query, keep_blank_values=True) if name == "page"]
        return "itemsPerPage" in self.url and all(page == str(integer(page)) for page in pages)


@dataclass
class Attack:
    """A finished run."""

    findings: list[Finding] = field(default_factory=list)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    output: str = ""

    @property
    def without_answers(self) -> str:
        """Return the output without the answers that it quotes: what is left may name an error of schemathesis alone."""
        return "\n".join(line for line in self.output.splitlines() if not line.lstrip().startswith("`{"))

    @property
    def unexpected(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.is_known]


@dataclass
class Run:
    """What one run attacks: `choice` selects operations of the server at `url`, and its findings are written to `folder`."""

    url: str
    credentials: dict[str, str]
    folder: Path
    seed: int
    choice: Sequence[str] = ()

    @property
    def events(self) -> Path:
        return self.folder / f"events-{self.seed}.ndjson"

    def arguments(self, max_examples: int) -> list[str]:
        """Return the command line: the three phases of single requests, with all checks."""
        return [
            *("--no-color", "run", f"{self.url}/api/docs.jsonopenapi", "-H", "Authorization: Bearer {token}"),
            *("--phases", "examples,coverage,fuzzing", "--checks", "all", *self.choice, "--seed", str(self.seed)),
            *("--max-examples", str(max_examples), "--continue-on-failure", "--generation-database", "none"),
            "--request-timeout=60",  # not ten seconds, in which a busy machine may not answer a sign-in
            *("--report", "ndjson", "--report-ndjson-path", str(self.events)),
        ]


def attack(runs: Sequence[Run], folder: Path, *, max_examples: int) -> list[Attack]:
    """Run schemathesis against servers, one run after the other."""
    orders = [{"url": run.url, "credentials": run.credentials, "arguments": run.arguments(max_examples)} for run in runs]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_schemathesis.py"))],
        input=json.dumps(orders),
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={},  # requests reads the whole environment for each request: a tenth of the time
    )
    assert done.returncode == 0, done.stderr
    return [_found(run, output) for run, output in zip(runs, json.loads(done.stdout), strict=True)]


def _found(run: Run, output: str) -> Attack:
    found = Attack(output=output)
    if not run.events.exists():
        return found
    with run.events.open() as lines:
        for line in lines:
            event = json.loads(line)
            found.output += json.dumps(event) if "NonFatalError" in event or "FatalError" in event else ""
            scenario = event.get("ScenarioFinished", {}).get("recorder", {})
            for operation, status, finding in _read(scenario):
                found.answers[operation, status] += 1
                found.findings += finding
    return found


def _read(scenario: dict[str, Any]) -> Iterator[tuple[str, int, list[Finding]]]:
    for case, exchange in scenario.get("interactions", {}).items():
        response, sent = exchange.get("response") or {}, exchange["request"]  # a request that timed out has none
        status = response.get("status_code", 0)
        yield (
            scenario["label"],
            status,
            [
                Finding(
                    operation=scenario["label"],
                    check=check["name"],
                    message=check["failure_info"]["failure"]["message"],
                    url=sent["uri"],
                    status=status,
                    answer=base64.b64decode((response.get("content") or {}).get("$base64", "")),
                    body=base64.b64decode((sent.get("body") or {}).get("$base64", "")),
                )
                for check in scenario.get("checks", {}).get(case, [])
                if check["status"] == "failure"
            ],
        )
