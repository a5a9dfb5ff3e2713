"""The roles of a row: a list that knows in which of two encodings it was stored."""

import json
import logging
from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import Dialect
from sqlalchemy.types import TypeDecorator

from models.database import long_text
from models.php_serialize import serialize_strings, unserialize_strings

logger = logging.getLogger(__name__)


class RoleList(list[str]):
    """Role names, and the encoding of their row: `json` (Chamilo 3 and Poort) or `php` (Chamilo 2)."""

    def __init__(self, roles: Iterable[str] = (), encoding: str = "json") -> None:
        super().__init__(roles)
        self.encoding = encoding


class Roles(TypeDecorator[RoleList]):
    """The `roles` column. The first character tells the encoding of a row, and Poort writes the row back in that encoding."""

    impl = long_text()
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> str | None:
        """Write `["ROLE_STUDENT"]`, or `a:1:{i:0;s:12:"ROLE_STUDENT";}`."""
        if value is None:
            return None
        if isinstance(value, RoleList) and value.encoding == "php":
            return serialize_strings(value)
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> RoleList:
        """Read a list of roles. Text in neither encoding is logged and gives no roles."""
        if not value:
            return RoleList()
        read = _remembered_roles if len(value) <= _LONGEST_REMEMBERED_ROLES else _read_roles
        return RoleList(*read(value))


def _read_roles(value: str) -> tuple[tuple[str, ...], str]:
    try:
        return (tuple(unserialize_strings(value)), "php") if value.startswith("a") else (tuple(_json_strings(value)), "json")
    except ValueError:
        logger.error("the roles of a row are neither JSON nor a serialized array of strings; the user gets none")
        return (), "json"


# Many users have the same roles, and real lists of roles are short. 1,024 entries take 7 MB at worst.
_LONGEST_REMEMBERED_ROLES = 256
_remembered_roles = lru_cache(maxsize=1024)(_read_roles)


def _json_strings(value: str) -> list[str]:
    roles = json.loads(value)
    # PHP encodes an array with gaps in its keys as a JSON object.
    roles = list(roles.values()) if isinstance(roles, dict) else roles
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise ValueError("not strings")
    return roles
