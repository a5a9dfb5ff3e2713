"""Which users a caller reaches on a campus of several portals, without a database."""

from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from blueprints.users import policy
from models.platform import PortalOfRequest
from models.portals import Portal, PortalMap
from security.bearer import Caller
from security.errors import AccessDenied
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


def administrator_of(portal_id: int) -> Caller:
    token: Any = None
    portal = PortalOfRequest(3, CAMPUS, {}, "")
    return Caller(1, "me", frozenset({"ROLE_USER", "ROLE_ADMIN"}), token, frozenset({portal_id}), portal)


@pytest.mark.parametrize(
    ("caller_portal", "user_portal", "is_reached"), [(1, 4, True), (2, 2, True), (2, 4, False), (2, 3, False)]
)
def test_administrators_edit_and_delete_the_users_whom_they_reach(caller_portal: int, user_portal: int, is_reached: bool) -> None:
    caller, user = administrator_of(caller_portal), SimpleNamespace(id=2, roles=[], linked=frozenset({user_portal}))
    assert policy.may_edit_user(caller, user) == is_reached
    outcome: AbstractContextManager[Any] = nullcontext() if is_reached else pytest.raises(AccessDenied)
    with outcome:
        policy.require_deletable(caller, user)
