"""The declarations of the operations on users."""

from dataclasses import replace
from functools import partial
from http import HTTPStatus

from blueprints.users.resource import ME, NEW_PASSWORD, USER, USER_OF_PORTAL
from rest.formats import BODY_TYPES, jsonapi, plain_json
from rest.operation import Operation, Shape, Tag

_declare = partial(Operation, tag=Tag("User", "Users"), resource=USER)

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

LIST = _declare(
    id="api_users_get_collection",
    summary="Retrieves the collection of User resources.",
    description=(
        "Lists users by page, in the order of their ids unless you ask for another. Administrators, teachers, session managers "
        "and HR managers see all users with all fields; others see themselves and users linked to them, with a few fields."
    ),
    shape=Shape.COLLECTION,
    failures=(*_READING, HTTPStatus.BAD_REQUEST),
)
CREATE = _declare(
    id="api_users_post",
    summary="Creates a User resource.",
    description="Creates a user, for administrators. Without `plainPassword` the user cannot sign in until a password is set.",
    takes=BODY_TYPES,
    complete=True,
    example={"username": "alice", "email": "alice@example.com", "firstname": "Alice", "lastname": "Liddell"},
    status=HTTPStatus.CREATED,
    failures=_WRITING,
)
SHOW = _declare(
    id="api_users_id_get",
    summary="Retrieves a User resource.",
    description="Shows a user to administrators, the user, friends, friends of friends, and either end of a boss link.",
    failures=_ITEM,
)
UPDATE = _declare(
    id="api_users_id_patch",
    summary="Updates the User resource.",
    description=(
        "Changes the properties in the body (RFC 7396). Administrators may change all writable properties, others ten of their "
        "own. With `If-Match`, the change is made only if nobody else changed the user."
    ),
    takes=(plain_json.MERGE_PATCH, jsonapi.BODY),
    # Sets a phone number only. So sending the example by mistake does little harm.
    example={"phone": "+32 2 123 45 67"},
    failures=(*_WRITING, HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED),
)
REPLACE = replace(
    UPDATE,
    id="api_users_id_put",
    summary="Replaces the User resource.",
    description="Changes the properties in the body. As in Chamilo 2.0, all others keep their values.",
    takes=BODY_TYPES,
)
DELETE = _declare(
    id="api_users_id_delete",
    summary="Removes the User resource.",
    description="Deletes a user, for administrators. By default the row and the user name stay, with `active` -2.",
    shape=Shape.NOTHING,
    status=HTTPStatus.NO_CONTENT,
    failures=(*_ITEM, HTTPStatus.PRECONDITION_FAILED),
)
ADD_TO_PORTAL = replace(
    CREATE,
    id="api_access_urls_id_user_post",
    summary="Creates a User resource in a portal.",
    description=(
        "Creates a user of the portal in the path, with the role of a status and values of extra fields, and may tell the user "
        "by mail. For administrators and session managers. Either all of it is stored or nothing."
    ),
    body=USER_OF_PORTAL,
    example={"username": "newcomer", "email": "newcomer@example.com", "status": 5, "sendEmail": False},
    failures=(*_WRITING, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.NOT_IMPLEMENTED),
    failure_texts={
        HTTPStatus.NOT_FOUND: "Access URL not found.",
        HTTPStatus.CONFLICT: "username_already_exists",
        HTTPStatus.NOT_IMPLEMENTED: "Sending mail is not configured.",
    },
)
SHOW_ME = _declare(
    id="api_me_get",
    summary="Retrieves the signed-in user.",
    description="Shows the signed-in user, or the owner of the API key.",
    resource=ME,
    failures=_READING,
)
SET_PASSWORD = _declare(
    id="api_users_id_password_patch",
    summary="Sets the password of a User resource.",
    description="Sets the caller's own password or, for administrators, that of any user. The user's tokens end.",
    takes=(plain_json.MERGE_PATCH, plain_json.BODY),
    body=NEW_PASSWORD,
    complete=True,
    refuses_plainly=True,
    example={"password": "a long enough secret"},
    failures=(*_WRITING, HTTPStatus.NOT_FOUND),
    failure_texts={HTTPStatus.BAD_REQUEST: "Invalid JSON body."},
)
