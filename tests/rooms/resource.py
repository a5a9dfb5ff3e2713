"""Rooms: a table and the declaration of a resource."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, String, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from rest import filters
from rest.formats import plain_json
from rest.query import Parameters
from rest.representation import Item
from rest.resource import Filter, Kind, Property, Resource


class Base(DeclarativeBase):
    """Tables of the tests alone."""


class Room(Base):
    __tablename__ = "test_room"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(40))
    seats: Mapped[int] = mapped_column(default=0)
    is_open: Mapped[bool] = mapped_column(default=True)
    notes: Mapped[str | None] = mapped_column(String(100))


ROOM = Resource(
    name="Room",
    iri="/api/rooms",
    iri_type="https://schema.org/Room",
    properties=(
        Property("id", Kind.INTEGER, ("id",), public=True),
        Property("title", Kind.STRING, ("title",), public=True, writable=True, not_blank=True, max_length=40, example="Aula"),
        Property("seats", Kind.INTEGER, ("seats",), public=True, writable=True, tagged=False, example=20),
        Property("isOpen", Kind.BOOLEAN, ("is_open",), public=True, writable=True),
        Property("notes", Kind.STRING, ("notes",), writable=True, nullable=True),
    ),
    search=(Filter("title", "title"), Filter("isOpen", "isOpen", is_boolean=True), Filter("order[title]", "title")),
    accept_patch=(plain_json.MERGE_PATCH.media_type,),
)


@dataclass
class Rooms:
    """The rooms of a statement, as rest.pagination reads them."""

    session: Session
    statement: Select[Any]
    make: Callable[[Room], Item]

    def count(self) -> int:
        return self.session.scalar(select(func.count()).select_from(self.statement.order_by(None).subquery())) or 0

    def fetch(self, limit: int, offset: int) -> Sequence[Item]:
        return [self.make(room) for room in self.session.scalars(self.statement.limit(limit).offset(offset))]


def filtered(parameters: Parameters) -> Select[Any]:
    statement = select(Room)
    if wanted := filters.texts(parameters.get("title"), str):
        statement = statement.where(filters.contains_any([Room.title], wanted))
    if (is_open := filters.boolean(parameters.get("isOpen"))) is not None:
        statement = statement.where(Room.is_open == is_open)
    return statement.order_by(*filters.order(parameters.get("order"), {"title": Room.title}).values(), Room.id)
