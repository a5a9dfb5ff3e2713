"""The attack table: tokens that attackers make, sent through the whole server. Each gets a 401 with the recorded body, none a 5xx.

From jwt_tool's playbook, PortSwigger's labs and the advisories of PyJWT; `signed` ones bear a good signature all the same.
"""

import base64
import hmac
import json
import string
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from answers import names_in
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from databases import Databases
from factories import CONTRACT, START, Clock, Database
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import assume, given
from hypothesis import strategies as st

from security.keys.json_web_key import json_web_key
from security.keys.pair import load_key_pair

NOW = int(START.timestamp())
PAIR = load_key_pair(
    str(CONTRACT / "jwt/private.pem"), str(CONTRACT / "jwt/public.pem"), (CONTRACT / "jwt/PASSPHRASE").read_text().strip()
)
PUBLIC_PEM = (CONTRACT / "jwt/public.pem").read_bytes()
HEADER = {"typ": "JWT", "alg": "RS256"}
CLAIMS = {"iat": NOW, "exp": NOW + 3600, "roles": ["ROLE_ADMIN", "ROLE_USER"], "username": "alice"}

OTHER = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()

INVALID = {"code": 401, "message": "Invalid JWT Token"}
EXPIRED = {"code": 401, "message": "Expired JWT Token"}
NO_NAME = {"code": 401, "message": 'Unable to find key "username" in the token payload.'}
NOBODY = {"code": 401, "message": "Invalid credentials."}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def text_of(header: Any, claims: Any) -> str:
    return ".".join(b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, claims))


def signed(header: Any = HEADER, claims: Any = CLAIMS, key: rsa.RSAPrivateKey = PAIR.signing_key, digest: Any = SHA256) -> str:
    text = text_of(header, claims)
    return f"{text}.{b64(key.sign(text.encode(), padding.PKCS1v15(), digest()))}"


def mac(alg: str, secret: bytes, header: dict[str, Any] = HEADER) -> str:
    text = text_of(header | {"alg": alg}, CLAIMS)
    return f"{text}.{b64(hmac.new(secret, text.encode(), f'sha{alg[2:]}').digest())}"


def with_signature(signature: bytes, header: Any = HEADER, claims: Any = CLAIMS) -> str:
    return f"{text_of(header, claims)}.{b64(signature)}"


GOOD = signed()
TEXT, _, SIGNATURE = GOOD.rpartition(".")
JWK = json_web_key(OTHER.public_key())
DER = load_pem_public_key(PUBLIC_PEM).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
DEEP = b"[" * 3000 + b"]" * 3000


def flipped(part: int, position: int) -> str:
    """Return the good token with the lowest bit of one byte of a decoded segment flipped."""
    parts = GOOD.split(".")
    content = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    content[position] ^= 1
    return ".".join([*parts[:part], b64(bytes(content)), *parts[part + 1 :]])


ALGORITHMS: dict[str, str] = {
    **{
        f"alg {alg!r}, {name}": make(HEADER | {"alg": alg})
        for alg in ("none", "None", "NONE", "nOnE", "", None, " none", "none\0", ["none"], {"none": 1}, 0)
        for name, make in {
            "no signature": lambda header: f"{text_of(header, CLAIMS)}.",
            "signed": signed,
        }.items()
    },
    "no alg, signed": signed({"typ": "JWT"}),
    **{f"alg {alg}, signed as RS256": signed(HEADER | {"alg": alg}) for alg in ("RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256", "RSA1_5")},
    "RS384 all through": signed(HEADER | {"alg": "RS384"}, digest=SHA384),
    "RS512 all through": signed(HEADER | {"alg": "RS512"}, digest=SHA512),
    "SHA-1": signed(digest=SHA1),
    "PS256 all through": with_signature(
        PAIR.signing_key.sign(text_of(HEADER | {"alg": "PS256"}, CLAIMS).encode(), padding.PSS(padding.MGF1(SHA256()), 32), SHA256()),
        HEADER | {"alg": "PS256"},
    ),
    "PSS under RS256": with_signature(PAIR.signing_key.sign(TEXT.encode(), padding.PSS(padding.MGF1(SHA256()), 32), SHA256())),
    "ES256 all through": with_signature(
        CURVE.sign(text_of(HEADER | {"alg": "ES256"}, CLAIMS).encode(), ec.ECDSA(SHA256())), HEADER | {"alg": "ES256"}
    ),
    "EdDSA all through": with_signature(EDWARDS.sign(text_of(HEADER | {"alg": "EdDSA"}, CLAIMS).encode()), HEADER | {"alg": "EdDSA"}),
    "psychic signature": with_signature(bytes(64), HEADER | {"alg": "ES256"}),
}  # fmt: skip

SECRETS = {
    "the PEM": PUBLIC_PEM,
    "the stripped PEM": PUBLIC_PEM.strip(),
    "the DER": DER,
    "the JWK": json.dumps(json_web_key(PAIR.verification_key)).encode(),
    "the modulus": PAIR.verification_key.public_numbers().n.to_bytes(256, "big"),
    "the id of the key": PAIR.kid.encode(),
    "nothing": b"",
    "secret": b"secret",
    "your-256-bit-secret": b"your-256-bit-secret",
}
CONFUSED_KEYS = {
    f"{alg} with {name}": mac(alg, secret) for alg in ("HS256", "HS384", "HS512") for name, secret in SECRETS.items()
}
CONFUSED_KEYS["HS256 with /dev/null as kid"] = mac("HS256", b"", HEADER | {"kid": "../../../dev/null"})
CONFUSED_KEYS["HS256 with the PEM, named by kid"] = mac("HS256", PUBLIC_PEM, HEADER | {"kid": PAIR.kid})

SIGNATURES = {
    "null signature": f"{TEXT}.",
    "no signature, no dot": TEXT,
    "cut by four": GOOD[:-4],
    "cut by one": GOOD[:-1],
    "padded": GOOD + "==",
    "padded by one": GOOD + "=",
    "another key": signed(key=OTHER),
    "another key, named by kid": signed(HEADER | {"kid": PAIR.kid}, key=OTHER),
    "signature of other claims": f"{text_of(HEADER, CLAIMS | {'username': 'admin'})}.{SIGNATURE}",
    "signature of another header": f"{text_of(HEADER | {'typ': 'at+jwt'}, CLAIMS)}.{SIGNATURE}",
    "zeros": with_signature(bytes(256)),
    "ones": with_signature(b"\xff" * 256),
    "one": with_signature(bytes(255) + b"\1"),
    "the modulus itself": with_signature(PAIR.verification_key.public_numbers().n.to_bytes(256, "big")),
    "a longer one": with_signature(base64.urlsafe_b64decode(SIGNATURE + "==") + b"\0"),
    "leading zero": with_signature(b"\0" + base64.urlsafe_b64decode(SIGNATURE + "==")),
    "twice": with_signature(base64.urlsafe_b64decode(SIGNATURE + "==") * 2),
    "standard alphabet": f"{TEXT}.{base64.b64encode(base64.urlsafe_b64decode(SIGNATURE + '==')).decode().rstrip('=')}/+",
    "flipped bit of the header": flipped(0, 2),
    "flipped bit of the claims": flipped(1, 2),
    "flipped bit of the signature": flipped(2, 100),
    "flipped last bit": flipped(2, 255),
}

FOREIGN_KEYS = {
    "embedded jwk": signed(HEADER | {"jwk": JWK}, key=OTHER),
    "embedded jwk and its kid": signed(HEADER | {"jwk": JWK | {"kid": "x"}, "kid": "x"}, key=OTHER),
    "embedded x5c": signed(HEADER | {"x5c": [base64.b64encode(DER).decode()]}, key=OTHER),
    "jku": signed(HEADER | {"jku": "https://192.0.2.1/jwks.json"}, key=OTHER),
    "x5u": signed(HEADER | {"x5u": "https://192.0.2.1/x.pem"}, key=OTHER),
    **{
        f"kid {kid[:24]!r}": signed(HEADER | {"kid": kid}, key=OTHER)
        for kid in ("../../../dev/null", "/dev/null", "' UNION SELECT 'x';--", "|sleep 10", "", "../public.pem", "x" * 1000, "\0", PAIR.kid)
    },
    "kid of 9 kB": signed(HEADER | {"kid": "x" * 9000}),
    **{f"kid {kid!r}": signed(HEADER | {"kid": kid}, key=OTHER) for kid in (0, None, ["x"], {"x": 1}, True, 1.5)},
}  # fmt: skip

HEADERS = {
    "crit unknown": signed(HEADER | {"crit": ["x"], "x": 1}),
    "crit empty": signed(HEADER | {"crit": []}),
    "crit exp": signed(HEADER | {"crit": ["exp"]}),
    "crit null": signed(HEADER | {"crit": None}),
    "crit b64 true": signed(HEADER | {"crit": ["b64"], "b64": True}),
    "crit b64 false": signed(HEADER | {"crit": ["b64"], "b64": False}),
    "enc": signed(HEADER | {"enc": "A256GCM"}),
    "a list": signed([HEADER]),
    "text": signed("JWT"),
    "null": signed(b"null"),
    "empty object": signed({}),
    "deep": signed(b'{"alg":"RS256","x":' + DEEP + b"}"),
    "alg twice": signed(b'{"typ":"JWT","alg":"none","alg":"RS256"}'),
    "kid twice": signed(b'{"typ":"JWT","alg":"RS256","kid":"a","kid":"b"}'),
    **{f"kid {kid!r}, which is no string": signed(HEADER | {"kid": kid}) for kid in (7, 1.5, None, True, ["x"], {"x": 1})},
    "UTF-16": signed(json.dumps(HEADER).encode("utf-16")),
    "BOM": signed(b"\xef\xbb\xbf" + json.dumps(HEADER).encode()),
    "NUL behind": signed(json.dumps(HEADER).encode() + b"\0"),
}

SHAPES = {
    "a.b.c": "a.b.c",
    "dots": "...",
    "a JWE": f"{GOOD}.x.y",
    "four parts": f"{GOOD}.x",
    "swapped": ".".join(reversed(GOOD.split("."))),
    "empty header": f".{GOOD.partition('.')[2]}",
    "JSON serialization": json.dumps({"payload": GOOD.split(".")[1]}).replace(" ", ""),
    "percent-encoded dot": GOOD.replace(".", "%2E"),
    "quoted": f'"{GOOD}"',
    "8 kB": signed(claims=CLAIMS | {"x": "x" * 7000}),
    "2 MB": "a" * 2_000_000 + "." + "b" * 10 + ".c",
    "deep text": b64(DEEP * 2) + ".e30.AA",
}

ODD_CLAIMS = {
    **{f"exp {value!r}": signed(claims=CLAIMS | {"exp": value}) for value in ("str", str(NOW + 60), [], {}, None, True, False)},
    **{f"iat {value!r}": signed(claims=CLAIMS | {"iat": value}) for value in ("1", None, [], True, NOW + 1, NOW + 10**9)},
    **{f"nbf {value!r}": signed(claims=CLAIMS | {"nbf": value}) for value in (NOW + 1, "1", None, True, [])},
    "no exp": signed(claims={name: value for name, value in CLAIMS.items() if name != "exp"}),
    "no iat": signed(claims={name: value for name, value in CLAIMS.items() if name != "iat"}),
    "exp NaN": signed(claims=json.dumps(CLAIMS | {"exp": float("nan")}).encode()),
    "exp Infinity": signed(claims=json.dumps(CLAIMS | {"exp": float("inf")}).encode()),
    "exp 1e999": signed(claims=json.dumps(CLAIMS).replace(str(NOW + 3600), "1e999").encode()),
    "exp of 5000 digits": signed(claims=json.dumps(CLAIMS).replace(str(NOW + 3600), "9" * 5000).encode()),
    "a list": signed(claims=[CLAIMS]),
    "text": signed(claims="alice"),
    "null": signed(claims=b"null"),
    "nothing": signed(claims=b""),
    "exp twice": signed(claims=json.dumps(CLAIMS).encode()[:-1] + f',"exp":{NOW + 10**6}}}'.encode()),
    "username twice": signed(claims=json.dumps(CLAIMS).encode()[:-1] + b',"username":"admin"}'),
    "a name twice, deeper": signed(claims=json.dumps(CLAIMS).encode()[:-1] + b',"x":{"y":1,"y":2}}'),
    "deep": signed(claims=json.dumps(CLAIMS).encode()[:-1] + b',"x":' + DEEP + b"}"),
    "no UTF-8": signed(claims=json.dumps(CLAIMS).encode().replace(b"alice", b"\xff")),
    "single quotes": signed(claims=json.dumps(CLAIMS).replace('"', "'").encode()),
}  # fmt: skip

TABLES = {
    "algorithm": ALGORITHMS,
    "confused key": CONFUSED_KEYS,
    "signature": SIGNATURES,
    "foreign key": FOREIGN_KEYS,
    "header": HEADERS,
    "shape": SHAPES,
    "claims": ODD_CLAIMS,
}
TABLE: dict[str, tuple[str, dict[str, Any]]] = {
    f"{table}: {name}": (token, INVALID) for table, rows in TABLES.items() for name, token in rows.items()
}
TABLE |= {
    **{f"exp {value!r}": (signed(claims=CLAIMS | {"exp": value}), EXPIRED) for value in (0, -1, NOW - 1, NOW, NOW - 0.5, -1e308)},
    "expired, alg none": (f"{text_of(HEADER | {'alg': 'none'}, CLAIMS | {'exp': 0})}.AA", EXPIRED),
    "no username": (signed(claims={name: value for name, value in CLAIMS.items() if name != "username"}), NO_NAME),
    "username null": (signed(claims=CLAIMS | {"username": None}), NO_NAME),
    **{
        f"username {value!r}": (signed(claims=CLAIMS | {"username": value}), NOBODY)
        for value in (1, True, ["alice"], {"x": "alice"}, "", "alice\0", "alice ", " alice", "al\u00ecce", "nobody", "' OR 1=1--", "%", "x" * 4000)
    },
}  # fmt: skip

#: Tokens that only look odd: accepted, as in Chamilo.
ACCEPTED = {
    "as it should be": GOOD,
    "named by its kid": signed(HEADER | {"kid": PAIR.kid}),
    **{
        f"kid {str(kid)[:24]!r} is never looked up": signed(HEADER | {"kid": kid})
        for kid in ("../../../dev/null", "/dev/null", "' OR 1=1--", "|sleep 10", "", "x" * 4000, "\0", "\u00e9")
    },
    **{f"typ {typ!r}": signed({"alg": "RS256", "typ": typ}) for typ in ("jwt", "at+jwt", "", None, 7)},
    "no typ": signed({"alg": "RS256"}),
    "cty JWT": signed(HEADER | {"cty": "JWT"}),
    "jku that nobody follows": signed(HEADER | {"jku": "https://192.0.2.1/", "x5u": "https://192.0.2.1/", "jwk": JWK}),
    "b64 without crit": signed(HEADER | {"b64": True}),
    "iss and aud where none is set": signed(claims=CLAIMS | {"iss": "someone", "aud": ["others"]}),
    "username in another case": signed(claims=CLAIMS | {"username": "ALICE"}),
    "fractions of a second": signed(claims=CLAIMS | {"iat": NOW - 0.5, "exp": NOW + 0.5}),
}  # fmt: skip


@pytest.fixture(scope="module")
def database(databases: Databases) -> Database:
    """SQLite alone: the server refuses these tokens before it asks the database."""
    database = databases.shared("sqlite")
    database.make_user("alice", ["ROLE_ADMIN"])
    return database


@pytest.fixture(scope="module")
def client(databases: Databases, database: Database) -> FlaskClient:
    databases.clock.__init__()
    return databases.app(database).test_client()


def assert_refused(client: FlaskClient, token: str, body: dict[str, Any]) -> None:
    answer = client.get("/api/users", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json) == (401, body)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("attack", TABLE)
def test_attack_is_refused(client: FlaskClient, attack: str) -> None:
    assert_refused(client, *TABLE[attack])


def test_table_is_as_long_as_it_should_be() -> None:
    tokens = {token for token, _ in TABLE.values()}
    assert len(tokens) >= 80
    assert not tokens & set(ACCEPTED.values())


@pytest.mark.parametrize("form", ACCEPTED)
def test_odd_token_with_a_good_signature_is_accepted(client: FlaskClient, form: str) -> None:
    answer = client.get("/api/users", headers={"Authorization": f"Bearer {ACCEPTED[form]}"})
    assert names_in(answer) == ["alice"]


class Canary(BaseHTTPRequestHandler):
    """Counts its visitors."""

    hits: list[str]

    def do_GET(self) -> None:
        self.hits.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"keys": [JWK | {"kid": "x"}]}).encode())


@pytest.fixture
def canary() -> Iterator[ThreadingHTTPServer]:
    Canary.hits = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Canary)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join(30)
    server.server_close()


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "iss"])
@pytest.mark.parametrize("kid", ["x", ""])
def test_no_address_in_a_token_is_called(client: FlaskClient, canary: ThreadingHTTPServer, header: str, kid: str | None) -> None:
    address = f"http://127.0.0.1:{canary.server_port}/jwks.json"
    assert_refused(client, signed(HEADER | {header: address, "kid": kid}, CLAIMS | {"iss": address}, OTHER), INVALID)
    headers = {"Authorization": f"Bearer {signed(HEADER | {header: address})}"}
    assert names_in(client.get("/api/users", headers=headers)) == ["alice"]
    assert Canary.hits == []


@given(st.lists(st.booleans(), min_size=4, max_size=4), st.sampled_from(["", " ", "\0", "\n"]), st.booleans())
def test_alg_none_is_refused_in_any_case(client: FlaskClient, upper: list[bool], around: str, has_signature: bool) -> None:
    word = "".join(letter.upper() if up else letter for letter, up in zip("none", upper, strict=True))
    header = HEADER | {"alg": around + word}
    assert_refused(client, signed(header) if has_signature else f"{text_of(header, CLAIMS)}.", INVALID)


@given(st.data())
def test_flipped_byte_of_any_segment_is_refused(client: FlaskClient, data: st.DataObject) -> None:
    parts = GOOD.split(".")
    part = data.draw(st.integers(0, 2))
    content = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    parts[part] = b64(bytes(content))
    answer = client.get("/api/users", headers={"Authorization": f"Bearer {'.'.join(parts)}"})
    # A changed digit of `exp` may make the token expired, which is checked before the signature.
    assert (answer.status_code, answer.json in (INVALID, EXPIRED)) == (401, True)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(string.ascii_letters + string.digits + "-_.=+/~%"))
def test_changed_character_is_refused(client: FlaskClient, position: int, character: str) -> None:
    changed = GOOD[:position] + character + GOOD[position + 1 :]
    assume(changed != GOOD)
    answer = client.get("/api/users", headers={"Authorization": f"Bearer {changed}"})
    assert (answer.status_code, answer.json in (INVALID, EXPIRED)) == (401, True)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_spare_bits_and_padding_of_a_segment_are_refused(client: FlaskClient, part: int) -> None:
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    parts = GOOD.split(".")
    spare = {0: 0, 2: 4, 3: 2}[len(parts[part]) % 4]
    for low in range(1, 1 << spare):
        last = alphabet[alphabet.index(parts[part][-1]) | low]
        assert_refused(client, ".".join([*parts[:part], parts[part][:-1] + last, *parts[part + 1 :]]), INVALID)
    for added in ("=", "==", "A", "%3D"):
        assert_refused(client, ".".join([*parts[:part], parts[part] + added, *parts[part + 1 :]]), INVALID)


@pytest.mark.parametrize(("issuer", "audience"), [("https://x.example", ""), ("", "poort"), ("https://x.example", "poort")])
@pytest.mark.usefixtures("database")
def test_issuer_and_audience_are_needed_where_they_are_set(make_app: Any, clock: Clock, issuer: str, audience: str) -> None:
    app: Flask = make_app(JWT_ISSUER=issuer, JWT_AUDIENCE=audience)
    client = app.test_client()
    own = app.extensions["poort"].tokens.issue("alice", [], issued_at=clock() - timedelta(seconds=1))
    claims = json.loads(base64.urlsafe_b64decode(own.split(".")[1] + "=="))
    names = ["iat", "exp", "roles", "username"] + ["iss"] * bool(issuer) + ["aud"] * bool(audience)
    assert list(claims) == names
    for accepted in (own, signed(claims=claims | {"aud": ["others", audience]}), signed(claims=claims)):
        assert names_in(client.get("/api/users", headers={"Authorization": f"Bearer {accepted}"})) == ["alice"]
    for name in names[4:]:
        assert_refused(client, signed(claims={key: value for key, value in claims.items() if key != name}), INVALID)
        for other in (
            "",
            "other",
            claims[name] + "/",
            claims[name][:-1],
            [],
            ["other"],
            None,
            1,
            {claims[name]: 1},
            [claims[name] + "x"],
        ):
            assert_refused(client, signed(claims=claims | {name: other}), INVALID)


@pytest.mark.usefixtures("database")
def test_id_of_the_key_is_left_out_where_it_is_switched_off(make_app: Any) -> None:
    app: Flask = make_app(JWT_KID="0")
    token = app.extensions["poort"].tokens.issue("alice", [])
    header = token.split(".")[0]
    assert base64.urlsafe_b64decode(header + "==") == b'{"typ":"JWT","alg":"RS256"}'
    assert names_in(app.test_client().get("/api/users", headers={"Authorization": f"Bearer {token}"})) == ["alice"]
