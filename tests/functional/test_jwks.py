"""GET /.well-known/jwks.json: anyone may fetch the keys, and other libraries can verify with them."""

from typing import Any

import jwt
import pytest
from answers import body_of
from factories import START, Database, bearer
from flask import Flask
from flask.testing import FlaskClient

from models.verification_key import publish_key, withdraw_key
from security.keys.json_web_key import json_web_key
from security.keys.pair import KeyPair, load_key_pair, make_key_pair

PATH = "/.well-known/jwks.json"
NOW = int(START.timestamp())


@pytest.fixture(scope="module")
def others() -> list[KeyPair]:
    made = [make_key_pair("", 2048) for _ in range(3)]
    return [load_key_pair(private.decode(), public.decode(), "") for private, public in made]


def publish(database: Database, *pairs: KeyPair) -> None:
    with database.session() as session:
        for pair in pairs:
            publish_key(session, pair.kid, pair.public_pem, NOW + 3600)


@pytest.fixture
def client(make_app: Any, database: Database, others: list[KeyPair]) -> FlaskClient:
    publish(database, *others)
    return make_app().test_client()


def test_every_key_of_the_set_is_there_the_signing_one_first(client: FlaskClient, others: list[KeyPair]) -> None:
    answer = client.get(PATH)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/jwk-set+json")
    own = client.application.extensions["poort"].keys.files.load_signing_pair()
    expected = [own, *sorted(others, key=lambda pair: pair.kid)]
    assert answer.json == {
        "keys": [json_web_key(pair.verification_key) | {"use": "sig", "alg": "RS256", "kid": pair.kid} for pair in expected]
    }
    assert "d" not in answer.json["keys"][0]


def test_others_verify_our_tokens_with_it(client: FlaskClient, database: Database) -> None:
    token = bearer(client.application, database.make_user())["Authorization"].split()[1]
    keys = jwt.PyJWKSet.from_dict(client.get(PATH).json)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, ["RS256"], options={"verify_exp": False, "verify_iat": False})["username"] == "alice"


def test_tag_is_strong_and_stays_while_the_keys_do(client: FlaskClient, others: list[KeyPair]) -> None:
    first = client.get(PATH)
    assert first.headers["Cache-Control"] == "public, max-age=300"
    tag = first.headers["ETag"]
    assert not tag.startswith("W/")
    again = client.get(PATH, headers={"If-None-Match": tag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert again.headers["Cache-Control"] == "public, max-age=300"
    assert len(body_of(client.get(PATH, headers={"If-None-Match": '"other"'}))["keys"]) == 4
    assert len(others) == 3


def test_key_that_comes_or_goes_changes_the_tag(make_app: Any, database: Database, others: list[KeyPair]) -> None:
    tags = []
    for change in (lambda: None, lambda: publish(database, others[0]), lambda: withdraw(database, others[0])):
        change()
        tags.append(make_app().test_client().get(PATH).headers["ETag"])
    assert (tags[0] == tags[2], tags[0] == tags[1]) == (True, False)


def withdraw(database: Database, pair: KeyPair) -> None:
    with database.session() as session:
        withdraw_key(session, pair.kid, pair.public_pem, NOW + 3600)


def test_head_and_other_methods(client: FlaskClient) -> None:
    head = client.head(PATH)
    assert (head.status_code, head.data, "ETag" in head.headers) == (200, b"", True)
    assert client.post(PATH).status_code == 405


@pytest.mark.parametrize(("origin", "allowed"), [("http://localhost:3000", True), ("https://evil.example", False)])
def test_origins_are_those_of_the_api_and_caches_keep_them_apart(client: FlaskClient, origin: str, allowed: bool) -> None:
    answer = client.get(PATH, headers={"Origin": origin})
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert answer.headers["Vary"] == "Origin"
    assert client.get(PATH).headers["Vary"] == "Origin"


def test_token_is_not_looked_at(client: FlaskClient) -> None:
    assert body_of(client.get(PATH, headers={"Authorization": "Bearer x"}))["keys"]


def test_document_of_the_api_does_not_have_it(app: Flask) -> None:
    for document in ("/api/docs.json", "/api/docs.jsonld"):
        assert "jwks" not in app.test_client().get(document).text
