"""Extra fields of users in our own schema: the fields, and each user's values (docs/integrators.md#extra-fields)."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, ForeignKey, Index, String, delete, func, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import MYSQL_TABLE, STAND_ALONE_TABLE, Base, UtcDateTime, exact_string, long_text, storable, upsert
from models.folding import FOLDED_LENGTH, fold_whole
from models.user import User

#: The longest name of a field, in characters.
VARIABLE_LENGTH = 255

# An index cannot hold texts of every length. So the end of a long text is replaced by the SHA-256 of the whole (64 digits).
_WHOLE_BELOW = FOLDED_LENGTH - 64

#: The name of a field, and the value that a user must have in it.
Pair = tuple[str, str]


class ExtraField(Base):
    """A field that users may have a value in. Names are unique, ignoring case and accents."""

    __tablename__ = "extra_field"
    __table_args__ = MYSQL_TABLE | STAND_ALONE_TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    variable: Mapped[str] = mapped_column(exact_string(VARIABLE_LENGTH))
    variable_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH), unique=True)
    display_text: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ExtraFieldValue(Base):
    """A user's value in a field, one at most. A user without a row has no value, which is not the same as an empty text."""

    __tablename__ = "extra_field_value"
    __table_args__ = (
        Index("ix_extra_field_value_folded", "field_id", "value_folded", "user_id"),
        MYSQL_TABLE | STAND_ALONE_TABLE,
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    field_id: Mapped[int] = mapped_column(ForeignKey("extra_field.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    value: Mapped[str] = mapped_column(long_text())
    value_folded: Mapped[str] = mapped_column(exact_string(FOLDED_LENGTH))


class UnknownExtraField(Exception):
    """No field of users has this name; the message is the name as it was given."""


def comparable(text: str) -> str:
    """Return the whole of a name or value in the form that is compared: without case, accents and trailing spaces."""
    folded = fold_whole(text).rstrip(" ")
    return folded if len(folded) < _WHOLE_BELOW else folded[:_WHOLE_BELOW] + sha256(folded.encode()).hexdigest()


class ExtraFields:
    """The extra fields of our own schema. CampusExtraFields does the same on Chamilo's tables."""

    def resolve(self, session: Session, names: Iterable[str]) -> dict[str, int]:
        """Return the ids of fields by name. Raises UnknownExtraField for the first name that no field has."""
        # A database would refuse some characters. `storable` escapes them, and then no field is found.
        return {name: min(self.find(session, storable(name, None)) or _refuse(name)) for name in names}

    def matching(self, session: Session, pairs: Collection[Pair]) -> list[ColumnElement[bool]]:
        """Return a condition for each different pair: the user has this value in this field. Null values never match.

        Raises UnknownExtraField.
        """
        found = {name: tuple(self.find_searchable(session, name) or _refuse(name)) for name, _ in pairs}
        user_id, field_id, value, _ = self.value_columns(session)
        wanted = dict.fromkeys((found[name], self.compared(text)) for name, text in pairs)
        # One condition for each pair: a single pass over 20 pairs took 40 times as long on SQLite, and 3 times on MariaDB.
        return [User.id.in_(select(user_id).where(field_id.in_(ids), value == text)) for ids, text in wanted]

    def find(self, session: Session, name: str) -> Collection[int]:
        """Return the ids of the users' fields with this name, none if there is no such field."""
        return session.scalars(select(ExtraField.id).where(ExtraField.variable_folded == comparable(name))).all()

    def find_searchable(self, session: Session, name: str) -> Collection[int]:
        """Return the ids of the fields with this name by which lists may be filtered. In our own schema that is every field."""
        return self.find(session, name)

    def value_columns(self, session: Session) -> tuple[Any, Any, Any, Any]:  # noqa: ARG002 - a campus's differ by its version
        """Return the columns with the user's id, the field's id, and the value: in the form that is compared, and as written."""
        return ExtraFieldValue.user_id, ExtraFieldValue.field_id, ExtraFieldValue.value_folded, ExtraFieldValue.value

    def compared(self, value: str) -> str:
        """Return a value in the form of the column that it is compared with."""
        return comparable(value)

    def write_values(self, session: Session, user_id: int, values: Mapping[int, str | None], now: datetime) -> None:  # noqa: ARG002 - a campus's rows have times
        """Set a user's values by field id; None removes the value. Does not commit."""
        for field_id, text in values.items():
            if text is None:
                session.execute(delete(ExtraFieldValue).where(*_held(user_id, field_id)))
            else:
                upsert(session, ExtraFieldValue, _row(user_id, field_id, text))

    def insert_values(self, session: Session, rows: Collection[tuple[int, int, str]], now: datetime) -> None:  # noqa: ARG002
        """Insert the values of many new users at once: the user's id, the field's id, and the text."""
        if rows:
            session.execute(insert(ExtraFieldValue), [_row(*row) for row in rows])


def find_value(session: Session, user_id: int, field_id: int) -> str | None:
    """Return a user's value in one of our own fields, or None."""
    return session.scalar(select(ExtraFieldValue.value).where(*_held(user_id, field_id)))


def insert_field(session: Session, variable: str, display_text: str | None, now: datetime) -> None:
    """Insert a field of our own. The database refuses a name that another field has."""
    folded = comparable(variable)
    session.add(ExtraField(variable=variable, variable_folded=folded, display_text=display_text, created_at=now))
    session.flush()


def list_fields(session: Session) -> list[tuple[ExtraField, int]]:
    """Return our own fields with the number of users that have a value, by name."""
    values = select(func.count()).where(ExtraFieldValue.field_id == ExtraField.id).scalar_subquery()
    fields = session.execute(select(ExtraField, values).order_by(ExtraField.variable_folded))
    return [(field, number) for field, number in fields]


def values_of(session: Session, user_ids: Iterable[int]) -> dict[int, dict[str, str]]:
    """Return the values of users in our own fields, by user id and field name."""
    chosen = select(ExtraFieldValue.user_id, ExtraField.variable, ExtraFieldValue.value).join(ExtraField)
    values: dict[int, dict[str, str]] = {}
    for user_id, variable, value in session.execute(chosen.where(ExtraFieldValue.user_id.in_(user_ids))):
        values.setdefault(user_id, {})[variable] = value
    return values


def _held(user_id: int, field_id: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return ExtraFieldValue.user_id == user_id, ExtraFieldValue.field_id == field_id


def _row(user_id: int, field_id: int, text: str) -> dict[str, Any]:
    return {"user_id": user_id, "field_id": field_id, "value": text, "value_folded": comparable(text)}


def _refuse(name: str) -> NoReturn:
    raise UnknownExtraField(name)
