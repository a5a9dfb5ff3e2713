"""Access tokens: which are issued, and that no others are accepted."""

import base64
import hashlib
import hmac
import json
import math
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from factories import CONTRACT, START, Clock
from hypothesis import assume, given
from hypothesis import strategies as st

from security.errors import ExpiredToken, InvalidToken
from security.keys.pair import KeyPair, load_key_pair
from security.tokens import AccessTokens

PAIR = load_key_pair(
    str(CONTRACT / "jwt/private.pem"), str(CONTRACT / "jwt/public.pem"), (CONTRACT / "jwt/PASSPHRASE").read_text().strip()
)
NOW = int(START.timestamp())
HEADER = {"typ": "JWT", "alg": "RS256"}
CLAIMS = {"iat": NOW, "exp": NOW + 3600, "roles": ["ROLE_USER"], "username": "alice"}


class OwnKey:
    """A key set with one key."""

    def signing_pair(self, _until: int) -> KeyPair:
        return PAIR

    def verification_keys(self) -> dict[str, rsa.RSAPublicKey]:
        return {PAIR.kid: PAIR.verification_key}

    newer_verification_keys = verification_keys


TOKENS = AccessTokens(OwnKey(), Clock(), 3600, 0)
GOOD = TOKENS.issue("alice", ["ROLE_USER"])


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def dump(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def signed(header: Any = HEADER, claims: Any = CLAIMS, key: rsa.RSAPrivateKey = PAIR.signing_key, digest: Any = SHA256) -> str:
    """Make a token with a valid signature over any content."""
    text = f"{b64(dump(header))}.{b64(dump(claims))}"
    return f"{text}.{b64(key.sign(text.encode(), padding.PKCS1v15(), digest()))}"


def refused(token: str) -> type[Exception]:
    with pytest.raises((InvalidToken, ExpiredToken)) as caught:
        TOKENS.verify(token)
    return caught.type


def test_issued_token_verifies() -> None:
    assert TOKENS.verify(GOOD) == CLAIMS


def test_token_has_the_claims_of_the_contract_in_their_order() -> None:
    header, claims, _ = GOOD.split(".")
    assert base64.urlsafe_b64decode(header + "==") == b'{"typ":"JWT","alg":"RS256","kid":"%s"}' % PAIR.kid.encode()
    assert list(json.loads(base64.urlsafe_b64decode(claims + "=="))) == ["iat", "exp", "roles", "username"]


def test_token_is_one_for_pyjwt() -> None:
    assert jwt.decode(GOOD, PAIR.verification_key, ["RS256"], options={"verify_exp": False, "verify_iat": False}) == CLAIMS


def test_token_of_another_hand_is_accepted() -> None:
    assert TOKENS.verify(signed()) == CLAIMS


def test_order_and_further_claims_do_not_matter() -> None:
    claims = {"username": "alice", "jti": "x", "aud": "y", "exp": NOW + 1, "iat": NOW - 1.5}
    assert TOKENS.verify(signed({"alg": "RS256", "kid": "../../dev/null", "jku": "http://192.0.2.1/"}, claims)) == claims


def without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in CLAIMS.items() if name != claim}


BAD_HEADERS = {
    **{
        f"alg {alg!r}": HEADER | {"alg": alg}
        for alg in (
            "none",
            "None",
            "NONE",
            "nOnE",
            "",
            None,
            " none",
            "RS256 ",
            "rs256",
            "HS256",
            "RS384",
            "RS512",
            "PS256",
            "ES256",
            "EdDSA",
            1,
            ["RS256"],
            {"RS256": 1},
            True,
        )
    },
    "no alg": {"typ": "JWT"},
    "crit unknown": HEADER | {"crit": ["x"], "x": 1},
    "crit empty": HEADER | {"crit": []},
    "crit exp": HEADER | {"crit": ["exp"]},
    "crit b64": HEADER | {"crit": ["b64"], "b64": True},
    "crit null": HEADER | {"crit": None},
    "enc": HEADER | {"enc": "A128GCM"},
    "a list": [HEADER],
    "text": "x",
    "null": None,
    "no JSON": b"{",
    "UTF-16": json.dumps(HEADER).encode("utf-16"),
    "BOM": b"\xef\xbb\xbf" + dump(HEADER),
    "deep": b'{"alg":"RS256","x":' + b"[" * 3000 + b"]" * 3000 + b"}",
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_bad_header_is_invalid_for_all_its_signature(name: str) -> None:
    assert refused(signed(BAD_HEADERS[name])) is InvalidToken


BAD_CLAIMS = {
    **{f"exp {value!r}": CLAIMS | {"exp": value} for value in ("9999999999", "x", None, True, [], {})},
    **{f"iat {value!r}": CLAIMS | {"iat": value} for value in ("1", None, True, [], NOW + 1, NOW + 0.5)},
    **{f"nbf {value!r}": CLAIMS | {"nbf": value} for value in ("1", None, True, NOW + 1)},
    "exp NaN": dump(CLAIMS).replace(str(NOW + 3600).encode(), b"NaN"),
    "exp infinite": dump(CLAIMS).replace(str(NOW + 3600).encode(), b"1e999"),
    "exp Infinity": dump(CLAIMS).replace(str(NOW + 3600).encode(), b"Infinity"),
    "no exp": without("exp"),
    "no iat": without("iat"),
    "empty name": CLAIMS | {"": 1},
    "a list": [CLAIMS],
    "text": "x",
    "null": None,
    "no JSON": b"{",
    "nothing": b"",
    "UTF-16": json.dumps(CLAIMS).encode("utf-16"),
    "BOM": b"\xef\xbb\xbf" + dump(CLAIMS),
    "no UTF-8": dump(CLAIMS).replace(b"alice", b"\xff"),
    "deep": b'{"x":' + b"[" * 3000 + b"]" * 3000 + b"}",
    "long number": b'{"exp":' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_bad_claims_are_invalid_for_all_their_signature(name: str) -> None:
    assert refused(signed(claims=BAD_CLAIMS[name])) is InvalidToken


@pytest.mark.parametrize("exp", [NOW, NOW - 1, NOW - 0.5, NOW + 0.0, 0, -1, -1e308])
def test_passed_exp_is_expired(exp: float) -> None:
    assert refused(signed(claims=CLAIMS | {"exp": exp})) is ExpiredToken


def test_expiry_is_looked_at_before_the_signature_and_the_algorithm() -> None:
    token = signed(HEADER | {"alg": "none"}, CLAIMS | {"exp": NOW})
    assert refused(token[:-4] + "AAAA") is ExpiredToken


def test_leeway_is_for_all_three_times() -> None:
    tokens = AccessTokens(OwnKey(), Clock(), 3600, 5)
    claims = {"iat": NOW + 5, "nbf": NOW + 5, "exp": NOW - 4, "username": "a"}
    assert tokens.verify(signed(claims=claims)) == claims
    for late in ({"iat": NOW + 6}, {"nbf": NOW + 6}, {"exp": NOW - 5}):
        with pytest.raises((InvalidToken, ExpiredToken)):
            tokens.verify(signed(claims=claims | late))


SIGNING_INPUT = GOOD.rpartition(".")[0]
PUBLIC_PEM = (CONTRACT / "jwt/public.pem").read_bytes()
BAD_SHAPES = {
    "empty": "",
    "dots": "..",
    "one part": "a",
    "two parts": SIGNING_INPUT,
    "four parts": GOOD + ".x",
    "five parts": GOOD + ".x.y",
    "no signature": SIGNING_INPUT + ".",
    "cut": GOOD[:-4],
    "padded": GOOD + "==",
    "space": GOOD + " ",
    "newline": GOOD + "\n",
    "leading newline": "\n" + GOOD,
    "standard alphabet": SIGNING_INPUT + "." + GOOD.rpartition(".")[2].replace("-", "+").replace("_", "/"),
    "NUL": GOOD + "\0",
    "not ASCII": GOOD[:-1] + "é",
    "digits of another script": GOOD[:-1] + "\u0661",
    "impossible length": GOOD + "AAA",
    "long": signed(claims=CLAIMS | {"x": "x" * 10_000}),
    "huge": "a" * 3_000_000,
    "another key": signed(key=rsa.generate_private_key(65537, 2048)),
    "SHA-384": signed(digest=SHA384),
    "SHA-512": signed(digest=SHA512),
    "PSS": f"{SIGNING_INPUT}.{b64(PAIR.signing_key.sign(SIGNING_INPUT.encode(), padding.PSS(padding.MGF1(SHA256()), 32), SHA256()))}",
    "zeros": f"{SIGNING_INPUT}.{b64(bytes(256))}",
    "long zeros": f"{SIGNING_INPUT}.{b64(bytes(512))}",
}


@pytest.mark.parametrize("name", BAD_SHAPES)
def test_bad_shape_or_signature_is_invalid(name: str) -> None:
    assert refused(BAD_SHAPES[name]) is InvalidToken


SECRETS = {
    "the PEM": PUBLIC_PEM,
    "the stripped PEM": PUBLIC_PEM.strip(),
    "nothing": b"",
    "the modulus": PAIR.verification_key.public_numbers().n.to_bytes(256, "big"),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_public_key_is_no_hmac_secret(alg: str, secret: str) -> None:
    text = f"{b64(dump(HEADER | {'alg': alg}))}.{b64(dump(CLAIMS))}"
    digest = hmac.new(SECRETS[secret], text.encode(), getattr(hashlib, f"sha{alg[2:]}")).digest()
    assert refused(f"{text}.{b64(digest)}") is InvalidToken


def test_elliptic_signature_is_invalid() -> None:
    signature = ec.generate_private_key(ec.SECP256R1()).sign(SIGNING_INPUT.encode(), ec.ECDSA(SHA256()))
    assert refused(f"{SIGNING_INPUT}.{b64(signature)}") is InvalidToken


@pytest.mark.parametrize("part", [0, 1, 2])
def test_only_the_canonical_base64_is_accepted(part: int) -> None:
    """The last character of a segment may have bits that do not decode."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    parts = GOOD.split(".")
    last, spare = parts[part][-1], {0: 0, 2: 4, 3: 2}[len(parts[part]) % 4]
    for low in range(1, 1 << spare):
        parts[part] = parts[part][:-1] + alphabet[alphabet.index(last) | low]
        assert refused(".".join(parts)) is InvalidToken


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 127))
def test_no_flipped_bit_is_ever_accepted(position: int, flip: int) -> None:
    changed = GOOD[:position] + chr(ord(GOOD[position]) ^ flip) + GOOD[position + 1 :]
    assert refused(changed) in {InvalidToken, ExpiredToken}


@given(st.integers(0, len(GOOD) - 1), st.text(max_size=3), st.integers(0, 5))
def test_no_cut_or_inserted_text_is_ever_accepted(position: int, text: str, cut: int) -> None:
    changed = GOOD[:position] + text + GOOD[position + cut :]
    assume(changed != GOOD)
    assert refused(changed) in {InvalidToken, ExpiredToken}


@given(st.text())
def test_no_text_falls_over(text: str) -> None:
    assert refused(text) is InvalidToken


def is_date(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value)


DATES = st.integers(NOW - 2, NOW + 2) | st.floats(NOW - 2, NOW + 2)


@given(
    st.dictionaries(
        st.sampled_from(["iat", "exp", "nbf", "alg", "username", "", "crit"]),
        DATES | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    )
    | st.fixed_dictionaries({"iat": DATES, "exp": DATES}, optional={"nbf": DATES, "username": st.text(max_size=3)})
)
def test_signed_claims_are_accepted_exactly_while_their_dates_say_so(claims: dict[str, Any]) -> None:
    dated = {"iat", "exp"} <= claims.keys() and all(is_date(claims[name]) for name in ("iat", "exp", "nbf") if name in claims)
    finite = all(math.isfinite(value) for value in claims.values() if isinstance(value, float))
    if dated and finite and "" not in claims and claims["exp"] > NOW >= max(claims["iat"], claims.get("nbf", NOW)):
        assert TOKENS.verify(signed(claims=claims)) == claims
    else:
        assert refused(signed(claims=claims)) in {InvalidToken, ExpiredToken}


def test_ttl_may_be_given() -> None:
    claims = TOKENS.verify(TOKENS.issue("alice", [], ttl_seconds=7))
    assert claims["exp"] - claims["iat"] == 7


def test_time_is_the_clock_s() -> None:
    clock = Clock()
    tokens = AccessTokens(OwnKey(), clock, 3600, 0)
    clock.now += timedelta(days=1)
    assert tokens.verify(tokens.issue("alice", []))["iat"] == NOW + 86_400


def test_fraction_of_a_second_counts() -> None:
    """Some other signer may write times with a fraction (RFC 7519, section 2)."""
    clock = Clock()
    tokens = AccessTokens(OwnKey(), clock, 3600, 0)
    clock.now += timedelta(milliseconds=500)
    for claims in ({"iat": NOW + 0.25}, {"nbf": NOW + 0.25}, {"exp": NOW + 0.75}):
        assert tokens.verify(signed(claims=CLAIMS | claims)) == CLAIMS | claims
    for claims in ({"iat": NOW + 0.75}, {"nbf": NOW + 0.75}, {"exp": NOW + 0.25}, {"exp": NOW + 0.5}):
        with pytest.raises((InvalidToken, ExpiredToken)):
            tokens.verify(signed(claims=CLAIMS | claims))


@pytest.mark.parametrize("claims", [{"iat": -(10**400)}, {"nbf": -(10**400)}, {"exp": 10**400}])
def test_time_that_no_float_holds_is_invalid(claims: dict[str, int]) -> None:
    assert refused(signed(claims=CLAIMS | claims)) is InvalidToken
