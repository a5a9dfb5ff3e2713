"""The properties and filters of users in requests and answers, declared once (docs/compatibility.md#user-properties)."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, cast

from sqlalchemy import ColumnElement

from models.extra_fields import Pair, UnknownExtraField
from models.passwords import MAX_PASSWORD_BYTES
from models.portals import FIRST_LAST
from models.roles import ROLE_OF_STATUS, roles_to_show
from models.user import ACTIVE, User
from models.user_lists import Filters
from models.user_table import UserTable
from rest import filters
from rest.problem import UnreadableQuery
from rest.query import Parameters
from rest.resource import Filter, Kind, Properties, Property, Resource
from rest.schema import EXAMPLE_ID


def full_name(row: Any, form: str = FIRST_LAST) -> str:
    """Return the first and last name in one of the forms of models.portals. A missing name counts as empty."""
    return form.format(first=row.firstname or "", last=row.lastname or "")


def _own_full_name(row: Any, form: str = FIRST_LAST) -> str:
    """Return the full name without surrounding blanks. If both names are empty, return the user name, not the comma of `form`."""
    return full_name(row, form).strip() if full_name(row).strip() else row.username


@cache
def in_name_form(properties: Properties, form: str) -> Properties:
    """Return the properties with the full name in one of the forms of models.portals."""
    return Properties(
        replace(prop, value=partial(cast("Any", prop.value), form=form)) if prop.name == "fullName" else prop
        for prop in properties
    )


_ORDERED = ("username", "firstname", "lastname")

# fmt: off
USER = Resource(
    name="User",
    iri="/api/users",
    iri_type="http://schema.org/Person",
    properties=(
        Property("illustrationUrl", Kind.STRING, value=lambda _row: "/img/user_default.svg", public=True, iri="http://schema.org/contentUrl", description="The path of the user's picture.", example="/img/user_default.svg"),
        Property("id", Kind.INTEGER, ("id",), public=True, description="The number of the user.", example=EXAMPLE_ID),
        Property("username", Kind.STRING, ("username",), public=True, writable=True, not_blank=True, max_length=100, description="The name to sign in with; unique, ignoring case.", example="alice"),
        Property("firstname", Kind.STRING, ("firstname",), public=True, writable=True, nullable=True, max_length=64, iri="http://schema.org/name", example="Alice"),
        Property("lastname", Kind.STRING, ("lastname",), public=True, writable=True, nullable=True, max_length=64, example="Liddell"),
        Property("website", Kind.STRING, ("website",), writable=True, max_length=255, example="https://example.com"),
        Property("biography", Kind.STRING, ("biography",), writable=True, max_length=20_000, example="Curious."),
        Property("locale", Kind.STRING, ("locale",), writable=True, max_length=10, description="The language of the user interface.", example="en_US"),
        Property("plainPassword", Kind.STRING, readable=False, writable=True, is_password=True, nullable=True, max_length=MAX_PASSWORD_BYTES, max_bytes=MAX_PASSWORD_BYTES, description="A new password; null or empty changes nothing.", example="a long enough secret"),
        Property("timezone", Kind.STRING, ("timezone",), writable=True, max_length=64, example="Europe/Paris"),
        Property("email", Kind.STRING, ("email",), writable=True, not_blank=True, email=True, max_length=100, example="alice@example.com"),
        Property("expired", Kind.BOOLEAN, ("expired",), writable=True, example=False),
        Property("expiresAt", Kind.DATE_TIME, ("expires_at",), writable=True, example="2030-01-01T00:00:00+00:00"),
        Property("phone", Kind.STRING, ("phone",), writable=True, nullable=True, max_length=64, example="+32 2 123 45 67"),
        Property("address", Kind.STRING, ("address",), writable=True, nullable=True, max_length=250, example="1 Example Street"),
        Property("lastLogin", Kind.DATE_TIME, ("last_login",), tagged=False, description="The time of the last sign-in through this API.", example="2026-09-22T10:00:00+00:00"),
        Property("roles", Kind.STRINGS, ("roles",), value=lambda row: roles_to_show(row.roles), writable=True, element_pattern=r"^\s*[Rr][Oo][Ll][Ee]_[A-Za-z0-9_]{1,60}\s*$", description="Only administrators may set the roles.", example=["ROLE_STUDENT", "ROLE_USER"]),
        Property("active", Kind.INTEGER, ("active",), description="1: active, 0: inactive, -1: deactivated automatically, -2: deleted.", example=1),
        Property("fullName", Kind.STRING, ("firstname", "lastname"), value=full_name, public=True, example="Alice Liddell"),
        Property("passwordUpdatedAt", Kind.DATE_TIME, ("password_updated_at",), description="The time of the last password change.", example="2026-09-21T08:30:00+00:00"),
    ),
    search=(
        *(Filter(name, name) for name in _ORDERED),
        Filter("search", None),
        *(Filter(f"order[{name}]", name) for name in _ORDERED),
        Filter("email", "email", listed=False),
        Filter("isActive", "active", listed=False, is_boolean=True),
        Filter("extrafield[]", None, listed=False, is_list=True, description="Names of extra fields. Each belongs to the value at the same position. Only for callers who see all fields."),
        Filter("extrafieldvalue[]", None, listed=False, is_list=True, description="Values of these extra fields. The whole value must be equal; case and accents do not count. A user must have all of them."),
    ),
    accept_patch=("application/merge-patch+json", "application/vnd.api+json"),
)

#: The signed-in user: /api/me.
ME = Resource(
    name="CurrentUserProfile",
    iri="/api/me",
    iri_type="CurrentUserProfile",
    properties=(
        Property("id", Kind.INTEGER, ("id",), public=True, example=EXAMPLE_ID),
        Property("username", Kind.STRING, ("username",), public=True, example="alice"),
        Property("firstname", Kind.STRING, ("firstname",), public=True, nullable=True, example="Alice"),
        Property("lastname", Kind.STRING, ("lastname",), public=True, nullable=True, example="Liddell"),
        Property("fullName", Kind.STRING, ("firstname", "lastname", "username"), value=_own_full_name, public=True, example="Alice Liddell"),
        Property("email", Kind.STRING, ("email",), public=True, example="alice@example.com"),
        Property("locale", Kind.STRING, ("locale",), public=True, example="en_US"),
        Property("timezone", Kind.STRING, ("timezone",), public=True, example="Europe/Paris"),
        Property("roles", Kind.STRINGS, ("roles",), value=lambda row: sorted(roles_to_show(row.roles)), public=True, example=["ROLE_STUDENT", "ROLE_USER"]),
    ),
    is_single=True,
    group="user",
)

_WRITABLE = {prop.name: prop for prop in USER.writable}

#: The body for a new user in a portal.
USER_OF_PORTAL = replace(
    USER,
    properties=(
        replace(_WRITABLE["username"], example="newcomer"),
        replace(_WRITABLE["email"], example="newcomer@example.com", description="No other user may have this address, in any case of letters. Other operations allow it."),
        *(_WRITABLE[name] for name in ("firstname", "lastname")),
        *(replace(_WRITABLE[name], nullable=True) for name in ("locale", "timezone")),
        Property("password", Kind.STRING, readable=False, writable=True, nullable=True, is_password=True, max_length=MAX_PASSWORD_BYTES, max_bytes=MAX_PASSWORD_BYTES, example="a long enough secret"),
        Property("status", Kind.INTEGER, ("status",), writable=True, nullable=True, choices=tuple(ROLE_OF_STATUS), description="The platform level, which sets the role. 1: teacher, 3: session manager, 4: HR, 5 or null: student, 17: student boss, 20: invitee.", example=5),
        Property("extraFields", Kind.TEXTS_BY_NAME, readable=False, writable=True, nullable=True, description="The user's values in extra fields, by the name of the field. Every field must exist."),
        Property("sendEmail", Kind.BOOLEAN, readable=False, writable=True, description="Whether the user is told by mail; by default true. true is refused with 501 if the server has no mail server.", example=False),
    ),
)

#: The body for a new password.
NEW_PASSWORD = replace(
    USER,
    properties=(
        Property("password", Kind.STRING, readable=False, writable=True, not_blank=True, is_password=True, max_length=MAX_PASSWORD_BYTES, max_bytes=MAX_PASSWORD_BYTES, example="a long enough secret"),
        Property("forcePasswordChangeAtNextLogin", Kind.BOOLEAN, readable=False, writable=True, example=False),
    ),
)
# fmt: on

#: The maximum number of search texts for one list. The database looks for each text in up to three columns of every row.
MOST_TERMS = 20

#: Turns pairs of a field and a value into conditions; a user must meet all of them. Raises UnknownExtraField.
Matching = Callable[[Sequence[Pair]], list[ColumnElement[bool]]]


def read_filters(table: UserTable, parameters: Parameters, *, privileged: bool, matching: Matching | None = None) -> Filters:
    """Read the filters and the order of a list of users; the id breaks ties.

    Only privileged callers search by e-mail. `matching` makes the conditions of extra fields; without it their parameters are
    ignored. Raises UnreadableQuery for too many search texts and for unknown extra fields.
    """
    columns = table.searched
    fields: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in (*_ORDERED, *(["email"] if privileged else []))]
    asked = [(names, filters.texts(parameters.get(field), table.fold)) for field, names in fields]
    asked.append((_ORDERED, filters.texts(filters.trimmed(parameters.get("search")), table.fold)))
    pairs = _read_pairs(parameters) if matching else []
    _refuse_too_many(sum(len(texts) for _, texts in asked), pairs)
    wanted = [([columns[name] for name in names], texts) for names, texts in asked if texts]
    conditions = [filters.contains_any(searched, texts) for searched, texts in wanted]
    if matching and pairs:
        conditions += _conditions_of(pairs, matching)
    is_active = filters.boolean(parameters.get("isActive"))
    if is_active is not None:
        conditions.append((User.active == ACTIVE) if is_active else (User.active != ACTIVE))
    order = filters.order(parameters.get("order"), {name: columns[name] for name in _ORDERED})
    ordered = [*order.values(), User.id]
    if table.is_campus and next(iter(order), None) == "username":
        ordered = ordered[:1]  # user names are unique there, and MariaDB uses their index only if no column follows
    return Filters(conditions, ordered, [([column.key for column in searched], texts) for searched, texts in wanted])


def _read_pairs(parameters: Parameters) -> list[Pair]:
    """Read `extrafield[]` and `extrafieldvalue[]` into pairs of a name and the value at the same position.

    Raises UnreadableQuery for a name without a value, or a value without a name (docs/compatibility.md#extra-filter).
    """
    names, values = _listed(parameters.get("extrafield")), _listed(parameters.get("extrafieldvalue"))
    pairs = [(name, values.get(position)) for position, name in names.items()]
    texts = [(_storable(name), _storable(value)) for name, value in pairs if isinstance(name, str) and isinstance(value, str)]
    if not len(texts) == len(names) == len(values):
        raise UnreadableQuery("Extra field variables and values must have the same length.")
    return texts


def _conditions_of(pairs: Sequence[Pair], matching: Matching) -> list[ColumnElement[bool]]:
    """Turn the pairs of a query into conditions; a user must meet all of them. Raises UnreadableQuery for an unknown field."""
    try:
        return matching(pairs)
    except UnknownExtraField as unknown:
        raise UnreadableQuery(f'Extra field "{unknown}" not found.') from None


def _listed(given: "str | Parameters | None") -> Parameters:
    """Return the values of a parameter by position; a single text is a list of one."""
    if isinstance(given, dict):
        return given
    return {} if given is None else {"0": given}


def _storable(text: str) -> str:
    # PostgreSQL refuses to search for NUL, which no stored name or value contains.
    return text.replace("\0", "\ufffd")


def _refuse_too_many(texts: int, pairs: Collection[Pair]) -> None:
    """Raise UnreadableQuery for too many search texts, or for too many different pairs, with or without a value."""
    if texts + sum(1 for _, value in pairs if value) > MOST_TERMS or len(set(pairs)) > MOST_TERMS:
        raise UnreadableQuery("Too many search terms.")
