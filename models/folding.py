"""Fold text for search and order: without case and accents. Folded copies are stored, so all databases agree."""

import unicodedata

#: Width of a folded column, in characters. NFKD can lengthen a text; search ignores what does not fit.
FOLDED_LENGTH = 400


def fold(text: str | None) -> str:
    """Return `text` folded as `fold_whole` does, cut to a folded column; None becomes empty."""
    return fold_whole(text or "")[:FOLDED_LENGTH]


def fold_whole(text: str) -> str:
    """Return `text` in NFKD, without combining marks, case-folded: `Böb` and `BOB` become `bob`."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()


def lower_case(text: str) -> str:
    """Return `text` in lower case, with as many characters as before. İ would become two, so it is kept."""
    return text.lower() if "\u0130" not in text else "\u0130".join(part.lower() for part in text.split("\u0130"))


def canonical_username(username: str) -> str:
    """Return the form in which sign-in and the unique index compare user names: lower case, nothing more."""
    return lower_case(username)
