"""A program against the client that openapi-python-client makes of the document: URL, user name and password -> JSON."""

import json
import sys

from chamilo_api.api.login_check import login_check_post
from chamilo_api.api.user import (
    api_me_get,
    api_users_get_collection,
    api_users_id_delete,
    api_users_id_get,
    api_users_id_password_patch,
    api_users_id_patch,
    api_users_id_put,
    api_users_post,
)
from chamilo_api.client import AuthenticatedClient, Client
from chamilo_api.models import (
    ApiUsersGetCollectionOrderusername,
    CurrentUserProfileUserRead,
    Error,
    LoginCheckPostBody,
    LoginCheckPostResponse200,
    UserApiUsersIdPasswordPatch,
    UserUserPatch,
    UserUserRead,
    UserUserWrite,
)

try:
    from chamilo_api.models import ConstraintViolationList as Violations
except ImportError:  # Chamilo 3 has another name
    from chamilo_api.models import ConstraintViolation as Violations

url, username, password = sys.argv[1:]

signed_in = login_check_post.sync(client=Client(base_url=url), body=LoginCheckPostBody(username=username, password=password))
assert isinstance(signed_in, LoginCheckPostResponse200)

with AuthenticatedClient(base_url=url, token=signed_in.token, raise_on_unexpected_status=True) as client:
    listed = api_users_get_collection.sync(
        client=client, items_per_page=5, search="liddell", orderusername=ApiUsersGetCollectionOrderusername.DESC
    )
    assert isinstance(listed, list)

    created = api_users_post.sync(
        client=client, body=UserUserWrite(username="generated", email="generated@example.com", firstname=None)
    )
    assert isinstance(created, UserUserRead)

    shown = api_users_id_get.sync(created.id, client=client)
    assert isinstance(shown, UserUserRead)

    patched = api_users_id_patch.sync(created.id, client=client, body=UserUserPatch(lastname="Client", roles=["ROLE_TEACHER"]))
    assert isinstance(patched, UserUserRead)

    put = api_users_id_put.sync(created.id, client=client, body=UserUserPatch(firstname="Gen"))
    assert isinstance(put, UserUserRead)

    new_password = UserApiUsersIdPasswordPatch(password="made by a machine")
    changed = api_users_id_password_patch.sync(created.id, client=client, body=new_password)
    assert isinstance(changed, UserUserRead)

    me = api_me_get.sync(client=client)
    assert isinstance(me, CurrentUserProfileUserRead)

    refused = api_users_post.sync(client=client, body=UserUserWrite(username="generated", email="no e-mail"))
    assert isinstance(refused, Violations)

    missing = api_users_id_get.sync(2_000_000_000, client=client)
    assert isinstance(missing, Error)

    deleted = api_users_id_delete.sync_detailed(created.id, client=client)

sys.stdout.write(
    json.dumps(
        {
            "names": [user.username for user in listed],
            "email": shown.email,
            "roles": patched.roles,
            "full_name": put.full_name,
            "expires_at": put.expires_at.isoformat(),
            "own": me.username,
            "violations": {violation.property_path: violation.message for violation in refused.violations},
            "missing": missing.error,
            "deleted": deleted.status_code,
        }
    )
)
