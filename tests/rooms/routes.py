"""/api/rooms and /api/rooms/{id}."""

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from blueprints.parts import parts
from models import db
from rest.body import find_violations, read_changes, require_none
from rest.conditional import require_match
from rest.negotiation import render_collection, render_item, render_nothing, request_object, speaks
from rest.pagination import paginate, read_paging
from rest.paths import read_id
from rest.query import parse_query
from rest.representation import Collection, Item, PageLink
from rooms.operations import CREATE, DELETE, LIST, SHOW, UPDATE
from rooms.resource import ROOM, Room, Rooms, filtered
from security.access import current_caller, is_authenticated, requires
from security.bearer import Caller

bp = Blueprint("rooms", __name__)


def may_manage_rooms(caller: Caller) -> bool:
    return caller.is_granted("ROLE_ADMIN")


@bp.get("/rooms<suffix:suffix>")
@speaks(LIST)
@requires(is_authenticated)
def list_rooms() -> Response:
    query = request.query_string.decode("latin-1")
    parameters = parse_query(query)
    page = paginate(
        Rooms(db.session(), filtered(parameters), shown), read_paging(parameters, parts().settings.max_items_per_page)
    )
    return render_collection(Collection(ROOM, page, PageLink(request.path, query)))


@bp.post("/rooms<suffix:suffix>")
@speaks(CREATE)
@requires(may_manage_rooms)
def create_room() -> Response:
    return save(Room(), complete=True)


@bp.get("/rooms/<segment:room_id><suffix:suffix>")
@speaks(SHOW)
@requires(is_authenticated)
def show_room(room_id: str) -> Response:
    return render_item(shown(get_room(room_id)))


@bp.patch("/rooms/<segment:room_id><suffix:suffix>")
@speaks(UPDATE)
@requires(may_manage_rooms)
def update_room(room_id: str) -> Response:
    room = get_room(room_id)
    require_match(request, shown(room))
    return save(room, complete=False)


@bp.delete("/rooms/<segment:room_id><suffix:suffix>")
@speaks(DELETE)
@requires(may_manage_rooms)
def delete_room(room_id: str) -> Response:
    db.session.delete(get_room(room_id))
    db.session.commit()
    return render_nothing()


def get_room(room_id: str) -> Room:
    room = db.session.get(Room, read_id(room_id))
    if room is None:
        raise NotFound("Not Found")
    return room


def shown(room: Room) -> Item:
    return Item.of(ROOM, ROOM.readable if may_manage_rooms(current_caller()) else ROOM.public, room)


def save(room: Room, *, complete: bool) -> Response:
    values = read_changes(ROOM, request_object(), frozenset(prop.name for prop in ROOM.writable))
    require_none(find_violations(ROOM, values, complete=complete))
    for prop in ROOM.writable:
        if prop.name in values:
            setattr(room, prop.attributes[0], values[prop.name])
    db.session.add(room)
    db.session.commit()
    return render_item(shown(room))
