"""Text without case and accents, for search and order; the same on every database, since it is stored."""

import unicodedata

#: Width of a stored folded copy, in characters; NFKD can lengthen a text, what is beyond is not searched.
FOLDED_LENGTH = 400


def fold(text: str | None) -> str:
    """Return `text` in NFKD, without combining marks, case-folded: `Böb` and `BOB` become `bob`; None becomes empty."""
    decomposed = unicodedata.normalize("NFKD", text or "")
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()[:FOLDED_LENGTH]


def lower_case(text: str) -> str:
    """Return `text` in lower case, as many characters as before: İ, the one letter that grows to two, stays as it is."""
    return "\u0130".join(part.lower() for part in text.split("\u0130"))


def canonical_username(username: str) -> str:
    """Return the form in which user names are compared, at sign-in and for uniqueness: lower case, nothing more."""
    return lower_case(username)
