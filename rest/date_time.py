"""Parse dates and times in bodies: those of PHP's forms that are unambiguous (docs/compatibility.md#finite-dates)."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(1000, 1, 1, tzinfo=UTC)  # no check for the latest: `datetime` ends with the year 9999

_FRACTION = r"(?:\.\d{1,9})?"
_OFFSET = r"(?: ?([Zz]|[+-]\d\d(?::?\d\d)?))?"
_EXTENDED = re.compile(rf"([1-9]\d{{3}})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d){_FRACTION})?{_OFFSET})?", re.ASCII)
_BASIC = re.compile(rf"([1-9]\d{{3}})(\d\d)(\d\d)(?:[Tt](\d\d)(\d\d)(\d\d){_FRACTION}{_OFFSET})?", re.ASCII)
_TIMESTAMP = re.compile(rf"@([+-]?\d{{1,20}}){_FRACTION}", re.ASCII)

_LARGEST_OFFSET = timedelta(hours=14, minutes=59)


def parse_date_time(text: str) -> datetime:
    """Return a date and time in UTC, without the fraction of a second. Raises ValueError.

    The result lies in the years 1000 to 9999, which every database can store.
    """
    timestamp = _TIMESTAMP.fullmatch(text)
    try:
        moment = _EPOCH + timedelta(seconds=int(timestamp[1])) if timestamp else _parse_calendar(text)
    except OverflowError:
        raise ValueError(text) from None
    if moment < _EARLIEST:
        raise ValueError(text)
    return moment


def _parse_calendar(text: str) -> datetime:
    match = _EXTENDED.fullmatch(text) or _BASIC.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(number or 0) for number in match.groups()[:6])
    # ISO 8601 allows 24:00:00 for the end of a day, and the second 60 for a leap second.
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):  # noqa: PLR2004 - parts of a clock
        raise ValueError(text)
    local = datetime(year, month, day, tzinfo=UTC) + timedelta(hours=hour, minutes=minute, seconds=second)
    return local - _parse_offset(match[7] or "Z")


def _parse_offset(text: str) -> timedelta:
    if text in "Zz":
        return timedelta()
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    offset = timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or offset > _LARGEST_OFFSET:  # noqa: PLR2004 - minutes of an hour
        raise ValueError(text)
    return -offset if text[0] == "-" else offset
