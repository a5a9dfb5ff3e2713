"""Whether a portal accepts API keys; tests/campus has the same on a campus."""

from types import SimpleNamespace
from typing import Any

import pytest

from models.platform import STAND_ALONE
from security.api_keys import ApiKeys

unused: Any = None


@pytest.mark.parametrize(
    ("has_table", "is_campus", "setting", "are_on"),
    [
        (True, True, "true", True),
        (True, True, "false", False),
        (True, True, None, False),
        (True, False, None, True),
        (False, True, "true", False),
        (False, False, None, False),
    ],
)
def test_keys_are_on_where_the_table_is_there_and_the_portal_does_not_turn_them_off(
    has_table: bool, is_campus: bool, setting: str | None, are_on: bool
) -> None:
    table: Any = SimpleNamespace(is_there=has_table)
    keys = ApiKeys(table, unused, unused, is_campus=is_campus, marks_use=False)
    assert keys.are_on(STAND_ALONE._replace(settings={"external_api_enabled": setting})) is are_on
