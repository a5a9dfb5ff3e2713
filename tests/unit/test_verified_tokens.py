"""Remembered tokens: how long they count, which key they need, and by which names they can be revoked."""

import hashlib
from typing import Any

import pytest

from security import verified_tokens
from security.verified_tokens import BearerToken, VerifiedTokens, session_key

CLAIMS = {"iat": 1_000, "exp": 2_000, "username": "alice"}
TOKEN = "header.payload.signature"


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def remembered(**claims: Any) -> VerifiedTokens:
    """Remember a token verified by the key `own`."""
    tokens = VerifiedTokens()
    tokens.add(TOKEN, BearerToken.of(TOKEN, CLAIMS | claims), "own")
    return tokens


def holds(tokens: VerifiedTokens, now: int, leeway: int = 0, kids: tuple[str, ...] = ("other", "own")) -> bool:
    return tokens.find(TOKEN, frozenset(kids), now, leeway) is not None


def test_remembered_token_needs_its_key_to_be_one_that_verifies() -> None:
    tokens = remembered()
    assert [holds(tokens, 1_500, kids=kids) for kids in (("own",), ("other",), ())] == [True, False, False]


def test_another_token_is_not_remembered() -> None:
    assert remembered().find(TOKEN + "x", frozenset(["own"]), 1_500, 0) is None


@pytest.mark.parametrize(
    ("now", "leeway", "good"),
    [
        (999, 0, False),
        (1_000, 0, True),
        (1_999, 0, True),
        (2_000, 0, False),
        (994, 5, False),
        (995, 5, True),
        (2_004, 5, True),
        (2_005, 5, False),
    ],
)
def test_remembered_token_is_good_between_its_times(now: int, leeway: int, good: bool) -> None:
    assert holds(remembered(), now, leeway) is good


@pytest.mark.parametrize(("not_before", "first"), [(1_200, 1_200), (800, 1_000)])
def test_remembered_token_is_not_good_before_the_later_of_its_beginnings(not_before: int, first: int) -> None:
    tokens = remembered(nbf=not_before)
    assert (holds(tokens, first - 1), holds(tokens, first)) == (False, True)


def test_token_is_revoked_under_its_own_hash_and_that_of_its_session() -> None:
    own = digest("payload:payload")
    assert BearerToken.of(TOKEN, CLAIMS).keys == (own,)
    said = BearerToken.of(TOKEN, CLAIMS | {"sid": "s"})
    assert (said.keys, said.key, said.session_id) == ((own, session_key("s")), own, "s")
    assert session_key("s") == digest("sid:s")


def test_jti_comes_before_the_payload_and_beside_the_session() -> None:
    said = BearerToken.of(TOKEN, CLAIMS | {"jti": "j", "sid": "s"})
    assert (said.keys, said.key) == ((digest("jti:j"), digest("sid:s")), digest("jti:j"))


@pytest.mark.parametrize("expires_at", [2**53 + 1, 1e300])
def test_end_of_a_token_fits_a_column(expires_at: float) -> None:
    assert BearerToken.of(TOKEN, CLAIMS | {"exp": expires_at}).expires_at == 2**53


def test_name_that_is_no_utf_8_is_hashed_all_the_same() -> None:
    assert BearerToken.of(TOKEN, CLAIMS | {"jti": "\ud800"}).key == digest("jti:?")


def test_longest_remembered_token_has_1536_characters() -> None:
    tokens = VerifiedTokens()
    found = []
    for length in (1_536, 1_537):
        token = "x" * length
        tokens.add(token, BearerToken.of(TOKEN, CLAIMS), "own")
        found.append(tokens.find(token, frozenset(["own"]), 1_500, 0) is not None)
    assert found == [True, False]


def test_oldest_token_goes_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verified_tokens._MAX_TOKENS == 4096
    monkeypatch.setattr(verified_tokens, "_MAX_TOKENS", 3)
    tokens = VerifiedTokens()
    for name in "abcd":
        tokens.add(name, BearerToken.of(TOKEN, CLAIMS), "own")
    assert [tokens.find(name, frozenset(["own"]), 1_500, 0) is not None for name in "abcd"] == [False, True, True, True]
