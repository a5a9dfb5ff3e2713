"""The role hierarchy (docs/compatibility.md), written out."""

import pytest

from models.roles import reachable_roles, roles_to_show, roles_to_store

STUDENT = {"STUDENT", "USER"}
TEACHER = {"TEACHER"} | STUDENT
SESSION_MANAGER = {"SESSION_MANAGER", "ALLOWED_TO_SWITCH"} | STUDENT
ADMIN = {"ADMIN", "QUESTION_MANAGER"} | TEACHER | SESSION_MANAGER

REACHED = {
    "USER": {"USER"},
    "STUDENT": STUDENT,
    "TEACHER": TEACHER,
    "QUESTION_MANAGER": {"QUESTION_MANAGER"} | STUDENT,
    "STUDENT_BOSS": {"STUDENT_BOSS"} | STUDENT,
    "INVITEE": {"INVITEE"} | STUDENT,
    "SESSION_MANAGER": SESSION_MANAGER,
    "HR": {"HR", "ALLOWED_TO_SWITCH"} | TEACHER,
    "ADMIN": ADMIN,
    "GLOBAL_ADMIN": {"GLOBAL_ADMIN"} | ADMIN,
    "SOMETHING_ELSE": {"SOMETHING_ELSE", "USER"},
}


@pytest.mark.parametrize("role", REACHED)
def test_role_includes_what_the_contract_says(role: str) -> None:
    assert reachable_roles(frozenset([f"ROLE_{role}"])) == {f"ROLE_{reached}" for reached in REACHED[role]}


def test_nobody_has_no_role_but_user() -> None:
    assert reachable_roles(frozenset()) == {"ROLE_USER"}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ([], []),
        (["ROLE_USER"], []),
        ([" role_hr ", "ROLE_HR", "ROLE_ADMIN"], ["ROLE_HR", "ROLE_ADMIN"]),
        (["ROLE_CURRENT_COURSE_TEACHER", "role_current_course_session_x", ""], []),
    ],
)
def test_stored_roles_are_clean(given: list[str], stored: list[str]) -> None:
    assert roles_to_store(given) == stored


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ([], ["ROLE_USER"]),
        (["ROLE_USER", "ROLE_B", "role_a"], ["ROLE_B", "ROLE_A", "ROLE_USER"]),
        (["ROLE_B", "ROLE_B"], ["ROLE_B", "ROLE_USER"]),
    ],
)
def test_shown_roles_end_with_user(stored: list[str], shown: list[str]) -> None:
    assert roles_to_show(stored) == shown
