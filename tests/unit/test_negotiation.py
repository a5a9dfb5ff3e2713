"""The choice of a media type."""

import pytest

from rest.media_ranges import best_match

OFFERED = ["application/ld+json", "application/json", "application/xml", "text/csv"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", "application/ld+json"),
        ("*", "application/ld+json"),
        ("*;q=0.5", "application/ld+json"),
        ("*; charset=utf-8", "application/ld+json"),
        ("application/xml, *;q=0.1", "application/xml"),
        ("application/xml;q=0.2, *;q=0.8", "application/ld+json"),
        ("**", None),
        ("application/*", "application/ld+json"),
        ("text/*", "text/csv"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json;q=0.5, application/xml", "application/xml"),
        ("application/json;q=0.5, application/xml;q=0.5", "application/json"),
        ("application/xml, application/json", "application/json"),
        ("application/json;q=0.9, */*;q=0.8", "application/json"),
        ("text/csv, */*;q=0.1", "text/csv"),
        ("application/*+json", "application/ld+json"),
        ("application/json;q=x", "application/json"),
        ("application/json;q=7", "application/json"),
        ("application/json;q=0", "application/json"),
        ("application/json;q=-1", "application/json"),
        ("application/json;q=nan", "application/json"),
        ("application/json;q=x, text/csv;q=0.1", "text/csv"),
        ("application/json;q=inf, text/csv;q=0.1", "text/csv"),
        ("application/json;q=0_9, text/csv;q=0.1", "text/csv"),
        ("application/json, text/csv;q=7", "text/csv"),
        ("application/json;q=.2x, text/csv;q=1e-1", "application/json"),
        ("application/json ; q = 0.1, text/csv;q=0.2", "text/csv"),
        ('application/json;a="b,c";q=0.1, text/csv;q=0.2', "text/csv"),
        ('application/json;a=", text/csv', "application/json"),
        ("*/xml", "application/xml"),
        ("*/xml;q=0.1, */*;q=0.9, application/xml;q=0.8", "application/ld+json"),
        ("application/ld+*", "application/ld+json"),
        ("*/ld+*", "application/ld+json"),
        ("*/*+json, text/csv", "application/ld+json"),
        ("application/+json", None),
        ("application/ld+", None),
        ("*/", None),
        (", ,application/xml,", "application/xml"),
        ("application/pdf", None),
        ("application", None),
        ("json", None),
        ("/", None),
        (";;;", None),
        (",", None),
    ],
)
def test_best_match_is_the_recorded_one(accept: str, chosen: str | None) -> None:
    assert best_match(accept, OFFERED) == chosen
