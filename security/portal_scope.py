"""Decide which users a caller may list, change and create on a campus with several portals."""

from typing import NamedTuple

from models.portals import PortalMap
from models.roles import ROLE_GLOBAL_ADMIN
from security.bearer import Caller

#: The portals whose users a caller may list or change. None means all users, also those of no portal.
Reach = frozenset[int] | None


class Standing(NamedTuple):
    """The facts that decide a caller's reach: role, own portals, the portal of the request, and all portals."""

    is_global_admin: bool
    linked: frozenset[int]
    portal_id: int
    portals: PortalMap


def reach_of(standing: Standing, *, lists: bool) -> Reach:
    """Return the portals whose users a caller may list, or may change (docs/compatibility.md#portal-scope).

    A link to a portal without a parent lets administrators change all users, and global administrators also list them all.
    Otherwise global administrators reach the portals that they are linked to, and all below these. Other callers reach the
    portal of the request in lists, and the portals that they are linked to in changes.
    """
    _, linked, portal_id, portals = standing
    is_unrestricted = not linked.isdisjoint(portals.roots)
    if not portals.are_several or (is_unrestricted and (standing.is_global_admin or not lists)):
        return None
    if standing.is_global_admin:
        return portals.below(linked)
    return frozenset((portal_id,)) if lists else linked


def listed_portals(caller: Caller) -> Reach:
    """Return the portals whose users a caller may list."""
    return reach_of(_standing(caller), lists=True)


def is_in_scope(caller: Caller, linked: frozenset[int]) -> bool:
    """Tell whether an administrator may change a user who is linked to these portals."""
    reach = reach_of(_standing(caller), lists=False)
    return reach is None or not reach.isdisjoint(linked)


def manages_portal(caller: Caller, portal_id: int) -> bool:
    """Tell whether an administrator may create users of a portal."""
    return is_in_scope(caller, frozenset((portal_id,)))


def is_unrestricted(caller: Caller) -> bool:
    """Tell whether a caller may change users of all portals and of none."""
    return reach_of(_standing(caller), lists=False) is None


def _standing(caller: Caller) -> Standing:
    return Standing(caller.is_granted(ROLE_GLOBAL_ADMIN), caller.linked, caller.portal.id, caller.portal.portals)
