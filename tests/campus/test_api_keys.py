"""API keys beside a campus: Chamilo's own rows. The numbers are those of the campus's examples."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from campus.campuses import Campus
from factories import START
from flask import Flask
from werkzeug.test import TestResponse

# Only Chamilo 3 has such keys.
pytestmark = [pytest.mark.services, pytest.mark.parametrize("campus", [3], indirect=True)]

#: The test keys of the fixture: teacher.uno's at portal 1, and alumna.dos's at portal 2.
KEY_701 = "chamilo_ext__1xufA2UngR_nzghWeI8Oy4Rwosc4gb6W5Zv0tzsEwA"
KEY_702 = "chamilo_ext_h6fUOwC2CwVjA40pKsUpPaGq7CLhos_hErj6mV802OM"

INVALID = "Invalid or revoked external API key."
OFF = "External API key authentication is disabled on this portal."
INACTIVE = "The external API key user account is inactive."
EXPIRED = "The external API key user account has expired."
NOT_LINKED = "The external API key user is not active on this Chamilo portal."
WRONG_SOURCE = "User authentication method not allowed"
NOT_A_TOKEN = {"code": 401, "message": "Invalid JWT Token"}

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


def sql(seconds: int) -> str:
    """Return a time by the clock as SQL."""
    return f"'{START + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}'"


@pytest.fixture
def app(examples: Campus) -> Flask:
    """A server that stands for portal 1."""
    return examples.app(ACCESS_URL_ID="1")


def ask(app: Flask, header: str, path: str = "/api/users.json", **options: Any) -> TestResponse:
    headers = {"Authorization": header} | options.pop("headers", {})
    return app.test_client().open(path, headers=headers, **options)


def refusal(app: Flask, key: str = KEY_701) -> str:
    """Return the text of a refusal, which is Chamilo's alone: no code, no challenge."""
    answer = ask(app, f"Bearer {key}")
    assert (answer.status_code, answer.content_type) == (401, "application/json"), answer.text
    assert ("WWW-Authenticate" in answer.headers, list(answer.json)) == (False, ["message"])
    return answer.json["message"]


def last_use(campus: Campus, key: int = 701) -> Any:
    (row,) = campus.run("SELECT last_used_at FROM user_api_key WHERE id = :id", id=key)
    return row["last_used_at"]


def test_4_1_key_reads_what_its_user_may_and_its_use_is_written_once_in_five_minutes(examples: Campus, app: Flask) -> None:
    assert ask(app, f"Bearer {KEY_701}", "/api/users/304").status_code == 200
    first = START.replace(tzinfo=None)
    assert last_use(examples) == first
    examples.clock.advance(299)
    assert [user["id"] for user in ask(app, f"Bearer {KEY_701}").json] == [301, 304, 306]
    assert last_use(examples) == first
    examples.clock.advance(1)
    ask(app, f"Bearer {KEY_701}")
    assert last_use(examples) == first + timedelta(seconds=300)
    assert last_use(examples, 702) is None


@pytest.mark.parametrize(
    "change",
    [
        f"revoked_at = {sql(-1)}",
        f"validity_end_date = {sql(0)}",
        f"validity_start_date = {sql(3600)}",
        "api_service = 'mcp'",
        "access_url_id = NULL",
        "api_key = SHA2('another', 256)",
    ],
)
def test_4_2_key_that_is_not_valid_now(examples: Campus, app: Flask, change: str) -> None:
    examples.run(f"UPDATE user_api_key SET {change} WHERE id = 701")
    assert refusal(app) == INVALID
    assert last_use(examples) is None


def test_4_2_key_of_another_portal_or_with_another_letter(examples: Campus, app: Flask) -> None:
    assert refusal(app, KEY_702) == INVALID
    assert refusal(app, KEY_701[:-1] + "B") == INVALID
    assert refusal(app, KEY_701.swapcase().replace("CHAMILO_EXT_", "chamilo_ext_")) == INVALID
    examples.run("UPDATE settings SET access_url_changeable = 0")
    assert refusal(examples.app(ACCESS_URL_ID="2")) == INVALID


@pytest.mark.parametrize(
    "change",
    [
        "validity_start_date = NULL, validity_end_date = NULL",
        f"validity_start_date = {sql(0)}, validity_end_date = {sql(1)}",
        "revoked_at = NULL, last_used_at = '2020-01-01'",
    ],
)
def test_key_that_is_valid_now(examples: Campus, app: Flask, change: str) -> None:
    examples.run(f"UPDATE user_api_key SET {change} WHERE id = 701")
    assert ask(app, f"Bearer {KEY_701}").status_code == 200
    assert last_use(examples) == START.replace(tzinfo=None)


def test_4_3_student_sees_the_public_fields(examples: Campus) -> None:
    (user,) = ask(examples.app(ACCESS_URL_ID="2"), f"Bearer {KEY_702}").json
    assert (user["id"], "email" in user) == (305, False)


def test_portal_is_the_one_of_the_host(examples: Campus) -> None:
    app = examples.app(ACCESS_URL_ID="host")
    statuses = [
        ask(app, f"Bearer {key}", base_url=f"https://{name}.example.org").status_code
        for key in (KEY_701, KEY_702)
        for name in ("campus", "escuela")
    ]
    assert statuses == [200, 401, 401, 200]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE settings SET selected_value = 'false' WHERE id = 606",
        "UPDATE settings SET selected_value = '1' WHERE id = 606",
        "UPDATE settings SET selected_value = 'TRUE' WHERE id = 606",
        "UPDATE settings SET category = 'platform' WHERE id = 606",
        "DELETE FROM settings WHERE id = 606",
    ],
)
def test_4_4_portal_that_takes_no_keys(examples: Campus, app: Flask, change: str) -> None:
    examples.run(change)
    assert (refusal(app), refusal(app, KEY_702)) == (OFF, OFF)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("UPDATE `user` SET active = 0 WHERE id = 304", INACTIVE),
        ("UPDATE `user` SET active = -2, expiration_date = '2020-01-01' WHERE id = 304", INACTIVE),
        ("UPDATE `user` SET locked = 1 WHERE id = 304", INACTIVE),
        ("DELETE FROM `user` WHERE id = 304", INACTIVE),
        (f"UPDATE `user` SET expiration_date = {sql(0)} WHERE id = 304", EXPIRED),
        ("DELETE FROM access_url_rel_user WHERE user_id = 304", NOT_LINKED),
        ("UPDATE access_url SET active = 0 WHERE id = 1", NOT_LINKED),
        ("DELETE FROM user_auth_source WHERE user_id = 304", WRONG_SOURCE),
        ("UPDATE user_auth_source SET authentication = 'ldap' WHERE user_id = 304", WRONG_SOURCE),
        ("UPDATE user_auth_source SET url_id = 2 WHERE user_id = 304", WRONG_SOURCE),
    ],
)
def test_4_5_user_who_may_not_use_the_key(examples: Campus, app: Flask, change: str, text: str) -> None:
    assert ask(app, f"Bearer {KEY_701}").status_code == 200
    if change.startswith("DELETE FROM `user`"):
        for table in ("access_url_rel_user", "user_auth_source"):
            examples.run(f"DELETE FROM {table} WHERE user_id = 304")
    examples.run(change)
    assert refusal(app) == text


def test_checks_come_in_the_order_of_the_table(examples: Campus, app: Flask) -> None:
    steps = {
        "DELETE FROM user_auth_source WHERE user_id = 304": WRONG_SOURCE,
        "DELETE FROM access_url_rel_user WHERE user_id = 304": NOT_LINKED,
        "UPDATE `user` SET expiration_date = '2020-01-01' WHERE id = 304": EXPIRED,
        "UPDATE `user` SET active = 0 WHERE id = 304": INACTIVE,
        "UPDATE user_api_key SET revoked_at = '2020-01-01'": INVALID,
        "UPDATE settings SET selected_value = '0' WHERE id = 606": OFF,
    }
    for change, text in steps.items():
        examples.run(change)
        app.extensions["poort"].platform._known = None  # the campus's settings are read once a minute
        assert refusal(app) == text


def test_campus_without_a_portal(examples: Campus) -> None:
    app = examples.app()
    for table in ("user_auth_source", "access_url_rel_user", "access_url"):
        examples.run(f"DELETE FROM {table}")
    assert refusal(app) == "The current Chamilo portal could not be resolved."


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Bearer chamilo_ext_abc", NOT_A_TOKEN),
        (f"bearer {KEY_701}", NOT_A_TOKEN),
        (f"BEARER {KEY_701}", NOT_A_TOKEN),
        (f"Bearer {KEY_701}x", NOT_A_TOKEN),
        (f"Bearer {KEY_701[:-1]}=", NOT_A_TOKEN),
        (f"Bearer {KEY_701[:-1]}é", NOT_A_TOKEN),
        (f"Bearer x{KEY_701}", NOT_A_TOKEN),
        (f"Bearer {KEY_701.upper()}", NOT_A_TOKEN),
        (f"Bearer {KEY_701} {KEY_701}", {"code": 401, "message": "JWT Token not found"}),
        (f"Bearer\t{KEY_701}", {"code": 401, "message": "JWT Token not found"}),
        (KEY_701, {"code": 401, "message": "JWT Token not found"}),
        (f"Basic {KEY_701}", {"code": 401, "message": "JWT Token not found"}),
    ],
)
def test_4_6_whatever_else_goes_the_way_of_tokens(app: Flask, header: str, body: dict[str, Any]) -> None:
    answer = ask(app, header)
    assert (answer.status_code, answer.json, answer.headers["WWW-Authenticate"]) == (401, body, "Bearer")


@pytest.mark.parametrize("header", [f"Bearer   {KEY_701}", f"Bearer {KEY_701}  ", f"Bearer \t{KEY_701}\t"])
def test_blanks_around_a_key_do_not_count(app: Flask, header: str) -> None:
    assert ask(app, header, "/api/me").json["username"] == "teacher.uno"


WITHOUT_KEYS = {
    "table of Chamilo 2": (
        "DROP INDEX uniq_user_api_key_service_url ON user_api_key",
        "DROP INDEX idx_user_api_key_mcp_lookup ON user_api_key",
        "ALTER TABLE user_api_key DROP access_url_id, DROP key_prefix, DROP last_used_at, DROP revoked_at",
    ),
    "a column is missing": ("ALTER TABLE user_api_key DROP last_used_at",),
    "no table": ("DROP TABLE user_api_key",),
    # The database refuses to describe it, as where the right to read it is missing.
    "table that cannot be read": (
        "CREATE VIEW of_nothing AS SELECT * FROM user_api_key",
        "DROP TABLE user_api_key",
        "RENAME TABLE of_nothing TO user_api_key",
    ),
}


@pytest.mark.parametrize("name", WITHOUT_KEYS)
def test_campus_without_keys_of_chamilo_3_takes_none(examples: Campus, app: Flask, name: str) -> None:
    for statement in WITHOUT_KEYS[name]:
        examples.run(statement)
    answer = ask(app, f"Bearer {KEY_701}")
    assert (answer.status_code, answer.json) == (401, NOT_A_TOKEN)
    document = ask(app, "", "/api/docs.json").json
    assert list(document["components"]["securitySchemes"]) == ["JWT"]


def test_keys_elsewhere_have_no_effect(app: Flask) -> None:
    client = app.test_client()
    for options in (
        {"query_string": {"api_key": KEY_701, "bearer": KEY_701}},
        {"headers": {"X-Chamilo-Api-Key": KEY_701}},
        {"headers": {"Cookie": f"Authorization={KEY_701}"}},
    ):
        assert client.get("/api/me", **options).json["message"] == "JWT Token not found"
    body = {"username": "teacher.uno", "password": KEY_701}
    assert client.post("/api/authentication_token", json=body).json["message"] == "Invalid credentials."


def test_portal_that_takes_keys_says_so_in_its_documents(examples: Campus, app: Flask) -> None:
    document = ask(app, "", "/api/docs.json").json
    assert (list(document["components"]["securitySchemes"]), document["security"]) == (
        ["JWT", "ApiKey"],
        [{"JWT": []}, {"ApiKey": []}],
    )
    assert document["paths"]["/api/token/invalidate"]["post"]["security"] == [{"JWT": []}]
    assert document["components"]["schemas"]["AuthenticationFailure"]["required"] == ["message"]
    examples.run("UPDATE settings SET selected_value = 'false' WHERE id = 606")
    document = ask(examples.app(ACCESS_URL_ID="1"), "", "/api/docs.json").json
    assert document["security"] == [{"JWT": []}]


def test_use_is_not_written_without_the_right_and_the_log_says_so_once(
    examples: Campus, caplog: pytest.LogCaptureFixture
) -> None:
    app = examples.app(ACCESS_URL_ID="1")
    # The database of the tests knows no rights: this is what it says about one that is missing.
    examples.run(
        "CREATE TRIGGER denied BEFORE UPDATE ON user_api_key FOR EACH ROW SIGNAL SQLSTATE '42000' SET MYSQL_ERRNO = 1142"
    )
    with caplog.at_level(logging.WARNING, "security.api_keys"):
        for seconds in (0, 1, 301):
            examples.clock.advance(seconds)
            assert ask(app, f"Bearer {KEY_701}").status_code == 200
    said = [record.getMessage() for record in caplog.records]
    assert said == ["the last use of API keys cannot be written down: OperationalError"]
    assert last_use(examples) is None
    examples.run("DROP TRIGGER denied")
    examples.clock.advance(299)
    ask(app, f"Bearer {KEY_701}")
    assert last_use(examples) is None, "it is not tried again before five minutes have passed"
    examples.clock.advance(1)
    ask(app, f"Bearer {KEY_701}")
    assert last_use(examples) is not None


@pytest.mark.bare_campus
def test_read_only_server_takes_keys_and_writes_nothing(examples: Campus) -> None:
    app = examples.app(ACCESS_URL_ID="1", READ_ONLY="1")
    assert ask(app, f"Bearer {KEY_701}").status_code == 200
    assert refusal(app, KEY_702) == INVALID
    assert last_use(examples) is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (f"UPDATE user_api_key SET revoked_at = {sql(0)} WHERE id = 701", INVALID),
        ("UPDATE user_api_key SET api_key = SHA2('another', 256) WHERE id = 701", INVALID),
        ("DELETE FROM user_api_key WHERE id = 701", INVALID),
        ("UPDATE `user` SET active = 0 WHERE id = 304", INACTIVE),
        ("DELETE FROM access_url_rel_user WHERE user_id = 304", NOT_LINKED),
        ("DELETE FROM user_auth_source WHERE user_id = 304", WRONG_SOURCE),
    ],
)
def test_write_looks_at_the_key_again(
    examples: Campus, app: Flask, monkeypatch: pytest.MonkeyPatch, change: str, text: str
) -> None:
    users = app.extensions["poort"].users
    hold = users.hold

    def hold_late(*arguments: Any) -> Any:
        examples.run(change)
        return hold(*arguments)

    monkeypatch.setattr(users, "hold", hold_late)
    options = {"method": "PATCH", "json": {"phone": "1"}, "headers": MERGE_PATCH}
    answer = ask(app, f"Bearer {KEY_701}", "/api/users/304", **options)
    assert (answer.status_code, answer.json) == (401, {"message": text})
    assert examples.run("SELECT phone FROM `user` WHERE id = 304") == [{"phone": None}]


def test_key_writes_what_its_user_may_and_no_password(app: Flask) -> None:
    options = {"method": "PATCH", "headers": MERGE_PATCH}
    answer = ask(app, f"Bearer {KEY_701}", "/api/users/304.json", json={"phone": "1"}, **options)
    assert (answer.status_code, answer.json["phone"]) == (200, "1")
    for path, body in (("/api/users/304", {"plainPassword": "another"}), ("/api/users/304/password", {"password": "another"})):
        answer = ask(app, f"Bearer {KEY_701}", path, json=body, **options)
        assert (answer.status_code, answer.json) == (403, {"error": "Access Denied."})


def test_doctor_says_whether_the_last_use_can_be_written(examples: Campus, app: Flask) -> None:
    def says(app: Flask) -> list[str]:
        lines = app.test_cli_runner().invoke(args=["poort", "doctor"]).output.splitlines()
        return [line for line in lines if " api-keys " in line]

    assert says(app) == ["ok       api-keys   the last use of API keys can be written"]
    assert says(examples.app(READ_ONLY="1")) == []
    examples.run("RENAME TABLE user_api_key TO held_keys")
    examples.run("CREATE VIEW user_api_key AS SELECT DISTINCT * FROM held_keys")  # MariaDB writes to no such view
    (line,) = says(app)
    assert line.startswith("warning  api-keys   the last use of API keys cannot be written: ")


@pytest.mark.parametrize("words", [["create", "teacher.uno"], ["revoke", "teacher.uno"], ["list"]])
def test_commands_point_to_those_of_chamilo(app: Flask, words: list[str]) -> None:
    done = app.test_cli_runner().invoke(args=["api-key", *words])
    assert (done.exit_code, "chamilo:security:generate-external-api-key" in done.output) == (1, True)
