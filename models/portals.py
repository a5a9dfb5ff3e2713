"""The portals of a campus: their tree, the portal that a request is for, and settings (docs/campus.md#portals)."""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_OTHER_SCHEME = {"http": "https", "https": "http"}


class Portal(NamedTuple):
    """A row of `access_url`. The last three fields are its place in the tree, a nested set; null if the campus stores none."""

    id: int
    url: str
    active: int = 1
    parent_id: int | None = None
    tree_root: int | None = None
    lft: int | None = None
    rgt: int | None = None

    @property
    def has_place(self) -> bool:
        """Tell whether the portal has a usable place in the nested set."""
        return self.tree_root is not None and self.lft is not None and self.rgt is not None and self.lft < self.rgt


class PortalMap:
    """A snapshot of all portals of a campus. It never changes."""

    def __init__(self, portals: Iterable[Portal]) -> None:
        """Take the rows of `access_url`, active or not."""
        self._portals = {portal.id: portal for portal in sorted(portals)}
        self._by_url: dict[str, list[int]] = {}
        for portal in self._portals.values():
            self._by_url.setdefault(_without_last_slash(portal.url), []).append(portal.id)
        #: The portals without a parent. A link to one of them lifts limits of an administrator (security/portal_scope.py).
        self.roots = frozenset(portal.id for portal in self._portals.values() if portal.parent_id is None)

    def __contains__(self, portal_id: int) -> bool:
        """Tell whether there is such a portal."""
        return portal_id in self._portals

    @property
    def are_several(self) -> bool:
        """Tell whether the campus has several portals, active or not, and so separates users by portal."""
        return len(self._portals) > 1

    @property
    def lowest_id(self) -> int | None:
        """Return the lowest id, or None if there are no portals."""
        return next(iter(self._portals), None)

    def named_by(self, scheme: str, host: str) -> int | None:
        """Return the portal that a scheme and a Host header name, or None.

        TLS often ends at a proxy. So a portal with the other scheme counts, too, if it is the only one with that host and port.
        """
        scheme = scheme.lower()
        if exact := self._by_url.get(f"{scheme}://{_netloc(scheme, host)}"):
            return exact[0]
        other = _OTHER_SCHEME.get(scheme, "")
        names = {f"{other}://{_netloc(by, host)}" for by in (scheme, other)}
        found = [portal_id for name in names for portal_id in self._by_url.get(name, ())]
        return found[0] if len(found) == 1 else None

    def below(self, portal_ids: Iterable[int]) -> frozenset[int]:
        """Return these portals and all below them."""
        tops = [self._portals[portal_id] for portal_id in portal_ids if portal_id in self._portals]
        return frozenset(portal.id for portal in self._portals.values() if any(self._is_below(portal, top) for top in tops))

    def _is_below(self, portal: Portal, top: Portal) -> bool:
        if not (portal.has_place and top.has_place):
            return top.id in self._ancestors(portal)
        is_inside = portal.lft >= top.lft and portal.rgt <= top.rgt  # type: ignore[operator]  # see has_place
        return portal.tree_root == top.tree_root and is_inside

    def _ancestors(self, portal: Portal) -> set[int]:
        """Return the ids of a portal and of all portals above it. A loop of parents does no harm."""
        seen = {portal.id}
        while portal.parent_id in self._portals and portal.parent_id not in seen:
            portal = self._portals[portal.parent_id]
            seen.add(portal.id)
        return seen


def _netloc(scheme: str, host: str) -> str:
    """Return a Host header in lower case, without the default port of the scheme."""
    return host.lower().removesuffix(f":{_DEFAULT_PORTS.get(scheme, 0)}")


def _without_last_slash(url: str) -> str:
    """Return a URL for comparison: scheme and host in lower case. A URL with a path stays unchanged, and matches no request."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return url
    is_plain = parts.path in {"", "/"} and not parts.query and not parts.fragment
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}" if is_plain else url


class PortalSetting(NamedTuple):
    """A row of Chamilo's `settings`; `portal_id` is null in rows that apply to all portals."""

    portal_id: int | None
    variable: str
    value: str | None
    is_changeable: bool
    is_locked: bool


#: The portal whose settings apply to portals that have no settings of their own, or may not have any.
MAIN_PORTAL = 1


def setting_of(rows: Iterable[PortalSetting], variable: str, portal_id: int) -> str | None:
    """Return the value of a setting for a portal, or None if it has no row.

    The main portal's row decides if it is locked or not changeable, or if the portal has no row of its own (Chamilo's
    SettingsManager).
    """
    of_variable = sorted((row for row in rows if row.variable == variable), key=lambda row: row.portal_id or 0)
    by_portal = {row.portal_id or MAIN_PORTAL: row for row in of_variable}
    main, own = by_portal.get(MAIN_PORTAL), by_portal.get(portal_id)
    decides = main is not None and (main.is_locked or not main.is_changeable)
    chosen = main if decides or own is None else own
    return chosen.value if chosen else None


#: The forms of a full name, for `str.format` with the fields `first` and `last`.
FIRST_LAST, LAST_COMMA_FIRST, LAST_FIRST = "{first} {last}", "{last}, {first}", "{last} {first}"

# The languages, as Chamilo names them, in which a full name does not begin with the first name.
_FORMS = {"es": LAST_COMMA_FIRST} | dict.fromkeys(("gl_ES", "hu", "ja", "ko", "ms", "vi", "zh_CN", "zh_TW"), LAST_FIRST)


def name_form_of(language: str | None) -> str:
    """Return the form of full names in a language. If the language is not listed, the first name comes first."""
    return _FORMS.get(language or "", FIRST_LAST)
