"""Clients generated from the OpenAPI document are complete, and work."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from clients.installing import HERE, run
from clients.serving import PASSWORDS, Served
from factories import dispose, settings_for

from app import create_app
from rest.dialect import DIALECTS

#: The document for generated clients.
OF_JSON = "/api/docs.jsonopenapi?suffix=json"

#: The generators whose clients work with their defaults, and what each is given.
GENERATORS = {
    "hey-api": ("node_modules/@hey-api/openapi-ts/bin/run.js", "-i", "{url}", "-o", "{folder}/hey-api"),
    "orval": (
        *("node_modules/orval/dist/bin/orval.mjs", "--input", "{url}"),
        *("--output", "{folder}/orval/client.ts", "--client", "fetch"),
    ),
    "swagger-typescript-api": (
        *("node_modules/swagger-typescript-api/dist/cli.mjs", "generate"),
        *("--path", "{url}", "-o", "{folder}/swagger-typescript-api"),
    ),
}

#: The name that the programs give a failure of validation, and its name in each version.
VIOLATIONS = {"2": ("ConstraintViolationList",) * 2, "3": ("ConstraintViolationList", "ConstraintViolation")}


@pytest.mark.services
def test_typescript_clients_work_with_their_defaults(
    servers: Callable[[str], Served], node: Callable[..., str], tmp_path: Path
) -> None:
    """Generate the clients of both versions, and check their types in one run of tsc, which takes the most time."""
    programs = {path.stem.removeprefix("with-"): path for path in (tmp_path / "generated").glob("with-*.ts")}
    assert programs.keys() == GENERATORS.keys()
    for version in DIALECTS:
        folder = f"generated/of-{version}"
        (tmp_path / folder).mkdir()
        for name, command in GENERATORS.items():
            node(*(word.format(url=servers(version).url + OF_JSON, folder=folder) for word in command))
            (tmp_path / folder / f"with-{name}.ts").write_text(programs[name].read_text().replace(*VIOLATIONS[version]))
    for path in programs.values():
        path.unlink()
    node("node_modules/tsc/bin/tsc", "--project", "generated/tsconfig.json", "--skipLibCheck")
    said: dict[str, dict[str, Any]] = {version: {} for version in DIALECTS}
    for version, of_version in said.items():
        for name in GENERATORS:
            bundle = f"generated/out/{version}/{name}.mjs"
            options = ("--bundle", "--platform=node", "--format=esm", f"--outfile={bundle}", "--log-level=warning")
            node("node_modules/esbuild/bin/esbuild", f"generated/of-{version}/with-{name}.ts", *options)
            of_version[name] = json.loads(node(bundle, "admin", PASSWORDS["admin"], servers(version).url))
    full_names = {"hey-api": "Hey Api", "orval": "Or Val", "swagger-typescript-api": "Swagger Api"}
    works = {
        name: {"names": ["alice"], "fullName": full_name, "own": "admin", "refused": ["username", "email"], "removed": 204}
        for name, full_name in full_names.items()
    }
    assert said == dict.fromkeys(DIALECTS, works)


@pytest.mark.services
def test_linters_find_nothing_in_the_documents(node: Callable[..., str], tmp_path: Path) -> None:
    variables = {"DATABASE_URL": f"sqlite:///{tmp_path}/poort.db", "REFRESH_TOKEN_TTL": "3600", "API_KEYS": "1"}
    files = []
    for version in DIALECTS:
        app = create_app(settings_for(**variables, CHAMILO_VERSION=version))
        for path in ("/api/docs.jsonopenapi", OF_JSON):
            files.append(f"document{len(files)}.json")
            (tmp_path / files[-1]).write_text(app.test_client().get(path, base_url="https://campus.test").text)
        dispose(app)
    (tmp_path / "ruleset.yaml").write_text('extends: ["spectral:oas"]\n')
    options = ("--ruleset", "ruleset.yaml", "--fail-severity", "hint")
    assert "No results" in node("node_modules/@stoplight/spectral-cli/dist/index.js", "lint", *files, *options)
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    options = ("--extends", "recommended", "--format", "json")
    said = node("node_modules/@redocly/cli/bin/cli.js", "lint", *files, *options, **quiet)
    assert said.count('"problems": []') == len(files), said


@pytest.mark.services
@pytest.mark.parametrize("version", DIALECTS, indirect=True)
def test_openapi_typescript_and_openapi_fetch(served: Served, node: Callable[..., str]) -> None:
    node("node_modules/openapi-typescript/bin/cli.js", f"{served.url}/api/docs.jsonopenapi", "-o", "src/schema.ts")
    node("node_modules/tsc/bin/tsc", "--project", "tsconfig.json")
    assert json.loads(node("out/manage.js", served.url, "admin", PASSWORDS["admin"])) == {
        "names": ["alice"],
        "email": "typed@example.com",
        "lastname": "Script",
        "fullName": "Ty Script",
        "own": "admin",
        "refused": [
            422,
            [
                {
                    "propertyPath": "username",
                    "message": "This value is already used.",
                    "code": "23bd9dbf-6b9b-41cd-a99e-4844bcf3077f",
                }
            ],
        ],
        "removed": 204,
    }


@pytest.mark.parametrize("version", DIALECTS, indirect=True)
def test_openapi_python_client(served: Served, tmp_path: Path) -> None:
    document = served.server.request("GET", OF_JSON)[2]
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    generator = str(Path(sys.executable).with_name("openapi-python-client"))
    options = ("--path", "openapi.json", "--meta", "none", "--output-path", "chamilo_api", "--config", "config.yml")
    done = subprocess.run([generator, "generate", *options], check=False, capture_output=True, text=True, cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert re.findall(r"WARNING|^Unable to process .*", said, re.MULTILINE) == []

    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    modules = {module.stem: module.read_text() for module in (tmp_path / "chamilo_api" / "api").glob("*/*.py")}
    for operation in operations:
        statuses = re.findall(r"response\.status_code == (\d+)", modules[operation["operationId"]])
        assert statuses == list(operation["responses"]), operation["operationId"]

    program = (sys.executable, str(HERE / "python" / "manage.py"), served.url, "admin", PASSWORDS["admin"])
    answer = json.loads(run(program, tmp_path, PYTHONPATH=str(tmp_path)))
    assert datetime.fromisoformat(answer.pop("expires_at")).utcoffset() is not None
    assert answer == {
        "names": ["alice"],
        "email": "generated@example.com",
        "roles": ["ROLE_TEACHER", "ROLE_USER"],
        "full_name": "Gen Client",
        "own": "admin",
        "violations": {
            "username": "This value is already used.",
            "email": "This value is not a valid email address.",
        },
        "missing": "Not Found",
        "deleted": 204,
    }
