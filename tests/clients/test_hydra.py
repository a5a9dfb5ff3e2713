"""API Platform's own clients understand the documents, and work."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from clients.serving import Served

from rest.dialect import DIALECTS

pytestmark = pytest.mark.services

READ_ONLY = {"illustrationUrl", "lastLogin", "active", "fullName", "passwordUpdatedAt"}
WRITABLE = {
    *("username", "firstname", "lastname", "website", "biography", "locale", "plainPassword", "timezone", "email", "expired"),
    *("expiresAt", "phone", "address", "roles"),
}
RANGES = {
    "expired": "boolean",
    "expiresAt": "dateTime",
    "lastLogin": "dateTime",
    "active": "integer",
    "passwordUpdatedAt": "dateTime",
}


@pytest.mark.parametrize("version", DIALECTS, indirect=True)
def test_api_doc_parser_finds_the_resource(served: Served, node: Callable[..., str]) -> None:
    parsed: dict[str, Any] = json.loads(node("src/parse.mjs", served.url))
    hydra, openapi = parsed["hydra"], parsed["openapi"]
    assert (hydra["status"], hydra["entrypoint"], openapi["status"]) == (200, f"{served.url}/api", 200)
    assert hydra["title"] == openapi["title"] == "Chamilo Api"

    [users] = hydra["resources"]
    assert (users["name"], users["url"], users["title"]) == ("users", f"{served.url}/api/users", "User")
    assert len(users["readable"]) == 18
    assert set(users["readable"]) == READ_ONLY | WRITABLE - {"plainPassword"}
    assert len(users["writable"]) == 14
    assert set(users["writable"]) == WRITABLE
    for field in users["fields"]:
        assert field["range"] == f"http://www.w3.org/2001/XMLSchema#{RANGES.get(field['name'], 'string')}"
    assert [field["name"] for field in users["fields"] if field["required"]] == ["username", "email"]
    assert [(operation["method"], operation["type"]) for operation in users["operations"]] == [
        *(("GET", "list"), ("POST", "create"), ("GET", "show")),
        *(("PUT", "edit"), ("PATCH", "edit"), ("DELETE", "delete")),
    ]
    assert all(operation["name"] and operation["returns"] for operation in users["operations"])

    [same] = openapi["resources"]
    assert (same["name"], same["title"]) == ("users", "User")
    assert set(same["readable"]) == {"id", *users["readable"]}
    assert set(same["writable"]) == WRITABLE
    types = {field["name"]: field["type"] for field in same["fields"]}
    assert types == {"id": "integer"} | {field["name"]: field["type"] for field in users["fields"]} | {
        "plainPassword": "password",
        "roles": "array",
        "email": types["email"],
    }
    item = [(method, kind) for method, kind in (("GET", "show"), ("PUT", "edit"), ("PATCH", "edit"), ("DELETE", "delete"))]
    assert [(operation["method"], operation["type"]) for operation in same["operations"]] == item


def test_api_platform_admin(servers: Callable[[str], Served], node: Callable[..., str]) -> None:
    """Run the client's own tests in npm/src on both versions; a failure shows their output."""
    started = {version: servers(version) for version in DIALECTS}
    given = [{"version": version, "url": served.url, "token": served.token()} for version, served in started.items()]
    said = node("node_modules/vitest/vitest.mjs", "run", POORT_SERVERS=json.dumps(given), NO_COLOR="1")
    assert f"{11 * len(DIALECTS)} passed" in said, said
