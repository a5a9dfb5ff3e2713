"""Make a row of `user`: given values, defaults, derived copies, and fillers for columns that must not be null."""

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.folding import canonical_username, fold, lower_case
from models.role_list import RoleList
from models.user import ACTIVE, STATUS_STUDENT, User

#: The columns that have a folded copy in our own schema.
SEARCHED = ("username", "firstname", "lastname", "email")

#: The columns of our own schema.
OWN_COLUMNS = frozenset(User.__table__.columns.keys())


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table, and fillers for those that we do not know and that must not be null."""

    names: frozenset[str]
    fillers: Mapping[str, Any]


#: Defaults of a new row, apart from times and random values (docs/compatibility.md#user-properties).
DEFAULTS: Mapping[str, Any] = {
    "website": "",
    "biography": "",
    "locale": "en_US",
    "timezone": "Europe/Paris",
    "password": "",
    "status": STATUS_STUDENT,
    "active": ACTIVE,
    "locked": False,
    "expired": False,
    "credentials_expired": False,
    "mfa_enabled": False,
}


def complete_row(columns: Columns, encoding: str, values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return a whole new row: values, defaults, copies, and fillers for unknown columns."""
    row: dict[str, Any] = dict.fromkeys(columns.names & OWN_COLUMNS - {"id"})
    row |= dict(DEFAULTS) | {"roles": [], "salt": secrets.token_hex(20), "uuid": uuid.uuid4().bytes}
    row |= dict.fromkeys(("expires_at", "created_at", "updated_at"), now) | dict(values)
    row |= copies_of(row)
    row["roles"] = RoleList(row["roles"], encoding)
    return {name: value for name, value in row.items() if name in columns.names} | dict(columns.fillers)


def copies_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the folded and canonical copies that follow from names and e-mail."""
    copies: dict[str, Any] = {f"{name}_folded": fold(values[name]) for name in values.keys() & set(SEARCHED)}
    if "username" in values:
        copies["username_canonical"] = canonical_username(values["username"])
    if "email" in values:
        copies["email_canonical"] = lower_case(values["email"])
    return copies
