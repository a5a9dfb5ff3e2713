"""Dates and e-mail addresses in bodies: every form that is taken, and every one that is refused."""

import time
from datetime import UTC, datetime

import pytest
from values import ALMOST_DATES, BAD_EMAILS, GOOD_EMAILS, GUESSED_DATES, REFUSED_DATES, TAKEN_DATES

from blueprints.users.resource import USER, USER_OF_PORTAL
from rest.body import NOT_AN_EMAIL, find_violations
from rest.date_time import parse_date_time
from rest.resource import Kind, Property, Resource


@pytest.mark.parametrize(("text", "instant"), TAKEN_DATES.items())
def test_date_is_taken(text: str, instant: str) -> None:
    moment = parse_date_time(text)
    assert (moment, moment.tzinfo) == (datetime.fromisoformat(instant), UTC)


@pytest.mark.parametrize("text", [*GUESSED_DATES, *REFUSED_DATES, *ALMOST_DATES])
def test_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - nobody reads the text
        parse_date_time(text)


def violations(email: str, resource: Resource = USER) -> list[tuple[str, str]]:
    return [(found.property_path, found.message) for found in find_violations(resource, {"email": email}, complete=False)]


@pytest.mark.parametrize("resource", [USER, USER_OF_PORTAL])
@pytest.mark.parametrize("email", GOOD_EMAILS)
def test_email_is_good(email: str, resource: Resource) -> None:
    assert violations(email, resource) == []


@pytest.mark.parametrize("resource", [USER, USER_OF_PORTAL])
@pytest.mark.parametrize("email", BAD_EMAILS)
def test_email_is_bad(email: str, resource: Resource) -> None:
    assert violations(email, resource) == [("email", NOT_AN_EMAIL[0])]


UNBOUNDED = Resource("Thing", "/things", "Thing", (Property("email", Kind.STRING, ("email",), writable=True, email=True),))
LABEL = "l" * 63


@pytest.mark.parametrize(
    "text",
    ["a" * 1_000_000, "a@" + "a." * 500_000, "a@" + "a" * 1_000_000, "a@" + "a-" * 500_000, "a@" + f"{LABEL}." * 15_000],
    ids=["no domain", "short labels", "one label", "hyphens", "long labels"],
)
def test_long_text_is_refused_in_linear_time(text: str) -> None:
    begun = time.process_time()
    assert violations(text, UNBOUNDED) == [("email", NOT_AN_EMAIL[0])]
    assert time.process_time() - begun < 1
