"""The bytes of an item and of a page in each format."""

import json
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from rest.formats import FORMATS
from rest.pagination import Page, Paging
from rest.representation import Collection, Item, PageLink
from rest.resource import Filter, Resource

THING = Resource("Thing", "/api/things", "https://example.com/Thing", properties=())
SEARCHED = Resource(
    "Thing",
    "/api/things",
    "Thing",
    properties=(),
    search=(Filter("name", "name"), Filter("order[name]", "name"), Filter("hidden", "hidden", listed=False)),
)
WHEN = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def item(number: int, **fields: Any) -> Item:
    return Item(THING, f"/api/things/{number}", {"id": number, **fields})


FULL = item(1, name="a\x00<b>\n\ufffe", on=True, off=False, at=WHEN, tags=["x", "y"], none=[])
BARE = item(2, name="é\U0001f600", tags=["z"])


def encoded_item(name: str, one: Item = FULL) -> str:
    return FORMATS[name].encode(FORMATS[name].item(one)).decode()


def page(
    name: str, members: list[Item], *, total: int, number: int = 1, size: int = 2, query: str = "", resource: Any = THING
) -> Any:
    collection = Collection(resource, Page(tuple(members), Paging(number, size), total), PageLink("/api/things", query))
    return FORMATS[name].encode(FORMATS[name].collection(collection)).decode()


ITEMS = {
    "jsonld": '{"@context":"/api/contexts/Thing","@id":"/api/things/1","@type":"https://example.com/Thing","id":1,FIELDS}',
    "jsonhal": '{"_links":{"self":{"href":"/api/things/1"}},"id":1,FIELDS}',
    "jsonapi": '{"data":{"id":"/api/things/1","type":"Thing","attributes":{"_id":1,FIELDS}}}',
    "json": '{"id":1,FIELDS}',
}
FIELDS = (
    r'"name":"a\u0000<b>\n' + "\ufffe" + r'","on":true,"off":false,"at":"2026-11-24T12:00:00+00:00","tags":["x","y"],"none":[]'
)


@pytest.mark.parametrize("name", ITEMS)
def test_item_in_json_has_its_fields_in_their_order(name: str) -> None:
    assert encoded_item(name) == ITEMS[name].replace("FIELDS", FIELDS)


def test_item_in_xml_has_an_element_for_each_value() -> None:
    assert encoded_item("xml") == (
        '<?xml version="1.0"?>\n<response><id>1</id><name>a\ufffd&lt;b&gt;\n\ufffd</name><on>1</on><off>0</off>'
        "<at>2026-11-24T12:00:00+00:00</at><tags>x</tags><tags>y</tags></response>\n"
    )


def test_lines_of_a_text_end_in_xml_as_they_were_written() -> None:
    text = "one\r\ntwo\nthree\rfour"
    assert ET.fromstring(encoded_item("xml", item(1, text=text))).findtext("text") == text


def test_item_in_csv_has_a_column_for_each_value() -> None:
    assert encoded_item("csv") == ("id,name,on,off,at,tags.0,tags.1\n" + '1,"a\0<b>\n\ufffe",1,0,2026-11-24T12:00:00+00:00,x,y\n')


def test_item_in_yaml_has_its_fields_in_their_order_and_no_line_is_folded() -> None:
    text = encoded_item("yaml", item(1, name="é " * 200, on=True, at=WHEN, tags=["x"], none=[]))
    name = "é " * 200
    assert text == f"id: 1\nname: '{name}'\n'on': true\nat: '2026-11-24T12:00:00+00:00'\ntags:\n- x\nnone: []\n"


def test_page_in_xml_has_an_element_for_each_item_with_its_position() -> None:
    assert page("xml", [item(1), BARE], total=2) == (
        '<?xml version="1.0"?>\n<response><item key="0"><id>1</id></item>'
        '<item key="1"><id>2</id><name>é\U0001f600</name><tags>z</tags></item></response>\n'
    )
    assert page("xml", [], total=0) == '<?xml version="1.0"?>\n<response />\n'


def test_column_of_a_later_row_comes_after_its_predecessor() -> None:
    rows = [item(1, a=1, c=3), item(2, a=1, b=2, c=3, e=5), item(3, d=4, e=5), item(4, z=0, a=1)]
    assert page("csv", rows, total=4) == ("id,z,d,a,b,c,e\n1,,,1,,3,\n2,,,1,2,3,5\n3,,4,,,,5\n4,0,,1,,,\n")
    assert page("csv", [], total=0) == "\n"


@pytest.mark.parametrize(
    "text",
    ["0899123456", "-08", "+09", "1e3", "1.5E3", "-.5e1", "0o17", "y", "N", "no", "~", "0x1F", "12:30", ".inf", "2030-01-02"],
)
def test_text_that_a_parser_takes_for_something_else_is_quoted_in_yaml(text: str) -> None:
    """PyYAML reads YAML 1.1 alone, other parsers 1.2."""
    assert encoded_item("yaml", item(1, name=text)) == f"id: 1\nname: '{text}'\n"


@pytest.mark.parametrize("text", ["1.2.3", "0908 12", "e1", "1e", "0o18", "yy", "x", "1,5", "--1", "."])
def test_other_text_is_plain_in_yaml(text: str) -> None:
    assert encoded_item("yaml", item(1, name=text)) == f"id: 1\nname: {text}\n"


def test_page_in_yaml_is_a_list_and_an_empty_one_a_mapping() -> None:
    assert page("yaml", [item(1, at=WHEN)], total=1) == "- id: 1\n  at: '2026-11-24T12:00:00+00:00'\n"
    assert page("yaml", [], total=0) == "{}\n"


def test_page_in_plain_json_is_the_list() -> None:
    assert page("json", [item(1), item(2)], total=9) == '[{"id":1},{"id":2}]'


def links(number: int, total: int, query: str = "a=1") -> list[dict[str, str]]:
    """Return the links of a page of two items as HAL, JSON:API and Hydra write them, without the path and the query."""
    hal = json.loads(page("jsonhal", [], total=total, number=number, query=query))["_links"]
    api = json.loads(page("jsonapi", [], total=total, number=number, query=query))["links"]
    hydra = json.loads(page("jsonld", [], total=total, number=number, query=query)).get("hydra:view", {})
    found = [{name: link["href"] for name, link in hal.items()}, api, hydra]
    return [{name: link.removeprefix("/api/things?a=1") for name, link in one.items() if name != "@type"} for one in found]


LINKS = {
    "the only page": (1, 2, {"self": ""}, {"@id": ""}),
    "no item": (1, 0, {"self": ""}, {"@id": ""}),
    "first page": (
        *(1, 5),
        {"self": "&page=1", "first": "&page=1", "last": "&page=3", "next": "&page=2"},
        {"@id": "&page=1", "hydra:first": "&page=1", "hydra:last": "&page=3", "hydra:next": "&page=2"},
    ),
    "page between": (
        *(2, 5),
        {"self": "&page=2", "first": "&page=1", "last": "&page=3", "prev": "&page=1", "next": "&page=3"},
        {
            "@id": "&page=2",
            "hydra:first": "&page=1",
            "hydra:last": "&page=3",
            "hydra:previous": "&page=1",
            "hydra:next": "&page=3",
        },
    ),
    "last page": (
        *(3, 5),
        {"self": "&page=3", "first": "&page=1", "last": "&page=3", "prev": "&page=2"},
        {"@id": "&page=3", "hydra:first": "&page=1", "hydra:last": "&page=3", "hydra:previous": "&page=2"},
    ),
    "past the end": (
        *(4, 5),
        {"self": "&page=4", "first": "&page=1", "last": "&page=3", "prev": "&page=3", "next": "&page=5"},
        {"@id": "&page=4", "hydra:first": "&page=1", "hydra:last": "&page=3", "hydra:previous": "&page=3"},
    ),
}


@pytest.mark.parametrize("place", LINKS)
def test_page_links_to_the_pages_around_it(place: str) -> None:
    number, total, named, hydra = LINKS[place]
    assert links(number, total) == [named, named, hydra]


def test_only_page_has_a_view_where_the_query_has_parameters() -> None:
    views = [json.loads(page("jsonld", [], total=1, query=query)).get("hydra:view") for query in ("", "page=1", "pagination=1")]
    assert views == [None] * 3
    view = json.loads(page("jsonld", [], total=1, query="pagination=1&a=1&page=1"))["hydra:view"]
    assert view == {"@id": "/api/things?a=1&pagination=1", "@type": "hydra:PartialCollectionView"}


def test_page_in_json_ld_has_its_items_and_its_search() -> None:
    assert json.loads(page("jsonld", [item(1)], total=1, resource=SEARCHED)) == {
        "@context": "/api/contexts/Thing",
        "@id": "/api/things",
        "@type": "hydra:Collection",
        "hydra:totalItems": 1,
        "hydra:member": [{"@id": "/api/things/1", "@type": "https://example.com/Thing", "id": 1}],
        "hydra:search": {
            "@type": "hydra:IriTemplate",
            "hydra:template": "/api/things{?name,order[name]}",
            "hydra:variableRepresentation": "BasicRepresentation",
            "hydra:mapping": [
                {"@type": "IriTemplateMapping", "variable": variable, "property": "name", "required": False}
                for variable in ("name", "order[name]")
            ],
        },
    }
    assert "hydra:search" not in json.loads(page("jsonld", [], total=0))


def test_page_in_hal_has_items_and_their_links_or_neither() -> None:
    assert json.loads(page("jsonhal", [item(1)], total=1)) == {
        "_links": {"self": {"href": "/api/things"}, "item": [{"href": "/api/things/1"}]},
        "totalItems": 1,
        "itemsPerPage": 2,
        "_embedded": {"item": [{"_links": {"self": {"href": "/api/things/1"}}, "id": 1}]},
    }
    empty = {"_links": {"self": {"href": "/api/things"}}, "totalItems": 0, "itemsPerPage": 2}
    assert json.loads(page("jsonhal", [], total=0)) == empty


def test_page_in_json_api_says_where_it_is() -> None:
    assert json.loads(page("jsonapi", [item(1)], total=5, number=2)) == {
        "links": json.loads(page("jsonapi", [], total=5, number=2))["links"],
        "meta": {"totalItems": 5, "itemsPerPage": 2, "currentPage": 2},
        "data": [{"id": "/api/things/1", "type": "Thing", "attributes": {"_id": 1}}],
    }


def test_collection_without_items_on_a_page_has_one_page() -> None:
    body = json.loads(page("jsonapi", [], total=5, size=0, number=3))
    assert (body["meta"], body["links"]) == (
        {"totalItems": 5, "itemsPerPage": 0, "currentPage": 1},
        {"self": "/api/things"},
    )
