"""Entity tags: If-None-Match on reads, If-Match on writes."""

import pytest
from answers import body_of, name_in
from factories import START, Clock, Database, bearer
from flask import Flask
from flask.testing import FlaskClient

from models import User

FORMATS = ["application/ld+json", "application/json", "application/hal+json", "application/xml", "text/csv"]


@pytest.fixture
def admin(database: Database) -> User:
    return database.make_user("admin", ["ROLE_ADMIN"], last_login=START)


@pytest.mark.parametrize("path", ["/api/users", "/api/users/{id}"])
@pytest.mark.parametrize("accept", FORMATS)
def test_known_tag_is_304_without_a_body(app: Flask, client: FlaskClient, admin: User, path: str, accept: str) -> None:
    path, headers = path.format(id=admin.id), bearer(app, admin, accept=accept)
    tag = client.get(path, headers=headers).headers["ETag"]
    answer = client.get(path, headers=headers | {"If-None-Match": f'"other", {tag}'})
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", tag)
    assert not tag.startswith("W/")


@pytest.mark.parametrize("path", ["/api/users", "/api/users/{id}"])
def test_star_matches_whatever_there_is(app: Flask, client: FlaskClient, admin: User, path: str) -> None:
    assert client.get(path.format(id=admin.id), headers=bearer(app, admin, if_none_match="*")).status_code == 304


@pytest.mark.parametrize("path", ["/api/users", "/api/users/{id}"])
def test_head_answers_304_too(app: Flask, client: FlaskClient, admin: User, path: str) -> None:
    assert client.head(path.format(id=admin.id), headers=bearer(app, admin, if_none_match="*")).status_code == 304


@pytest.mark.parametrize("path", ["/api/users", "/api/users/{id}"])
def test_change_changes_the_tag(app: Flask, client: FlaskClient, database: Database, admin: User, path: str) -> None:
    path, headers = path.format(id=admin.id), bearer(app, admin)
    before = client.get(path, headers=headers).headers["ETag"]
    with database.session() as session:
        session.get_one(User, admin.id).firstname = "New"
    after = client.get(path, headers=headers | {"If-None-Match": before, "Accept": "application/json"})
    shown = body_of(after) if path.endswith(str(admin.id)) else body_of(after)[0]
    assert (shown["firstname"], after.headers["ETag"] == before) == ("New", False)


@pytest.mark.parametrize("path", ["/api/users", "/api/users/{id}"])
def test_sign_in_does_not_change_the_tag(
    app: Flask, client: FlaskClient, database: Database, admin: User, clock: Clock, path: str
) -> None:
    path, headers = path.format(id=admin.id), bearer(app, admin)
    before = client.get(path, headers=headers).headers["ETag"]
    with database.session() as session:
        session.get_one(User, admin.id).last_login = clock()
    assert client.get(path, headers=headers).headers["ETag"] == before


def test_tag_of_a_list_depends_on_what_its_caller_sees(app: Flask, client: FlaskClient, database: Database, admin: User) -> None:
    tag = client.get("/api/users?username=admin", headers=bearer(app, admin)).headers["ETag"]
    friend = database.make_user("friend")
    database.link(friend, admin, 3)
    assert client.get("/api/users?username=admin", headers=bearer(app, friend)).headers["ETag"] != tag


@pytest.mark.parametrize("accept", FORMATS)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_tag_of_any_format_lets_a_write_through(
    app: Flask, client: FlaskClient, database: Database, admin: User, method: str, accept: str
) -> None:
    path = f"/api/users/{database.make_user('target').id}"
    tag = client.get(path, headers=bearer(app, admin, accept=accept)).headers["ETag"]
    assert write(app, client, admin, method, path, tag).status_code in {200, 204}


@pytest.mark.parametrize("given", ['"nothing like it"', "W/{tag}", '"x", "y"', "{bare}", ""])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_tag_stops_a_write(
    app: Flask, client: FlaskClient, database: Database, admin: User, method: str, given: str
) -> None:
    target = database.make_user("target")
    path = f"/api/users/{target.id}"
    tag = client.get(path, headers=bearer(app, admin)).headers["ETag"]
    given = given.format(tag=tag, bare=tag[:5])
    answer = write(app, client, admin, method, path, given)
    assert (answer.status_code, answer.json) == (412, {"error": "Precondition Failed"})
    assert (database.user(target.id).firstname, database.user(target.id).active) == (None, 1)


@pytest.mark.parametrize("given", ["*", '"x", {tag}'])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_star_and_lists_let_a_write_through(
    app: Flask, client: FlaskClient, database: Database, admin: User, method: str, given: str
) -> None:
    path = f"/api/users/{database.make_user('target').id}"
    tag = client.get(path, headers=bearer(app, admin)).headers["ETag"]
    assert write(app, client, admin, method, path, given.format(tag=tag)).status_code in {200, 204}


def test_answer_of_a_write_has_the_new_tag(app: Flask, client: FlaskClient, admin: User) -> None:
    path = f"/api/users/{admin.id}"
    written = write(app, client, admin, "PATCH", path, "*").headers["ETag"]
    assert client.get(path, headers=bearer(app, admin)).headers["ETag"] == written


def test_second_of_two_writes_with_one_tag_is_412(app: Flask, client: FlaskClient, admin: User) -> None:
    path = f"/api/users/{admin.id}"
    tag = client.get(path, headers=bearer(app, admin)).headers["ETag"]
    assert [write(app, client, admin, "PATCH", path, tag).status_code for _ in range(2)] == [200, 412]


def test_if_match_on_a_read_is_not_looked_at(app: Flask, client: FlaskClient, admin: User) -> None:
    assert name_in(client.get(f"/api/users/{admin.id}", headers=bearer(app, admin, if_match='"x"'))) == "admin"


def write(app: Flask, client: FlaskClient, caller: User, method: str, path: str, if_match: str) -> object:
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    headers = bearer(app, caller, content_type=content_type, if_match=if_match)
    body = {} if method == "DELETE" else {"json": {"firstname": "New"}}
    return client.open(path, method=method, headers=headers, **body)


@pytest.mark.parametrize(
    "path", ["/api/users", "/api/users.json", "/api/users.csv", "/api/users/{}", "/api/users/{}.xml", "/api/me"]
)
def test_answer_has_its_length_once_and_304_none(app: Flask, client: FlaskClient, database: Database, path: str) -> None:
    user = database.make_user("zoe", ["ROLE_ADMIN"])
    answer = client.get(path.format(user.id), headers=bearer(app, user))
    assert answer.headers.getlist("Content-Length") == [str(len(answer.data))]
    assert len({name for name, _ in answer.headers}) == len(list(answer.headers)), "no header field occurs twice"
    again = client.get(path.format(user.id), headers=bearer(app, user) | {"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data, again.headers.getlist("Content-Length")) == (304, b"", [])
