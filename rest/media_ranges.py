"""Choosing a media type by `Accept` (RFC 9110, section 12.5.1), with the rules of Chamilo's negotiator."""

import math
import re
from collections.abc import Sequence

from werkzeug.exceptions import NotAcceptable
from werkzeug.http import parse_options_header

from rest.encoding import from_wsgi


def choose_media_type(accept: str, offered: list[str], unlisted: Sequence[str] = ()) -> str:
    """Choose the media type of an answer: the first one offered if `accept` is empty.

    Raises 406; its text does not name the `unlisted` media types.
    """
    chosen = best_match(accept, [*offered, *unlisted]) if accept else offered[0]
    if chosen is None:
        listed = '", "'.join(offered)
        raise NotAcceptable(f'Requested format "{from_wsgi(accept)}" is not supported. Supported MIME types are "{listed}".')
    return chosen


def best_match(accept: str, offered: list[str]) -> str | None:
    """Choose the media type whose most specific range has the highest q; among equals, the first one offered.

    Unlike in Werkzeug, the server's order decides between equals, not how specific their ranges are. q=0 excludes no type.
    """
    ranges = [_parse_range(part) for part in _PART.findall(accept) if part.strip()]
    best, best_quality = None, -math.inf
    for media_type in offered:
        matches = [(score, quality) for base, sub, quality in ranges if (score := _score(base, sub, media_type)) is not None]
        if matches and (quality := max(matches, key=lambda match: match[0])[1]) > best_quality:
            best, best_quality = media_type, quality
    return best


# A comma in a quoted string separates no ranges (RFC 9110, section 5.6.4).
_PART = re.compile(r'(?:[^,"]|"[^"]*"|")+')

# Chamilo's negotiator ignores white space around the sign. Without the look-behind, long white space takes quadratic time.
_EQUALS = re.compile(r"(?<=\S)\s*=\s*")

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def _parse_range(text: str) -> tuple[str, str, float]:
    media_range, options = parse_options_header(_EQUALS.sub("=", text.strip()))
    # Chamilo's negotiator reads a bare `*` as `*/*`.
    base, _, sub = ("*/*" if media_range == "*" else media_range.lower()).partition("/")
    # PHP casts q: the number at the start, within any bounds, or else 0.
    number = _NUMBER.match(options.get("q", "1"))
    return base, sub, float(number[0]) if number else 0.0


def _score(base: str, sub: str, media_type: str) -> int | None:
    """Return how specific a range is for a media type, None if it does not match."""
    own_base, _, own_sub = media_type.partition("/")
    if base not in {own_base, "*"}:
        return None
    of_base = 100 * (base == own_base)
    if sub in {own_sub, "*"}:
        return of_base + 10 * (sub == own_sub)
    # `application/*+json`, `application/ld+*`
    (name, plus, structure), (own_name, own_plus, own_structure) = sub.partition("+"), own_sub.partition("+")
    if not (plus and own_plus) or name not in {own_name, "*"} or structure not in {own_structure, "*"}:
        return None
    return of_base + 10 * (name == own_name) + (structure == own_structure)
