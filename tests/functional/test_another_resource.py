"""A second resource, tests/rooms, gets formats, filters, pages, access rules and documents without a change to the rooms."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from references import dangling_references
from rooms.resource import Base, Room
from rooms.routes import bp

from rest.formats import FORMATS
from security.access import refuse_undeclared_routes

MERGE_PATCH = "application/merge-patch+json"


@pytest.fixture
def app(database: Database, make_app: Callable[..., Flask]) -> Iterator[Flask]:
    """An application that serves rooms beside users, with three of them."""
    Base.metadata.create_all(database.engine)
    with database.session() as session:
        for room in (Room(title="Aula", seats=200, notes="dusty"), Room(title="Lab", is_open=False), Room(title="Attic")):
            session.add(room)
            session.flush()  # in this order
    app = make_app()
    app.register_blueprint(bp, url_prefix="/api")
    refuse_undeclared_routes(app)
    yield app
    Base.metadata.drop_all(database.engine)


@pytest.fixture
def admin(app: Flask, database: Database) -> dict[str, str]:
    return bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))


@pytest.fixture
def student(app: Flask, database: Database) -> dict[str, str]:
    return bearer(app, database.make_user("student", ["ROLE_STUDENT"]))


def titles(client: FlaskClient, headers: dict[str, str], query: str) -> list[str]:
    return [room["title"] for room in client.get(f"/api/rooms?{query}", headers=headers).json["hydra:member"]]


def test_views_of_a_resource_are_short() -> None:
    assert len((Path(__file__).parents[1] / "rooms" / "routes.py").read_text().splitlines()) < 120


def test_item_has_what_its_caller_may_see(client: FlaskClient, admin: dict[str, str], student: dict[str, str]) -> None:
    public = {"id": 1, "title": "Aula", "seats": 200, "isOpen": True}
    node = {"@context": "/api/contexts/Room", "@id": "/api/rooms/1", "@type": "https://schema.org/Room"}
    assert client.get("/api/rooms/1", headers=student).json == node | public
    assert client.get("/api/rooms/1", headers=admin).json == node | public | {"notes": "dusty"}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_answers(client: FlaskClient, admin: dict[str, str], name: str) -> None:
    for path in ("/api/rooms", "/api/rooms/1"):
        answers = [
            client.get(f"{path}.{name}", headers=admin),
            client.get(path, headers=admin | {"Accept": FORMATS[name].media_types[0]}),
        ]
        assert [(answer.status_code, answer.mimetype) for answer in answers] == [(200, FORMATS[name].media_types[0])] * 2
        assert all("Aula" in answer.text for answer in answers)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("title=ula", ["Aula"]),
        ("title[]=ula&title[]=tti", ["Aula", "Attic"]),
        ("isOpen=false", ["Lab"]),
        ("order[title]=desc", ["Lab", "Aula", "Attic"]),
        ("order[title]=asc&isOpen=1", ["Attic", "Aula"]),
        ("order[seats]=asc", ["Aula", "Lab", "Attic"]),
    ],
)
def test_list_is_filtered_and_ordered(client: FlaskClient, student: dict[str, str], query: str, found: list[str]) -> None:
    assert titles(client, student, query) == found


def test_list_has_pages_and_a_search_template(client: FlaskClient, student: dict[str, str]) -> None:
    body = client.get("/api/rooms?itemsPerPage=2&page=2", headers=student).json
    assert (body["hydra:totalItems"], [room["title"] for room in body["hydra:member"]]) == (3, ["Attic"])
    assert body["hydra:view"]["hydra:previous"] == "/api/rooms?itemsPerPage=2&page=1"
    assert body["hydra:search"]["hydra:template"] == "/api/rooms{?title,isOpen,order[title]}"
    answer = client.get("/api/rooms?page=0", headers=student)
    assert (answer.status_code, answer.json["hydra:description"]) == (400, "Page should not be less than 1")


def test_rules_say_who_may_call(client: FlaskClient, student: dict[str, str]) -> None:
    sent = {"json": {"title": "Hall"}}
    assert client.get("/api/rooms").status_code == 401
    assert client.post("/api/rooms", headers=student, **sent).json == {"error": "Access Denied."}
    assert client.patch("/api/rooms/1", headers=student | {"Content-Type": MERGE_PATCH}, **sent).status_code == 403
    assert client.delete("/api/rooms/1", headers=student).status_code == 403
    assert client.get("/api/rooms/01", headers=student).json == {"error": "Not Found"}


def test_rooms_are_created_changed_and_deleted(client: FlaskClient, admin: dict[str, str]) -> None:
    made = client.post("/api/rooms", headers=admin, json={"title": "Hall", "seats": 5, "id": 9, "more": 1})
    assert (made.status_code, made.json["title"], made.json["seats"]) == (201, "Hall", 5)
    path, tag = made.headers["Location"], made.headers["ETag"]
    assert path == made.json["@id"] != "/api/rooms/9"
    changes = admin | {"Content-Type": MERGE_PATCH}
    untagged = client.patch(path, headers=changes | {"If-Match": tag}, json={"seats": 6})
    assert (untagged.status_code, untagged.json["seats"], untagged.headers["ETag"]) == (200, 6, tag)
    assert untagged.headers["Accept-Patch"] == MERGE_PATCH
    assert client.patch(path, headers=changes | {"If-Match": tag}, json={"title": "Great Hall"}).headers["ETag"] != tag
    assert client.patch(path, headers=changes | {"If-Match": tag}, json={"title": "Hall"}).status_code == 412
    assert client.delete(path, headers=admin).status_code == 204
    assert client.get(path, headers=admin).status_code == 404


def test_bodies_are_read_and_validated(client: FlaskClient, admin: dict[str, str]) -> None:
    answer = client.post("/api/rooms", headers=admin, json={"title": " ", "seats": 5})
    assert [(broken["propertyPath"], answer.status_code) for broken in answer.json["violations"]] == [("title", 422)]
    answer = client.post("/api/rooms", headers=admin, json={"title": "Hall", "seats": "5"})
    assert answer.json["hydra:description"] == 'The type of the "seats" attribute must be "int", "string" given.'
    sent = {"data": {"type": "Room", "attributes": {"title": "Hall"}}}
    headers = admin | {"Content-Type": "application/vnd.api+json", "Accept": "application/vnd.api+json"}
    assert client.post("/api/rooms", headers=headers, json=sent).json["data"]["attributes"]["title"] == "Hall"
    answer = client.put("/api/rooms/1", headers=admin, json={})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, PATCH, DELETE")


def test_openapi_document_describes_it(client: FlaskClient) -> None:
    document: dict[str, Any] = client.get("/api/docs.json").json
    assert {path: set(document["paths"][path]) for path in ("/api/rooms", "/api/rooms/{id}")} == {
        "/api/rooms": {"get", "post"},
        "/api/rooms/{id}": {"get", "patch", "delete"},
    }
    schemas = {name for name in document["components"]["schemas"] if name.startswith("Room")}
    read = {"Room-room.read", "Room.jsonld-room.read", "Room.jsonhal-room.read", "Room.jsonapi", "Room.jsonapi-room.read"}
    assert schemas == read | {f"Room{infix}-room.write" for infix in ("", ".jsonld", ".jsonapi")} | {"Room-room.patch"}
    assert {"name": "Room", "description": "Rooms of a campus"} in document["tags"]
    assert {parameter["name"] for parameter in document["paths"]["/api/rooms"]["get"]["parameters"]} == {
        *("page", "itemsPerPage", "title", "isOpen", "order[title]")
    }
    assert dangling_references(document) == set()
    assert list(map(str, OpenAPIV31SpecValidator(document).iter_errors())) == []


def test_hydra_documents_describe_it(client: FlaskClient) -> None:
    assert client.get("/api", headers={"Accept": "application/ld+json"}).json["room"] == "/api/rooms"
    assert client.get("/api/contexts/Room").json["@context"]["isOpen"] == "Room/isOpen"
    assert client.get("/api/contexts/Entrypoint").json["@context"]["room"] == {"@id": "Entrypoint/room", "@type": "@id"}
    classes = {found["hydra:title"]: found for found in client.get("/api/docs.jsonld").json["hydra:supportedClass"]}
    assert [prop["hydra:title"] for prop in classes["Room"]["hydra:supportedProperty"]] == ["title", "seats", "isOpen", "notes"]
    assert [one["hydra:method"] for one in classes["Room"]["hydra:supportedOperation"]] == ["GET", "PATCH", "DELETE"]


def test_users_are_documented_as_before(client: FlaskClient, make_app: Callable[..., Flask]) -> None:
    alone, beside = make_app().test_client().get("/api/docs.json").json, client.get("/api/docs.json").json
    assert len(alone["paths"]) < len(beside["paths"])
    assert {path: beside["paths"][path] for path in alone["paths"]} == alone["paths"]
    schemas = alone["components"]["schemas"]
    assert {name: beside["components"]["schemas"][name] for name in schemas} == schemas
