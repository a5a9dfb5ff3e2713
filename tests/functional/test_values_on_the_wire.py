"""Values and header fields as a real campus has them, stand-alone; the numbers are those of the campus's examples."""

from collections.abc import Callable
from typing import Any

import pytest
from answers import body_of, name_in
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from sqlalchemy import delete
from values import ALMOST_DATES, BAD_EMAILS, GOOD_EMAILS, GUESSED_DATES, NO_TEXTS, REFUSED_DATES, TAKEN_DATES

from models import User

MERGE_PATCH = "application/merge-patch+json"
ORIGIN = "http://localhost:3000"
NO_DATE = 'The "expiresAt" attribute must be a date and time like "2026-09-22T10:00:00+00:00".'
NO_TEXT = 'The type of the "expiresAt" attribute must be "string", "{}" given.'
BLANK = [
    ("username", "This value should not be blank.", "c1051bb4-d103-4f74-8988-acbcafc7fdc3"),
    ("email", "This value should not be blank.", "c1051bb4-d103-4f74-8988-acbcafc7fdc3"),
]


@pytest.fixture
def admin(database: Database) -> User:
    return database.make_user("admin", ["ROLE_ADMIN"], firstname="Ana", lastname="Admin")


@pytest.fixture
def headers(app: Flask, admin: User) -> dict[str, str]:
    return bearer(app, admin)


@pytest.fixture
def alice(database: Database) -> User:
    return database.make_user("alice", firstname="Alice", lastname="Liddell", password="secret")


def violations(answer: Any) -> list[tuple[str, str, str]]:
    body = answer.get_json(force=True)
    assert answer.status_code == 422, body
    return [(found["propertyPath"], found["message"], found["code"]) for found in body["violations"]]


def test_6_1_picture_is_the_default_one(client: FlaskClient, headers: dict[str, str], alice: User) -> None:
    assert body_of(client.get(f"/api/users/{alice.id}", headers=headers))["illustrationUrl"] == "/img/user_default.svg"


def test_7_1_dates_are_taken(client: FlaskClient, headers: dict[str, str], database: Database, alice: User) -> None:
    patch = headers | {"Content-Type": MERGE_PATCH}
    for sent, instant in TAKEN_DATES.items():
        answer = client.patch(f"/api/users/{alice.id}", headers=patch, json={"expiresAt": sent})
        assert (sent, body_of(answer)["expiresAt"]) == (sent, instant)
        assert database.user(alice.id).expires_at.isoformat() == instant


def test_7_1_dates_are_refused(client: FlaskClient, headers: dict[str, str], database: Database, alice: User) -> None:
    patch, before = headers | {"Content-Type": MERGE_PATCH}, database.user(alice.id).expires_at
    refused: list[tuple[object, str]] = [(sent, NO_DATE) for sent in (*GUESSED_DATES, *REFUSED_DATES, *ALMOST_DATES)]
    for sent, message in refused + [(sent, NO_TEXT.format(name)) for sent, name in NO_TEXTS]:
        answer = client.patch(f"/api/users/{alice.id}", headers=patch, json={"expiresAt": sent})
        assert (sent, answer.status_code, answer.json["hydra:description"]) == (sent, 400, message)
    assert database.user(alice.id).expires_at == before


def test_emails_are_good_or_violations(client: FlaskClient, headers: dict[str, str], alice: User) -> None:
    patch = headers | {"Content-Type": MERGE_PATCH}
    for email in GOOD_EMAILS:
        assert body_of(client.patch(f"/api/users/{alice.id}", headers=patch, json={"email": email}))["email"] == email
    for email in BAD_EMAILS:
        found = violations(client.patch(f"/api/users/{alice.id}", headers=patch, json={"email": email}))
        assert found == [("email", "This value is not a valid email address.", "bd79c0ab-ddba-46cc-a703-a7a4b08de310")]


def test_command_takes_the_same_emails(runner: FlaskCliRunner, database: Database) -> None:
    for email in ("a@1.2.3.4", "a..b@c.de", "é@c.de", "a@b", "a@c.de\n"):
        done = runner.invoke(args=["users", "create", "new", "--email", email, "--generate-password"])
        assert (email, done.exit_code == 0) == (email, email in GOOD_EMAILS)
        assert ("email: This value is not a valid email address." in done.output) is (email in BAD_EMAILS)
        with database.session() as session:
            session.execute(delete(User))


@pytest.mark.parametrize("content_type", ["application/json", "application/ld+json", "application/vnd.api+json"])
def test_7_2_empty_list_of_a_new_user_says_what_is_blank(client: FlaskClient, headers: dict[str, str], content_type: str) -> None:
    answer = client.post("/api/users", headers=headers | {"Content-Type": content_type}, data="[]")
    assert violations(answer) == BLANK


def test_empty_list_of_a_new_user_of_a_portal_says_what_is_blank(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.post("/api/access_urls/1/user", headers=headers | {"Content-Type": "application/json"}, data="[]")
    assert violations(answer) == BLANK


@pytest.mark.parametrize(("method", "content_type"), [("PATCH", MERGE_PATCH), ("PUT", "application/json")])
def test_7_2_empty_list_changes_nothing(
    client: FlaskClient, headers: dict[str, str], alice: User, method: str, content_type: str
) -> None:
    path, sent = f"/api/users/{alice.id}", headers | {"Content-Type": content_type}
    before = body_of(client.get(path, headers=headers))
    assert body_of(client.open(path, method=method, headers=sent, data="[]")) == before


@pytest.mark.parametrize("body", ["[1]", "[[]]", "[{}]", '[{"firstname":"x"}]', "1", '"x"', "true", "null", "1.5"])
def test_7_2_other_list_and_scalar_is_400(client: FlaskClient, headers: dict[str, str], alice: User, body: str) -> None:
    for method, path in (("PATCH", f"/api/users/{alice.id}"), ("PUT", f"/api/users/{alice.id}"), ("POST", "/api/users")):
        content_type = MERGE_PATCH if method == "PATCH" else "application/json"
        answer = client.open(path, method=method, headers=headers | {"Content-Type": content_type}, data=body)
        assert (answer.status_code, 'The type of the body must be "object"' in answer.text.replace("\\", "")) == (400, True)


def test_empty_list_of_a_sign_in_is_400(client: FlaskClient) -> None:
    answer = client.post("/api/authentication_token", data="[]", content_type="application/json")
    assert (answer.status_code, answer.json) == (400, {"error": "Invalid JSON."})


@pytest.mark.parametrize("override", [{"X-HTTP-Method-Override": "DELETE"}, {"X-Method-Override": "PUT"}, {}])
def test_7_2_method_is_the_one_of_the_request(
    client: FlaskClient, headers: dict[str, str], database: Database, alice: User, override: dict[str, str]
) -> None:
    body = {"username": "new", "email": "new@example.org", "_method": "DELETE"}
    assert name_in(client.post("/api/users?_method=DELETE", headers=headers | override, json=body), 201) == "new"
    path = f"/api/users/{alice.id}?_method=DELETE"
    assert client.post(path, headers=headers | override, json={"_method": "DELETE"}).status_code == 405
    assert name_in(client.get(path, headers=headers | override)) == "alice"
    assert database.user(alice.id).active == 1


@pytest.mark.parametrize("key", ["@id", "id"])
def test_id_in_the_body_of_a_new_user_overwrites_nobody(
    client: FlaskClient, headers: dict[str, str], database: Database, alice: User, key: str
) -> None:
    named = f"/api/users/{alice.id}" if key == "@id" else alice.id
    answer = client.post("/api/users", headers=headers, json={key: named, "username": "new", "email": "new@example.org"})
    assert body_of(answer, 201)["id"] != alice.id
    assert database.user(alice.id).username == "alice"


@pytest.mark.parametrize("accept", ["*", "*;q=0.1", "*; charset=utf-8", "text/nothing, *"])
def test_bare_star_accepts_everything(client: FlaskClient, headers: dict[str, str], accept: str) -> None:
    answer = client.get("/api/users", headers=headers | {"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, "application/ld+json")
    as_json = client.get("/api/users.json", headers=headers | {"Accept": accept})
    assert (as_json.status_code, as_json.mimetype) == (200, "application/json")
    assert client.get("/api/docs.json", headers={"Accept": accept}).status_code == 200


def test_preflight_allows_what_chamilos_pages_send(client: FlaskClient) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-prefer-html-errors"}
    allowed = client.options("/api/users", headers=asked).headers["Access-Control-Allow-Headers"]
    assert allowed == (
        "content-type, authorization, preload, fields, x-prefer-html-errors, if-match, if-none-match, x-request-id"
    )


def test_scripts_read_the_total_of_a_plain_list(client: FlaskClient, headers: dict[str, str], alice: User) -> None:
    lists = ("/api/users.json", f"/api/users.json?username={alice.username}", "/api/users.json?itemsPerPage=0")
    for path, total in zip(lists, ("2", "1", "2"), strict=True):
        answer = client.get(path, headers=headers | {"Origin": ORIGIN})
        assert (answer.headers["X-Total-Count"], answer.headers["Access-Control-Expose-Headers"]) == (
            total,
            "link, x-total-count",
        )
    for path in ("/api/users", "/api/users.jsonhal", "/api/users.csv", f"/api/users/{alice.id}.json", "/api/me.json", "/api/no"):
        answer = client.get(path, headers=headers | {"Origin": ORIGIN})
        assert ("X-Total-Count" in answer.headers, answer.headers["Access-Control-Expose-Headers"]) == (False, "link")


def test_total_of_a_plain_list_is_in_answers_without_a_body(client: FlaskClient, headers: dict[str, str]) -> None:
    tag = client.get("/api/users.json", headers=headers).headers["ETag"]
    unchanged = client.get("/api/users.json", headers=headers | {"If-None-Match": tag, "Origin": ORIGIN})
    head = client.head("/api/users.json", headers=headers)
    assert (unchanged.status_code, unchanged.headers["X-Total-Count"]) == (304, "1")
    assert (head.status_code, head.headers["X-Total-Count"], head.data) == (200, "1", b"")


def test_html_errors_are_never_preferred(client: FlaskClient) -> None:
    answer = client.get("/api/nope", headers={"X-Prefer-HTML-Errors": "1", "Accept": "text/html"})
    assert (answer.status_code, answer.json) == (404, {"error": 'No route found for "GET http://localhost/api/nope"'})


NEIGHBOURS = [
    "/api/users/305/skills",
    "/api/users/305/session_subscriptions/past",
    "/api/users/305/courses/1/stats/x",
    "/api/me/courses",
    "/api/user_rel_users",
    "/api/access_url_rel_users",
    "/api/access_urls",
    "/api/extra_fields",
    "/api/extra_field_values",
]


@pytest.mark.parametrize("path", NEIGHBOURS)
def test_8_1_neighbour_is_a_missing_route(client: FlaskClient, headers: dict[str, str], path: str) -> None:
    for sent in ({}, headers):
        answer = client.get(path, headers=sent)
        assert (answer.status_code, answer.json) == (404, {"error": f'No route found for "GET http://localhost{path}"'})


def test_8_1_scim_is_not_served(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.get("/scim/v2/Users", headers=headers).status_code == 404


def test_9_1_put_merges(client: FlaskClient, headers: dict[str, str], alice: User) -> None:
    body = body_of(client.put(f"/api/users/{alice.id}", headers=headers, json={"firstname": "Ana"}))
    assert (body["firstname"], body["lastname"], body["username"]) == ("Ana", "Liddell", "alice")


@pytest.mark.parametrize("credentials", [{"username": "", "password": "secret"}, {"username": "alice", "password": ""}])
def test_9_1_empty_credentials_are_wrong_ones(client: FlaskClient, alice: User, credentials: dict[str, str]) -> None:
    assert alice.id
    answer = client.post("/api/authentication_token", json=credentials)
    assert (answer.status_code, answer.json) == (401, {"code": 401, "message": "Invalid credentials."})


@pytest.mark.parametrize("token", ["abc", "abc.def", "a.b.c.d"])
def test_9_1_token_without_two_dots_is_invalid(client: FlaskClient, token: str) -> None:
    answer = client.get("/api/users", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json) == (401, {"code": 401, "message": "Invalid JWT Token"})


def test_9_2_teacher_is_deleted_softly(client: FlaskClient, headers: dict[str, str], database: Database) -> None:
    teacher = database.make_user("teacher", ["ROLE_TEACHER"], status=1)
    answer = client.delete(f"/api/users/{teacher.id}", headers=headers)
    assert (answer.status_code, answer.data) == (204, b"")
    assert body_of(client.get(f"/api/users/{teacher.id}", headers=headers))["active"] == -2


def test_10_1_messages_are_english(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.post("/api/users", headers=headers | {"Accept-Language": "es"}, json={"username": "", "email": "x"})
    assert violations(answer) == [
        BLANK[0],
        ("email", "This value is not a valid email address.", "bd79c0ab-ddba-46cc-a703-a7a4b08de310"),
    ]
    assert "Content-Language" not in answer.headers
    assert "Accept-Language" not in answer.headers.get("Vary", "")


IGNORED = "`password` was ignored in the body of a new user, who cannot sign in: `plainPassword` is meant"


@pytest.mark.parametrize(
    ("sent", "warnings"),
    [
        ({"password": "hush-hush"}, [IGNORED]),
        ({"password": "hush-hush", "plainPassword": None}, [IGNORED]),
        ({"password": "hush-hush", "plainPassword": "longer"}, []),
        ({"plainPassword": "longer"}, []),
        ({}, []),
    ],
)
def test_password_under_the_wrong_name_is_logged(
    client: FlaskClient,
    headers: dict[str, str],
    database: Database,
    caplog: pytest.LogCaptureFixture,
    sent: dict[str, Any],
    warnings: list[str],
) -> None:
    answer = client.post("/api/users", headers=headers, json={"username": "new", "email": "new@example.org"} | sent)
    new = database.user(body_of(answer, 201)["id"])
    assert bool(new.password) is bool(sent.get("plainPassword"))
    written = [record for record in caplog.records if record.name == "blueprints.users.passwords"]
    assert [(record.levelname, record.getMessage()) for record in written] == [("WARNING", line) for line in warnings]
    assert "hush" not in caplog.text


FORWARDED = {
    "host": ({"X-Forwarded-Host": "escuela.example.org"}, "http://escuela.example.org"),
    "host and scheme": ({"X-Forwarded-Host": "a.example", "X-Forwarded-Proto": "https"}, "https://a.example"),
    "scheme in capitals": ({"X-Forwarded-Proto": "HTTPS"}, "https://localhost"),
    "host with port": ({"X-Forwarded-Host": "a.example:8443", "X-Forwarded-Proto": "https"}, "https://a.example:8443"),
    "host and port": ({"X-Forwarded-Host": "a.example", "X-Forwarded-Port": "8443"}, "http://a.example:8443"),
    "port alone": ({"X-Forwarded-Port": "8080"}, "http://localhost:8080"),
    "usual port": ({"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}, "https://localhost"),
    "last one": ({"X-Forwarded-Host": "evil.example, a.example"}, "http://a.example"),
    "quotation mark": ({"X-Forwarded-Host": '"evil.example, a.example'}, "http://a.example"),
    "quoted scheme": ({"X-Forwarded-Proto": '"http, https'}, "https://localhost"),
    "no host": ({"X-Forwarded-Host": "a/b?c"}, "http://localhost"),
    "empty": ({"X-Forwarded-Host": "", "X-Forwarded-Port": "", "X-Forwarded-Proto": ""}, "http://localhost"),
    "no port": ({"X-Forwarded-Port": "http"}, "http://localhost"),
    "port zero": ({"X-Forwarded-Port": "0"}, "http://localhost"),
    "port too large": ({"X-Forwarded-Port": "65536"}, "http://localhost"),
    "no scheme": ({"X-Forwarded-Proto": "gopher"}, "http://localhost"),
    "prefix": ({"X-Forwarded-Prefix": "/evil"}, "http://localhost"),
}


@pytest.mark.parametrize(("fields", "origin"), FORWARDED.values(), ids=FORWARDED)
def test_host_is_what_a_trusted_proxy_says(make_app: Callable[..., Flask], fields: dict[str, str], origin: str) -> None:
    def named(proxies: str) -> str:
        return make_app(TRUSTED_PROXIES=proxies).test_client().get("/api/nope", headers=fields).json["error"]

    assert named("127.0.0.1") == f'No route found for "GET {origin}/api/nope"'
    for strangers in ("", "192.0.2.0/24"):
        assert named(strangers) == 'No route found for "GET http://localhost/api/nope"'
