"""Values and header fields beside a campus, by the numbered examples that docs/campus.md was written from."""

from typing import Any

import pytest
from campus.campuses import Campus
from campus.conftest import At
from values import ALMOST_DATES, BAD_EMAILS, GOOD_EMAILS, GUESSED_DATES, NO_TEXTS, REFUSED_DATES, TAKEN_DATES

# Nothing of this differs by the version of Chamilo but what a test names.
pytestmark = [pytest.mark.services, pytest.mark.parametrize("campus", [2], indirect=True)]

BLANK = "This value should not be blank."
INVALID_TOKEN = {"code": 401, "message": "Invalid JWT Token"}
WRONG = {"code": 401, "message": "Invalid credentials."}


def violations(answer: Any) -> list[tuple[str, str, str]]:
    body = answer.get_json(force=True)
    assert answer.status_code == 422, body
    return [(found["propertyPath"], found["message"], found["code"]) for found in body["violations"]]


def test_6_1_picture_is_the_default_one(examples: Campus, at: At) -> None:
    examples.run("UPDATE `user` SET resource_node_id = 9 WHERE id = 305")
    assert at(1, "root.admin")("GET", "/api/users/305.json").json["illustrationUrl"] == "/img/user_default.svg"


def test_7_1_dates(examples: Campus, at: At) -> None:
    client = at(1, "root.admin")
    for sent, instant in TAKEN_DATES.items():
        answer = client("PATCH", "/api/users/305", {"expiresAt": sent})
        assert (sent, answer.status_code, answer.get_json(force=True)["expiresAt"]) == (sent, 200, instant)
        stored = examples.run("SELECT expires_at FROM `user` WHERE id = 305")[0]["expires_at"]
        assert f"{stored.isoformat()}+00:00" == instant
    for sent in (*GUESSED_DATES, *REFUSED_DATES, *ALMOST_DATES, *(value for value, _ in NO_TEXTS)):
        assert (sent, client("PATCH", "/api/users/305", {"expiresAt": sent}).status_code) == (sent, 400)


def test_emails_are_good_or_violations(examples: Campus, at: At) -> None:
    client = at(1, "root.admin")
    for email in GOOD_EMAILS:
        assert (email, client("PATCH", "/api/users/305", {"email": email}).status_code) == (email, 200)
        assert examples.run("SELECT email FROM `user` WHERE id = 305") == [{"email": email}]
    for email in BAD_EMAILS:
        assert (email, client("PATCH", "/api/users/305", {"email": email}).status_code) == (email, 422)


def test_7_2_empty_lists_other_lists_and_overridden_methods(at: At) -> None:
    client = at(1, "root.admin")
    assert [(name, message) for name, message, _ in violations(client("POST", "/api/users", []))] == [
        ("username", BLANK),
        ("email", BLANK),
    ]
    before = client("GET", "/api/users/305").get_json(force=True)
    for method in ("PATCH", "PUT"):
        answer = client(method, "/api/users/305", [])
        assert (answer.status_code, answer.get_json(force=True)) == (200, before)
        assert client(method, "/api/users/305", [1]).status_code == 400
    body = {"username": "nueva", "email": "n@example.org", "_method": "DELETE"}
    assert client("POST", "/api/users", body, **{"X-HTTP-Method-Override": "DELETE"}).status_code == 201
    assert client.http.post("/api/authentication_token", json=[]).json == {"error": "Invalid JSON."}


@pytest.mark.parametrize("path", ["/api/users/305/skills", "/api/access_url_rel_users", "/api/users/305/courses/1/stats/x"])
def test_8_1_neighbour_is_a_missing_route(at: At, path: str) -> None:
    client = at(1, "root.admin")
    answer = client("GET", path)
    assert (answer.status_code, answer.json) == (404, {"error": f'No route found for "GET https://localhost{path}"'})
    assert client("GET", "/scim/v2/Users").status_code == 404


def test_9_1_put_merges_and_bad_credentials_are_refused(at: At) -> None:
    client = at(1, "root.admin")
    body = client("PUT", "/api/users/305", {"firstname": "Ana"}).get_json(force=True)
    assert (body["firstname"], body["lastname"]) == ("Ana", "Núñez")
    answer = client.http.post("/api/authentication_token", json={"username": "", "password": "campus-pass"})
    assert (answer.status_code, answer.json) == (401, WRONG)
    answer = client("GET", "/api/users", Authorization="Bearer abc")
    assert (answer.status_code, answer.json) == (401, INVALID_TOKEN)


def test_9_2_teacher_is_deleted_softly(at: At) -> None:
    client = at(1, "root.admin")
    assert client("DELETE", "/api/users/304").status_code == 204
    answer = client("GET", "/api/users/304.json")
    assert (answer.status_code, answer.json["active"]) == (200, -2)


def test_10_1_messages_are_english(at: At) -> None:
    answer = at(1, "root.admin")("POST", "/api/users", {"username": "", "email": "x"}, **{"Accept-Language": "es"})
    assert violations(answer) == [
        ("username", BLANK, "c1051bb4-d103-4f74-8988-acbcafc7fdc3"),
        ("email", "This value is not a valid email address.", "bd79c0ab-ddba-46cc-a703-a7a4b08de310"),
    ]
    assert "Content-Language" not in answer.headers


def test_search_is_trimmed(at: At) -> None:
    client = at(1, "root.admin")
    assert client.ids("/api/users.json?search=%20%09alumna%0B%00") == [305]
    everyone = client.ids()
    assert client.ids("/api/users.json?search=%20%00") == client.ids("/api/users.json?search[]=alumna") == everyone
    answer = client("GET", "/api/users.json", Origin="http://localhost:3000", Accept="*")
    assert (answer.headers["X-Total-Count"], answer.headers["Access-Control-Expose-Headers"]) == (
        str(len(everyone)),
        "link, x-total-count",
    )


def test_portal_is_the_one_of_the_host_that_a_trusted_proxy_names(examples: Campus) -> None:
    names = {"X-Forwarded-Host": "escuela.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}
    for proxies, ids in (("127.0.0.1", [302, 303, 305, 306]), ("192.0.2.1", [])):
        app = examples.app(ACCESS_URL_ID="host", TRUSTED_PROXIES=proxies)
        sent = examples.headers_of(app, "plain.admin") | names
        answer = app.test_client().get("/api/users.json", headers=sent, base_url="http://campus.example.org")
        assert [user["id"] for user in answer.json if isinstance(user, dict)] == ids
