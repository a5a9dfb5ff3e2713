"""The portals of a campus and the settings of its administrators, read at most once a minute."""

import logging
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Boolean, Integer, Select, String, and_, column, inspect, null, or_, select, table
from sqlalchemy.types import TypeEngine

from models.campus import ACCESS_URL_OF_EVERYONE, AccessUrl
from models.compiled_reads import Read, Reader
from models.database import columns_of, long_text
from models.portals import Portal, PortalMap, PortalSetting, name_form_of, setting_of

logger = logging.getLogger(__name__)

#: How old the known portals and settings may be, in seconds.
MAX_AGE_SECONDS = 60

#: The settings that are read, by Chamilo's variable and category.
VARIABLES = {
    "platform_language": "language",
    "timezone": "platform",
    "site_name": "platform",
    "external_api_enabled": "security",
}

# The table's name in Chamilo 2 and later, and before.
_SETTINGS_TABLES = ("settings", "settings_current")
_SETTING_COLUMNS: dict[str, TypeEngine[Any]] = {
    "access_url": Integer(),
    "variable": String(190),
    "selected_value": long_text(),
    "access_url_changeable": Boolean(),
    "access_url_locked": Boolean(),
    "category": String(255),
}


class PortalOfRequest(NamedTuple):
    """The portal that a request is for, and its settings. Stand-alone there is one portal, without settings."""

    id: int
    portals: PortalMap
    settings: dict[str, str | None]
    name_form: str


#: The portal of every request if this server has its own schema.
STAND_ALONE = PortalOfRequest(ACCESS_URL_OF_EVERYONE, PortalMap([]), {}, name_form_of(None))


class _Snapshot(NamedTuple):
    portals: PortalMap
    settings: Sequence[PortalSetting]
    of_requests: dict[int, PortalOfRequest]


class Platform:
    """The portals and settings of the campus beside this server.

    `choice` is the id of the portal for all requests. With `host`, the scheme and host of each request choose the portal. With
    None, it is portal 1 or, if that does not exist, the portal with the lowest id.
    """

    def __init__(self, reader: Reader, choice: int | Literal["host"] | None) -> None:
        self._reader, self._choice = reader, choice
        self._reads: tuple[Read, Read | None] | None = None
        self._known: _Snapshot | None = None
        self._read_at = 0.0
        self._warned_at: float | None = None

    def of_request(self, scheme: str, host: str) -> PortalOfRequest:
        """Return the portal that a request is for. If its host names none, that is the portal with the lowest id."""
        known = self._snapshot()
        if self._choice != "host" or not known.portals.are_several:
            return self._of_portal(known, self._default_id(known.portals))
        named = known.portals.named_by(scheme, host)
        if named is None:
            self._warn(self._default_id(known.portals))
        return self._of_portal(known, named or self._default_id(known.portals))

    def default(self) -> PortalOfRequest:
        """Return the portal for work outside a request, such as a command."""
        known = self._snapshot()
        return self._of_portal(known, self._default_id(known.portals))

    def _default_id(self, portals: PortalMap) -> int:
        if isinstance(self._choice, int):
            return self._choice
        if self._choice is None and ACCESS_URL_OF_EVERYONE in portals:
            return ACCESS_URL_OF_EVERYONE
        return portals.lowest_id or ACCESS_URL_OF_EVERYONE

    def portals(self) -> PortalMap:
        """Return all portals."""
        return self._snapshot().portals

    def _warn(self, portal_id: int) -> None:
        now = time.monotonic()
        if self._warned_at is None or now - self._warned_at >= MAX_AGE_SECONDS:
            self._warned_at = now
            logger.warning("no portal has the host of a request: portal %d answers", portal_id)

    def _of_portal(self, known: _Snapshot, portal_id: int) -> PortalOfRequest:
        made = known.of_requests.get(portal_id)
        if made is None:
            settings = {variable: setting_of(known.settings, variable, portal_id) for variable in VARIABLES}
            name_form = name_form_of(settings["platform_language"])
            made = known.of_requests[portal_id] = PortalOfRequest(portal_id, known.portals, settings, name_form)
        return made

    def _snapshot(self) -> _Snapshot:
        now = time.monotonic()
        if self._known is None or now - self._read_at >= MAX_AGE_SECONDS:
            portals, settings = self._reads or self._make_reads()
            self._known = _Snapshot(
                PortalMap(self._reader.rows(portals, {})), self._reader.rows(settings, {}) if settings else [], {}
            )
            self._read_at = now
        return self._known

    def _make_reads(self) -> tuple[Read, Read | None]:
        with self._reader.session() as session:
            inspector = inspect(session.connection())
            tables = [name for name in _SETTINGS_TABLES if _SETTING_COLUMNS.keys() <= columns_of(inspector, name)]
            portals = _select_portals(columns_of(inspector, AccessUrl.__tablename__) & set(Portal._fields))
        settings = Read(_select_settings(tables[0]), (len(PortalSetting._fields), PortalSetting._make)) if tables else None
        self._reads = Read(portals, (len(Portal._fields), Portal._make)), settings
        return self._reads


def _select_portals(present: set[str]) -> Select[Any]:
    """Select the portals. Before Chamilo 2 they have no nested set: its columns are null."""
    portals = table(AccessUrl.__tablename__, *(column(name, String() if name == "url" else Integer()) for name in present))
    return select(*(portals.c[name] if name in present else null().label(name) for name in Portal._fields)).select_from(portals)


def _select_settings(name: str) -> Select[Any]:
    found = table(name, *(column(name, kind) for name, kind in _SETTING_COLUMNS.items())).c
    wanted = (and_(found.variable == variable, found.category == category) for variable, category in VARIABLES.items())
    return select(*(found[name] for name in _SETTING_COLUMNS if name != "category")).where(or_(*wanted))
