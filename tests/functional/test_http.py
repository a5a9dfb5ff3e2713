"""Rules for every request: methods, paths, headers, limits and failures."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.test import create_environ
from werkzeug.wrappers import Response

from benchmarks.services import free_port
from blueprints.users import routes

TOKEN = "/api/authentication_token"


@pytest.fixture
def headers(app: Flask, database: Database) -> dict[str, str]:
    return bearer(app, database.make_user("admin", ["ROLE_ADMIN"]))


@pytest.fixture
def path(database: Database) -> str:
    """The path of one user."""
    return f"/api/users/{database.make_user('target').id}"


ALLOW = {TOKEN: "POST", "/api/users": "GET, POST", "/api/users/1": "GET, PUT, PATCH, DELETE", "/api/users.json": "GET, POST"}


REFUSED = [
    (path, method)
    for path, allowed in ALLOW.items()
    for method in ("OPTIONS", "PATCH", "TRACE", "PROPFIND", "DELETE")
    if method not in allowed
]


@pytest.mark.parametrize(("path", "method"), REFUSED)
def test_other_method_is_405_with_allow(client: FlaskClient, path: str, method: str) -> None:
    answer = client.open(path, method=method)
    text = f'No route found for "{method} http://localhost{path}": Method Not Allowed (Allow: {ALLOW[path]})'
    assert (answer.status_code, answer.json, answer.headers["Allow"]) == (405, {"error": text}, ALLOW[path])


@pytest.mark.parametrize("of", ["/api/users", "item"])
def test_head_is_get_without_the_body(client: FlaskClient, headers: dict[str, str], path: str, of: str) -> None:
    target = path if of == "item" else of
    got, head = client.get(target, headers=headers), client.head(target, headers=headers)
    apart = {"X-Request-Id"}
    assert (head.status_code, head.data) == (200, b"")
    assert {k: v for k, v in head.headers if k not in apart} == {k: v for k, v in got.headers if k not in apart}


@pytest.mark.parametrize("given", ["/api/users/", "/api/users//", "{path}/", "/api/users/?page=1"])
def test_slash_too_many_is_301_for_get(client: FlaskClient, headers: dict[str, str], path: str, given: str) -> None:
    answer = client.get(given.format(path=path), headers=headers)
    target = given.format(path=path).partition("?")
    assert (answer.status_code, answer.headers["Location"]) == (
        301,
        f"http://localhost{target[0].rstrip('/')}{target[1]}{target[2]}",
    )


@pytest.mark.parametrize(
    ("method", "given"), [("POST", "/api/users/"), ("PUT", "{path}/"), ("PATCH", "{path}/"), ("DELETE", "{path}/")]
)
def test_slash_too_many_is_404_for_others(
    client: FlaskClient, headers: dict[str, str], path: str, method: str, given: str
) -> None:
    given = given.format(path=path)
    answer = client.open(given, method=method, headers=headers, json={})
    assert (answer.status_code, answer.json) == (404, {"error": f'No route found for "{method} http://localhost{given}"'})


@pytest.mark.parametrize(
    "given",
    [
        *("//api//users", "/api//users", "/api/users/2.", "/api/users.", "/nope", "/api/nope", "/api/users/2/3", "/API/users"),
        *("//api/users", "///api/users", "//api/users/", "//", "//healthz", "//evil.example/api/users/"),
    ],
)
def test_no_route_is_404_with_the_raw_path(client: FlaskClient, given: str) -> None:
    answer = client.get("/", environ_overrides={"PATH_INFO": given, "RAW_URI": f"{given}?x=1"})
    assert (answer.status_code, answer.json) == (404, {"error": f'No route found for "GET http://localhost{given}"'})


def test_utf_8_without_percent_encoding_stays_what_it_is(client: FlaskClient) -> None:
    """A WSGI server passes the bytes of a target on as Latin-1 (PEP 3333)."""
    given, query = "/api/nopé".encode().decode("latin-1"), "username=zoë".encode().decode("latin-1")
    answer = client.get("/", environ_overrides={"PATH_INFO": given, "RAW_URI": given})
    assert answer.json == {"error": 'No route found for "GET http://localhost/api/nopé"'}
    for status, field, text in ((406, "HTTP_ACCEPT", "Requested format"), (415, "CONTENT_TYPE", "The content-type")):
        answer = client.post("/api/users", environ_overrides={"CONTENT_TYPE": "application/json", field: given})
        assert (answer.status_code, answer.json["error"].startswith(f'{text} "/api/nopé" is not')) == (status, True)
    environ = {"PATH_INFO": "/api/users/", "RAW_URI": f"/api/users/?{query}", "QUERY_STRING": query}
    answer = client.get("/", environ_overrides=environ)
    assert (answer.status_code, answer.headers["Location"]) == (301, "http://localhost/api/users?username=zo%C3%AB")


TWO_PATHS = [
    *("//api/users/2", "///api/users/2", "//api/users/2/", "/api//users/2", "/api/users//2", "//evil.example/api/users/2"),
    *("/api/users/2%2f", "/api/users/2%2F", "/api/users/2/%2f", "/api%2fusers/2", "/api%2Fusers%2f2", "/%2fapi/users/2"),
    *("/%2Fevil.example/%2e%2e/api/users/2/", "/api/users%2f", "/api/users/2%2f%2F", "/%2f%2fapi/users/"),
]


@pytest.mark.parametrize("query", ["", "?page=1", "#here"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("given", TWO_PATHS)
def test_another_path_of_a_user_is_404(
    client: FlaskClient, headers: dict[str, str], database: Database, method: str, given: str, query: str
) -> None:
    given = given.replace("2", str(database.make_user("target").id)) if "%2" not in given else given
    environ = {"PATH_INFO": unquote(given), "RAW_URI": given + query}
    answer = client.open("/", method=method, headers=headers, json={}, environ_overrides=environ)
    assert (answer.status_code, "Location" in answer.headers) == (404, False)
    if method != "HEAD":
        assert answer.json == {"error": f'No route found for "{method} http://localhost{given}"'}


def test_answer_without_content_has_no_content_type(client: FlaskClient, headers: dict[str, str], database: Database) -> None:
    """Flask would say that it is `text/html`."""
    wanted = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    answers = [
        client.delete(f"/api/users/{database.make_user('target').id}", headers=headers),
        client.post("/api/token/invalidate", headers=headers),
        client.options("/api/users", headers=wanted),
    ]
    assert [(answer.status_code, answer.data, answer.headers.get("Content-Type")) for answer in answers] == [(204, b"", None)] * 3


@pytest.mark.parametrize("variable", ["RAW_URI", "REQUEST_URI"])
def test_raw_path_is_known_from_any_server(client: FlaskClient, variable: str) -> None:
    """gunicorn passes RAW_URI, mod_wsgi and uWSGI pass REQUEST_URI."""
    environ = {"PATH_INFO": "/api/users/", "RAW_URI": "", "REQUEST_URI": "", variable: "/api/users%2F"}
    answer = client.get("/", environ_overrides=environ)
    assert (answer.status_code, answer.json) == (404, {"error": 'No route found for "GET http://localhost/api/users%2F"'})


@pytest.mark.parametrize("target", ["{}", "http://localhost{}", "http://evil.example{}"])
@pytest.mark.parametrize("end", ["/", "//", "/?page=1", "/#here", "/#a?b", "/?a=%2f"])
def test_no_redirect_leads_to_itself_or_elsewhere(client: FlaskClient, path: str, target: str, end: str) -> None:
    environ = {"PATH_INFO": path + end.partition("?")[0].partition("#")[0], "RAW_URI": target.format(path + end)}
    environ["QUERY_STRING"] = end.partition("?")[2] if "#" not in end else ""
    answer = client.get("/", environ_overrides=environ)
    query = environ["QUERY_STRING"] and "?" + environ["QUERY_STRING"]
    assert (answer.status_code, answer.headers["Location"]) == (301, f"http://localhost{path}{query}")


NO_HOSTS = {"no IDNA": "xn--a", "long label": 64 * "a", "empty label": "a..b", "none": "", "no name": "a b", "no port": "a:65536"}


@pytest.mark.parametrize("host", NO_HOSTS.values(), ids=NO_HOSTS)
def test_host_that_no_url_can_have_is_in_none(make_app: Callable[..., Flask], host: str) -> None:
    def ask(path: str) -> Response:  # the test client itself needs a host
        return Response.from_app(app, create_environ(path, environ_overrides={"HTTP_HOST": host}))

    app = make_app(APP_ENABLE_API_ENTRYPOINT="1")
    origin = "http://xn--a" if host == "xn--a" else ""
    assert ask("/api/nope").json == {"error": f'No route found for "GET {origin}/api/nope"'}
    assert (ask("/api/users/?a=b").status_code, ask("/api/users/?a=b").headers["Location"]) == (301, f"{origin}/api/users?a=b")
    assert ask("/api/docs.jsonld").json["@context"]["@vocab"] == f"{origin}/api/docs.jsonld#"
    assert ask("/api/docs.jsonopenapi?suffix=json").json["servers"][0]["url"] == origin
    assert ask("/api/docs.jsonld").headers["Link"].startswith(f"<{origin}/api/docs.jsonld>;")


@pytest.mark.parametrize("user_id", ["0{}", "+{}", "{}abc", "-{}", "{}e0", "%20{}", "{}%20", "0x{}", "{}%00", "\u0661"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_only_the_canonical_number_names_a_user(
    client: FlaskClient, headers: dict[str, str], path: str, method: str, user_id: str
) -> None:
    given = f"/api/users/{user_id.format(path.rpartition('/')[2])}"
    content = {
        "json": {},
        "headers": headers | {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"},
    }
    answer = client.open(given, method=method, **content)
    assert (answer.status_code, answer.json) == (404, {"error": "Not Found"})


@pytest.mark.parametrize("user_id", ["0", "2147483648", "9" * 10, "9" * 20, "9" * 5000])
def test_number_beyond_the_column_is_404(client: FlaskClient, headers: dict[str, str], user_id: str) -> None:
    answer = client.get(f"/api/users/{user_id}", headers=headers)
    assert (answer.status_code, answer.json) == (404, {"error": "Not Found"})


def test_unknown_suffix_is_404(client: FlaskClient) -> None:
    answer = client.get("/api/users.pdf")
    assert (answer.status_code, answer.json) == (404, {"error": 'Format "pdf" is not supported'})


@pytest.mark.parametrize("given", ["abc", "x-1", "A" * 64])
def test_request_id_is_taken_over(client: FlaskClient, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "A" * 65, "a b", "a;b", "é", "../x", '"'])
def test_odd_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    made = client.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert made != given
    assert len(made) == 32


def test_every_request_has_an_id_of_its_own(client: FlaskClient) -> None:
    assert len({client.get("/healthz").headers["X-Request-Id"] for _ in range(3)}) == 3


@pytest.mark.parametrize(("given", "status"), [("/healthz", 200), ("/api/users", 401), ("/nope", 404), ("/api/users.pdf", 404)])
def test_every_answer_has_the_safe_headers(client: FlaskClient, given: str, status: int) -> None:
    answer = client.get(given)
    assert answer.status_code == status
    assert (answer.headers["X-Content-Type-Options"], answer.headers["X-Frame-Options"]) == ("nosniff", "deny")
    assert "X-Request-Id" in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert answer.content_type.startswith("application/json")


ORIGIN = "http://localhost:3000"


def test_allowed_origin_may_read(client: FlaskClient) -> None:
    got = client.get("/api/users", headers={"Origin": ORIGIN}).headers
    assert (got["Access-Control-Allow-Origin"], "Origin" in got["Vary"]) == (ORIGIN, True)


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost.evil.example", "http://localhost:3000\\@evil.example", "xhttp://localhost"],
)
def test_other_origin_may_not_read(client: FlaskClient, origin: str) -> None:
    got = client.get("/api/users", headers={"Origin": origin}).headers
    assert ("Access-Control-Allow-Origin" in got, "Origin" in got["Vary"]) == (False, True)


def test_preflight_is_answered_without_a_token(client: FlaskClient) -> None:
    answer = client.options("/api/users/1", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"})
    assert (answer.status_code, answer.data, answer.headers["Access-Control-Allow-Origin"]) == (204, b"", ORIGIN)
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize(
    ("method", "asked", "status", "error"),
    [
        ("TRACE", "", 405, "Method Not Allowed"),
        ("GET", "Authorization, X-Foo,x-bar", 400, "Unauthorized header x-foo"),
        ("get", "x-requested-with", 400, "Unauthorized header x-requested-with"),
    ],
)
def test_preflight_for_what_no_script_may_send_is_refused(
    client: FlaskClient, method: str, asked: str, status: int, error: str
) -> None:
    wanted = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}
    answer = client.options("/api/users", headers={"Origin": ORIGIN} | wanted)
    assert (answer.status_code, answer.json) == (status, {"error": error})
    assert (answer.headers["Access-Control-Allow-Origin"], "X-Error-Code" in answer.headers) == (ORIGIN, True)
    assert client.options("/api/users", headers={"Origin": "http://evil.example"} | wanted).status_code == 204


@pytest.mark.parametrize(
    ("method", "asked"), [("patch", "Accept, Content-Type,  if-match,fields"), ("PUT", ""), ("GET", " Origin ")]
)
def test_preflight_for_what_scripts_may_send_is_answered(client: FlaskClient, method: str, asked: str) -> None:
    wanted = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}
    assert client.options("/api/users", headers={"Origin": ORIGIN} | wanted).status_code == 204


def test_empty_pattern_allows_no_origin(make_app: Callable[..., Flask]) -> None:
    got = make_app(CORS_ALLOW_ORIGIN="").test_client().get("/api/users", headers={"Origin": ORIGIN}).headers
    assert "Access-Control-Allow-Origin" not in got


@pytest.mark.parametrize(("method", "of"), [("POST", TOKEN), ("POST", "/api/users"), ("PUT", "item"), ("PATCH", "item")])
def test_body_over_one_mebibyte_is_413(client: FlaskClient, headers: dict[str, str], path: str, method: str, of: str) -> None:
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    body = json.dumps({"username": "x", "password": "x" * 1024 * 1024})
    answer = client.open(path if of == "item" else of, method=method, headers=headers, data=body, content_type=content_type)
    assert (answer.status_code, list(answer.json)) == (413, ["error"])


def test_body_just_under_one_mebibyte_is_read(client: FlaskClient, headers: dict[str, str]) -> None:
    body = b'{"username": "x", "email": "x@example.com"}'.ljust(1024 * 1024 - 1)
    assert client.post("/api/users", data=body, headers=headers, content_type="application/json").status_code == 201


class Broken(Exception):
    """An error that no client may read about."""


def raise_it(failure: Exception) -> Callable[..., Any]:
    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise failure

    return fail


@pytest.mark.parametrize("accept", ["application/ld+json", "application/json", "text/html", "text/csv"])
def test_unexpected_failure_tells_nothing(
    client: FlaskClient, headers: dict[str, str], accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "paginate", raise_it(Broken("SELECT password FROM user")))
    answer = client.get("/api/users", headers=headers | {"Accept": accept})
    assert (answer.status_code, answer.json) == (500, {"error": "Internal Server Error"})
    assert "X-Request-Id" in answer.headers


def test_unexpected_failure_is_in_the_log(
    client: FlaskClient, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routes, "paginate", raise_it(Broken("here")))
    client.get("/api/users", headers=headers)
    assert any(record.exc_info and record.exc_info[0] is Broken for record in caplog.records)


def test_database_failure_is_503(client: FlaskClient, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "paginate", raise_it(OperationalError("SELECT secret", {}, Exception("at 10.0.0.1"))))
    answer = client.get("/api/users", headers=headers)
    assert (answer.status_code, answer.json) == (503, {"error": "The database cannot be reached at the moment."})
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize("scheme", ["mysql://", "postgresql://"], ids=["to MariaDB", "to PostgreSQL"])
@pytest.mark.parametrize(("method", "of"), [("GET", "/api/users"), ("POST", TOKEN)])
def test_database_that_is_down_is_503(
    make_app: Callable[..., Flask], database: Database, scheme: str, method: str, of: str
) -> None:
    headers = bearer(make_app(), database.make_user())
    app = make_app(DATABASE_URL=f"{scheme}root@127.0.0.1:{free_port()}/poort")
    answer = app.test_client().open(of, method=method, headers=headers, json={"username": "a", "password": "b"})
    assert (answer.status_code, list(answer.json)) == (503, ["error"])


def test_readiness_names_the_database_that_is_down(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_URL=f"postgresql://root@127.0.0.1:{free_port()}/poort")
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, "database" in answer.json["failing"]) == (503, True)


def test_health_needs_nothing(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_URL=f"postgresql://root@127.0.0.1:{free_port()}/poort", JWT_SECRET_KEY="/nowhere")
    assert app.test_client().get("/healthz").json == {"status": "ok"}


def test_missing_key_is_503_without_its_path(make_app: Callable[..., Flask], database: Database) -> None:
    database.make_user(password="secret")
    client = make_app(JWT_SECRET_KEY="/nowhere/private.pem").test_client()
    answer = client.post(TOKEN, json={"username": "alice", "password": "secret"})
    assert (answer.status_code, answer.json) == (503, {"error": "The keys cannot be used at the moment."})


@pytest.mark.parametrize("length", ["abc", "-1"])
def test_odd_length_is_no_server_error(client: FlaskClient, length: str) -> None:
    answer = client.post(TOKEN, data=b"{}", content_type="application/json", environ_overrides={"CONTENT_LENGTH": length})
    assert answer.status_code == 400
