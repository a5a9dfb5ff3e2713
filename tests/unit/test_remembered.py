"""Caches of rows and answers are bounded in bytes, whatever users write."""

import threading
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import orjson
import pytest
from answers import body_of, name_in, names_in
from factories import Database, bearer
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import bindparam, select

from blueprints.users.resource import USER
from models import User, role_list
from models.compiled_reads import Read, Reader
from models.remembered_rows import Part, RememberedRows, size_of
from rest import negotiation, representation
from rest.formats import FORMATS
from rest.remembered import OF_ITEMS, OF_PAGES, Remembered
from rest.representation import Item

MEBIBYTE = 1024 * 1024


def test_answers_are_forgotten_beyond_their_bytes_the_oldest_first() -> None:
    remembered, made = Remembered(2_000, 10_000), []

    def get(number: int) -> bytes:
        return remembered.get(number, lambda: made.append(number) or bytes(1_000))

    for number in (*range(20), 19, 18, 0):
        assert get(number) == bytes(1_000)
        assert remembered.bytes <= 10_000
    assert made == [*range(20), 0]


def test_answer_that_is_too_large_is_made_each_time() -> None:
    remembered, made = Remembered(2_000), []
    for _ in range(2):
        assert remembered.get("large", lambda: made.append("large") or bytes(2_000)) == bytes(2_000)
        assert remembered.get("x" * 2_000, lambda: made.append("long") or b"") == b""
        assert remembered.get(None, lambda: made.append("for nobody") or b"") == b""
    assert (made, remembered.bytes) == (["large", "long", "for nobody"] * 2, 0)


def test_rows_are_forgotten_beyond_their_bytes_the_oldest_first() -> None:
    made: list[Any] = []
    part = Part(slice(0, 2), (None, str.upper), lambda values: made.append(values[0]) or values)
    rows = RememberedRows(10_000)
    for number in (*range(20), 19, 0):
        assert rows.get(part, (number, "x" * 1_000)) == (number, "X" * 1_000)
        assert rows.bytes <= 10_000
    assert made == [*range(20), 0]


def test_row_that_is_too_large_is_not_remembered() -> None:
    rows, part = RememberedRows(), Part(slice(0, 1), (None,), lambda values: values)
    rows.get(part, ("x" * 16 * 1024,))
    assert rows.bytes == 0
    grown = Part(slice(0, 1), (None,), lambda values: (values[0] * 1000,))
    rows.get(grown, ("twenty characters, so",))
    assert rows.bytes == 0, "objects made from it count too"


def test_parts_of_the_same_values_are_apart() -> None:
    rows = RememberedRows()
    parts = [Part(slice(0, 1), (None,), make) for make in (lambda values: values[0], lambda values: -values[0])]
    assert [rows.get(part, (5,)) for part in parts * 2] == [5, -5] * 2


def test_sixteen_threads_keep_within_the_bound() -> None:
    rows, remembered, failures = RememberedRows(50_000), Remembered(5_000, 50_000), []
    part = Part(slice(0, 1), (None,), lambda values: f"{values[0]}" * 100)

    def use(start: int) -> None:
        try:
            for number in range(start, start + 2_000):
                assert rows.get(part, (number % 300,)) == f"{number % 300}" * 100
                assert remembered.get(number % 300, lambda number=number: b"%d" % (number % 300)) == b"%d" % (number % 300)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=use, args=(number * 17,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert max(rows.bytes, remembered.bytes) <= 50_000
    assert min(rows.bytes, remembered.bytes) > 40_000


def test_item_says_how_large_it_is_with_all_that_it_holds() -> None:
    empty, long = (
        Item(USER, "/api/users/1", {}),
        Item(USER, "/api/users/1", {"biography": "x" * 5_000, "roles": ["y" * 3_000] * 2}),
    )
    assert 11_000 <= size_of(long) - size_of(empty) <= 11_500
    assert size_of(frozenset(["x" * 1_000])) > 1_000


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest, databases: Any) -> Database:
    return databases.shared(request.param)


@pytest.fixture
def small_caches(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The caches of the application, replaced by ones of a hundredth of the size."""
    items, pages, rows = Remembered(16 * 1024, 80_000), Remembered(64 * 1024, 80_000), RememberedRows(80_000)
    for module in (negotiation, representation):
        monkeypatch.setattr(module, "OF_ITEMS", items)
    monkeypatch.setattr(negotiation, "OF_PAGES", pages)
    monkeypatch.setattr(app.extensions["poort"].reader, "_remembered", rows)
    yield [items, pages, rows]
    app.extensions["poort"].reader.close()


ACCEPTED = [format_.media_types[0] for format_ in FORMATS.values()]


# As JSON, one of the last kind of character is six times as long.
@pytest.mark.slow
@pytest.mark.parametrize("character", ["x", "\U0001f600", "\x01"])
@pytest.mark.parametrize("length", [100, 3_000, 20_000])
def test_what_is_remembered_is_bounded_whatever_is_written_and_read(
    client: FlaskClient, database: Database, small_caches: list[Any], character: str, length: int
) -> None:
    user, path = database.make_user("alice", ["ROLE_ADMIN"]), "/api/users/{}"
    headers = bearer(client.application, user)
    for number in range(8):
        biography = f"{number}".ljust(length, character)
        body = {"biography": biography}
        changed = client.patch(
            path.format(user.id), json=body, headers=headers | {"Content-Type": "application/merge-patch+json"}
        )
        assert changed.json["biography"] == biography
        for accept in ACCEPTED:
            for target in (path.format(user.id), "/api/users", f"/api/users?page=1&x={number}", "/api/users?username=alice"):
                answer = client.get(target, headers=headers | {"Accept": accept})
                assert (answer.status_code, "alice" in answer.text) == (200, True)
        kept = client.application.extensions["poort"].reader._held.connection._kept
        assert kept.currsize <= kept.maxsize == 512 * 1024
        assert max(cache.bytes for cache in small_caches) <= 80_000
    read = client.get(path.format(user.id), headers=headers | {"Accept": "application/json"})
    assert read.json["biography"] == biography


def test_answer_to_a_write_is_not_remembered(client: FlaskClient, database: Database, small_caches: list[Any]) -> None:
    headers = bearer(client.application, database.make_user("alice", ["ROLE_ADMIN"]))
    made = client.post("/api/users", json={"username": "bob", "email": "bob@example.com"}, headers=headers)
    path = f"/api/users/{made.json['id']}"
    assert name_in(made, 201) == "bob"
    assert name_in(client.put(path, json={"firstname": "Bob"}, headers=headers)) == "bob"
    content_type = {"Content-Type": "application/merge-patch+json"}
    assert client.patch(path, data=orjson.dumps({"lastname": "B"}), headers=headers | content_type).status_code == 200
    items, pages, _ = small_caches
    assert (items.bytes, pages.bytes) == (0, 0)
    assert names_in(client.get("/api/users?username=bob", headers=headers)) == ["bob"]
    assert (items.bytes, pages.bytes) == (0, 0), "nothing is remembered that only one request can use"
    assert name_in(client.get(path, headers=headers)) == "bob"
    assert items.bytes > 0


def test_list_that_was_answered_is_not_made_anew(
    client: FlaskClient, database: Database, small_caches: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = bearer(client.application, database.make_user("alice", ["ROLE_ADMIN"]))
    first = client.get("/api/users", headers=headers)
    monkeypatch.setattr(negotiation, "_make_collection", None)
    assert client.get("/api/users", headers=headers).data == first.data
    assert small_caches[1].bytes > 0


def test_page_is_read_again_when_its_rows_were_forgotten(database: Database) -> None:
    database.make_user("alice")
    reader = Reader(lambda: database.engine)
    read = Read(select(User.username).limit(bindparam("limit")), (1, lambda values: Item(USER, values[0], {})), is_kept=True)
    first = reader.rows(read, {"limit": 5})[0]
    assert reader.rows(read, {"limit": 5})[0] is first
    reader._remembered = RememberedRows()
    del first
    assert reader.rows(read, {"limit": 5})[0].iri == "alice"
    reader.close()


def test_real_caches_have_the_bounds_that_are_promised() -> None:
    bounds = [(cache._most_bytes_each, cache._entries.maxsize) for cache in (OF_ITEMS, OF_PAGES)]
    assert bounds == [(16 * 1024, 8 * MEBIBYTE), (64 * 1024, 8 * MEBIBYTE)]
    assert RememberedRows()._entries.maxsize == 8 * MEBIBYTE


def test_statements_of_lists_and_writes_are_not_kept_by_the_choice_of_columns(client: FlaskClient, database: Database) -> None:
    user = database.make_user("alice", ["ROLE_ADMIN"])
    headers = bearer(client.application, user)
    names = ("firstname", "lastname", "website", "biography", "locale", "timezone", "phone", "address")
    with client.application.app_context():
        compiled = client.application.extensions["sqlalchemy"].engine._compiled_cache
    assert body_of(client.put(f"/api/users/{user.id}", json={"firstname": "a"}, headers=headers))["firstname"] == "a"
    assert names_in(client.get("/api/users?username=a", headers=headers)) == ["alice"]
    before = len(compiled)
    for number in range(1, len(names)):
        for chosen in list(combinations(names, number))[:9]:
            written = body_of(client.put(f"/api/users/{user.id}", json=dict.fromkeys(chosen, "a"), headers=headers))
            assert {written[name] for name in chosen} == {"a"}
    for number in range(1, 20):
        query = "&".join(["username[]=a"] * number)
        assert names_in(client.get(f"/api/users?{query}", headers=headers)) == ["alice"]
    assert len(compiled) == before


def test_long_accept_header_is_not_remembered() -> None:
    before = negotiation._cached_format.cache_info().currsize
    assert negotiation._format(None, f"application/json,{'x' * 300}").name == "json"
    assert negotiation._cached_format.cache_info().currsize == before


def test_long_list_of_roles_is_not_remembered() -> None:
    before = role_list._remembered_roles.cache_info().currsize
    assert role_list.Roles().process_result_value('["' + "R" * 300 + '"]', None) == ["R" * 300]
    assert role_list._remembered_roles.cache_info().currsize == before
