"""Assert that an answer is good by its body, not by its status alone."""

import base64
import json
from typing import Any

from werkzeug.test import TestResponse


def body_of(answer: TestResponse, status: int = 200) -> Any:
    """Return the JSON body of an answer; assert its status."""
    assert answer.status_code == status, answer.text
    return answer.json


def name_in(answer: TestResponse, status: int = 200) -> str:
    """Return the name of the user in an answer."""
    return body_of(answer, status)["username"]


def names_in(answer: TestResponse) -> list[str]:
    """Return the names of the users on a page, in order."""
    return [member["username"] for member in body_of(answer)["hydra:member"]]


def signed_in_as(answer: TestResponse) -> str:
    """Return the user name in the access token of a sign-in or a refresh."""
    claims = body_of(answer)["token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["username"]
