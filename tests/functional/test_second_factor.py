"""The second factor: enrolment at /api/me/totp, signing in with it, backup codes, and `bin/poort users reset-totp`."""

import json
import logging
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
import segno
from answers import body_of, name_in, signed_in_as
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from factories import Clock, Database, bearer, settings_for
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from sqlalchemy import create_engine, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import create_app
from models import AuditRecord, BackupCode, SecondFactor, TrackELoginRecord, User, db
from models.database import Base
from models.second_factor import SecondFactorTable, remove_second_factor, use_step
from models.throttled_login import ThrottledLogin
from models.user_table import UserTable
from security.said_once import SaidOnce

pytestmark = pytest.mark.slow

SIGN_IN, TOTP, BACKUP_CODES = "/api/authentication_token", "/api/me/totp", "/api/me/totp/backup-codes"

CODE_REQUIRED = (401, {"code": 401, "message": "Two-factor code required."})
REFUSED = (401, {"code": 401, "message": "Invalid credentials."})
NOT_RIGHT = (403, {"error": "The code is not right."})
NOT_ON, ON_ALREADY = (409, {"error": "The second factor is not on."}), (409, {"error": "The second factor is on already."})


class Person:
    """A user with a password and an app, and their requests."""

    def __init__(self, app: Flask, database: Database, clock: Clock, username: str = "alice") -> None:
        self.app, self.clock, self.client = app, clock, app.test_client()
        self.user = database.make_user(username, password="secret", email="someone@example.com")
        self.secret = ""
        self.backup_codes: list[str] = []

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return self.client.open(path, method=method, json=body, headers=bearer(self.app, self.user), **more)

    def begin(self) -> Any:
        answer = self.ask("POST", TOTP, {"password": "secret"})
        assert answer.status_code == 200, answer.json
        self.secret = answer.json["secret"]
        return answer.json

    def code(self, seconds: float = 0) -> str:
        """Return the code that the app shows some seconds from now."""
        return pyotp.TOTP(self.secret).at(self.clock() + timedelta(seconds=seconds))

    def wrong_code(self) -> str:
        """Return a code that the app shows neither now nor within a minute."""
        around = {self.code(seconds) for seconds in (-60, -30, 0, 30, 60)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444", "555555") if code not in around)

    def enrol(self) -> "Person":
        """Switch the second factor on, then pass the time until a new code."""
        self.begin()
        answer = self.ask("PUT", TOTP, {"totp": self.code()})
        assert answer.status_code == 200, answer.json
        self.backup_codes = answer.json["backupCodes"]
        self.clock.advance(60)
        return self

    def sign_in(self, password: str = "secret", address: str = "127.0.0.1", **more: Any) -> Any:
        body = {"username": self.user.username, "password": password} | more
        return self.client.post(SIGN_IN, json=body, environ_base={"REMOTE_ADDR": address})


@pytest.fixture
def alice(app: Flask, database: Database, clock: Clock) -> Person:
    return Person(app, database, clock)


def outcome(answer: Any) -> tuple[int, Any]:
    return answer.status_code, answer.json


def events(database: Database) -> list[tuple[str, str | None, Any]]:
    return [(record.event, record.reason, record.details) for record in database.rows(AuditRecord)]


def test_from_switching_it_on_to_switching_it_off(alice: Person, database: Database) -> None:
    assert outcome(alice.ask("GET", TOTP)) == (200, {"enabled": False, "backupCodesLeft": 0})
    assert list(alice.begin()) == ["secret", "uri", "qrCode"]
    assert outcome(alice.ask("GET", TOTP)) == (200, {"enabled": False, "backupCodesLeft": 0})
    assert signed_in_as(alice.sign_in()) == "alice", "an unconfirmed enrolment does not count"
    confirmed = alice.ask("PUT", TOTP, {"totp": alice.code()})
    assert (confirmed.status_code, confirmed.headers["Cache-Control"]) == (200, "no-store")
    assert outcome(alice.ask("GET", TOTP)) == (200, {"enabled": True, "backupCodesLeft": 10})
    assert outcome(alice.sign_in()) == CODE_REQUIRED
    assert outcome(alice.sign_in(totp=alice.code())) == REFUSED, "the code that switched it on is used up"
    alice.clock.advance(30)
    assert list(alice.sign_in(totp=alice.code()).json) == ["token"]
    alice.clock.advance(30)
    switched_off = alice.ask("DELETE", TOTP, {"totp": alice.code()})
    assert (switched_off.status_code, switched_off.data) == (204, b"")
    assert signed_in_as(alice.sign_in()) == "alice"
    assert (database.rows(SecondFactor), database.rows(BackupCode)) == ([], [])
    assert events(database) == [
        ("totp_begun", None, {}),
        ("sign_in", None, {"second_factor": "none"}),
        ("totp_enabled", None, {}),
        ("sign_in_refused", "second factor asked", {}),
        ("sign_in_refused", "used second factor", {}),
        ("sign_in", None, {"second_factor": "totp"}),
        ("totp_disabled", None, {"second_factor": "totp"}),
        ("sign_in", None, {"second_factor": "none"}),
    ]
    attempts = [record.success for record in database.rows(TrackELoginRecord)]
    assert attempts == [True, False, True, True], "asking for the code is no failure"


def test_app_is_set_up_with_the_uri_and_its_picture(alice: Person) -> None:
    begun = alice.begin()
    app = pyotp.parse_uri(begun["uri"])
    assert (app.secret, app.name, app.issuer, app.digits, app.interval) == (begun["secret"], "alice", "Poort", 6, 30)
    assert re.fullmatch("[A-Z2-7]{32}", begun["secret"])
    picture = ET.fromstring(begun["qrCode"])
    assert {element.tag.partition("}")[2] for element in picture.iter()} == {"svg", "g", "path"}
    assert re.findall(r"https?:[^\"]*|href|url\(", begun["qrCode"]) == ["http://www.w3.org/2000/svg"]
    assert drawn_modules(picture) == [[bool(dark) for dark in row] for row in segno.make(begun["uri"]).matrix_iter(border=4)]


def drawn_modules(picture: ET.Element) -> list[list[bool]]:
    """Return the dark modules of an SVG, whose strokes are one module high and several wide."""
    (scaled,) = picture
    background, strokes = scaled
    size = int(picture.attrib["width"]) // 4
    assert (scaled.attrib["transform"], background.attrib["fill"], strokes.attrib["stroke"]) == ("scale(4)", "#fff", "#000")
    modules = [[False] * size for _ in range(size)]
    x, y = 0.0, 0.0
    for kind, numbers in re.findall(r"([Mmh])([-\d. ]+)", strokes.attrib["d"]):
        values = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        if kind == "h":
            for column in range(int(x), int(x + values[0])):
                modules[int(y)][column] = True
            x += values[0]
        else:
            x, y = (values[0], values[1]) if kind == "M" else (x + values[0], y + values[1])
    return modules


def test_names_are_encoded_in_the_uri(app: Flask, database: Database, clock: Clock) -> None:
    person = Person(app, database, clock, 'zoë:&<"?#ツ')
    assert pyotp.parse_uri(person.begin()["uri"]).name == 'zoë:&<"?#ツ'
    longest = Person(app, database, clock, "ツ" * 100)
    assert pyotp.parse_uri(longest.begin()["uri"]).name == "ツ" * 100


@pytest.mark.parametrize(
    ("seconds", "status"), [(-60, 401), (-31, 401), (-30, 200), (-1, 200), (0, 200), (29, 200), (59, 200), (60, 401), (90, 401)]
)
def test_code_is_good_for_one_step_around_its_own(alice: Person, seconds: int, status: int) -> None:
    alice.enrol()
    assert alice.clock().timestamp() % 30 == 0
    assert alice.sign_in(totp=alice.code(seconds)).status_code == status


def test_code_is_used_once(alice: Person) -> None:
    alice.enrol()
    code = alice.code()
    assert [alice.sign_in(totp=code).status_code for _ in range(3)] == [200, 401, 401]
    alice.clock.advance(29)
    assert outcome(alice.sign_in(totp=code)) == REFUSED


def test_earlier_code_is_refused_after_a_later_one(alice: Person) -> None:
    alice.enrol()
    earlier, later = alice.code(-30), alice.code(30)
    assert (alice.sign_in(totp=later).status_code, outcome(alice.sign_in(totp=earlier))) == (200, REFUSED)


@pytest.mark.parametrize("kind", ["totp", "backup code"])
def test_of_many_at_once_with_one_code_one_gets_in(alice: Person, make_app: Callable[..., Flask], kind: str) -> None:
    alice.enrol()
    code = alice.code() if kind == "totp" else alice.backup_codes[0]
    racing = make_app(LOGIN_THROTTLING_MAX_ATTEMPTS="0")

    def sign_in(_number: int) -> int:
        body = {"username": "alice", "password": "secret", "totp": code}
        return racing.test_client().post(SIGN_IN, json=body).status_code

    with ThreadPoolExecutor(12) as pool:
        statuses = sorted(pool.map(sign_in, range(24)))
    assert statuses == [200] + [401] * 23


def test_backup_code_is_good_once_in_the_place_of_the_apps(alice: Person, database: Database) -> None:
    alice.enrol()
    first, second, third = alice.backup_codes[:3]
    assert [alice.sign_in(totp=first).status_code for _ in range(2)] == [200, 401]
    assert signed_in_as(alice.sign_in(totp=f" {second.upper().replace('-', ' ')} ")) == "alice"
    assert signed_in_as(alice.sign_in(totp=third.replace("-", ""))) == "alice"
    assert alice.ask("GET", TOTP).json == {"enabled": True, "backupCodesLeft": 7}
    assert events(database)[2:5] == [
        ("backup_code_used", None, {}),
        ("sign_in", None, {"second_factor": "backup_code"}),
        ("sign_in_refused", "wrong backup code", {}),
    ]


def test_backup_codes_are_ten_with_sixty_bits_each(alice: Person) -> None:
    alice.enrol()
    assert len(set(alice.backup_codes)) == 10
    for code in alice.backup_codes:
        assert re.fullmatch("([0-9a-hjkmnp-tv-z]{4}-){2}[0-9a-hjkmnp-tv-z]{4}", code)


def test_backup_code_of_another_user_is_refused(alice: Person, app: Flask, database: Database, clock: Clock) -> None:
    bob = Person(app, database, clock, "bob").enrol()
    alice.enrol()
    assert outcome(alice.sign_in(totp=bob.backup_codes[0])) == REFUSED
    assert signed_in_as(bob.sign_in(totp=bob.backup_codes[0])) == "bob"


def test_new_backup_codes_replace_the_old(alice: Person, database: Database) -> None:
    alice.enrol()
    renewed = alice.ask("POST", BACKUP_CODES, {"totp": alice.code()})
    assert (renewed.status_code, len(renewed.json["backupCodes"]), renewed.headers["Cache-Control"]) == (200, 10, "no-store")
    assert outcome(alice.sign_in(totp=alice.backup_codes[0])) == REFUSED
    assert signed_in_as(alice.sign_in(totp=renewed.json["backupCodes"][0])) == "alice"
    assert "backup_codes_renewed" in [event for event, *_ in events(database)]


def test_a_backup_code_does_not_renew_them(alice: Person) -> None:
    alice.enrol()
    assert outcome(alice.ask("POST", BACKUP_CODES, {"totp": alice.backup_codes[0]})) == NOT_RIGHT
    assert signed_in_as(alice.sign_in(totp=alice.backup_codes[0])) == "alice"


def test_backup_code_switches_it_off(alice: Person, database: Database) -> None:
    alice.enrol()
    assert alice.ask("DELETE", TOTP, {"totp": alice.backup_codes[0]}).status_code == 204
    assert signed_in_as(alice.sign_in()) == "alice"
    assert database.rows(BackupCode) == []


NO_CODES = [None, "", 5, 1.5, True, [], ["123456"], {}, {"code": "123456"}]


@pytest.mark.parametrize("value", [*NO_CODES, "123456", "x" * 10_000, "\0", "ツ"], ids=repr)
def test_user_without_a_second_factor_may_send_anything_as_totp(client: FlaskClient, database: Database, value: object) -> None:
    database.make_user("alice", password="secret")
    body = {"username": "alice", "password": "secret"}
    plain, more = client.post(SIGN_IN, json=body), client.post(SIGN_IN, json=body | {"totp": value})
    assert (more.status_code, list(more.json)) == (200, ["token"])
    assert set(dict(more.headers)) == set(dict(plain.headers))
    wrong_password = client.post(SIGN_IN, json=body | {"password": "no", "totp": value})
    assert outcome(wrong_password) == REFUSED


@pytest.mark.parametrize("value", NO_CODES, ids=repr)
def test_what_is_no_text_is_no_code(alice: Person, value: object) -> None:
    alice.enrol()
    answer = alice.sign_in(totp=value)
    assert outcome(answer) == CODE_REQUIRED
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("code", [" ", "12345", "1234567", "\uff11" * 6, "12345a", "\0", "ツ" * 1000, "-" * 10_000])
def test_malformed_code_is_a_wrong_one(alice: Person, code: str) -> None:
    alice.enrol()
    assert outcome(alice.sign_in(totp=code)) == REFUSED


def test_spaces_in_a_code_do_not_matter(alice: Person) -> None:
    alice.enrol()
    code = alice.code()
    assert signed_in_as(alice.sign_in(totp=f" {code[:3]} {code[3:]} ")) == "alice"


def test_wrong_password_says_nothing_about_a_second_factor(alice: Person) -> None:
    alice.enrol()
    code, backup_code = alice.code(), alice.backup_codes[0]
    for more in ({}, {"totp": code}, {"totp": backup_code}, {"totp": "000000"}):
        assert outcome(alice.sign_in("wrong", **more)) == REFUSED
    assert signed_in_as(alice.sign_in(totp=code)) == "alice", "the code was not used up"
    assert alice.ask("GET", TOTP).json["backupCodesLeft"] == 10


def test_account_that_may_not_sign_in_is_not_asked(alice: Person, database: Database) -> None:
    alice.enrol()
    with database.session() as session:
        session.get_one(User, alice.user.id).active = 0
    assert outcome(alice.sign_in()) == REFUSED


def test_being_asked_costs_nothing(alice: Person) -> None:
    alice.enrol()
    assert {outcome(alice.sign_in())[1]["message"] for _ in range(60)} == {"Two-factor code required."}
    assert signed_in_as(alice.sign_in(totp=alice.code())) == "alice"


def test_ten_wrong_codes_block_the_name_from_everywhere_and_nobody_else(
    alice: Person, app: Flask, database: Database, clock: Clock
) -> None:
    alice.enrol()
    bob = Person(app, database, clock, "bob").enrol()
    code = alice.code()
    guesses = [alice.sign_in(address=f"192.0.2.{number}", totp=alice.wrong_code()) for number in range(10)]
    assert [outcome(guess) for guess in guesses] == [REFUSED] * 10
    blocked = alice.sign_in(address="192.0.2.200", totp=code)
    assert blocked.json["message"] == "Too many failed login attempts, please try again in 1 minute."
    assert blocked.headers["Retry-After"] == "60"
    assert signed_in_as(bob.sign_in(totp=bob.code())) == "bob"
    clock.advance(60)
    assert signed_in_as(alice.sign_in(totp=alice.code())) == "alice"


def test_wrong_codes_count_for_the_address_too(alice: Person) -> None:
    alice.enrol()
    for _ in range(10):
        alice.sign_in(totp=alice.wrong_code())
    assert "Too many" in alice.sign_in("wrong").json["message"]
    assert outcome(alice.sign_in("wrong", address="192.0.2.7")) == REFUSED


def test_guesses_at_me_are_bounded_for_the_token_apart_from_those_at_the_sign_in(alice: Person, app: Flask, clock: Clock) -> None:
    alice.enrol()
    guess, token = {"totp": alice.wrong_code()}, bearer(app, alice.user)
    assert [outcome(alice.ask("DELETE", TOTP, guess)) for _ in range(5)] == [NOT_RIGHT] * 5
    assert [outcome(alice.ask("POST", BACKUP_CODES, guess)) for _ in range(5)] == [NOT_RIGHT] * 5
    text = "Too many failed login attempts, please try again in 1 minute."
    for answer in (alice.ask("DELETE", TOTP, {"totp": alice.code()}), alice.ask("POST", BACKUP_CODES, {"totp": alice.code()})):
        assert (outcome(answer), answer.headers["Retry-After"]) == ((429, {"error": text}), "60")
    assert signed_in_as(alice.sign_in(totp=alice.code())) == "alice", "a stolen token locks nobody out"
    clock.advance(1)
    assert len(body_of(alice.ask("POST", BACKUP_CODES, {"totp": alice.code(30)}))["backupCodes"]) == 10, (
        "another token has its own window"
    )
    assert name_in(alice.client.get("/api/me", headers=token)) == "alice"


def test_wrong_codes_at_the_sign_in_do_not_use_up_those_at_me(alice: Person) -> None:
    alice.enrol()
    for _ in range(11):
        refused = alice.sign_in(totp=alice.wrong_code())
    assert "Too many" in refused.json["message"]
    assert len(body_of(alice.ask("POST", BACKUP_CODES, {"totp": alice.code()}))["backupCodes"]) == 10


def test_guesses_of_the_first_code_are_bounded(alice: Person) -> None:
    alice.begin()
    guesses = [alice.ask("PUT", TOTP, {"totp": alice.wrong_code()}).status_code for _ in range(11)]
    assert guesses == [403] * 10 + [429]
    assert signed_in_as(alice.sign_in()) == "alice", "no second factor is on"


def test_wrong_password_begins_nothing(alice: Person, database: Database) -> None:
    refused = alice.ask("POST", TOTP, {"password": "wrong"})
    assert outcome(refused) == (403, {"error": "The password is not right."})
    assert database.rows(SecondFactor) == []
    assert [alice.ask("POST", TOTP, {"password": "wrong"}).status_code for _ in range(10)] == [403] * 9 + [429]
    assert signed_in_as(alice.sign_in()) == "alice", "wrong codes count for the token, not for the name"
    assert events(database)[0] == ("totp_refused", "wrong password", {})


def test_beginning_anew_replaces_what_was_begun(alice: Person) -> None:
    alice.begin()
    first = alice.code()
    alice.begin()
    assert outcome(alice.ask("PUT", TOTP, {"totp": first})) == NOT_RIGHT
    assert len(body_of(alice.ask("PUT", TOTP, {"totp": alice.code()}))["backupCodes"]) == 10


def test_what_is_on_is_not_switched_on_again(alice: Person, database: Database) -> None:
    alice.enrol()
    before = database.rows(SecondFactor)[0].secret
    assert outcome(alice.ask("POST", TOTP, {"password": "secret"})) == ON_ALREADY
    assert outcome(alice.ask("PUT", TOTP, {"totp": alice.code()})) == ON_ALREADY
    assert database.rows(SecondFactor)[0].secret == before


def test_what_is_not_on_is_not_used(alice: Person) -> None:
    assert outcome(alice.ask("PUT", TOTP, {"totp": "123456"})) == (409, {"error": "No second factor was begun."})
    for _ in range(2):
        assert outcome(alice.ask("DELETE", TOTP, {"totp": "123456"})) == NOT_ON
        assert outcome(alice.ask("POST", BACKUP_CODES, {"totp": "123456"})) == NOT_ON
        alice.begin()


def test_of_many_confirmations_at_once_one_succeeds(alice: Person, app: Flask, database: Database) -> None:
    alice.begin()
    headers, body = bearer(app, alice.user), {"totp": alice.code()}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: app.test_client().put(TOTP, json=body, headers=headers), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert len(database.rows(BackupCode)) == 10


WRITES = [("POST", TOTP, "password"), ("PUT", TOTP, "totp"), ("DELETE", TOTP, "totp"), ("POST", BACKUP_CODES, "totp")]


@pytest.mark.parametrize(("method", "path", "key"), WRITES)
def test_body_is_one_text_in_json(alice: Person, client: FlaskClient, method: str, path: str, key: str) -> None:
    headers = bearer(alice.app, alice.user)
    assert client.open(path, method=method, data=b"x", content_type="text/plain").status_code == 415
    assert client.open(path, method=method, headers=headers).status_code == 415
    assert client.open(path, method=method, data=b"{", content_type="application/json").status_code == 401
    for body in (b"", b"[]", b"{", b"\xff", b'{"totp":"\\ud800"}'):
        answer = client.open(path, method=method, data=body, content_type="application/json", headers=headers)
        assert outcome(answer) == (400, {"error": "Invalid JSON."})
    assert outcome(alice.ask(method, path, {})) == (400, {"error": f'The key "{key}" must be provided.'})
    for value in (None, 5, ["x"]):
        assert outcome(alice.ask(method, path, {key: value})) == (400, {"error": f'The key "{key}" must be a string.'})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_token_is_needed(client: FlaskClient, method: str) -> None:
    body = None if method == "GET" else {"totp": "123456", "password": "secret"}
    assert outcome(client.open(TOTP, method=method, json=body)) == (401, {"code": 401, "message": "JWT Token not found"})


def test_users_switch_only_their_own(alice: Person, app: Flask, database: Database, clock: Clock) -> None:
    alice.enrol()
    bob = Person(app, database, clock, "bob")
    bob.enrol()
    assert outcome(bob.ask("DELETE", TOTP, {"totp": alice.code()})) == NOT_RIGHT
    assert bob.ask("DELETE", TOTP, {"totp": bob.code()}).status_code == 204
    assert outcome(alice.sign_in()) == CODE_REQUIRED


def test_nothing_secret_is_in_the_database_or_in_the_log(
    alice: Person, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        alice.begin()
        codes = [alice.code()]
        alice.backup_codes = alice.ask("PUT", TOTP, {"totp": codes[0]}).json["backupCodes"]
        for _ in range(3):
            alice.clock.advance(30)
            codes += [alice.code(), alice.wrong_code()]
            alice.sign_in(totp=codes[-1])
            alice.sign_in(totp=codes[-2])
        alice.sign_in(totp=alice.backup_codes[0])
        alice.sign_in(totp=alice.backup_codes[0])
        alice.ask("DELETE", TOTP, {"totp": alice.backup_codes[0]})
    with database.session() as session:
        tables = Base.metadata.sorted_tables
        dump = " ".join(repr(row) for table in tables for row in session.execute(select(table)).all())
    said = " ".join(json.dumps(vars(record), default=repr) for record in caplog.records)
    assert "totp_enabled" in dump
    assert "totp_enabled" in said
    secret = [alice.secret, *alice.backup_codes, *(code.replace("-", "") for code in alice.backup_codes)]
    assert [text for text in secret if text in dump + said] == []
    # Hashes and numbers contain six digits by chance; a code would stand alone.
    assert [code for code in codes if re.search(rf"(?<![0-9A-Za-z.]){code}(?![0-9A-Za-z])", dump + said)] == []


def test_secret_under_another_app_secret_refuses_and_names_the_cure(
    alice: Person, make_app: Callable[..., Flask], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    alice.enrol()
    alice.app = make_app(APP_SECRET="another")
    alice.client = alice.app.test_client()
    assert outcome(alice.sign_in()) == CODE_REQUIRED
    for code in (alice.code(), alice.backup_codes[0]):
        caplog.clear()
        assert outcome(alice.sign_in(totp=code)) == REFUSED
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 1
        assert "APP_SECRET" in errors[0]
        assert "bin/poort users reset-totp" in errors[0]
        assert events(database)[-1] == ("sign_in_refused", "second factor that cannot be decrypted", {})
    assert outcome(alice.ask("DELETE", TOTP, {"totp": alice.code()})) == NOT_RIGHT


def test_secret_is_readable_under_the_passphrase_where_app_secret_is_empty(alice: Person, make_app: Callable[..., Flask]) -> None:
    alice.enrol()
    settings = alice.app.extensions["poort"].settings
    alice.client = make_app(APP_SECRET=settings.jwt_passphrase).test_client()
    assert signed_in_as(alice.sign_in(totp=alice.code())) == "alice"


def test_spoiled_row_is_no_failure_of_the_server(alice: Person, database: Database) -> None:
    alice.enrol()
    for spoiled in ("", "x", "ツ", "gAAAAA=="):
        with database.session() as session:
            session.get_one(SecondFactor, alice.user.id).secret = spoiled
        assert outcome(alice.sign_in(totp="123456")) == REFUSED


def test_reset_lets_the_user_in_without_a_code(alice: Person, runner: FlaskCliRunner, database: Database) -> None:
    alice.enrol()
    done = runner.invoke(args=["users", "reset-totp", "ALICE"])
    assert (done.exit_code, done.output) == (0, "The second factor of alice is removed.\n")
    assert signed_in_as(alice.sign_in()) == "alice"
    assert (database.rows(SecondFactor), database.rows(BackupCode)) == ([], [])
    assert ("totp_reset", None, {}) in events(database)
    again = runner.invoke(args=["users", "reset-totp", "alice"])
    assert (again.exit_code, again.output) == (0, "alice has no second factor.\n")
    assert [event for event, *_ in events(database)].count("totp_reset") == 1


def test_reset_of_nobody_fails(runner: FlaskCliRunner, database: Database) -> None:
    done = runner.invoke(args=["users", "reset-totp", "nobody"])
    assert (done.exit_code, done.output, database.rows(AuditRecord)) == (1, "Error: There is no user 'nobody'.\n", [])


@pytest.mark.parametrize(("mode", "left"), [("hard", 0), ("soft", 1)])
def test_it_goes_with_a_user_who_is_deleted_for_good(
    alice: Person, make_app: Callable[..., Flask], database: Database, mode: str, left: int
) -> None:
    alice.enrol()
    app, admin = make_app(USER_DELETE_MODE=mode), database.make_user("admin", ["ROLE_ADMIN"])
    assert app.test_client().delete(f"/api/users/{alice.user.id}", headers=bearer(app, admin)).status_code == 204
    assert (len(database.rows(SecondFactor)), len(database.rows(BackupCode))) == (left, 10 * left)


def test_read_only_server_lets_nobody_in_whose_code_it_cannot_use_up(
    alice: Person, make_app: Callable[..., Flask], database: Database
) -> None:
    alice.enrol()
    database.make_user("bob", password="secret")
    alice.app = make_app(READ_ONLY="1")
    alice.client = alice.app.test_client()
    for more in ({}, {"totp": alice.code()}):
        assert alice.sign_in(**more).status_code == 503
    assert outcome(alice.sign_in("wrong")) == REFUSED
    assert signed_in_as(alice.client.post(SIGN_IN, json={"username": "bob", "password": "secret"})) == "bob"
    assert alice.ask("GET", TOTP).json == {"enabled": True, "backupCodesLeft": 10}
    for method, path, key in WRITES:
        assert alice.ask(method, path, {key: "x"}).status_code == 503


def test_columns_of_chamilo_ask_for_nothing(client: FlaskClient, database: Database) -> None:
    database.make_user("alice", password="secret", mfa_enabled=True, mfa_service="TOTP", mfa_secret="x")
    assert signed_in_as(client.post(SIGN_IN, json={"username": "alice", "password": "secret"})) == "alice"
    assert events(database) == [("sign_in", None, {"second_factor": "not asked"})]


def test_beside_a_campus_there_is_none() -> None:
    app = create_app(settings_for(DATABASE_SCHEMA="chamilo", DATABASE_URL="mysql://nobody@127.0.0.1:1/none"))
    assert [rule.rule for rule in app.url_map.iter_rules() if "totp" in rule.rule] == []
    # Nothing listens there, so the server does not even look.
    with app.app_context():
        assert app.extensions["poort"].second_factors.find(db.session(), 1) is None
    done = app.test_cli_runner().invoke(args=["users", "reset-totp", "alice"])
    assert (done.exit_code, "Chamilo" in done.output) == (1, True)


def test_read_only_server_may_be_ahead_of_its_tables(tmp_path: Path) -> None:
    table = SecondFactorTable(is_campus=False, tables_may_be_missing=True)
    engine = create_engine(f"sqlite:///{tmp_path}/empty.db")
    with Session(engine) as session:
        assert [table.find(session, 1) for _ in range(2)] == [None, None]
    engine.dispose()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch, database: Database) -> Callable[[Callable[[Any], None]], None]:
    """Let something happen once, after a view has read the second factor and before it locks the user's row."""

    def happens(change: Callable[[Any], None]) -> None:
        hold = UserTable.hold

        def late(table: UserTable, session: Session, *given: Any) -> Any:
            session.rollback()
            with database.session() as other:
                change(other)
            return hold(table, session, *given)

        monkeypatch.setattr(UserTable, "hold", late)

    return happens


def test_what_was_switched_on_meanwhile_is_not_begun_anew(alice: Person, database: Database, meanwhile: Any) -> None:
    now = alice.clock()
    meanwhile(lambda other: other.add(SecondFactor(user_id=alice.user.id, secret="kept", confirmed_at=now)))
    assert outcome(alice.ask("POST", TOTP, {"password": "secret"})) == ON_ALREADY
    assert database.rows(SecondFactor)[0].secret == "kept"


def test_what_was_begun_anew_meanwhile_is_not_confirmed(alice: Person, database: Database, meanwhile: Any) -> None:
    alice.begin()
    meanwhile(lambda other: other.execute(update(SecondFactor).values(secret="anew")))
    refused = (409, {"error": "The second factor was begun anew meanwhile."})
    assert outcome(alice.ask("PUT", TOTP, {"totp": alice.code()})) == refused
    assert (database.rows(SecondFactor)[0].confirmed_at, database.rows(BackupCode)) == (None, [])


@pytest.mark.parametrize(("method", "path"), [("POST", BACKUP_CODES), ("DELETE", TOTP)])
def test_what_was_reset_meanwhile_stays_so(alice: Person, database: Database, meanwhile: Any, method: str, path: str) -> None:
    alice.enrol()
    meanwhile(lambda other: remove_second_factor(other, alice.user.id))
    assert outcome(alice.ask(method, path, {"totp": alice.code()})) == NOT_ON
    assert (database.rows(SecondFactor), database.rows(BackupCode)) == ([], [])


def test_code_of_an_app_that_was_replaced_meanwhile_is_refused(
    alice: Person, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.enrol()

    def late(session: Session, user_id: int, secret: str, step: int) -> bool:
        with database.session() as other:
            other.execute(update(SecondFactor).values(secret="another"))
        return use_step(session, user_id, secret, step)

    monkeypatch.setattr("security.second_factor.use_step", late)
    assert outcome(alice.sign_in(totp=alice.code())) == REFUSED


def test_used_codes_are_refused_and_written_down_at_me(
    alice: Person, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    alice.enrol()
    alice.sign_in(totp=alice.code())
    alice.sign_in(totp=alice.backup_codes[0])
    for code, reason in ((alice.code(), "used second factor"), (alice.backup_codes[0], "wrong backup code")):
        assert outcome(alice.ask("DELETE", TOTP, {"totp": code})) == NOT_RIGHT
        assert events(database)[-1] == ("totp_refused", reason, {})
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_last_code_outlives_nothing_of_an_app_that_was_switched_off(alice: Person) -> None:
    alice.enrol()
    alice.sign_in(totp=alice.code(30))
    assert alice.ask("DELETE", TOTP, {"totp": alice.backup_codes[0]}).status_code == 204
    alice.begin()
    assert len(body_of(alice.ask("PUT", TOTP, {"totp": alice.code()}))["backupCodes"]) == 10


def test_documents_list_the_operations(client: FlaskClient) -> None:
    paths = client.get("/api/docs.json").json["paths"]
    assert set(paths["/api/me/totp"]) == {"get", "post", "put", "delete"}
    assert "post" in paths[BACKUP_CODES]
    sign_in = paths[SIGN_IN]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert ("totp" in sign_in["properties"], sign_in["required"]) == (True, ["username", "password"])


class Thief:
    """Someone with a stolen access token who guesses codes."""

    def __init__(self, person: Person, token: str) -> None:
        self.person, self.headers = person, {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return self.person.client.open(path, method=method, json=body, headers=self.headers)

    def guess(self, number: int) -> int:
        """Send a wrong code once the window is open again, by each way in turn."""
        method, path = (("DELETE", TOTP), ("POST", BACKUP_CODES))[number % 2]
        status = self.ask(method, path, {"totp": self.person.wrong_code()}).status_code
        if status == 429:
            self.person.clock.advance(60)
            return self.guess(number)
        return status


@pytest.fixture
def refreshing(make_app: Callable[..., Flask], database: Database, clock: Clock) -> Person:
    return Person(make_app(REFRESH_TOKEN_TTL="100000"), database, clock).enrol()


@pytest.mark.parametrize("attempts", ["10", "0"])
def test_twenty_wrong_codes_in_a_row_end_the_token_and_its_session_and_lock_nobody_out(
    make_app: Callable[..., Flask], database: Database, clock: Clock, attempts: str
) -> None:
    alice = Person(make_app(REFRESH_TOKEN_TTL="100000", LOGIN_THROTTLING_MAX_ATTEMPTS=attempts), database, clock).enrol()
    stolen, other = (alice.sign_in(totp=code).json for code in alice.backup_codes[:2])
    thief = Thief(alice, stolen["token"])
    assert [thief.guess(number) for number in range(19)] == [403] * 19
    assert body_of(thief.ask("GET", TOTP))["enabled"] is True
    assert thief.guess(19) == 403, "the answer is that of a wrong code"
    assert thief.ask("GET", TOTP).status_code == 401
    assert outcome(thief.ask("DELETE", TOTP, {"totp": alice.code()})) == (401, {"code": 401, "message": "Invalid JWT Token"})
    refreshed = [alice.client.post("/api/token/refresh", json={"refresh_token": one["refresh_token"]}) for one in (stolen, other)]
    assert [answer.status_code for answer in refreshed] == [401, 200]
    assert signed_in_as(alice.sign_in(totp=alice.code())) == "alice"
    assert ("session_ended", "too many wrong codes or passwords in a row") in [event[:2] for event in events(database)]
    assert [event for event, *_ in events(database)].count("token_ended") == 1


def test_all_tokens_of_a_session_share_the_count(refreshing: Person) -> None:
    given = refreshing.sign_in(totp=refreshing.code()).json
    again = refreshing.client.post("/api/token/refresh", json={"refresh_token": given["refresh_token"]}).json
    thieves = [Thief(refreshing, one["token"]) for one in (given, again)]
    assert [thieves[number % 2].guess(number // 2) for number in range(20)] == [403] * 20
    assert [thief.ask("GET", TOTP).status_code for thief in thieves] == [401, 401]


def test_token_without_a_session_ends_alone(alice: Person, app: Flask) -> None:
    alice.enrol()
    stolen = bearer(app, alice.user)["Authorization"].removeprefix("Bearer ")
    thief = Thief(alice, stolen)
    alice.clock.advance(1)
    assert [thief.guess(number) for number in range(20)] == [403] * 20
    assert (thief.ask("GET", TOTP).status_code, alice.ask("GET", TOTP).status_code) == (401, 200)


def test_success_in_between_begins_the_row_anew(alice: Person, app: Flask) -> None:
    alice.enrol()
    thief = Thief(alice, bearer(app, alice.user)["Authorization"].removeprefix("Bearer "))
    assert [thief.guess(number) for number in range(19)] == [403] * 19
    alice.clock.advance(60)
    assert len(body_of(thief.ask("POST", BACKUP_CODES, {"totp": alice.code()}))["backupCodes"]) == 10
    assert [thief.guess(number) for number in range(19)] == [403] * 19
    assert body_of(thief.ask("GET", TOTP))["enabled"] is True


def test_wrong_passwords_and_first_codes_count_in_the_same_row(alice: Person, app: Flask) -> None:
    headers = bearer(app, alice.user)
    alice.begin()

    def ask(number: int) -> int:
        if number % 10 == 0:
            alice.clock.advance(60)
        method, body = (("POST", {"password": "wrong"}), ("PUT", {"totp": alice.wrong_code()}))[number % 2]
        return alice.client.open(TOTP, method=method, json=body, headers=headers).status_code

    assert [ask(number) for number in range(20)] == [403] * 20
    assert alice.client.get(TOTP, headers=headers).status_code == 401
    assert signed_in_as(alice.sign_in()) == "alice"


def test_refusals_by_the_window_of_a_token_write_one_line_and_no_row(
    app: Flask, alice: Person, database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests share the application and its tokens, so another test may have caused this line already.
    monkeypatch.setattr(app.extensions["poort"].limiter, "_refusals", SaidOnce())
    alice.enrol()
    statuses = [alice.ask("DELETE", TOTP, {"totp": alice.wrong_code()}).status_code for _ in range(60)]
    assert statuses == [403] * 10 + [429] * 50
    assert [event for event, *_ in events(database)].count("totp_refused") == 10
    assert [record.getMessage() for record in caplog.records if record.name == "poort.audit"].count("totp_refused") == 11


def guess_at_sign_in(alice: Person, number: int) -> list[float]:
    """Send that many wrong codes in a row from many addresses; return how long each had to wait."""
    waits = []
    while number:
        answer = alice.sign_in(address=f"198.51.100.{number}", totp=alice.wrong_code())
        if "Retry-After" in answer.headers:
            waits.append(float(answer.headers["Retry-After"]))
            alice.clock.advance(waits[-1])
        else:
            assert outcome(answer) == REFUSED
            number -= 1
    return waits


def test_windows_of_wrong_codes_double_and_a_good_code_begins_anew(alice: Person, database: Database) -> None:
    alice.enrol()
    assert guess_at_sign_in(alice, 31) == [60, 120, 240]
    assert database.rows(SecondFactor)[0].wrong_codes == 31
    assert signed_in_as(alice.sign_in(totp=alice.code())) == "alice"
    assert database.rows(SecondFactor)[0].wrong_codes == 0
    alice.clock.advance(480)
    assert guess_at_sign_in(alice, 11) == [60]
    assert signed_in_as(alice.sign_in(totp=alice.backup_codes[0])) == "alice"
    assert database.rows(SecondFactor)[0].wrong_codes == 0


def lock(alice: Person, database: Database, wrong_codes: int = 100) -> None:
    """Set the number of wrong codes in a row, without sending them all."""
    with database.session() as session:
        session.execute(update(SecondFactor).where(SecondFactor.user_id == alice.user.id).values(wrong_codes=wrong_codes))


@pytest.mark.parametrize("attempts", ["10", "0"])
def test_after_a_hundred_wrong_codes_in_a_row_none_is_accepted(
    make_app: Callable[..., Flask], database: Database, clock: Clock, attempts: str, caplog: pytest.LogCaptureFixture
) -> None:
    alice = Person(make_app(LOGIN_THROTTLING_MAX_ATTEMPTS=attempts), database, clock).enrol()
    lock(alice, database, 98)
    clock.advance(3600)
    assert guess_at_sign_in(alice, 1) == []
    assert "totp_locked" not in [event for event, *_ in events(database)]
    assert guess_at_sign_in(alice, 1) == []
    for code in (alice.code(), alice.backup_codes[0], alice.code(30)):
        assert outcome(alice.sign_in(totp=code)) == REFUSED
        assert events(database)[-1] == ("sign_in_refused", "too many wrong codes in a row", {})
    assert outcome(alice.sign_in()) == CODE_REQUIRED, "a code is still required"
    assert outcome(alice.ask("DELETE", TOTP, {"totp": alice.backup_codes[0]})) == NOT_RIGHT
    assert outcome(alice.ask("POST", BACKUP_CODES, {"totp": alice.code()})) == NOT_RIGHT
    assert [event for event, *_ in events(database)].count("totp_locked") == 1
    assert [record.getMessage() for record in caplog.records if record.name == "poort.audit"].count("totp_locked") == 1
    assert (database.rows(SecondFactor)[0].wrong_codes, len(database.rows(BackupCode))) == (100, 10), "no code was used up"


def test_hundredth_code_is_still_looked_at(alice: Person, database: Database) -> None:
    alice.enrol()
    lock(alice, database, 99)
    assert signed_in_as(alice.sign_in(totp=alice.code())) == "alice"
    assert database.rows(SecondFactor)[0].wrong_codes == 0


def by_administrator(alice: Person, database: Database, path: str, method: str, body: Any) -> None:
    admin = database.make_user("admin", ["ROLE_ADMIN"])
    kind = {"PATCH": "application/json" if path else "application/merge-patch+json", "PUT": "application/ld+json"}[method]
    answer = alice.client.open(
        f"/api/users/{alice.user.id}{path}",
        method=method,
        data=json.dumps(body),
        content_type=kind,
        headers=bearer(alice.app, admin),
    )
    assert answer.status_code in {200, 204}, answer.json


def by_command(alice: Person, *words: str) -> None:
    done = alice.app.test_cli_runner().invoke(args=["users", *words], input="another one\nanother one\n")
    assert done.exit_code == 0, done.output


RESETS: dict[str, Callable[[Person, Database], None]] = {
    "PATCH": lambda alice, database: by_administrator(alice, database, "", "PATCH", {"plainPassword": "another one"}),
    "password": lambda alice, database: by_administrator(alice, database, "/password", "PATCH", {"password": "another one"}),
    "oneself": lambda alice, _: alice.ask(
        "PATCH", f"/api/users/{alice.user.id}", {"plainPassword": "another one"}, content_type="application/merge-patch+json"
    ),
    "command": lambda alice, _: by_command(alice, "set-password", "alice", "--password-stdin"),
}


@pytest.mark.parametrize("reset", RESETS)
def test_password_reset_accepts_codes_again_at_once(alice: Person, database: Database, reset: str) -> None:
    alice.enrol()
    lock(alice, database, 90)
    guess_at_sign_in(alice, 10)
    assert alice.sign_in(address="192.0.2.9", totp=alice.code()).status_code == 401
    RESETS[reset](alice, database)
    assert database.rows(SecondFactor)[0].wrong_codes == 0
    assert outcome(alice.sign_in("another one")) == CODE_REQUIRED
    assert signed_in_as(alice.sign_in("another one", totp=alice.code())) == "alice"


def test_other_changes_of_a_user_reset_nothing(alice: Person, database: Database) -> None:
    alice.enrol()
    lock(alice, database)
    by_administrator(alice, database, "", "PATCH", {"firstname": "Alice"})
    assert database.rows(SecondFactor)[0].wrong_codes == 100


def test_reset_by_command_removes_the_lock_with_the_second_factor(alice: Person, database: Database) -> None:
    alice.enrol()
    lock(alice, database)
    by_command(alice, "reset-totp", "alice")
    assert signed_in_as(alice.sign_in()) == "alice"
    alice.enrol()
    assert database.rows(SecondFactor)[0].wrong_codes == 0


def test_of_many_guesses_at_once_no_more_than_a_hundred_are_looked_at(
    alice: Person, make_app: Callable[..., Flask], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.enrol()
    lock(alice, database, 90)
    racing, looked_at = make_app(LOGIN_THROTTLING_MAX_ATTEMPTS="0"), []
    factors = racing.extensions["poort"].second_factors
    use = type(factors).use
    monkeypatch.setattr(type(factors), "use", lambda *arguments: (looked_at.append(1), use(*arguments))[1])

    def sign_in(number: int) -> int:
        body = {"username": "alice", "password": "secret", "totp": ("wrong", "000000")[number % 2]}
        return racing.test_client().post(SIGN_IN, json=body).status_code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(sign_in, range(24))) == {401}
    assert (len(looked_at), database.rows(SecondFactor)[0].wrong_codes) == (10, 100)
    assert [event for event, *_ in events(database)].count("totp_locked") == 1


@pytest.mark.parametrize("limit", ["10", "50", "100"])
@pytest.mark.parametrize("reset", ["password", "second factor"])
def test_reset_leaves_no_window_behind(
    make_app: Callable[..., Flask], database: Database, clock: Clock, limit: str, reset: str
) -> None:
    alice = Person(make_app(LOGIN_THROTTLING_MAX_ATTEMPTS=limit), database, clock).enrol()
    lock(alice, database, 100 - int(limit))
    # The first and the last guess of a window; those between are counted without being sent.
    guess_at_sign_in(alice, 1)
    lock(alice, database, 99)
    with database.session() as session:
        session.execute(update(ThrottledLogin).values(hits=int(limit) - 1))
    assert guess_at_sign_in(alice, 1) == []
    blocked = alice.sign_in(address="192.0.2.9", totp=alice.code())
    assert int(blocked.headers["Retry-After"]) > 30
    if reset == "password":
        by_command(alice, "set-password", "alice", "--password-stdin")
        password = "another one"
    else:
        by_command(alice, "reset-totp", "alice")
        alice.begin()
        assert len(body_of(alice.ask("PUT", TOTP, {"totp": alice.code()}))["backupCodes"]) == 10
        password = "secret"
    clock.advance(30)
    assert signed_in_as(alice.sign_in(password, address="192.0.2.9", totp=alice.code())) == "alice"


def test_code_that_the_database_could_not_look_at_is_no_wrong_one(
    alice: Person, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.enrol()
    lock(alice, database, 99)

    def lost(*_: Any) -> bool:
        raise OperationalError("UPDATE", {}, Exception("lost connection"), connection_invalidated=True)

    with monkeypatch.context() as patched:
        patched.setattr("security.second_factor.use_step", lost)
        assert alice.sign_in(totp=alice.code()).status_code == 503
    assert database.rows(SecondFactor)[0].wrong_codes == 99
    assert "totp_locked" not in [event for event, *_ in events(database)]
    assert signed_in_as(alice.sign_in(totp=alice.code())) == "alice"


@pytest.mark.parametrize("count", [99, 100])
def test_new_hash_of_the_same_password_is_no_reset(
    alice: Person, database: Database, make_app: Callable[..., Flask], count: int
) -> None:
    alice.enrol()
    lock(alice, database, count)
    alice.client = make_app(LOGIN_THROTTLING_MAX_ATTEMPTS="0", PASSWORD_HASH_COST="5").test_client()
    assert outcome(alice.sign_in(totp=alice.wrong_code())) == REFUSED
    assert outcome(alice.sign_in(totp=alice.code())) == REFUSED
    assert database.rows(SecondFactor)[0].wrong_codes == 100


def test_locked_answer_is_that_of_a_wrong_code_to_the_byte(alice: Person, database: Database) -> None:
    alice.enrol()
    wrong = alice.sign_in(totp=alice.wrong_code())
    lock(alice, database)
    for code in (alice.code(), alice.backup_codes[0], alice.wrong_code()):
        locked = alice.sign_in(totp=code)
        assert (locked.status, locked.data) == (wrong.status, wrong.data)
        assert [field for field in locked.headers if field[0] != "X-Request-Id"] == [
            field for field in wrong.headers if field[0] != "X-Request-Id"
        ]


@pytest.mark.parametrize(("method", "body"), [("POST", {"password": "secret"}), ("PUT", {"totp": "123456"})])
def test_enrolment_needs_a_key_of_this_server(
    alice: Person, make_app: Callable[..., Flask], database: Database, tmp_path: Path, method: str, body: Any
) -> None:
    alice.begin()
    before = database.rows(SecondFactor)[0].secret
    headers = bearer(alice.app, alice.user)
    client = make_app(APP_SECRET="", JWT_PASSPHRASE="", JWT_SECRET_KEY=open_key(alice.app, tmp_path)).test_client()
    answer = client.open(TOTP, method=method, json=body, headers=headers)
    assert outcome(answer) == (503, {"error": "Second factors need APP_SECRET."})
    assert database.rows(SecondFactor)[0].secret == before
    assert body_of(client.get(TOTP, headers=headers)) == {"enabled": False, "backupCodesLeft": 0}
    assert client.open(TOTP, method=method, json=body).status_code == 401


def open_key(app: Flask, folder: Path) -> str:
    """Write the private key of an application without passphrase; return its path."""
    settings = app.extensions["poort"].settings
    key = load_pem_private_key(Path(settings.jwt_secret_key).read_bytes(), settings.jwt_passphrase.encode())
    path = folder / "private.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return str(path)
