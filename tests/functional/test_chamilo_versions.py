"""Each answer that depends on CHAMILO_VERSION, and each section of the recording's list of differences, once.

docs/compatibility.md#chamilo-3 has a row for each of them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from databases import Databases
from factories import Clock, Database, bearer, dispose, settings_for
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator
from references import dangling_references
from werkzeug.test import TestResponse

from app import create_app
from blueprints.users import routes
from models import User
from rest.dialect import CHAMILO_2, CHAMILO_3, DIALECTS, Dialect

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"

BLANK, NOT_AN_EMAIL = "c1051bb4-d103-4f74-8988-acbcafc7fdc3", "bd79c0ab-ddba-46cc-a703-a7a4b08de310"
HYDRA_LINK = '<http://localhost/api/docs.jsonld>; rel="http://www.w3.org/ns/hydra/core#apiDocumentation"'
ERROR_LINK = '<http://www.w3.org/ns/hydra/error>; rel="http://www.w3.org/ns/json-ld#error"'
PROBLEM, JSON_LD = "application/problem+json; charset=utf-8", "application/ld+json; charset=utf-8"
INVALID = {"username": "", "email": "x"}
VIOLATIONS = [
    {"propertyPath": "username", "message": "This value should not be blank.", "code": BLANK},
    {"propertyPath": "email", "message": "This value is not a valid email address.", "code": NOT_AN_EMAIL},
]
DETAIL = "username: This value should not be blank.\nemail: This value is not a valid email address."
CODES = f"0={BLANK};1={NOT_AN_EMAIL}"
VIOLATION_OF_3 = {
    "@context": "/api/contexts/ConstraintViolation",
    "@id": f"/api/validation_errors/{CODES}",
    "@type": "ConstraintViolation",
    "status": 422,
    "violations": VIOLATIONS,
    "detail": DETAIL,
    "type": f"/validation_errors/{CODES}",
    "hydra:description": DETAIL,
    "hydra:title": "An error occurred",
}


def hydra_error_of_2(text: str) -> dict[str, Any]:
    return {
        "@context": "/api/contexts/Error",
        "@type": "hydra:Error",
        "hydra:title": "An error occurred",
        "hydra:description": text,
    }


def hydra_error_of_3(status: int, text: str) -> dict[str, Any]:
    return {
        "@context": "/api/contexts/Error",
        "@id": f"/api/errors/{status}",
        "@type": "hydra:Error",
        "detail": text,
        "status": status,
        "type": f"/errors/{status}",
        "hydra:description": text,
        "hydra:title": "An error occurred",
    }


class Campus:
    """A server that answers as one version of Chamilo, an administrator, and a pupil whom tests change."""

    def __init__(self, app: Flask, admin: User, pupil: User) -> None:
        self.app, self.admin, self.pupil = app, admin, pupil

    def ask(self, method: str, path: str, json: Any = None, *, by: User | None = None, **headers: str) -> TestResponse:
        """Send a request, as the administrator if `by` is not given; `authorization` replaces the token."""
        named = bearer(self.app, by or self.admin) | {name.replace("_", "-").title(): value for name, value in headers.items()}
        named = {name: value for name, value in named.items() if value}
        return self.app.test_client().open(path, method=method, json=json, headers=named)


@pytest.fixture(scope="module")
def database(databases: Databases) -> Database:
    """One database for both versions: it decides none of these answers."""
    return databases.fresh("sqlite")


@pytest.fixture(scope="module")
def campuses(database: Database) -> Iterator[dict[str, Campus]]:
    admin, pupil = database.make_user("admin", ["ROLE_ADMIN"], password="secret"), database.make_user("pupil")
    clock = Clock()
    apps = {
        version: create_app(
            settings_for(DATABASE_URL=database.url, CHAMILO_VERSION=version, LOGIN_THROTTLING_MAX_ATTEMPTS="2"), clock
        )
        for version in DIALECTS
    }
    yield {version: Campus(app, admin, pupil) for version, app in apps.items()}
    for app in apps.values():
        dispose(app)


@pytest.fixture
def three(campuses: dict[str, Campus]) -> Campus:
    return campuses["3"]


# --- What depends on the version


def told(answer: TestResponse) -> tuple[int, str | None, str | None, str | None, Any]:
    """Return what error documents differ in; a list of pairs has the order of keys."""
    headers, body = answer.headers, answer.get_json(force=True)
    return answer.status_code, headers["Content-Type"], headers.get("Vary"), headers.get("Link"), list(body.items())


def hydra_error(campus: Campus) -> Any:
    return told(campus.ask("POST", "/api/users", {"username": 5}))


def violations(campus: Campus) -> Any:
    return told(campus.ask("POST", "/api/users", INVALID, accept="text/csv"))


def plain_json(campus: Campus) -> Any:
    return [told(campus.ask("POST", "/api/users.json", body)) for body in ({"username": 5}, INVALID)]


def internal_error(campus: Campus) -> Any:
    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise RuntimeError("SELECT password")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "paginate", fail)
        return told(campus.ask("GET", "/api/users"))[::4]


def refused_entrypoint(campus: Campus) -> Any:
    asked = [campus.ask("GET", "/api", accept=accept) for accept in ("application/pdf", "application/problem+json")]
    return [(answer.status_code, answer.content_type, list(answer.get_json(force=True))) for answer in asked]


def merged(campus: Campus) -> Any:
    path, kept = f"/api/users/{campus.pupil.id}", {"firstname": "Kept"}
    campus.ask("PATCH", path, kept, content_type="application/merge-patch+json")
    return campus.ask("PUT", path, {"lastname": "Put"}).json["fullName"]


def deleted(campus: Campus) -> Any:
    made = campus.ask("POST", "/api/users", {"username": f"gone{id(campus)}", "email": "gone@example.com"}).json["@id"]
    return [campus.ask(method, made).status_code for method in ("DELETE", "DELETE")] + [campus.ask("GET", made).json["active"]]


def throttled(campus: Campus) -> Any:
    def sign_in(password: str) -> str:
        return campus.ask("POST", "/api/authentication_token", {"username": f"who{id(campus)}", "password": password}).json[
            "message"
        ]

    return [sign_in(password) for password in ("no", "", "no")]


def sign_in_types(campus: Campus) -> Any:
    types = ("application/vnd.api+json", "application/merge-patch+json", "application/hal+json", "application/problem+json")
    return [
        campus.ask("POST", "/api/authentication_token", {"username": "admin"}, content_type=media_type).status_code
        for media_type in (*types, "application/json", "text/json", "application/x-www-form-urlencoded", "text/x+json")
    ]


def null_expiry(campus: Campus) -> Any:
    answer = campus.ask("GET", "/api/users", authorization="Bearer eyJhbGciOiJSUzI1NiJ9.eyJleHAiOm51bGx9.eA")
    return answer.status_code, answer.json["message"]


def json_api(campus: Campus) -> Any:
    return list(campus.ask("GET", f"/api/users/{campus.admin.id}.jsonapi").get_json(force=True))


def page_for_post(campus: Campus) -> Any:
    answer = campus.ask("POST", "/api/users", INVALID, accept="text/html")
    return answer.status_code, answer.get_json(force=True)["@type"]


def entrypoint(campus: Campus) -> Any:
    asked = [campus.ask("GET", "/api", accept=accept) for accept in ("", "application/json", "text/html")]
    return [(answer.status_code, answer.mimetype) for answer in asked]


def documents(campus: Campus) -> Any:
    asked = [campus.ask("GET", "/api/docs", accept=accept) for accept in ("", "application/json", "text/html")]
    asked += [campus.ask("GET", f"/api/docs.{suffix}") for suffix in ("json", "json?x=1", "jsonopenapi", "yamlopenapi", "jsonld")]
    return [(answer.status_code, answer.mimetype) for answer in asked]


def listed_documents(campus: Campus) -> Any:
    return re.findall('"(a[^"]+|t[^"]+)"', campus.ask("GET", "/api/docs", accept="application/pdf").json["error"])


def openapi_failures(campus: Campus) -> Any:
    document = campus.ask("GET", "/api/docs.jsonopenapi").get_json(force=True)
    answers = document["paths"]["/api/users"]["post"]["responses"]
    return [list(answers[status]["content"]) for status in ("400", "422")], "ConstraintViolation" in document["components"][
        "schemas"
    ]


def hydra_classes(campus: Campus) -> Any:
    document = campus.ask("GET", "/api/docs.jsonld").get_json(force=True)
    classes = [described["@id"] for described in document["hydra:supportedClass"]]
    return (
        type(document["@context"]).__name__,
        classes,
        document["hydra:supportedClass"][0]["hydra:supportedOperation"][0]["returns"],
    )


def contexts(campus: Campus) -> Any:
    names = ("User", "Error", "ConstraintViolation", "ConstraintViolationList")
    return [campus.ask("GET", f"/api/contexts/{name}").status_code for name in names]


def error_page(campus: Campus) -> Any:
    answer = campus.ask("GET", "/api/errors/404", accept="application/json", authorization="")
    return answer.status_code, list(answer.get_json(force=True).items())


def allowed(campus: Campus) -> Any:
    made = campus.ask("POST", "/api/users", {"username": f"made{id(campus)}", "email": "made@example.com"})
    asked = [campus.ask("GET", "/api/users"), made, campus.ask("GET", "/api/me"), campus.ask("DELETE", made.headers["Location"])]
    return [(answer.headers.get("Allow"), answer.headers.get("Accept-Post")) for answer in asked]


def tags(campus: Campus) -> Any:
    tag = campus.ask("GET", f"/api/users/{campus.admin.id}").headers["ETag"]
    return re.fullmatch(r'"[0-9a-f]{32}-jsonld"', tag) is not None


def home_of_reads(campus: Campus) -> Any:
    path = f"/api/users/{campus.admin.id}"
    asked = [campus.ask(method, where) for where in (path, "/api/users?page=1", "/api/me") for method in ("GET", "HEAD")]
    return [(answer.headers.get("Content-Location") or "").replace(path, "ITEM") for answer in asked]


def home_of_writes(campus: Campus) -> Any:
    path, merge = f"/api/users/{campus.pupil.id}", "application/merge-patch+json"
    changed = [
        campus.ask("PATCH", f"{path}?q=%C3%A9", {}, content_type=merge),
        campus.ask("PUT", path, {}, accept="text/csv"),
        campus.ask("PATCH", f"{path}/password", {"password": "another secret"}, content_type=merge),
    ]
    return [answer.headers["Content-Location"].replace(path, "ITEM") for answer in changed]


def precedence(campus: Campus) -> Any:
    bad = ("GET", "/api/users.foo", None, {}), ("POST", "/api/users", "x", {"content_type": "text/plain"})
    asked = (
        *bad,
        ("GET", "/api/users", None, {"accept": "image/png"}),
        ("GET", "/api/nope", None, {}),
        ("PUT", "/api/users", None, {}),
    )
    return [
        [campus.ask(method, path, body, **more, authorization=token).status_code for method, path, body, more in asked]
        for token in ("Bearer a.b.c", "")
    ]


def preflight(campus: Campus) -> Any:
    answer = campus.ask("OPTIONS", "/api/users", origin="http://localhost", access_control_request_method="GET", authorization="")
    return answer.status_code, answer.data


@dataclass(frozen=True)
class Case:
    """A row of the page: what to ask, the answers of both versions, and the parts of a Dialect that decide them."""

    ask: Callable[[Campus], Any]
    of_2: Any
    of_3: Any
    decided_by: tuple[str, ...] = ()


def same(ask: Callable[[Campus], Any], answer: Any) -> Case:
    return Case(ask, answer, answer)


TYPE_OF_2 = "https://tools.ietf.org/html/rfc2616#section-10"
NOT_A_STRING = 'The type of the "username" attribute must be "string", "integer" given.'
LIST, ITEM = "OPTIONS, HEAD, GET, POST", "OPTIONS, HEAD, GET, PUT, PATCH, DELETE"
TAKEN = "application/ld+json, application/vnd.api+json, application/json"
TWICE = "Too many failed login attempts, please try again in 1 minute."

#: By the anchor of the row on the page.
CASES = {
    "3-hydra-error": Case(
        hydra_error,
        (400, JSON_LD, None, HYDRA_LINK, list(hydra_error_of_2(NOT_A_STRING).items())),
        (400, PROBLEM, "Accept", f"{ERROR_LINK},{HYDRA_LINK}", list(hydra_error_of_3(400, NOT_A_STRING).items())),
        ("document",),
    ),
    "3-violations": Case(
        violations,
        (
            *(422, JSON_LD, None, HYDRA_LINK),
            list(
                (
                    hydra_error_of_2(DETAIL)
                    | {"@context": "/api/contexts/ConstraintViolationList", "@type": "ConstraintViolationList"}
                    | {"violations": VIOLATIONS}
                ).items()
            ),
        ),
        (422, PROBLEM, "Accept", f"{ERROR_LINK},{HYDRA_LINK}", list(VIOLATION_OF_3.items())),
        ("document",),
    ),
    "3-plain-json": Case(
        plain_json,
        [
            (400, PROBLEM, None, HYDRA_LINK, [("type", TYPE_OF_2), ("title", "An error occurred"), ("detail", NOT_A_STRING)]),
            (
                *(422, PROBLEM, None, HYDRA_LINK),
                [("type", TYPE_OF_2), ("title", "An error occurred"), ("detail", DETAIL), ("violations", VIOLATIONS)],
            ),
        ],
        [
            (
                *(400, PROBLEM, "Accept", HYDRA_LINK),
                [("title", "An error occurred"), ("detail", NOT_A_STRING), ("status", 400), ("type", "/errors/400")],
            ),
            (
                *(422, PROBLEM, "Accept", HYDRA_LINK),
                [
                    *(("status", 422), ("violations", VIOLATIONS), ("detail", DETAIL)),
                    *(("type", f"/validation_errors/{CODES}"), ("title", "An error occurred")),
                ],
            ),
        ],
        ("document",),
    ),
    "3-internal-error": Case(
        internal_error,
        (500, [("error", "Internal Server Error")]),
        (500, list(hydra_error_of_3(500, "Internal Server Error").items())),
        ("documented_failures",),
    ),
    "3-refused-entrypoint": Case(
        refused_entrypoint,
        [(406, JSON_LD, list(hydra_error_of_2(""))), (406, PROBLEM, ["type", "title", "detail"])],
        [(406, PROBLEM, list(hydra_error_of_3(406, ""))), (406, PROBLEM, ["title", "detail", "status", "type"])],
        ("document",),
    ),
    "3-put": same(merged, "Kept Put"),
    "3-delete": same(deleted, [204, 204, -2]),
    "3-throttle": same(throttled, ["Invalid credentials.", "Invalid credentials.", TWICE]),
    "3-sign-in": Case(
        sign_in_types,
        [415, 415, 415, 415, 400, 415, 415, 415],
        [400, 400, 415, 415, 400, 415, 415, 415],
        ("sign_in_types", "listed_sign_in_types"),
    ),
    "3-exp": same(null_expiry, (401, "Invalid JWT Token")),
    "3-json-api": same(json_api, ["data"]),
    "3-html": Case(page_for_post, (422, "ConstraintViolationList"), (422, "ConstraintViolation"), ("document",)),
    "3-entrypoint": Case(
        entrypoint,
        [(200, "application/ld+json"), (200, "application/json"), (200, "text/html")],
        [(200, "application/ld+json"), (406, "application/problem+json"), (200, "text/html")],
        ("offers",),
    ),
    "3-documents": Case(
        documents,
        [
            *((200, "application/vnd.openapi+json"), (200, "application/json"), (200, "text/html")),
            *((200, "application/json"), (200, "application/json"), (200, "application/vnd.openapi+json")),
            *((404, "application/json"), (200, "application/ld+json")),
        ],
        [
            *((200, "application/ld+json"), (406, "application/json"), (200, "text/html")),
            *((404, "application/json"), (404, "application/json"), (200, "application/vnd.openapi+json")),
            *((200, "application/vnd.openapi+yaml"), (200, "application/ld+json")),
        ],
        ("offers", "explorer_document", "has_unknown_documents"),
    ),
    "3-listed-documents": Case(
        listed_documents,
        ["application/pdf", "application/vnd.openapi+json", "application/json", "application/ld+json", "text/html"],
        [
            *("application/pdf", "application/ld+json", "application/vnd.openapi+json", "text/html"),
            "application/vnd.openapi+yaml",
        ],
        ("offers",),
    ),
    "3-openapi": Case(
        openapi_failures,
        (
            [
                ["application/problem+json", "application/ld+json", "application/json"],
                ["application/problem+json", "application/ld+json"],
            ],
            False,
        ),
        ([["application/problem+json", "application/json"], ["application/problem+json"]], True),
        ("failure_schemas",),
    ),
    "3-hydra": Case(
        hydra_classes,
        (
            "dict",
            [
                *("http://schema.org/Person", "CurrentUserProfile", "#Entrypoint", "#ConstraintViolation"),
                "#ConstraintViolationList",
            ],
            "http://schema.org/Person",
        ),
        ("list", ["#User", "#CurrentUserProfile", "#Entrypoint", "#ConstraintViolation"], "#User"),
        ("hydra",),
    ),
    "3-contexts": Case(contexts, [200, 200, 404, 200], [200, 200, 200, 404], ("hydra",)),
    "3-error-page": Case(
        error_page,
        (404, [("error", 'No route found for "GET http://localhost/api/errors/404"')]),
        (200, [("title", "Error 404"), ("detail", "Not Found"), ("status", 404), ("type", "about:blank")]),
        ("has_error_pages",),
    ),
    "3-allow": Case(
        allowed,
        [(None, None)] * 4,
        [(LIST, TAKEN), (LIST, TAKEN), ("OPTIONS, HEAD, GET", None), (ITEM, None)],
        ("fields_of_paths",),
    ),
    "3-etag": same(tags, answer=True),
    "3-content-location": Case(
        home_of_reads,
        ["ITEM", "ITEM", "", "", "/api/me", "/api/me"],
        ["", "ITEM.jsonld", "", "/api/users.jsonld?page=1", "", "/api/me.jsonld"],
        ("item_location", "page_location"),
    ),
    "3-content-location-of-writes": Case(
        home_of_writes,
        ["ITEM", "ITEM", "ITEM"],
        ["ITEM.jsonld?q=%C3%A9", "ITEM.csv", "ITEM.jsonld"],
        ("item_location",),
    ),
    "3-bad-token-first": Case(
        precedence,
        [[404, 415, 406, 404, 405], [404, 415, 406, 404, 405]],
        [[401, 401, 401, 404, 405], [404, 415, 406, 404, 405]],
        ("refuses_bad_tokens_first",),
    ),
    "3-preflight": Case(preflight, (204, b""), (200, b""), ("preflight_status",)),
}


@pytest.mark.parametrize("name", CASES)
def test_answer_of_each_version_is_the_one_on_the_page(campuses: dict[str, Campus], name: str) -> None:
    case = CASES[name]
    assert (case.ask(campuses["2"]), case.ask(campuses["3"])) == (case.of_2, case.of_3)


def test_each_case_has_its_row_on_the_page_and_each_row_its_case() -> None:
    assert re.findall(r'^\| \S+ \| <a id="(3-[^"]+)">', PAGE.read_text(), re.MULTILINE) == list(CASES)


def test_every_difference_of_the_dialects_is_in_a_case() -> None:
    names = {part.name for part in fields(Dialect)}
    assert {name for case in CASES.values() for name in case.decided_by} == names
    assert [name for name in names if getattr(CHAMILO_2, name) == getattr(CHAMILO_3, name)] == []


# --- Answers of both versions

#: What a client accepts that could also read JSON, and whether it gets failures in plain JSON.
ACCEPTED = [
    ("", "application/xml, application/json;q=0.5", True),
    ("", "application/hal+json, text/html;q=0.9, application/json;q=0.1", True),
    ("", "application/problem+json, */*;q=0.5", True),
    ("", "text/csv, application/ld+json;q=0.2, application/json;q=0.1", False),
    ("", "application/json, text/plain, */*", False),
    ("", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
    (".json", "*/*", True),
    (".jsonld", "application/json;q=0.5, */*", False),
    (".xml", "application/xml, application/json;q=0.5", True),
    (".xml", "*/*", False),
]


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize(("suffix", "accept", "plain"), ACCEPTED)
def test_failures_choose_their_form_among_those_that_they_have(
    campuses: dict[str, Campus], version: str, suffix: str, accept: str, plain: bool
) -> None:
    asked = [campuses[version].ask("GET", f"/api/users{suffix}?page=0", accept=accept)]
    asked.append(campuses[version].ask("POST", f"/api/users{suffix}", INVALID, accept=accept))
    assert [answer.status_code for answer in asked] == [400, 422]
    assert ["@context" not in answer.get_json(force=True) for answer in asked] == [plain, plain]


@pytest.mark.parametrize("version", DIALECTS)
def test_type_of_a_body_is_missed_only_where_the_body_is_read(
    campuses: dict[str, Campus], database: Database, version: str
) -> None:
    campus, reader = campuses[version], database.make_user(f"reader of {version}")
    item, password = f"/api/users/{campus.pupil.id}", f"/api/users/{campus.pupil.id}/password"
    asked = [("POST", "/api/users"), ("PUT", item), ("PATCH", item), ("PATCH", password), ("PATCH", "/api/users/987654")]
    statuses = {
        who: [campus.ask(method, path, **token).status_code for method, path in asked]
        for who, token in (("anonymous", {"authorization": ""}), ("reader", {"by": reader}), ("admin", {}))
    }
    assert statuses == {"anonymous": [401] * 5, "reader": [403] * 4 + [404], "admin": [415] * 4 + [404]}
    refused = campus.ask("PATCH", item)
    assert (refused.json, refused.headers["X-Error-Code"]) == (
        {"error": 'The "Content-Type" header must exist.'},
        "unsupported_media_type",
    )


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("path", ["/api", "/api/docs", "/api/docs.jsonld", "/api/contexts/User"])
def test_public_documents_ignore_a_bad_token(campuses: dict[str, Campus], version: str, path: str) -> None:
    assert campuses[version].ask("GET", path, authorization="Bearer a.b.c").status_code == 200


# --- Answers of Chamilo 3 beyond the rows


@pytest.mark.parametrize("suffix", ["jsonld", "jsonhal", "jsonapi", "xml", "yaml", "csv"])
def test_violations_are_the_same_document_in_every_format_but_json(three: Campus, suffix: str) -> None:
    answer = three.ask("POST", f"/api/users.{suffix}", INVALID)
    assert (answer.status_code, answer.content_type) == (422, PROBLEM)
    assert answer.get_json(force=True) == VIOLATION_OF_3


def test_a_single_violation_is_named_by_its_code(three: Campus) -> None:
    answer = three.ask("POST", "/api/users", {"username": "", "email": "a@example.com"}).get_json(force=True)
    assert (answer["@id"], answer["type"]) == (f"/api/validation_errors/{BLANK}", f"/validation_errors/{BLANK}")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "keys"),
    [
        ("GET", "/api/users?page=0", None, 400, list(hydra_error_of_3(400, ""))),
        ("POST", "/api/access_urls/1/user", {"username": ""}, 422, list(VIOLATION_OF_3)),
        ("POST", "/api/access_urls/1/user", {"username": 5}, 400, list(hydra_error_of_3(400, ""))),
        ("POST", "/api/access_urls/1/user", {"username": "admin", "email": "a@b.example"}, 409, ["error"]),
        ("POST", "/api/access_urls/9/user", {}, 404, ["error"]),
        ("POST", "/api/me", {}, 405, ["error"]),
        ("GET", "/api/users/987654", None, 404, ["error"]),
        ("DELETE", "/api/users/{own}", None, 403, ["error"]),
        ("OPTIONS", "/api/users", None, 405, ["error"]),
    ],
)
def test_failures_have_the_form_of_chamilo_3(
    three: Campus, method: str, path: str, body: Any, status: int, keys: list[str]
) -> None:
    answer = three.ask(method, path.format(own=three.admin.id), body)
    assert answer.status_code == status
    assert list(answer.get_json(force=True)) == keys
    assert answer.headers["X-Error-Code"]
    assert ("Accept-Post" in answer.headers, "Content-Location" in answer.headers) == (False, False)


@pytest.mark.parametrize(("accept", "first"), [("", "@context"), ("application/json", "title")])
def test_password_that_cannot_be_taken_is_a_document_but_a_body_that_cannot_be_read_is_not(
    three: Campus, accept: str, first: str
) -> None:
    path = f"/api/users/{three.pupil.id}/password"
    unreadable = three.ask("PATCH", path, [], accept=accept)
    assert (unreadable.status_code, unreadable.json) == (400, {"error": "Invalid JSON body."})
    long = three.ask("PATCH", path, {"password": "x" * 5000}, accept=accept)
    assert (long.status_code, long.content_type) == (422, PROBLEM)
    assert (first in long.get_json(force=True), "violations" in long.get_json(force=True)) == (True, True)


def test_valid_token_is_no_reason_to_refuse_otherwise(three: Campus, database: Database) -> None:
    assert three.ask("GET", "/api/users.foo").json == {"error": 'Format "foo" is not supported'}
    reader = database.make_user("reader")
    assert three.ask("POST", "/api/users", "x", by=reader, content_type="text/plain").status_code == 415


def test_known_version_is_304_without_saying_where_it_is_at_home(three: Campus) -> None:
    path = f"/api/users/{three.admin.id}"
    answer = three.ask("GET", path, if_none_match=three.ask("GET", path).headers["ETag"])
    assert (answer.status_code, answer.data, "Content-Location" in answer.headers) == (304, b"", False)


def test_query_reaches_the_header_of_a_head_request_without_control_characters() -> None:
    environ = {"REQUEST_METHOD": "HEAD", "QUERY_STRING": "search=a\x0bb\xe9&x[]=1%20"}
    location = ("Content-Location", "/api/users.csv?search=a%0Bb%E9&x[]=1%20")
    assert CHAMILO_3.page_location(environ, "/api/users", "csv") == (location,)


@pytest.mark.parametrize("suffix", ["", "?suffix=json", "?suffix=jsonld", "?suffix=csv"])
def test_openapi_document_of_chamilo_3_is_valid(three: Campus, suffix: str) -> None:
    document = three.ask("GET", f"/api/docs.jsonopenapi{suffix}").get_json(force=True)
    assert list(map(str, OpenAPIV31SpecValidator(document).iter_errors())) == []
    assert dangling_references(document) == set()
    refused = document["paths"][f"/api/users{suffix.replace('?suffix=', '.')}"]["post"]["responses"]["422"]["content"]
    assert list(refused) == ["application/problem+json"]
    assert ("@context" in refused["application/problem+json"]["example"]) == (suffix in {"?suffix=jsonld", "?suffix=csv"})


def test_openapi_document_in_yaml_is_the_one_in_json(three: Campus) -> None:
    asked = three.ask("GET", "/api/docs.yamlopenapi"), three.ask("GET", "/api/docs", accept="application/vnd.openapi+yaml")
    document = three.ask("GET", "/api/docs.jsonopenapi").get_json(force=True)
    assert [yaml.safe_load(answer.text) for answer in asked] == [document, document]


def test_documents_that_are_switched_off_are_not_there_and_not_linked_to(database: Database, campuses: dict[str, Campus]) -> None:
    app = create_app(settings_for(DATABASE_URL=database.url, CHAMILO_VERSION="3", APP_ENABLE_API_ENTRYPOINT="0"), Clock())
    off = Campus(app, campuses["3"].admin, campuses["3"].pupil)
    for path in ("/api", "/api/docs", "/api/docs.yamlopenapi", "/api/docs.json"):
        assert off.ask("GET", path).json == {"error": f'No route found for "GET http://localhost{path}"'}
    assert off.ask("POST", "/api/users", {"username": 5}).headers["Link"] == ERROR_LINK
    assert off.ask("GET", "/api/errors/400").status_code == 200
    dispose(app)


@pytest.mark.parametrize(("version", "document"), [("2", "/api/docs.json"), ("3", "/api/docs.jsonopenapi")])
def test_explorer_loads_a_document_that_is_there(campuses: dict[str, Campus], version: str, document: str) -> None:
    page = campuses[version].ask("GET", "/api", accept="text/html").text
    assert f'"{document}"' in page
    assert campuses[version].ask("GET", document, accept="application/json,*/*").json["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    ("status", "name"), [(400, "Bad Request"), (422, "Unprocessable Content"), (500, "Internal Server Error")]
)
def test_page_of_an_error_has_the_name_of_its_status(three: Campus, status: int, name: str) -> None:
    assert three.ask("GET", f"/api/errors/{status}").get_json(force=True)["hydra:description"] == name


@pytest.mark.parametrize("path", ["/api/errors/200x", "/api/errors/999"])
def test_page_of_an_error_that_does_not_exist_is_404(three: Campus, path: str) -> None:
    assert three.ask("GET", path).json == {"error": "Not Found"}


def test_page_of_an_error_is_what_its_id_says(three: Campus) -> None:
    refused = three.ask("POST", "/api/users", {"username": 5}).get_json(force=True)
    page = three.ask("GET", refused["@id"])
    assert page.content_type == JSON_LD
    assert page.get_json(force=True) == hydra_error_of_3(400, "Bad Request") | {
        "type": "about:blank",
        "hydra:title": "Error 400",
    }


@pytest.mark.parametrize(
    ("suffix", "accept", "plain"),
    [
        ("", "application/problem+json", True),
        (".json", "", True),
        (".jsonld", "application/json", False),
        ("", "application/pdf", False),
        ("", "text/html", False),
        (".foo", "", False),
    ],
)
def test_page_of_an_error_is_refused_in_no_format(three: Campus, suffix: str, accept: str, plain: bool) -> None:
    page = three.ask("GET", f"/api/errors/404{suffix}", accept=accept, authorization="")
    assert (page.status_code, page.content_type) == (200, PROBLEM if plain else JSON_LD)
    assert (page.get_json(force=True)["detail"], "@id" in page.get_json(force=True)) == ("Not Found", not plain)


def test_id_of_violations_leads_nowhere(three: Campus) -> None:
    refused = three.ask("POST", "/api/users", INVALID).get_json(force=True)
    page = three.ask("GET", refused["@id"], authorization="")
    assert (page.status_code, page.json) == (404, {"error": "This route does not aim to be called."})
    assert page.headers["X-Error-Code"] == "not_found"
