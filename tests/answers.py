"""What a good answer says: its body, not only its status."""

import base64
import json
from typing import Any

from werkzeug.test import TestResponse


def body_of(answer: TestResponse, status: int = 200) -> Any:
    """Return the body of an answer that has a status."""
    assert answer.status_code == status, answer.text
    return answer.json


def name_in(answer: TestResponse, status: int = 200) -> str:
    """Return the name of the user that is answered."""
    return body_of(answer, status)["username"]


def names_in(answer: TestResponse) -> list[str]:
    """Return the names of the users of a page, in its order."""
    return [member["username"] for member in body_of(answer)["hydra:member"]]


def signed_in_as(answer: TestResponse) -> str:
    """Return the name in the access token that a sign-in, or a refresh, is answered with."""
    claims = body_of(answer)["token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["username"]
