"""Choosing a media type by `Accept` (RFC 9110, section 12.5.1), with the rules of Chamilo's negotiator."""

from collections.abc import Sequence

from werkzeug.exceptions import NotAcceptable
from werkzeug.http import parse_options_header


def choose_media_type(accept: str, offered: list[str], unlisted: Sequence[str] = ()) -> str:
    """Choose the media type of an answer: the first one offered if `accept` is empty.

    Raises 406; its text does not name the `unlisted` media types.
    """
    chosen = best_match(accept, [*offered, *unlisted]) if accept else offered[0]
    if chosen is None:
        listed = '", "'.join(offered)
        raise NotAcceptable(f'Requested format "{accept}" is not supported. Supported MIME types are "{listed}".')
    return chosen


def best_match(accept: str, offered: list[str]) -> str | None:
    """Choose the media type whose most specific range has the highest q; among equals, the first one offered.

    Unlike in Werkzeug, the server's order decides between equals, not how specific their ranges are. q=0 excludes no type.
    """
    ranges = [_parse_range(part) for part in accept.split(",") if part.strip()]
    best, best_quality = None, -1.0
    for media_type in offered:
        matches = [(score, quality) for base, sub, quality in ranges if (score := _score(base, sub, media_type)) is not None]
        if matches and (quality := max(matches, key=lambda match: match[0])[1]) > best_quality:
            best, best_quality = media_type, quality
    return best


def _parse_range(text: str) -> tuple[str, str, float]:
    media_range, options = parse_options_header(text.strip())
    # Chamilo's negotiator reads a bare `*` as `*/*`.
    base, _, sub = ("*/*" if media_range == "*" else media_range.lower()).partition("/")
    try:
        quality = min(max(float(options.get("q", "1")), 0.0), 1.0)
    except ValueError:
        quality = 1.0
    return base, sub, quality


def _score(base: str, sub: str, media_type: str) -> int | None:
    """Return how specific a range is for a media type, None if it does not match."""
    own_base, _, own_sub = media_type.partition("/")
    if base == own_base and sub == own_sub:
        return 110
    if base not in {own_base, "*"}:
        return None
    if sub == "*":
        return 100 if base == own_base else 0
    # `application/*+json`
    return 101 if sub.startswith("*+") and own_sub.endswith(sub[1:]) else None
