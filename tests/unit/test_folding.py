"""Folding for search, and the canonical form of a name."""
# ruff: noqa: RUF001 - look-alikes are what is tested

import sys

import pytest

from models.folding import FOLDED_LENGTH, canonical_username, fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Böb", "bob"),
        ("BO\u0308B", "bob"),
        ("ünïcodé", "unicode"),
        ("Straße", "strasse"),
        ("ﬁn", "fin"),
        ("Ｂｏｂ", "bob"),
        ("İ", "i"),
        ("ΣΑΣ", "σασ"),
        ("σας", "σασ"),
        ("ø", "ø"),
        ("_%\\", "_%\\"),
        (None, ""),
        ("", ""),
    ],
)
def test_fold_drops_case_and_marks(text: str | None, folded: str) -> None:
    assert fold(text) == folded


def test_fold_fits_its_column() -> None:
    assert len(fold("\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 100)) == FOLDED_LENGTH


@pytest.mark.parametrize(
    ("name", "canonical"), [("Alice", "alice"), ("ÜNÏ", "ünï"), (" a ", " a "), ("ß", "ß"), ("ﬁ", "ﬁ"), ("Ａ", "ａ")]
)
def test_canonical_name_is_lower_case_and_nothing_more(name: str, canonical: str) -> None:
    assert canonical_username(name) == canonical


def test_canonical_name_is_never_longer() -> None:
    growing = [char for char in map(chr, range(sys.maxunicode + 1)) if len(char.lower()) > 1]
    assert [len(canonical_username(char)) for char in growing] == [1]
