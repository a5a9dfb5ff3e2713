"""Query strings as PHP reads and writes them."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rest.encoding import INT_MAX
from rest.query import build_query, integer, parse_query
from rest.representation import PageLink


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", {}),
        ("&&", {}),
        ("=1", {}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("a=1&a=2", {"a": "2"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=b+c%20d", {"a": "b c d"}),
        ("a=%C3%A9", {"a": "é"}),
        ("a=%FF", {"a": "\ufffd"}),
        ("a=%", {"a": "%"}),
        ("a[]=1&a[]=2", {"a": {"0": "1", "1": "2"}}),
        ("a%5B%5D=1", {"a": {"0": "1"}}),
        ("a[5]=1&a[]=2", {"a": {"5": "1", "6": "2"}}),
        ("a[x]=1&a[]=2", {"a": {"x": "1", "0": "2"}}),
        ("order[username]=asc", {"order": {"username": "asc"}}),
        ("a[x][y]=1&a[x][z]=2", {"a": {"x": {"y": "1", "z": "2"}}}),
        ("a=1&a[x]=2", {"a": {"x": "2"}}),
        ("a[x]=2&a=1", {"a": "1"}),
        ("[x]=1", {}),
        ("+a=1", {"a": "1"}),
    ],
)
def test_query_is_read_as_php_reads_it(query: str, parameters: Any) -> None:
    assert parse_query(query) == parameters


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({}, ""),
        ({"a": "b c/d~e"}, "a=b%20c%2Fd~e"),
        ({"a": {"0": "1", "1": "2"}}, "a%5B%5D=1&a%5B%5D=2"),
        ({"order": {"username": "asc"}}, "order%5Busername%5D=asc"),
        ({"0": "a", "7": {"5": "b"}}, "0=a&7%5B%5D=b"),
    ],
)
def test_query_is_written_by_rfc_3986(parameters: Any, query: str) -> None:
    assert build_query(parameters) == query


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(st.characters(codec="utf-8"), max_size=10)))
def test_what_is_written_reads_the_same(parameters: dict[str, str]) -> None:
    assert parse_query(build_query(parameters)) == parameters


@given(st.text(alphabet="a[]=&%0.1+", max_size=60))
def test_no_query_falls_over(query: str) -> None:
    written = build_query(parse_query(query))
    assert build_query(parse_query(written)) == written


def test_long_query_is_cut_and_deep_one_is_not_nested() -> None:
    assert len(parse_query("&".join(f"a{n}=1" for n in range(2000)))) == 1000
    build_query(parse_query("a" + "[x]" * 5000 + "=1"))


def test_long_position_is_no_number() -> None:
    assert len(parse_query(f"a[{'9' * 5000}]=1&a[]=2")["a"]) == 2


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        ("abc", 0),
        ("1", 1),
        (" 1", 1),
        ("\n1", 1),
        ("1 ", 1),
        ("1abc", 1),
        ("-1", -1),
        ("+1", 1),
        ("--1", 0),
        ("- 1", 0),
        ("2.9", 2),
        ("-2.9", -2),
        (".9", 0),
        ("1e1", 10),
        ("1e", 1),
        ("1.5e1", 15),
        ("0x1A", 0),
        ("007", 7),
        ("\u0661", 0),
        ("1234567890123456789", 1234567890123456789),
        ("-1234567890123456789", -1234567890123456789),
        ("9223372036854775807", INT_MAX),
        ("9223372036854775808", INT_MAX),
        ("-9223372036854775808", -INT_MAX - 1),
        ("-9223372036854775809", -INT_MAX - 1),
        ("9" * 5000, INT_MAX),
        ("-" + "9" * 5000, -INT_MAX - 1),
        ("0" * 5000 + "1", 1),
        ("1e1000", INT_MAX),
        ("-1e1000", -INT_MAX - 1),
        ("1e-5", 0),
        ("inf", 0),
        ("nan", 0),
    ],
)
def test_text_is_cast_as_php_casts_it(text: str, number: int) -> None:
    assert integer(text) == number


@pytest.mark.parametrize(("parameters", "number"), [({}, 0), ({"0": "5"}, 1)])
def test_list_is_cast_as_php_casts_it(parameters: Any, number: int) -> None:
    assert integer(parameters) == number


def calls_of(action: Callable[[], Any]) -> int:
    """Count the Python and C calls of a function: a measure of time without a clock."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


LONG_QUERIES = {
    "positions": lambda number: "&".join(["a[]=1"] * number),
    "positions of a list in lists": lambda number: "&".join(["a[x][y][]=1"] * number),
    "given positions": lambda number: "&".join(f"a[{n}]=1" for n in range(number)) + "&a[]=1",
    "names": lambda number: "&".join(f"a{n}=1" for n in range(number)),
    "brackets": lambda number: "&".join(["a" + "[]" * 60 + "=1"] * number),
    "open brackets": lambda number: "&".join(["a" + "[" * 60 + "=1"] * number),
}


@pytest.mark.slow
@pytest.mark.parametrize("query", LONG_QUERIES.values(), ids=LONG_QUERIES)
def test_twice_as_long_a_query_takes_twice_the_calls(query: Callable[[int], str]) -> None:
    def read_and_link(text: str) -> Callable[[], Any]:
        return lambda: (parse_query(text), [PageLink("/", text).to_page(page) for page in range(5)])

    once, twice = (calls_of(read_and_link(query(number))) for number in (250, 500))
    assert twice < 2.2 * once


def test_links_of_a_page_read_the_query_once() -> None:
    link = PageLink("/", "a=1&page=3")
    first = calls_of(lambda: link.to_page(1))
    assert calls_of(lambda: link.to_page(1)) < first
    assert (link.to_page(2), link.parameters) == ("/?a=1&page=2", {"a": "1"})


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("a[x]=1&a[]=2&a[7]=3&a[]=4&a[3]=5&a[]=6", ["x", "0", "7", "8", "3", "9"]),
        ("a[]=1&a=2&a[]=3", ["0"]),
        ("a[][]=1&a[][]=2", ["0", "1"]),
        ("a[-5]=1&a[]=2", ["-5", "0"]),
        ("a[123456789012345678]=1&a[]=2", ["123456789012345678", "123456789012345679"]),
        ("a[9999999999999999999]=1&a[]=2", ["9999999999999999999", "0"]),
    ],
)
def test_positions_go_on_after_the_largest(query: str, keys: list[str]) -> None:
    assert list(parse_query(query)["a"]) == keys
