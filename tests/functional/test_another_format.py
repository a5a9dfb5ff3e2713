"""A format is one object in one table: a format of this test's own is negotiated, rendered and documented."""

import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from references import dangling_references

from models import User
from rest.format import Format
from rest.formats import FORMATS
from rest.resource import Resource, texts
from rest.schema import read_schema, reference, schema_name


def _table(fields: dict[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in texts(fields).items())


def _name(resource: Resource) -> str:
    return schema_name(resource, "read", ".toml")


TOML = Format(
    name="toml",
    media_types=("application/toml", "text/x-toml"),
    item=lambda item: _table(item.fields),
    collection=lambda collection: "".join(f"[[items]]\n{_table(item.fields)}" for item in collection.members),
    encode=str.encode,
    schemas=lambda resource: {_name(resource): read_schema(resource)},
    item_schema=lambda resource: reference(_name(resource)),
    collection_schema=lambda resource: {
        "type": "object",
        "properties": {"items": {"type": "array", "items": reference(_name(resource))}},
    },
)


@pytest.fixture
def app(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> Flask:
    """An application that is created after a row was added to the table."""
    monkeypatch.setitem(FORMATS, TOML.name, TOML)
    return make_app()


@pytest.fixture
def alice(database: Database) -> User:
    return database.make_user("alice", ["ROLE_ADMIN"])


@pytest.mark.parametrize(
    ("suffix", "accept"),
    [
        (".toml", "*/*"),
        (".toml", "text/x-toml"),
        ("", "application/toml"),
        ("", "text/x-toml"),
        ("", "text/csv;q=0.5, application/toml"),
    ],
)
def test_items_and_lists_are_answered_in_it(app: Flask, client: FlaskClient, alice: User, suffix: str, accept: str) -> None:
    headers, item = bearer(app, alice, accept=accept), f"/api/users/{alice.id}"
    answers = [client.get(f"{path}{suffix}", headers=headers) for path in (item, "/api/users")]
    assert [(answer.status_code, answer.content_type) for answer in answers] == [(200, "application/toml; charset=utf-8")] * 2
    shown, listed = (tomllib.loads(answer.text) for answer in answers)
    assert (shown["username"], shown["roles"]) == ("alice", ["ROLE_ADMIN", "ROLE_USER"])
    assert listed == {"items": [shown]}
    tag = answers[0].headers["ETag"]
    assert tag.endswith('-toml"')
    assert client.get(f"{item}{suffix}", headers=headers | {"If-None-Match": tag}).status_code == 304


def test_text_of_406_names_it(app: Flask, client: FlaskClient, alice: User) -> None:
    answer = client.get("/api/users", headers=bearer(app, alice, accept="image/png"))
    assert answer.status_code == 406
    assert answer.json["error"].endswith('"text/csv", "application/toml", "text/x-toml".')
    answer = client.get("/api/users.toml", headers=bearer(app, alice, accept="image/png"))
    assert answer.json["error"].endswith('Supported MIME types are "application/toml", "text/x-toml".')


def test_other_wishes_are_answered_as_before(app: Flask, client: FlaskClient, alice: User) -> None:
    types = {
        accept: client.get("/api/users", headers=bearer(app, alice, accept=accept)).mimetype for accept in ("*/*", "text/html")
    }
    assert types == {"*/*": "application/ld+json", "text/html": "application/ld+json"}


def test_it_is_in_the_openapi_document(client: FlaskClient) -> None:
    document = client.get("/api/docs.json").json
    read, content = {"$ref": "#/components/schemas/User.toml-user.read"}, {}
    for path in ("/api/users", "/api/users/{id}"):
        content[path] = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert content[path]["text/x-toml"] == content[path]["application/toml"]
    assert content["/api/users/{id}"]["application/toml"]["schema"] == read
    assert content["/api/users"]["application/toml"]["schema"]["properties"]["items"]["items"] == read
    assert document["components"]["schemas"]["User.toml-user.read"]["properties"]["username"]["type"] == "string"
    assert dangling_references(document) == set()
    assert list(map(str, OpenAPIV31SpecValidator(document).iter_errors())) == []


def test_without_it_the_suffix_is_unknown(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FORMATS, TOML.name)
    assert client.get("/api/users.toml").json == {"error": 'Format "toml" is not supported'}


def test_planted_dangling_reference_is_found(client: FlaskClient) -> None:
    document = client.get("/api/docs.json").json
    del document["components"]["schemas"]["User.toml-user.read"]
    assert dangling_references(document) == {"#/components/schemas/User.toml-user.read"}
