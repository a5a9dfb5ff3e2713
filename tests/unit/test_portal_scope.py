"""Which users a caller reaches on a campus of several portals, without a database."""

import pytest

from models.portals import Portal, PortalMap
from security.portal_scope import Standing, reach_of

# 1 is above 2, and 2 above 3; 4 stands alone.
CAMPUS = PortalMap([Portal(1, "", 1, None, 1, 1, 6), Portal(2, "", 1, 1, 1, 2, 5), Portal(3, "", 1, 2, 1, 3, 4), Portal(4, "")])
ALONE = PortalMap([Portal(1, "")])

EVERYONE = None


@pytest.mark.parametrize(
    ("is_global_admin", "linked", "listed", "changed"),
    [
        (True, {1}, EVERYONE, EVERYONE),
        (True, {3, 4}, EVERYONE, EVERYONE),
        (True, {2}, {2, 3}, {2, 3}),
        (True, set(), set(), set()),
        (False, {1}, {3}, EVERYONE),
        (False, {2}, {3}, {2}),
        (False, set(), {3}, set()),
    ],
)
def test_reach_follows_from_the_role_and_the_links(
    is_global_admin: bool, linked: set[int], listed: set[int] | None, changed: set[int] | None
) -> None:
    standing = Standing(is_global_admin, frozenset(linked), 3, CAMPUS)
    assert (reach_of(standing, lists=True), reach_of(standing, lists=False)) == (listed, changed)


@pytest.mark.parametrize("is_global_admin", [True, False])
@pytest.mark.parametrize("lists", [True, False])
def test_one_portal_limits_nobody(is_global_admin: bool, lists: bool) -> None:
    assert reach_of(Standing(is_global_admin, frozenset(), 1, ALONE), lists=lists) is None
