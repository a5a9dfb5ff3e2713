"""Deeply nested input within the limits of size: it is refused or cut, and does not exhaust the stack."""

from typing import Any

import pytest
from factories import Clock
from test_tokens import HEADER, NOW, OwnKey, b64, dump, signed

from rest.query import build_query, parse_query
from security.errors import InvalidToken
from security.tokens import AccessTokens

#: In characters.
LONGEST = 8190

#: Python's own limit is 1,000; as text, twice so many brackets are half of the longest token.
LEVELS = 1_500
NESTED = b"[" * LEVELS + b"]" * LEVELS

DEEP = {
    "header": {"header": b'{"x":' + NESTED + b"}"},
    "header in objects": {"header": b'{"x":' * 700 + b"1" + b"}" * 700},
    "claims": {"claims": b'{"x":' + NESTED + b"}"},
    "claims without an end": {"claims": b'{"x":' + b"[" * LEVELS},
}


@pytest.mark.parametrize("place", DEEP)
def test_deep_token_that_is_no_longer_than_others_is_invalid(place: str) -> None:
    token = signed(**DEEP[place])
    assert len(token) <= LONGEST
    with pytest.raises(InvalidToken):
        AccessTokens(OwnKey(), Clock(), 3600, 0).verify(token)


def token_of(length: int) -> str:
    """Make a good token of just this length; some need a longer header, since no base64url has a length of 4n + 1."""
    for header in ({**HEADER, "x": "x" * extra} for extra in range(4)):
        for extra in range(5_500, 6_000):
            claims = {"iat": NOW, "exp": NOW + 3600, "username": "alice", "x": "x" * extra}
            if len(f"{b64(dump(header))}.{b64(dump(claims))}.{b64(bytes(256))}") == length:
                return signed(header, claims)
    raise AssertionError(length)


def test_token_is_at_most_as_long_as_a_line_of_the_header() -> None:
    tokens = AccessTokens(OwnKey(), Clock(), 3600, 0)
    assert tokens.verify(token_of(LONGEST))["username"] == "alice"
    with pytest.raises(InvalidToken):
        tokens.verify(token_of(LONGEST + 1))


def nested(levels: int, value: str) -> Any:
    """Return parameters in as many levels, each with one key."""
    parameters: Any = value
    for _ in range(levels):
        parameters = {"x": parameters}
    return parameters


@pytest.mark.parametrize(("levels", "kept"), [(63, 63), (64, 64), (65, 64), (1_500, 64)])
def test_query_nests_64_levels_and_no_more(levels: int, kept: int) -> None:
    parameters = parse_query("a" + "[x]" * levels + "=1")
    assert parameters == {"a": nested(kept, "1")}
    assert build_query(parameters) == "a" + "%5Bx%5D" * kept + "=1"


def test_query_has_a_thousand_parameters_and_no_more() -> None:
    query = "&".join(f"a{number}=1" for number in range(1, 1002))
    assert list(parse_query(query))[-1] == "a1000"
