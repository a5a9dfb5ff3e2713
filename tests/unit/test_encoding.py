"""JSON in and out."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rest.encoding import MAX_DEPTH, NotJson, decode_json, encode_json


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        rb'"\ud800"',
        rb'"\ud800x"',
        rb'{"\udfff": 1}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"'x'",
        b"[1,]",
        b"{1:2}",
        b"01",
        b'"\n"',
        '"x"'.encode("utf-16"),
        b"// x\n1",
        b"[" * 100_000,
        b"[" * 513 + b"]" * 513,
        b'{"a":' * 513 + b"1" + b"}" * 513,
    ],
)
def test_what_php_refuses_is_not_json(text: bytes) -> None:
    with pytest.raises(NotJson):
        decode_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b' \n{"a" : 1}\t ', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (rb'"\u0000"', "\0"),
        (b"null", None),
        (b"1e3", 1000.0),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_json_is_read(text: bytes, value: object) -> None:
    assert decode_json(text) == value


def test_512_levels_are_read() -> None:
    assert decode_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_number_of_many_digits_does_not_fall_over() -> None:
    with pytest.raises(NotJson):
        decode_json(b"1" * 10_000)


def test_slash_and_unicode_stay_as_they_are() -> None:
    assert encode_json({"a": "/é\u2028"}) == '{"a":"/é\u2028"}'.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)


@given(JSON)
def test_what_is_written_reads_the_same(value: object) -> None:
    assert decode_json(encode_json(value)) == value


#: Pieces of JSON, and pieces that only look like JSON.
PIECES = [
    *(b"[", b"]", b"{", b"}", b",", b":", b" ", b'"', b'"a"', b'"a":', b"1", b"-0.5", b"null", b"true"),
    *(b'"\\ud83d', b'\\ude00"', b'"\\ud800"', b'"\\n"', b"NaN", b"\xff", b"\xef\xbb\xbf", b"\0"),
]


@given(st.binary(max_size=50) | st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
def test_bytes_are_read_as_another_strict_reader_reads_them(text: bytes) -> None:
    try:
        expected = orjson.loads(text)
    except ValueError:
        with pytest.raises(NotJson):
            decode_json(text)
    else:
        assert decode_json(text) == expected
