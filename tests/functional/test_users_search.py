"""Filters, order and pages of the list; the same on each database."""

from datetime import timedelta

import pytest
from factories import START, Database, bearer
from flask import Flask
from flask.testing import FlaskClient

PEOPLE = [
    ("bob", "Bob", "Böb", "bob@example.com", 1),
    ("BÓBBY", "Robert", "Tables", "r.tables@example.org", 1),
    ("ünïcodé", "Ünï", "Çodé", "xn@example.com", 0),
    ("under_score", "100%", "a\\b", "under@example.com", -1),
    ("umbra", "Straße", None, "umbra@example.com", -2),
]


@pytest.fixture
def headers(app: Flask, database: Database) -> dict[str, str]:
    """The headers of an administrator, beside five other users."""
    for username, firstname, lastname, email, active in PEOPLE:
        database.make_user(username, firstname=firstname, lastname=lastname, email=email, active=active)
    return bearer(app, database.make_user("zadmin", ["ROLE_ADMIN"], email="z@example.net"))


def usernames(client: FlaskClient, headers: dict[str, str], query: str) -> list[str]:
    return [member["username"] for member in client.get(f"/api/users?{query}", headers=headers).json["hydra:member"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("username=bo", ["bob", "BÓBBY"]),
        ("username=BOB", ["bob", "BÓBBY"]),
        ("username=b%C3%B6b", ["bob", "BÓBBY"]),
        ("username=b%EF%BC%AFb", ["bob", "BÓBBY"]),
        ("lastname=bob", ["bob"]),
        ("username=unicode", ["ünïcodé"]),
        ("lastname=code", ["ünïcodé"]),
        ("firstname=strasse", ["umbra"]),
        ("firstname=STRASSE", ["umbra"]),
        ("username=_", ["under_score"]),
        ("firstname=%25", ["under_score"]),
        ("lastname=%5C", ["under_score"]),
        ("lastname=a%5Cb", ["under_score"]),
        ("username=%25", []),
        ("username=b_b", []),
        ("username=%27%20OR%201=1%20--", []),
        ("username=%00", []),
        ("username=%FF", []),
        ("username=", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("search=", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("search=tables", ["BÓBBY"]),
        ("search=bob", ["bob", "BÓBBY"]),
        ("search[]=strasse&search[]=tables", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("search[x]=nobody", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("search=%20%09%0A%0D%00%0Btables%0B%00%0D%0A%09%20", ["BÓBBY"]),
        ("search=%20%09%0A%0D%00%0B", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("search=%0Ctables", []),
        ("username=Bób", ["bob", "BÓBBY"]),
        ("username=%C3%9CNÏ", ["ünïcodé"]),
        ("search=%C2%A0tables", []),
        ("search=+r+t", []),
        ("firstname=+robert", []),
        ("lastname=tables+", []),
        ("username[]=bob&username[]=unicode", ["bob", "BÓBBY", "ünïcodé"]),
        ("username[x]=bob", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("username=bob&firstname=robert", ["BÓBBY"]),
        ("username=bob&username=umbra", ["umbra"]),
        ("email=EXAMPLE.ORG", ["BÓBBY"]),
        ("isActive=true", ["bob", "BÓBBY", "zadmin"]),
        ("isActive=1", ["bob", "BÓBBY", "zadmin"]),
        ("isActive=false", ["ünïcodé", "under_score", "umbra"]),
        ("isActive=0", ["ünïcodé", "under_score", "umbra"]),
        ("isActive=2", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("isActive=", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("unknown=1&__proto__[x]=1", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("order[username]=asc", ["bob", "BÓBBY", "umbra", "under_score", "ünïcodé", "zadmin"]),
        ("order[username]=DESC", ["zadmin", "ünïcodé", "under_score", "umbra", "BÓBBY", "bob"]),
        ("order[lastname]=asc&order[username]=desc", ["zadmin", "umbra", "under_score", "bob", "ünïcodé", "BÓBBY"]),
        ("order[password]=asc", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("order[username]=sideways", [p[0] for p in PEOPLE] + ["zadmin"]),
        ("order=username", [p[0] for p in PEOPLE] + ["zadmin"]),
    ],
)
def test_query_finds_the_same_on_each_database(
    client: FlaskClient, headers: dict[str, str], query: str, found: list[str]
) -> None:
    assert usernames(client, headers, query) == found


def test_email_finds_nothing_out_for_others(app: Flask, client: FlaskClient, database: Database) -> None:
    me, friend = database.make_user("me"), database.make_user("friend", email="secret@example.com")
    database.link(me, friend, 3)
    assert usernames(client, bearer(app, me), "email=nothing-like-it") == ["me", "friend"]


def test_search_stays_within_what_is_seen(app: Flask, client: FlaskClient, database: Database) -> None:
    me = database.make_user("me")
    database.make_user("mellow")
    assert usernames(client, bearer(app, me), "search=me") == ["me"]


def test_a_link_of_two_kinds_lists_once(app: Flask, client: FlaskClient, database: Database) -> None:
    me, friend = database.make_user("me"), database.make_user("friend")
    for relation_type in (3, 8):
        database.link(me, friend, relation_type)
        database.link(friend, me, relation_type)
    assert usernames(client, bearer(app, me), "") == ["me", "friend"]


@pytest.fixture
def crowd(app: Flask, database: Database) -> dict[str, str]:
    """The headers of an administrator, the first of 35 users."""
    admin = database.make_user("user00", ["ROLE_ADMIN"])
    others = [
        {"id": admin.id + number, "username": f"user{number:02}", "created_at": START + timedelta(seconds=number)}
        for number in range(1, 35)
    ]
    database.make_users([other | {"email": f"{other['username']}@example.com"} for other in others])
    return bearer(app, admin)


@pytest.mark.parametrize(
    ("query", "first", "count"),
    [
        ("", "user00", 30),
        ("page=1", "user00", 30),
        ("page=2", "user30", 5),
        ("page=2.9", "user30", 5),
        ("page=2abc", "user30", 5),
        ("page=3", None, 0),
        ("page=9223372036854775807&itemsPerPage=1", None, 0),
        ("page[]=5", "user00", 30),
        ("itemsPerPage=10", "user00", 10),
        ("itemsPerPage=10&page=4", "user30", 5),
        ("itemsPerPage=0", None, 0),
        ("itemsPerPage=", None, 0),
        ("itemsPerPage=abc", None, 0),
        ("itemsPerPage[]=abc", "user00", 1),
        ("itemsPerPage=100000", "user00", 35),
        ("itemsPerPage=1e1", "user00", 10),
    ],
)
def test_page_has_the_items_that_php_would_count(
    client: FlaskClient, crowd: dict[str, str], query: str, first: str | None, count: int
) -> None:
    body = client.get(f"/api/users?{query}", headers=crowd).json
    found = [member["username"] for member in body["hydra:member"]]
    assert (found[:1], len(found), body["hydra:totalItems"]) == ([first] if first else [], count, 35)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("page=0", "Page should not be less than 1"),
        ("page=-1", "Page should not be less than 1"),
        ("page=", "Page should not be less than 1"),
        ("page=abc", "Page should not be less than 1"),
        ("itemsPerPage=-1", "Limit should not be less than 0"),
        ("itemsPerPage=0&page=2", "Page should not be greater than 1 if limit is equal to 0"),
        ("page=9223372036854775807", "Page parameter is too large."),
    ],
)
def test_impossible_page_is_400(client: FlaskClient, crowd: dict[str, str], query: str, text: str) -> None:
    answer = client.get(f"/api/users?{query}", headers=crowd)
    assert (answer.status_code, answer.json["hydra:description"]) == (400, text)


def test_page_is_capped_silently(make_app: object, database: Database) -> None:
    app = make_app(MAX_ITEMS_PER_PAGE="2")
    first, *_ = [database.make_user(name, ["ROLE_ADMIN"]) for name in "abc"]
    headers = bearer(app, first)
    body = app.test_client().get("/api/users?itemsPerPage=3", headers=headers).json
    assert ([member["username"] for member in body["hydra:member"]], body["hydra:view"]["hydra:last"]) == (
        ["a", "b"],
        "/api/users?itemsPerPage=3&page=2",
    )


@pytest.mark.parametrize(
    ("query", "view"),
    [
        ("", {"hydra:first": "page=1", "hydra:last": "page=2", "hydra:next": "page=2"}),
        ("page=2&z=1&a=2", {"hydra:first": "a=2&z=1&page=1", "hydra:last": "a=2&z=1&page=2", "hydra:previous": "a=2&z=1&page=1"}),
        (
            "Z=1&a=b+c",
            {"hydra:first": "Z=1&a=b%20c&page=1", "hydra:last": "Z=1&a=b%20c&page=2", "hydra:next": "Z=1&a=b%20c&page=2"},
        ),
        ("a=1&a=2", {"hydra:first": "a=2&page=1", "hydra:last": "a=2&page=2", "hydra:next": "a=2&page=2"}),
    ],
)
def test_view_repeats_the_query(client: FlaskClient, crowd: dict[str, str], query: str, view: dict[str, str]) -> None:
    body = client.get(f"/api/users?{query}", headers=crowd).json["hydra:view"]
    assert {name: link for name, link in body.items() if name[0] != "@"} == {name: f"/api/users?{q}" for name, q in view.items()}


def test_view_has_the_path_as_requested(client: FlaskClient, crowd: dict[str, str]) -> None:
    assert client.get("/api/users.jsonld?page=2", headers=crowd).json["hydra:view"]["@id"] == "/api/users.jsonld?page=2"


def test_view_is_left_out_where_there_is_one_page(app: Flask, client: FlaskClient, database: Database) -> None:
    assert "hydra:view" not in client.get("/api/users?page=1", headers=bearer(app, database.make_user())).json


@pytest.mark.parametrize(
    ("page", "links"),
    [
        (1, {"self", "first", "last", "next"}),
        (2, {"self", "first", "last", "prev"}),
        (3, {"self", "first", "last", "prev", "next"}),
    ],
)
@pytest.mark.parametrize(("accept", "name"), [("application/hal+json", "_links"), ("application/vnd.api+json", "links")])
def test_links_of_hal_and_json_api_are_the_recorded_ones(
    client: FlaskClient, crowd: dict[str, str], page: int, links: set[str], accept: str, name: str
) -> None:
    body = client.get(f"/api/users?page={page}", headers=crowd | {"Accept": accept}).get_json(force=True)
    assert set(body[name]) - {"item"} == links
