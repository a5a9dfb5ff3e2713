"""Extra fields beside a campus: Chamilo's tables, compared under their own collation (docs/compatibility.md#extra-filter)."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Inspector, Integer, String, TableClause, column, insert, inspect, select, table, update
from sqlalchemy.orm import Session

from models.database import UtcDateTime, columns_of, count_met, long_text
from models.extra_fields import ExtraFields

# The `item_type` of users; courses, sessions and others have fields in the same tables.
_OF_USERS = 1

# The names of two columns: the current one, and the one in Chamilo 1.11.
_KIND, _VALUE = ("item_type", "extra_field_type"), ("field_value", "value")


class _Tables(NamedTuple):
    fields: TableClause
    values: TableClause
    kind: Any
    value: Any


class CampusExtraFields(ExtraFields):
    """The extra fields of a campus. Without the tables there are none.

    Several fields may share a name, and a user may have several values in one field.
    """

    def __init__(self) -> None:
        """Read the columns at the first use."""
        self._read = False
        self._tables: _Tables | None = None

    def find(self, session: Session, name: str, *flags: str) -> Collection[int]:
        """Return the ids of the users' fields with this name that have all of these flags, by default visible or not."""
        tables = self._look(session)
        if tables is None or not set(flags) <= set(tables.fields.c.keys()):
            return ()
        conditions = [tables.kind == _OF_USERS, tables.fields.c.variable == name, *(tables.fields.c[flag] == 1 for flag in flags)]
        return session.scalars(select(tables.fields.c.id).where(*conditions)).all()

    def list_names(self, session: Session) -> dict[int, str]:
        """Return the names of the fields of users by id."""
        tables = self._look(session)
        if tables is None:
            return {}
        chosen = select(tables.fields.c.id, tables.fields.c.variable).where(tables.kind == _OF_USERS)
        return {field_id: name for field_id, name in session.execute(chosen) if name}

    def find_searchable(self, session: Session, name: str) -> Collection[int]:
        """Return the ids of the fields with this name by which lists may be filtered, and that users see on their own profile."""
        return self.find(session, name, "filter", "visible_to_self")

    def value_columns(self, session: Session) -> tuple[Any, Any, Any, Any]:
        """Return the columns with the user's id, the field's id, and twice the value, since the collation compares it."""
        tables = self._known(session)
        return tables.values.c.item_id, tables.values.c.field_id, tables.value, tables.value

    def compared(self, value: str) -> str:
        """Return the value unchanged: the collation ignores case and accents."""
        return value

    def write_values(self, session: Session, user_id: int, values: Mapping[int, str | None], now: datetime) -> None:
        """Set a user's values by field id; None sets an existing value to null. Does not commit."""
        tables = self._known(session)
        for field_id, text in values.items():
            held = (tables.values.c.item_id == user_id, tables.values.c.field_id == field_id)
            changed = self._present(tables, {tables.value.name: text, "updated_at": now})
            is_there = count_met(session, update(tables.values).where(*held).values(changed))
            if not is_there and text is not None:
                self.insert_values(session, [(user_id, field_id, text)], now)

    def insert_values(self, session: Session, rows: Collection[tuple[int, int, str]], now: datetime) -> None:
        """Insert the values of many new users at once: the user's id, the field's id, and the text."""
        tables = self._known(session)
        times = self._present(tables, {"created_at": now, "updated_at": now})
        given = [{"item_id": user_id, "field_id": field_id, tables.value.name: text} | times for user_id, field_id, text in rows]
        if given:
            session.execute(insert(tables.values), given)

    def _look(self, session: Session) -> _Tables | None:
        if not self._read:
            self._tables = _find_tables(inspect(session.connection()))
            self._read = True
        return self._tables

    def _known(self, session: Session) -> _Tables:
        """Return the tables. They exist, since the caller has got the id of a field from them."""
        tables = self._look(session)
        if tables is None:
            raise LookupError("the campus has no tables of extra fields")
        return tables

    @staticmethod
    def _present(tables: _Tables, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in tables.values.c}


def _find_tables(inspector: Inspector) -> _Tables | None:
    of_fields, of_values = columns_of(inspector, "extra_field"), columns_of(inspector, "extra_field_values")
    kind = next((name for name in _KIND if name in of_fields), None)
    value = next((name for name in _VALUE if name in of_values), None)
    if kind is None or value is None or not ({"id", "variable"} <= of_fields and {"field_id", "item_id"} <= of_values):
        return None
    flags = (column(name, Integer()) for name in ("filter", "visible_to_self") if name in of_fields)
    fields = table("extra_field", column("id", Integer()), column(kind, Integer()), column("variable", String()), *flags)
    times = (column(name, UtcDateTime()) for name in ("created_at", "updated_at") if name in of_values)
    ids = (column("field_id", Integer()), column("item_id", Integer()))
    values = table("extra_field_values", *ids, column(value, long_text()), *times)
    return _Tables(fields, values, fields.c[kind], values.c[value])
