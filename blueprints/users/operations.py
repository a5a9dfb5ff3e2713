"""The operations on users: names, statuses and bodies, as the documents list them."""

from http import HTTPStatus

from blueprints.users.resource import ME, NEW_PASSWORD, USER, USER_OF_PORTAL
from rest.body import HAL, JSON, JSON_API, JSON_LD, MERGE_PATCH
from rest.operation import Operation, Shape

# The order is that of the texts of 415.
_TAKES, _TAKES_PATCH = (JSON_LD, JSON_API, JSON, HAL), (MERGE_PATCH, JSON_API)

_READING = (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.SERVICE_UNAVAILABLE)
_ITEM = (*_READING, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
_WRITING = (
    *_READING,
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)

LIST = Operation(
    id="api_users_get_collection",
    tag="User",
    summary="Retrieves the collection of User resources.",
    resource=USER,
    shape=Shape.COLLECTION,
    failures=(*_READING, HTTPStatus.BAD_REQUEST),
)
CREATE = Operation(
    id="api_users_post",
    tag="User",
    summary="Creates a User resource.",
    resource=USER,
    takes=_TAKES,
    complete=True,
    status=HTTPStatus.CREATED,
    failures=_WRITING,
)
SHOW = Operation(id="api_users_id_get", tag="User", summary="Retrieves a User resource.", resource=USER, failures=_ITEM)
REPLACE = Operation(
    id="api_users_id_put",
    tag="User",
    summary="Replaces the User resource.",
    resource=USER,
    takes=_TAKES,
    failures=(*_WRITING, HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED),
)
UPDATE = Operation(
    id="api_users_id_patch",
    tag="User",
    summary="Updates the User resource.",
    resource=USER,
    takes=_TAKES_PATCH,
    failures=(*_WRITING, HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED),
)
DELETE = Operation(
    id="api_users_id_delete",
    tag="User",
    summary="Removes the User resource.",
    resource=USER,
    shape=Shape.NOTHING,
    status=HTTPStatus.NO_CONTENT,
    failures=(*_ITEM, HTTPStatus.PRECONDITION_FAILED),
)
ADD_TO_PORTAL = Operation(
    id="api_access_urls_id_user_post",
    tag="User",
    summary="Creates a User resource in a portal.",
    resource=USER,
    takes=_TAKES,
    body=USER_OF_PORTAL,
    complete=True,
    status=HTTPStatus.CREATED,
    failures=(*_WRITING, HTTPStatus.NOT_FOUND),
)
SHOW_ME = Operation(id="api_me_get", tag="User", summary="Retrieves the user who asks.", resource=ME, failures=_READING)
SET_PASSWORD = Operation(
    id="api_users_id_password_patch",
    tag="User",
    summary="Sets the password of a User resource.",
    resource=USER,
    takes=(MERGE_PATCH, JSON),
    body=NEW_PASSWORD,
    complete=True,
    refuses_plainly=True,
    failures=(*_WRITING, HTTPStatus.NOT_FOUND),
)
