"""Declaring a property once is enough: a new one is read, validated, rendered and documented."""

from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from factories import settings_for
from flask import Flask, Response
from flask.testing import FlaskClient

from app import utc_now
from blueprints.docs.routes import declared_operations
from blueprints.request_hooks import register_request_hooks
from blueprints.users.operations import CREATE
from blueprints.users.resource import USER
from rest.body import find_violations, read_changes, require_none
from rest.dialect import CHAMILO_2
from rest.documents import hydra
from rest.documents.openapi import build_openapi
from rest.documents.selection import Selection
from rest.negotiation import install_negotiation, render_item, request_object, speaks
from rest.paths import SegmentConverter, SuffixConverter
from rest.representation import Item
from rest.resource import Kind, Property
from security.access import public

NICKNAME = Property(
    "nickname", Kind.STRING, ("nickname",), writable=True, nullable=True, max_length=5, description="For friends.", example="Al"
)
MORE = replace(USER, properties=(*USER.properties, NICKNAME))

HOST = "http://localhost/"


@pytest.fixture
def app() -> Iterator[Flask]:
    """An application with one operation on the declared resource; its rows are what the body says."""
    app = Flask(__name__)
    app.url_map.converters |= {"suffix": SuffixConverter, "segment": SegmentConverter}
    register_request_hooks(app, settings_for(), utc_now)

    @app.post("/api/users<suffix:suffix>")
    @speaks(replace(CREATE, resource=MORE))
    @public
    def create() -> Response:
        values = read_changes(MORE, request_object(), frozenset(prop.name for prop in MORE.writable))
        require_none(find_violations(MORE, values, complete=True))
        nothing = dict.fromkeys(name for prop in MORE.properties for name in prop.attributes)
        return render_item(Item.of(MORE, MORE.readable, SimpleNamespace(**nothing | {"id": 1, "roles": []} | values)))

    install_negotiation(app, CHAMILO_2, declared_operations(app), lambda: None)
    return app


def create(client: FlaskClient, **more: Any) -> tuple[int, Any]:
    answer = client.post("/api/users", json={"username": "alice", "email": "a@example.com"} | more)
    return answer.status_code, answer.json if answer.is_json else {}


def test_it_is_read_and_rendered(client: FlaskClient) -> None:
    status, body = create(client, nickname="Al")
    assert (status, body["nickname"]) == (HTTPStatus.CREATED, "Al")
    assert list(body)[-1] == "nickname"
    assert "nickname" not in create(client, nickname=None)[1]


def test_it_is_validated(client: FlaskClient) -> None:
    assert create(client, nickname="Alicia")[1]["violations"] == [
        {
            "propertyPath": "nickname",
            "message": "This value is too long. It should have 5 characters or less.",
            "code": "d94b19cc-114f-4f44-9cc4-4138e80a87b9",
        }
    ]
    status, body = create(client, nickname=5)
    assert status == HTTPStatus.BAD_REQUEST
    assert body["hydra:description"] == 'The type of the "nickname" attribute must be "string", "integer" given.'


def test_it_is_in_the_openapi_document(app: Flask) -> None:
    document = build_openapi(declared_operations(app), Selection(), version="1.2.3", takes_api_keys=False)
    schemas = document["components"]["schemas"]
    for name in ("User-user.read", "User.jsonld-user.read", "User.jsonhal-user.read"):
        read = schemas[name]["properties"]["nickname"]
        assert read == {"type": "string", "description": "For friends.", "examples": ["Al"]}
    for name in ("User-user.write", "User.jsonld-user.write"):
        written = schemas[name]["properties"]["nickname"]
        assert (written["type"], written["maxLength"]) == (["string", "null"], 5)
    attributes = schemas["User.jsonapi-user.write"]["properties"]["data"]["properties"]["attributes"]
    assert attributes["properties"]["nickname"]["maxLength"] == 5
    answer = document["paths"]["/api/users"]["post"]["responses"]["201"]["content"]["application/json"]
    assert answer["example"]["nickname"] == "Al"


def test_it_is_in_the_context_and_the_hydra_documentation(app: Flask) -> None:
    assert hydra.build_context(MORE, HOST)["@context"]["nickname"] == "User/nickname"
    classes = hydra.build_documentation(declared_operations(app), HOST, CHAMILO_2.hydra)["hydra:supportedClass"]
    described = {prop["hydra:title"]: prop for prop in classes[0]["hydra:supportedProperty"]}
    assert described["nickname"]["hydra:property"]["range"] == "xmls:string"
    assert (described["nickname"]["hydra:readable"], described["nickname"]["hydra:writeable"]) == (True, True)


def test_without_it_there_is_none() -> None:
    assert "nickname" not in hydra.build_context(USER, HOST)["@context"]
