"""Filtering users by extra fields: `extrafield[]=V&extrafieldvalue[]=W` (docs/compatibility.md#extra-filter)."""

from collections.abc import Callable, Sequence

from sqlalchemy import ColumnElement

from models.extra_fields import Pair, UnknownExtraField
from rest.problem import UnreadableQuery
from rest.query import Parameters

#: Turns pairs of a field and a value into conditions; a user must meet all of them. Raises UnknownExtraField.
Matching = Callable[[Sequence[Pair]], list[ColumnElement[bool]]]


def read_pairs(parameters: Parameters) -> list[Pair]:
    """Return pairs of a name and the value at the same position. The list is empty if both parameters are missing.

    Raises UnreadableQuery for a name without a value, or a value without a name.
    """
    names, values = _listed(parameters.get("extrafield")), _listed(parameters.get("extrafieldvalue"))
    pairs = [(name, values.get(position)) for position, name in names.items()]
    texts = [(_storable(name), _storable(value)) for name, value in pairs if isinstance(name, str) and isinstance(value, str)]
    if not len(texts) == len(names) == len(values):
        raise UnreadableQuery("Extra field variables and values must have the same length.")
    return texts


def conditions_of(pairs: Sequence[Pair], matching: Matching) -> list[ColumnElement[bool]]:
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
