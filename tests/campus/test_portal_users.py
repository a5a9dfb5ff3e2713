"""New users of a portal of a campus: the numbered examples, then the edges of the table."""

from typing import Any

import pytest
from campus.campuses import Campus
from campus.conftest import At, Client
from mail_server import mail_server
from sqlalchemy import event

from models import db

# How roles are stored differs by the version of Chamilo; tests/campus/test_campus.py tests that.
pytestmark = [pytest.mark.services, pytest.mark.parametrize("campus", [2], indirect=True)]

BLANK = "This value should not be blank."
NEW = {"username": "nueva", "email": "nueva@example.org", "sendEmail": False}
WRITTEN = ("user", "access_url_rel_user", "user_auth_source", "extra_field_values")


def post(client: Client, portal: Any, body: Any) -> Any:
    return client("POST", f"/api/access_urls/{portal}/user", body)


def told(answer: Any) -> tuple[int, Any]:
    """Return the status and the text of a refusal."""
    said = answer.get_json(force=True)
    return answer.status_code, said.get("error", said.get("hydra:description"))


def created(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    return answer.get_json(force=True)


def rows(campus: Campus) -> dict[str, list[dict[str, Any]]]:
    return {table: campus.run(f"SELECT * FROM `{table}` ORDER BY id") for table in WRITTEN}


def test_3_1_user_gets_the_language_and_time_zone_of_the_requests_portal(examples: Campus, at: At) -> None:
    answer = post(at(1, "root.admin"), 2, {"username": "nueva", "email": "nueva@example.org", "sendEmail": False})
    user = created(answer)
    assert (user["@context"], answer.headers["Location"]) == ("/api/contexts/User", f"/api/users/{user['id']}")
    assert (user["locale"], user["timezone"], user["roles"]) == ("es", "Europe/Madrid", ["ROLE_STUDENT", "ROLE_USER"])
    (row,) = examples.run("SELECT status, active, password FROM `user` WHERE id = :id", id=user["id"])
    assert row == {"status": 5, "active": 1, "password": ""}
    links = examples.run("SELECT access_url_id FROM access_url_rel_user WHERE user_id = :id", id=user["id"])
    sources = examples.run("SELECT authentication, url_id FROM user_auth_source WHERE user_id = :id", id=user["id"])
    assert (links, sources) == ([{"access_url_id": 2}], [{"authentication": "platform", "url_id": 2}])


def test_3_2_taken_names_are_409_the_user_name_first(examples: Campus, at: At) -> None:
    client, before = at(1, "root.admin"), rows(examples)
    answer = post(client, 2, {"username": "ALUMNA.DOS", "email": "DOS@example.org"})
    assert (answer.status_code, answer.json, answer.content_type) == (
        409,
        {"error": "username_already_exists"},
        "application/json",
    )
    answer = post(client, 2, {"username": "free", "email": "DOS@example.org"})
    assert (answer.status_code, answer.json) == (409, {"error": "email_already_exists"})
    assert rows(examples) == before


def test_3_3_empty_body_is_422(at: At) -> None:
    answer = post(at(1, "root.admin"), 2, {})
    violations = [(found["propertyPath"], found["message"]) for found in answer.get_json(force=True)["violations"]]
    assert (answer.status_code, violations) == (422, [("username", BLANK), ("email", BLANK)])


def test_3_4_portal_is_looked_at_before_the_body(at: At) -> None:
    client = at(1, "root.admin")
    assert [told(post(client, 9, {})), told(post(client, 9, b"{")), told(post(client, 2, b"{"))] == [
        (404, "Access URL not found."),
        (404, "Access URL not found."),
        (400, "Syntax error"),
    ]


def test_3_5_status_sets_the_role_and_extra_fields_are_stored(examples: Campus, at: At) -> None:
    body = NEW | {"status": 3, "extraFields": {"legal_id": "X-1"}}
    user = created(post(at(1, "root.admin"), 1, body))
    assert user["roles"] == ["ROLE_SESSION_MANAGER", "ROLE_USER"]
    values = examples.run("SELECT field_id, field_value FROM extra_field_values WHERE item_id = :id", id=user["id"])
    assert values == [{"field_id": 401, "field_value": "X-1"}]
    assert examples.run("SELECT status FROM `user` WHERE id = :id", id=user["id"]) == [{"status": 3}]


def test_3_6_unknown_extra_field_leaves_nothing(examples: Campus, at: At) -> None:
    before = rows(examples)
    answer = post(at(1, "root.admin"), 1, NEW | {"extraFields": {"legal_id": "X-1", "nope": "x"}})
    assert (answer.status_code, answer.json) == (400, {"error": "ExtraField 'nope' not found for users."})
    assert rows(examples) == before


def test_3_7_plain_administrator_creates_users_of_an_own_portal(at: At) -> None:
    client = at(2, "plain.admin")
    user = created(post(client, 2, NEW))
    assert (user["locale"], user["timezone"]) == ("ja", "Europe/Madrid")
    assert told(post(client, 1, b"{")) == (403, "Access Denied.")
    assert told(post(at(2, "alumna.dos"), 2, NEW)) == (403, "Access Denied.")
    assert told(post(at(2, "alumna.dos"), 9, {})) == (403, "Access Denied."), "the role comes before the portal"


def test_3_8_mail_is_a_boolean(at: At) -> None:
    answer = post(at(1, "root.admin"), 2, NEW | {"sendEmail": None})
    assert told(answer) == (400, 'The type of the "sendEmail" attribute must be "bool", "NULL" given.')


# --- Edges


def test_settings_that_are_missing_or_empty_have_chamilos_fallbacks(examples: Campus, at: At) -> None:
    examples.run("DELETE FROM settings WHERE variable = 'platform_language'")
    examples.run("UPDATE settings SET selected_value = '' WHERE variable = 'timezone'")
    user = created(post(at(1, "root.admin", DEFAULT_LOCALE="nl", DEFAULT_TIMEZONE="Asia/Tokyo"), 1, NEW))
    assert (user["locale"], user["timezone"]) == ("en", "Europe/Paris")


def test_setting_that_the_column_does_not_take_counts_as_missing(examples: Campus, at: At) -> None:
    examples.run("UPDATE settings SET selected_value = 'brazilian_portuguese' WHERE variable = 'platform_language'")
    examples.run("UPDATE settings SET selected_value = REPEAT('x', 65) WHERE variable = 'timezone'")
    user = created(post(at(1, "root.admin"), 1, NEW))
    assert (user["locale"], user["timezone"]) == ("en", "Europe/Paris")


@pytest.mark.parametrize(("given", "stored"), [("fr_FR", "fr_FR"), ("", "es"), (None, "es")])
def test_locale_of_the_body_counts_unless_it_is_empty(at: At, given: str | None, stored: str) -> None:
    assert created(post(at(1, "root.admin"), 1, NEW | {"locale": given}))["locale"] == stored


def test_default_of_other_new_users_is_not_the_settings(at: At) -> None:
    body = {"username": "otra", "email": "otra@example.org"}
    user = created(at(1, "root.admin", DEFAULT_LOCALE="nl")("POST", "/api/users", body))
    assert (user["locale"], user["timezone"]) == ("en_US", "Europe/Paris")


@pytest.mark.parametrize("email", ["Dos@Example.org", "DOS@EXAMPLE.ORG"])
@pytest.mark.parametrize("active", [1, -2])
def test_email_is_compared_by_the_collation_and_stays_taken(examples: Campus, at: At, email: str, active: int) -> None:
    examples.run("UPDATE `user` SET active = :active WHERE id = 305", active=active)
    answer = post(at(1, "root.admin"), 2, {"username": "free", "email": email})
    assert told(answer) == (409, "email_already_exists")
    assert told(post(at(1, "root.admin"), 2, {"username": "Alumna.Dos", "email": email})) == (409, "username_already_exists")


def test_all_users_are_read_once_for_a_free_email(at: At) -> None:
    client, looked = at(1, "root.admin"), []
    with client.http.application.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", lambda *of: looked.append(of[2]) if "user.email = " in of[2] else None)
    created(post(client, 2, NEW))
    assert len(looked) == 1


def test_user_is_linked_to_an_inactive_portal_as_well(examples: Campus, at: At) -> None:
    examples.run("UPDATE access_url SET active = 0 WHERE id = 2")
    assert created(post(at(1, "root.admin"), 2, NEW))["username"] == "nueva"


def test_session_manager_creates_users_of_a_linked_portal_alone(examples: Campus, at: At) -> None:
    examples.run("""UPDATE `user` SET roles = 'a:1:{i:0;s:20:"ROLE_SESSION_MANAGER";}' WHERE id = 305""")
    client = at(2, "alumna.dos")
    assert created(post(client, 2, NEW))["username"] == "nueva"
    assert told(post(client, 1, {})) == (403, "Access Denied.")


def test_restricted_global_administrator_creates_users_below(examples: Campus, at: At) -> None:
    examples.run("INSERT INTO access_url (id, url, active, parent_id, lft, rgt) VALUES (3, 'https://x.example/', 1, 2, 0, 0)")
    assert created(post(at(2, "sub.admin"), 3, NEW))["username"] == "nueva"
    assert told(post(at(2, "sub.admin"), 1, NEW | {"username": "x"})) == (403, "Access Denied.")


def test_value_of_a_former_user_with_the_same_id_is_replaced(examples: Campus, at: At) -> None:
    client = at(1, "root.admin")
    first = created(post(client, 1, NEW))["id"]
    now = "2026-01-01 00:00:00"
    for field in (401, 402):
        examples.run(
            "INSERT INTO extra_field_values (field_id, item_id, field_value, created_at, updated_at)"
            " VALUES (:field, :user, 'old', :now, :now)",
            field=field, user=first + 1, now=now,
        )  # fmt: skip
    body = {"username": "second", "email": "second@example.org", "extraFields": {"legal_id": "new", "department": None}}
    assert created(post(client, 1, body))["id"] == first + 1
    values = examples.run(
        "SELECT field_id, field_value FROM extra_field_values WHERE item_id = :id ORDER BY field_id", id=first + 1
    )
    assert values == [{"field_id": 401, "field_value": "new"}, {"field_id": 402, "field_value": None}]


def test_field_of_courses_alone_is_unknown(examples: Campus, at: At) -> None:
    examples.run("DELETE FROM extra_field_values WHERE field_id = 402")
    examples.run("DELETE FROM extra_field_options WHERE field_id = 402")
    examples.run("DELETE FROM extra_field WHERE id = 402")
    answer = post(at(1, "root.admin"), 1, NEW | {"extraFields": {"department": "x"}})
    assert told(answer) == (400, "ExtraField 'department' not found for users.")


def test_field_that_no_list_may_be_filtered_by_is_stored(examples: Campus, at: At) -> None:
    user = created(post(at(1, "root.admin"), 1, NEW | {"extraFields": {"internal_note": "n"}}))
    values = examples.run("SELECT field_id FROM extra_field_values WHERE item_id = :id", id=user["id"])
    assert values == [{"field_id": 403}]


@pytest.mark.bare_campus
def test_read_only_server_writes_nothing(examples: Campus, at: At) -> None:
    at(1, "root.admin")  # makes the tables of ours
    before = rows(examples)
    answer = post(at(1, "root.admin", READ_ONLY="1"), 2, NEW)
    assert (answer.status_code, rows(examples)) == (503, before)


def test_mail_names_the_site_and_the_url_of_the_users_portal(at: At) -> None:
    with mail_server() as box:
        client = at(1, "root.admin", MAILER_DSN=box.dsn)
        created(post(client, 2, NEW | {"sendEmail": True, "password": "s3cret-of-hers"}))
        (message,) = box.wait()
    assert (message["From"], message["To"]) == ("noreply@escuela.example.org", "nueva@example.org")
    assert message["Subject"] == "You are registered on Campus de prueba"
    assert "https://escuela.example.org/" in message.get_content().splitlines()
    assert "s3cret" not in message.as_string()
