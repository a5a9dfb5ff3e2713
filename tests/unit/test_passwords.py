"""Password hashes against known answers from PHP (the fixture users), libxcrypt and Perl's Digest::SHA."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.passwords import hash_password, is_too_costly, is_too_long, needs_rehash, padding_costs, spend_time, verify_password

SALT = "abc"

#: By kind: password, hash, salt.
KNOWN = {
    "bcrypt of PHP": ("bc4pass", "$2y$04$e.BdhT4Wk0DxnRK0LPulc.RMrsPq5BT0GJhaNyddZ7iwI0EDH2FfS", "ad46"),
    "bcrypt 2a": ("secret", "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", ""),
    "bcrypt 2b": ("secret", "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", ""),
    "bcrypt of 72 bytes": ("x" * 72, "$2y$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i", ""),
    "bcrypt of 73 bytes, digested": ("x" * 73, "$2y$04$abcdefghijklmnopqrstuuHYd.8JXmZ8Zso2R.MHnH4yXXvQQ9ZPu", ""),
    "bcrypt of a NUL, digested": ("a\0b", "$2y$04$abcdefghijklmnopqrstuuGzOidAkB.xyqqSEmUq5t512iau0/saG", ""),
    "argon2id of PHP": (
        "argonpass",
        "$argon2id$v=19$m=65536,t=4,p=1$WDQ1V1Q4M3VOenpFN1hqQQ$01vLO37gKZ2MQHtPRP/4UHDovq6Hpkrs+sjRlg+Q8l8",
        "",
    ),
    "sha1 of PHP": ("shapass", "d8dcae220c93e9ac76fcf8a903394674d8374975", "1419466b7d0ce50267b50d96df02335c10d147dc"),
    "sha1 without a salt": ("shapass", "cf48d3dd376f79c955947b39582a60e5c3de21ef", ""),
    "sha1 in upper case": ("shapass", "CF48D3DD376F79C955947B39582A60E5C3DE21EF", ""),
    "sha512": (
        "secret",
        "LOtPReZHw9DvnUwlC+Y8DU5H0qJLKnf36MxqncBf7gVrVbQd2Y/eQE2t2S93GWcX3SR0D9l9mBgf9P7q3Klajg==",
        SALT,
    ),
    "sha512 without a salt": (
        "secret",
        "wVB2qXZddKkmaOHErdQbepwTg//liY5ytnqjLQnEDAp3ZxZC5U11j8gpzVCK8ORnZv00O/7Zy/p/Fdum2OhDCQ==",
        "",
    ),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_known_hash_verifies(kind: str) -> None:
    password, hashed, salt = KNOWN[kind]
    assert verify_password(password, hashed, salt)


@pytest.mark.parametrize("kind", KNOWN)
def test_other_password_does_not(kind: str) -> None:
    password, hashed, salt = KNOWN[kind]
    assert not any(verify_password(other, hashed, salt) for other in ("", password + "x", password[:-1], password.upper() + "x"))


@pytest.mark.parametrize("kind", ["sha1 of PHP", "sha1 without a salt", "sha512", "sha512 without a salt"])
def test_salt_belongs_to_old_hashes(kind: str) -> None:
    password, hashed, _ = KNOWN[kind]
    assert not verify_password(password, hashed, "another salt")


def test_digested_password_is_not_cut_to_72_bytes() -> None:
    _, hashed, _ = KNOWN["bcrypt of 72 bytes"]
    assert not verify_password("x" * 73, hashed)


UNKNOWN = {
    "md5": "5ebe2294ecd0e0f08eab7690d2a6ee69",
    "empty": "",
    "plain": "secret",
    "star": "*",
    "bcrypt 2x": "$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    "bcrypt cut": "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WI",
    "bcrypt of cost 3": "$2y$03$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    "argon2 cut": "$argon2id$v=19$m=65536,t=4,p=1$WDQ1V1Q4M3VOenpFN1hqQQ$",
    "argon2 odd": "$argon2i$x",
    "sha512 in hex": "bd2b1aaf7ef4f09be9f52ce2d8d599674d81aa9d6a4421696dc4d93dd0619d682ce56b4d64a9ef097761ced99e0f67265b5f76085e5b0ee7ca4696b2ad6fe2b2",
    "crypt": "$6$salt$x",
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_other_kinds_never_sign_in(kind: str) -> None:
    assert not verify_password("secret", UNKNOWN[kind])


@pytest.mark.parametrize(
    ("hashed", "salt"),
    [
        ("5ebe2294ecd0e0f08eab7690d2a6ee69", ""),
        ("5EBE2294ECD0E0F08EAB7690D2A6EE69", ""),
        ("a07ce89f0bfb6279116cc3c12d272bc6", SALT),
    ],
)
def test_md5_verifies_only_where_it_is_allowed(hashed: str, salt: str) -> None:
    assert verify_password("secret", hashed, salt, allow_md5=True)
    assert not verify_password("secret", hashed, salt)
    assert not verify_password("other", hashed, salt, allow_md5=True)
    assert not verify_password("secret", hashed, "another salt", allow_md5=True)


@pytest.mark.parametrize("kind", sorted(UNKNOWN.keys() - {"md5"}))
def test_allowed_md5_allows_nothing_else(kind: str) -> None:
    assert not verify_password("secret", UNKNOWN[kind], allow_md5=True)


@pytest.mark.parametrize(
    ("password", "too_long"), [("x" * 4096, False), ("x" * 4097, True), ("é" * 2048, False), ("é" * 2049, True)]
)
def test_length_is_counted_in_bytes(password: str, too_long: bool) -> None:
    assert is_too_long(password) == too_long


def test_over_long_password_is_not_hashed() -> None:
    with pytest.raises(ValueError, match="4096 bytes"):
        hash_password("x" * 4097, 4)


def test_over_long_password_never_matches() -> None:
    assert not verify_password("x" * 4097, KNOWN["sha1 without a salt"][1])


def test_half_a_surrogate_pair_is_no_password() -> None:
    assert not verify_password("\ud800", KNOWN["sha1 without a salt"][1])


@pytest.mark.parametrize("cost", [4, 5])
def test_hash_is_php_s(cost: int) -> None:
    hashed = hash_password("secret", cost)
    assert (hashed[:7], len(hashed)) == (f"$2y$0{cost}$", 60)


def test_hashes_differ() -> None:
    assert hash_password("secret", 4) != hash_password("secret", 4)


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=100))
def test_every_text_is_a_password(password: str) -> None:
    assert verify_password(password, hash_password(password, 4))


@pytest.mark.parametrize(
    ("hashed", "expected"),
    [
        (KNOWN["bcrypt of PHP"][1], False),
        ("$2y$05$" + "a" * 53, False),
        ("$2y$03$" + "a" * 53, True),
        (KNOWN["bcrypt 2a"][1], True),
        (KNOWN["bcrypt 2b"][1], True),
        (KNOWN["argon2id of PHP"][1], True),
        (KNOWN["sha1 of PHP"][1], True),
        (KNOWN["sha512"][1], True),
        (UNKNOWN["md5"], True),
        ("", True),
    ],
)
def test_all_but_bcrypt_at_the_cost_is_rehashed(hashed: str, expected: bool) -> None:
    assert needs_rehash(hashed, 4) == expected


@pytest.mark.parametrize(
    ("hashed", "cost", "spent"),
    [
        ("$2y$13$" + "a" * 53, 13, []),
        ("$2y$14$" + "a" * 53, 13, []),
        ("$2y$10$" + "a" * 53, 13, [10, 11, 12]),
        ("$argon2id$x", 13, [12]),
        (UNKNOWN["md5"], 13, [13]),
        ("", 13, [13]),
    ],
)
def test_padding_brings_every_kind_to_one_cost(hashed: str, cost: int, spent: list[int]) -> None:
    assert list(padding_costs(hashed, cost)) == spent


def test_time_is_spent_at_each_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[bytes] = []
    monkeypatch.setattr("models.passwords.bcrypt.hashpw", lambda _password, salt: spent.append(salt[:7]))
    spend_time([3, 5])
    assert spent == [b"$2b$04$", b"$2b$05$"]


@pytest.mark.parametrize(
    ("hashed", "costly"),
    [
        ("$2y$16$" + "a" * 53, False),
        ("$2y$17$" + "a" * 53, True),
        ("$argon2id$v=19$m=1048576,t=20,p=64$c2FsdHNhbHRzYWx0$" + "a" * 43, False),
        ("$argon2id$v=19$m=1048577,t=1,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43, True),
        ("$argon2i$v=19$m=8,t=21,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43, True),
        ("$argon2id$v=19$m=1048576,t=1,p=65$c2FsdHNhbHRzYWx0$" + "a" * 43, True),
        ("$argon2id$no hash", False),
        ("", False),
    ],
)
def test_hash_beyond_bounds_is_too_costly(hashed: str, costly: bool) -> None:
    assert is_too_costly(hashed) == costly
    if costly:
        assert not verify_password("secret", hashed)


@pytest.mark.parametrize("cost", [4, 13])
def test_nothing_is_spent_beyond_the_cost_of_new_hashes(cost: int) -> None:
    for hashed in (hash_password("x", 5), "$2y$15$" + "a" * 53, "$argon2id$v=19$m=65536,t=4,p=1$c2FsdA$YQ", ""):
        assert sum(2**spent for spent in padding_costs(hashed, cost)) <= 2**cost
