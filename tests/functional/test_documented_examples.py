"""The examples in the OpenAPI documents: sent as they are they do no harm, and answers look as they say."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from databases import Databases
from factories import Clock, Database, bearer, dispose, settings_for
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from references import dangling_references
from werkzeug.test import TestResponse

from app import create_app
from models.user import User
from rest.formats import FORMATS

DOCUMENTS = ("/api/docs.jsonopenapi", "/api/docs.jsonopenapi?suffix=json")

PASSWORD = "known to the administrator alone"

TOKEN = "/api/authentication_token"


class Documented(NamedTuple):
    """An operation of a document."""

    path: str
    method: str
    described: dict[str, Any]

    @property
    def path_with_examples(self) -> str:
        """The path as tools fill it in."""
        path = self.path
        for parameter in self.described.get("parameters", []):
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        return path

    @property
    def bodies(self) -> dict[str, Any]:
        """The examples of bodies by media type; one empty body if the operation takes none."""
        content = self.described.get("requestBody", {}).get("content")
        return {media_type: body["example"] for media_type, body in content.items()} if content else {"": None}

    def example(self, status: int, media_type: str) -> Any:
        return self.described["responses"][str(status)]["content"][media_type]["example"]

    def open(self, client: FlaskClient, headers: dict[str, str], **given: Any) -> TestResponse:
        """Send the operation with the example in its first media type, unless a body is given."""
        media_type, body = next(iter(self.bodies.items()))
        sent = {"path": self.path_with_examples, "data": json.dumps(body) if media_type else None} | given
        return client.open(sent.pop("path"), method=self.method, headers={"Content-Type": media_type} | headers, **sent)


def operations_of(client: FlaskClient, document: str) -> list[Documented]:
    paths = json.loads(client.get(document).data)["paths"]
    return [
        Documented(path, method.upper(), described) for path, methods in paths.items() for method, described in methods.items()
    ]


@pytest.fixture(scope="module")
def database(databases: Databases) -> Database:
    """A database of this module alone, whose first user has the id 1."""
    return databases.fresh("sqlite")


@pytest.fixture(scope="module")
def app(database: Database) -> Iterator[Flask]:
    clock = Clock()
    variables = {"REFRESH_TOKEN_TTL": "3600", "API_KEYS": "1", "LOGIN_THROTTLING_MAX_ATTEMPTS": "0", "APP_SECRET": "x" * 32}
    app = create_app(settings_for(DATABASE_URL=database.url, **variables), clock, clock.advance)
    yield app
    dispose(app)


@pytest.fixture(scope="module", autouse=True)
def admin(database: Database) -> User:
    return database.make_user("admin", ["ROLE_ADMIN"], password=PASSWORD)


@pytest.fixture
def headers(app: Flask, admin: User) -> dict[str, str]:
    return bearer(app, admin)


def columns(user: User) -> dict[str, Any]:
    return {column.name: getattr(user, column.name) for column in User.__table__.columns if column.name != "last_login"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_administrator_is_as_before_when_all_examples_were_sent_twice(
    app: Flask, admin: User, database: Database, document: str
) -> None:
    client, before, statuses = app.test_client(), columns(database.user(admin.id)), Counter[int]()
    assert admin.id == 1, "tools fill in this id, so it is the one to protect"
    for operation in operations_of(client, document) * 2:
        for media_type, body in operation.bodies.items():
            # An operation may have ended all tokens of its second, and none may profit from that.
            app.extensions["poort"].clock.advance(2)
            signed_in = bearer(app, admin) | ({"Content-Type": media_type} if media_type else {})
            data = json.dumps(body) if media_type else None
            answer = client.open(operation.path_with_examples, method=operation.method, headers=signed_in, data=data)
            assert answer.status_code < 500, (operation.path, operation.method, answer.text)
            assert answer.status_code != 401 or operation.described.get("security") == [], (operation.path, answer.text)
            statuses[answer.status_code] += 1
    assert statuses.total() > 40
    assert statuses[200] + statuses[204] > 10, statuses
    assert columns(database.user(admin.id)) == before
    answer = client.post(TOKEN, json={"username": "admin", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    # Examples may make users, but none who can sign in with a published password.
    assert {user.password for user in database.rows(User) if user.username in {"alice", "newcomer"}} == {""}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_example_names_the_first_user(app: Flask, document: str) -> None:
    for operation in operations_of(app.test_client(), document):
        parameters = [parameter for parameter in operation.described.get("parameters", []) if parameter["in"] == "path"]
        assert [parameter["name"] for parameter in parameters if parameter["example"] in {1, "1"}] == [], operation.path
        assert not re.search(r'"_?id": (1|"1")[,}]|users/1\b', json.dumps(operation.described)), operation.path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_of_a_change_is_small(app: Flask, document: str) -> None:
    changes = [
        one for one in operations_of(app.test_client(), document) if one.method in {"PUT", "PATCH"} and "users/{id}" in one.path
    ]
    examples = [body for one in changes if "password" not in one.path for body in one.bodies.values()]
    assert len(changes) == 3
    plain = {"phone": "+32 2 123 45 67"}
    assert [body for body in examples if body not in (plain, {"data": {"type": "User", "attributes": plain}})] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_everything_is_described(app: Flask, document: str) -> None:
    for operation in operations_of(app.test_client(), document):
        assert len(operation.described["description"]) > len("A sentence."), operation.path
        assert all(answer.get("content", {"": {"example": 1}}) for answer in operation.described["responses"].values())
        for answer in operation.described["responses"].values():
            assert [name for name, content in answer.get("content", {}).items() if "example" not in content] == [], operation.path
        schemas = {one["name"]: one["schema"] for one in operation.described.get("parameters", [])}
        assert [name for name, schema in schemas.items() if "type" not in schema] == []
        for name, values in (("order[username]", ["asc", "desc"]), ("isActive", ["true", "false"])):
            assert name not in schemas or schemas[name]["enum"] == values


def test_document_of_a_suffix_knows_that_format_alone(app: Flask) -> None:
    document = app.test_client().get(DOCUMENTS[1]).json
    text = json.dumps(document)
    assert set(re.findall(r"application/[a-z+.-]*json", text)) - {"application/vnd.api+json"} == {
        *("application/json", "application/problem+json", "application/merge-patch+json")
    }
    contents = [
        content
        for methods in document["paths"].values()
        for one in methods.values()
        for content in (
            *(answer.get("content") for answer in one["responses"].values()),
            one.get("requestBody", {}).get("content"),
        )
        if content
    ]
    assert {len(content) for content in contents} == {1}
    resources = [path for path in document["paths"] if "users" in path or "access_urls" in path or path.startswith("/api/me.")]
    assert len(resources) == 5
    assert {path.rpartition(".")[2] for path in resources} == {"json"}
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) >= document["components"]["schemas"].keys()
    assert not [name for name in document["components"]["schemas"] if "." in name or "hydra" in name]


def test_document_names_the_server_whose_paths_it_has(app: Flask) -> None:
    client = app.test_client()
    servers = [client.get(document, base_url="https://campus.example").json["servers"][0]["url"] for document in DOCUMENTS]
    assert servers == ["/", "https://campus.example"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_document_of_each_suffix_is_openapi(app: Flask, suffix: str) -> None:
    document = app.test_client().get(f"/api/docs.json?suffix={suffix}").json
    assert list(map(str, OpenAPIV31SpecValidator(document).iter_errors())) == []
    assert dangling_references(document) == set()
    assert f"/api/users/{{id}}.{suffix}" in document["paths"]


def test_document_of_a_suffix_that_no_format_has_is_404(app: Flask) -> None:
    answer = app.test_client().get("/api/docs.jsonopenapi?suffix=pdf")
    assert (answer.status_code, answer.json) == (404, {"error": 'Format "pdf" is not supported'})


# --- Answers


def shape(value: Any) -> Any:
    """Return a value with types in the place of what is no object and no list."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return type(value).__name__


def shape_of_text(text: str) -> list[str]:
    """Return the names in XML, YAML or CSV, in their order."""
    first = text.partition("\n")[0]
    return re.findall(r"<(\w+)", text) or re.findall(r"^[- ]*(\w+):", text, re.MULTILINE) or first.split(",")


def seen(example: Any) -> Any:
    return shape_of_text(example) if isinstance(example, str) else shape(example)


@pytest.fixture
def whole_user(database: Database, admin: User) -> User:
    """A user with a value in every property."""
    texts = dict.fromkeys(("firstname", "lastname", "website", "biography", "phone", "address"), "x")
    times = dict.fromkeys(("last_login", "password_updated_at"), admin.created_at)
    return database.make_user(f"whole{len(database.rows(User))}", ["ROLE_STUDENT"], **texts, **times)


def test_documented_users_are_in_the_form_of_real_ones(app: Flask, headers: dict[str, str], whole_user: User) -> None:
    client = app.test_client()
    documented = {one.path: one for one in operations_of(client, DOCUMENTS[0]) if one.method == "GET"}
    of_me = bearer(app, whole_user)
    requests = {
        "/api/users": (f"/api/users?username={whole_user.username}", headers),
        "/api/users/{id}": (f"/api/users/{whole_user.id}", headers),
        "/api/me": ("/api/me", of_me),
    }
    for path, (target, caller) in requests.items():
        for media_type, content in documented[path].described["responses"]["200"]["content"].items():
            answer = client.get(target, headers=caller | {"Accept": media_type})
            real = json.loads(answer.data) if media_type.endswith("json") else answer.text
            if isinstance(real, dict):
                real.pop("hydra:view", None)  # repeats the filter
            assert (answer.status_code, seen(real)) == (200, seen(content["example"])), (path, media_type)


def test_documented_answers_of_signing_in_are_in_the_form_of_real_ones(app: Flask, database: Database) -> None:
    client = app.test_client()
    database.make_user("signing", password="a password of its own")
    documented = {(one.method, one.path): one.example(200, "application/json") for one in operations_of(client, DOCUMENTS[0])
                  if "example" in one.described["responses"].get("200", {}).get("content", {}).get("application/json", {})}  # fmt: skip
    signed_in = client.post(TOKEN, json={"username": "signing", "password": "a password of its own"}).json
    caller = {"Authorization": f"Bearer {signed_in['token']}", "User-Agent": "curl"}
    begun = client.post("/api/me/totp", json={"password": "a password of its own"}, headers=caller).json
    refreshed = client.post("/api/token/refresh", json={"refresh_token": signed_in["refresh_token"]}).json
    real = {
        ("POST", "/api/token/refresh"): refreshed,
        ("GET", "/api/me/sessions"): client.get("/api/me/sessions", headers=caller).json,
        ("GET", "/api/me/totp"): client.get("/api/me/totp", headers=caller).json,
        ("POST", "/api/me/totp"): begun,
    }
    assert {key: shape(answer) for key, answer in real.items()} == {key: shape(documented[key]) for key in real}
    assert shape(documented["POST", TOKEN]).items() <= shape(signed_in).items()
    backup_codes = app.extensions["poort"].second_factors.new_backup_codes()
    assert [re.sub(r"[a-z0-9]", "x", code) for code in documented["PUT", "/api/me/totp"]["backupCodes"]] == [
        re.sub(r"[a-z0-9]", "x", code.lower()) for code in backup_codes[:2]
    ]


#: What makes requests fail with a status, whatever the operation.
PROVOKED: dict[int, dict[str, Any]] = {
    404: {},
    406: {"Accept": "application/pdf"},
    415: {"Content-Type": ""},
    400: {"data": "{"},
    413: {"data": b" " * 1024 * 1024},
    422: {"data": '{"email": ""}'},
}

#: Statuses that depend on the body alone once the path is that of a user and a portal.
OF_BODIES = {400, 413, 415, 422}


def provoked(client: FlaskClient, operation: Documented, status: int, headers: dict[str, str]) -> TestResponse:
    """Send an operation so that it fails with a status."""
    given = dict(PROVOKED[status])
    fields = headers | {name: given.pop(name) for name in ("Accept", "Content-Type") if name in given}
    path = operation.path_with_examples
    return operation.open(client, fields, path=path.replace("1234567890", "1") if status in OF_BODIES else path, **given)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_failures_are_in_the_form_of_real_ones(app: Flask, headers: dict[str, str], document: str) -> None:
    client, compared = app.test_client(), 0
    for operation in operations_of(client, document):
        for status in PROVOKED.keys() & {int(status) for status in operation.described["responses"]}:
            if (status == 422 and "/password" in operation.path) or (status == 400 and operation.method == "GET"):
                continue  # the password is missing, which is 400; a GET has no body
            answer = provoked(client, operation, status, headers)
            assert answer.status_code == status, (operation.path, operation.method, status, answer.text)
            example = operation.example(status, answer.mimetype)
            assert shape(answer.json) == shape(example), (operation.path, operation.method, status)
            if status in {404, 413, 415}:
                assert answer.json == example
            assert "X-Error-Code" in operation.described["responses"][str(status)]["headers"]
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_refusal_of_a_token_is_a_real_one(app: Flask, admin: User, document: str) -> None:
    client, stale = app.test_client(), bearer(app, admin)
    app.extensions["poort"].clock.advance(3600)
    for operation in operations_of(client, document):
        if operation.described.get("security") != []:
            answer = operation.open(client, stale)
            assert (answer.status_code, answer.json) == (401, operation.example(401, answer.mimetype)), operation.path
