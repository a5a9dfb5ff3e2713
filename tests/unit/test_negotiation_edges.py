"""Negotiation: how specific a range is, which `Accept` fields are cached, and which media type is sent."""

import pytest

from rest import negotiation
from rest.media_ranges import best_match, choose_media_type

OFFERED = ["application/ld+json", "application/json"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("application/*+json;q=0.1, application/json;q=0.2, application/ld+json;q=0.9", "application/ld+json"),
        ("application/*;q=0.9, application/*+json;q=0.1", "application/json"),
        ("application/*+json;q=0.1, application/*;q=0.9", "application/json"),
        ("*/*;q=0.9, application/*;q=0.1, application/json;q=0.5", "application/json"),
        ("*/*;q=0.9, application/ld+json;q=0.1", "application/json"),
        ("application/ld+json;q=0.1, */*;q=0.9", "application/json"),
        ("application/*;q=0.1, */*;q=0.9, application/json;q=0.2", "application/json"),
        ("text/*+json", None),
        ("application/*json", None),
        ("application/*+xml", None),
        ("text/json", None),
        ("application/*+json;q=-1, application/json;q=0.1", "application/json"),
    ],
)
def test_most_specific_range_decides(accept: str, chosen: str | None) -> None:
    assert best_match(accept, OFFERED) == chosen


def test_first_that_is_offered_is_the_answer_without_a_wish() -> None:
    assert choose_media_type("", OFFERED) == OFFERED[0]
    assert choose_media_type("application/json", ["text/csv"], ["application/json"]) == "application/json"


@pytest.mark.parametrize(("length", "is_kept"), [(256, True), (257, False)])
def test_wish_of_at_most_256_characters_is_remembered(length: int, is_kept: bool) -> None:
    cached = negotiation._cached_format
    assert cached.cache_info().maxsize == 1024
    before = cached.cache_info().currsize
    assert negotiation._format(None, f"application/json,{length}/".ljust(length, "x")).name == "json"
    assert cached.cache_info().currsize == before + is_kept
