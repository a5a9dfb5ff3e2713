"""The declarations of the operations on rooms."""

from http import HTTPStatus

from rest.formats import BODY_TYPES, plain_json
from rest.operation import Operation, Shape, Tag
from rooms.resource import ROOM

TAG = Tag("Room", "Rooms of a campus")
READS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.BAD_REQUEST)
WRITES = (*READS, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)

LIST = Operation(
    id="rooms_get",
    tag=TAG,
    summary="Lists rooms.",
    description="Lists rooms by page.",
    resource=ROOM,
    shape=Shape.COLLECTION,
    failures=READS,
)
SHOW = Operation(id="room_get", tag=TAG, summary="Shows a room.", description="Shows one room.", resource=ROOM, failures=READS)
CREATE = Operation(
    id="rooms_post",
    tag=TAG,
    summary="Creates a room.",
    description="Creates a room, for administrators.",
    resource=ROOM,
    takes=BODY_TYPES,
    complete=True,
    status=HTTPStatus.CREATED,
    failures=WRITES,
)
UPDATE = Operation(
    id="room_patch",
    tag=TAG,
    summary="Changes a room.",
    description="Changes the properties in the body.",
    resource=ROOM,
    takes=(plain_json.MERGE_PATCH,),
    failures=WRITES,
)
DELETE = Operation(
    id="room_delete",
    tag=TAG,
    summary="Deletes a room.",
    description="Deletes a room, for administrators.",
    resource=ROOM,
    shape=Shape.NOTHING,
    status=HTTPStatus.NO_CONTENT,
)
