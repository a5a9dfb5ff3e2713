"""The `repr` of objects, which a traceback or a log line may quote, contains no secret."""

from typing import Any

import pytest
from factories import START
from hosts import pair_number

from blueprints.users.passwords import PasswordChange
from models.password_policy import PasswordPolicy
from security.keys.files import KeyFiles
from security.refresh import Grant, Presented

SECRET = "a secret of the test"
PEM = pair_number(1)[0].decode()

OBJECTS: dict[str, Any] = {
    "a new password": PasswordChange(SECRET, force_change_at_next_login=True),
    "common passwords": PasswordPolicy(8, frozenset([SECRET])),
    "a refresh token that is handed out": Grant("session", SECRET, START),
    "a refresh token that is presented": Presented(SECRET, "session", 7, START, portal=None),
    "a passphrase": KeyFiles("private.pem", "public.pem", SECRET),
    "a private key": KeyFiles(PEM, "public.pem", ""),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_object_shows_no_secret(name: str) -> None:
    shown = f"{OBJECTS[name]} {OBJECTS[name]!r}"
    assert SECRET not in shown
    assert "PRIVATE KEY" not in shown
    assert type(OBJECTS[name]).__name__ in shown
