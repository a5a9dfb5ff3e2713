"""What the entity tag of a page depends on, and what a read does with preconditions."""

from collections.abc import Sequence

import pytest
from flask import Request, Response
from werkzeug.exceptions import PreconditionFailed
from werkzeug.test import EnvironBuilder

from rest.conditional import not_modified, require_match, tag_of_collection, tag_of_item
from rest.pagination import Page, Paging
from rest.representation import Collection, Item, PageLink
from rest.resource import Resource

THING = Resource("Thing", "/api/things", "Thing", properties=())


def item(number: int = 1, **fields: object) -> Item:
    return Item(THING, f"/api/things/{number}", {"id": number, **fields})


def tag(*, members: Sequence[Item] = (), total: int = 1, page: int = 1, query: str = "", path: str = "/api/things") -> str:
    collection = Collection(THING, Page(tuple(members), Paging(page, 30), total), PageLink(path, query))
    return tag_of_collection(collection, "jsonld")


def test_tag_of_a_page_is_the_same_for_the_same_page() -> None:
    assert tag(members=[item()], query="a=1") == tag(members=[item()], query="a=1")


def test_tag_of_a_page_changes_with_all_that_the_page_shows() -> None:
    tags = [
        tag(),
        tag(total=2),
        tag(page=2),
        tag(query="a=1"),
        tag(path="/api/things.json"),
        tag(members=[item()]),
        tag(members=[item(2)]),
        tag(members=[item(name="x")]),
        tag(members=[item(), item(2)]),
        tag(members=[item(2), item()]),
    ]
    assert len(set(tags)) == len(tags)


def test_tag_is_a_digest_and_the_name_of_the_format() -> None:
    digest, _, name = tag().rpartition("-")
    assert (len(digest), name) == (32, "jsonld")
    assert tag_of_item(item(), "json") == f"{item().digest}-json"


def read(**headers: str) -> Response:
    """Answer a GET with the tag `"t"`."""
    response = Response(b"x")
    response.set_etag("t")
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return not_modified(Request(EnvironBuilder(headers=names).get_environ()), response)


@pytest.mark.parametrize(("known", "status"), [('"t"', 304), ('"other"', 200), ('"other", "t"', 304), ("*", 304)])
@pytest.mark.parametrize("if_match", [None, '"other"', '"t"', "*"])
def test_if_match_beside_if_none_match_changes_no_read(if_match: str | None, known: str, status: int) -> None:
    headers = {"If_None_Match": known} | ({"If_Match": if_match} if if_match else {})
    assert read(**headers).status_code == status


def held(if_match: str) -> bool:
    """Tell whether a write with this `If-Match` goes on."""
    try:
        require_match(Request(EnvironBuilder(headers={"If-Match": if_match}).get_environ()), item())
    except PreconditionFailed:
        return False
    return True


def test_write_goes_on_with_the_tag_of_any_format_and_with_no_other() -> None:
    digest = item().digest
    assert [held(value) for value in (f'"{digest}-json"', f'"{digest}-csv", "x"', "*")] == [True] * 3
    assert [held(value) for value in ('"x"', f'"{digest}"', f'W/"{digest}-json"', f'"{item(2).digest}-json"')] == [False] * 4
