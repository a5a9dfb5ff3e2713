"""The reader of PHP's serialize() accepts arrays of strings and nothing else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.php_serialize import NotSerializedStrings, serialize_strings, unserialize_strings
from models.role_list import RoleList, Roles

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a:0:{}", []),
        ('a:1:{i:0;s:12:"ROLE_STUDENT";}', ["ROLE_STUDENT"]),
        ('a:2:{i:3;s:7:"ROLE_HR";i:-1;s:7:"ROLE_É";}', ["ROLE_HR", "ROLE_É"]),
        ('a:1:{s:3:"key";s:7:"a";b:1;";}', ['a";b:1;']),
    ],
)
def test_arrays_of_strings_are_read(text: str, values: list[str]) -> None:
    assert unserialize_strings(text) == values


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "N;", "i:1;", 's:1:"a";', "a:1:{}", "a:-1:{}", 'a:1:{i:0;s:2:"a";}', 'a:1:{i:0;s:1:"a";}x'),
        *("a:1:{i:0;i:1;}", "a:1:{i:0;b:1;}", "a:1:{i:0;N;}", "a:1:{i:0;a:0:{}}", 'a:1:{i:0;O:8:"stdClass":0:{}}'),
        *('O:8:"stdClass":0:{}', 'C:1:"X":0:{}', "a:1:{i:0;r:1;}", 'a:99999999:{i:0;s:1:"a";}', 'a:1:{i:0;s:9999999:"a";}'),
        *('a:1:{i:0;s:1:"é";}', "a:1:{" * 5000, 'a:1:{i:0;s:70000:"' + "x" * 70000 + '";}'),
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(NotSerializedStrings):
        unserialize_strings(text)


@given(st.lists(TEXT, max_size=20))
def test_what_is_written_is_read(values: list[str]) -> None:
    assert unserialize_strings(serialize_strings(values)) == values


@given(
    st.text(max_size=200)
    | st.lists(TEXT, max_size=3).map(serialize_strings).flatmap(lambda text: st.permutations(text).map("".join))
)
def test_no_text_does_anything_but_read_or_be_refused(text: str) -> None:
    with contextlib.suppress(NotSerializedStrings, UnicodeEncodeError):
        assert all(isinstance(value, str) for value in unserialize_strings(text))


@pytest.mark.parametrize("stored", ["a:broken", "[1]", "{", '"text"', "[[]]"])
def test_unreadable_roles_are_none(stored: str) -> None:
    assert Roles().process_result_value(stored, None) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("stored", ['a:1:{i:0;s:7:"ROLE_HR";}', '["ROLE_HR"]'])
def test_roles_are_written_as_they_were_read(stored: str) -> None:
    roles = Roles().process_result_value(stored, None)  # type: ignore[arg-type]
    assert Roles().process_bind_param(RoleList([*roles, "ROLE_X"], roles.encoding), None)[0] == stored[0]  # type: ignore[arg-type, index]
