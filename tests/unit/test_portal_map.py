"""The portals of a campus: which one a scheme and host name, which lie below another, and which row of a setting counts."""

import pytest

from models.portals import Portal, PortalMap, PortalSetting, setting_of

BY_HOST = PortalMap(
    [
        Portal(5, "https://Campus.Example.org/"),
        Portal(2, "http://a.example.org"),
        Portal(3, "http://a.example.org:8080/"),
        Portal(4, "https://b.example.org/sub/"),
        Portal(6, "https://twice.example.org/"),
        Portal(7, "https://twice.example.org"),
        Portal(8, "http://both.example.org/"),
        Portal(9, "https://both.example.org/", active=0),
        Portal(10, "https://[broken/"),
    ]
)


@pytest.mark.parametrize(
    ("scheme", "host", "portal"),
    [
        ("https", "campus.example.org", 5),
        ("HTTPS", "CAMPUS.EXAMPLE.ORG:443", 5),
        ("http", "campus.example.org", 5),
        ("http", "campus.example.org:80", 5),
        ("https", "a.example.org", 2),
        ("http", "a.example.org:8080", 3),
        ("https", "a.example.org:8080", 3),
        ("http", "a.example.org:8081", None),
        ("https", "b.example.org", None),
        ("https", "twice.example.org", 6),
        ("http", "twice.example.org", None),
        ("http", "both.example.org", 8),
        ("https", "both.example.org", 9),
        ("https", "campus.example.org.evil.example", None),
        ("https", "[broken", None),
    ],
)
def test_portal_of_a_host_is_exact_or_the_only_one_of_the_other_scheme(scheme: str, host: str, portal: int | None) -> None:
    assert BY_HOST.named_by(scheme, host) == portal


# 1 has 2 and 4, and 2 has 3, as the nested set says, whatever their parents. The others have no usable place.
TREE = PortalMap(
    [
        Portal(1, "", 1, None, 1, 1, 8),
        Portal(2, "", 1, 4, 1, 2, 5),
        Portal(3, "", 0, 1, 1, 3, 4),
        Portal(4, "", 1, 1, 1, 6, 7),
        Portal(5, "", 1, None, 5, 1, 2),
        Portal(6, "", 1, 5, None, 1, 2),
        Portal(7, "", 1, 3, 1, 9, 9),
        Portal(8, "", 1, 9),
        Portal(9, "", 1, 8),
        Portal(10, "", 1, 99),
    ]
)


@pytest.mark.parametrize(
    ("tops", "below"),
    [
        ([1], {1, 2, 3, 4, 7}),
        ([2], {2, 3}),
        ([3], {3, 7}),
        ([5], {5, 6}),
        ([2, 6], {2, 3, 6}),
        ([8], {8, 9}),
        ([10], {10}),
        ([99], set()),
        ([], set()),
    ],
)
def test_portals_below_are_those_of_the_nested_set_or_of_the_parents(tops: list[int], below: set[int]) -> None:
    assert TREE.below(tops) == below


def test_portals_without_a_parent_are_roots() -> None:
    assert TREE.roots == {1, 5}


def row(portal_id: int | None, value: str | None, *, is_changeable: bool = True, is_locked: bool = False) -> PortalSetting:
    return PortalSetting(portal_id, "timezone", value, is_changeable, is_locked)


@pytest.mark.parametrize(
    ("rows", "of_1", "of_2"),
    [
        ([], None, None),
        ([row(1, "A"), row(2, "B")], "A", "B"),
        ([row(2, "B"), row(1, "A", is_changeable=False)], "A", "A"),
        ([row(1, "A", is_locked=True), row(2, "B")], "A", "A"),
        ([row(1, "A", is_locked=True, is_changeable=False), row(2, "B", is_locked=True)], "A", "A"),
        ([row(1, "A"), row(2, "B", is_changeable=False)], "A", "B"),
        ([row(1, "A"), row(3, "C")], "A", "A"),
        ([row(2, "B")], None, "B"),
        ([row(1, "A"), row(2, None)], "A", None),
        ([row(None, "N")], "N", "N"),
        ([row(1, "A"), row(None, "N")], "A", "A"),
    ],
)
def test_setting_of_a_portal_is_its_own_unless_the_main_one_decides(
    rows: list[PortalSetting], of_1: str | None, of_2: str | None
) -> None:
    assert (setting_of(rows, "timezone", 1), setting_of(rows, "timezone", 2)) == (of_1, of_2)
    assert setting_of(rows, "site_name", 2) is None
