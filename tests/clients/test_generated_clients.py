"""Clients generated from the OpenAPI document are complete, and work."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from clients.installing import HERE, run
from clients.serving import PASSWORDS, Served


@pytest.mark.services
def test_openapi_typescript_and_openapi_fetch(served: Served, node: Callable[..., str]) -> None:
    node("node_modules/openapi-typescript/bin/cli.js", f"{served.url}/api/docs.json", "-o", "src/schema.d.ts")
    node("node_modules/typescript/bin/tsc", "--project", "tsconfig.json")
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


def test_openapi_python_client(served: Served, tmp_path: Path) -> None:
    document = served.server.request("GET", "/api/docs.json")[2]
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    generator = str(Path(sys.executable).with_name("openapi-python-client"))
    options = ("--path", "openapi.json", "--meta", "none", "--output-path", "chamilo_api", "--config", "config.yml")
    done = subprocess.run([generator, "generate", *options], check=False, capture_output=True, text=True, cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # The generator cannot model `id` beside `@id`; it reads answers by the schema of application/json, which comes first.
    lost = re.findall(r"^Unable to process schema (\S+):$", said, re.MULTILINE)
    assert lost == [f"/components/schemas/{name}.jsonld-user.read" for name in ("User", "CurrentUserProfile")]
    assert "WARNING" not in said, said

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
