"""The portals of a campus, by the numbered examples that docs/campus.md was written from, and the edges of its rules."""

import logging
from typing import Any

import pytest
from campus.campuses import Campus
from campus.conftest import At, Client

from blueprints.parts import parts
from models.compiled_reads import Read, Reader
from models.user_table import UnusableTable

pytestmark = [pytest.mark.services, pytest.mark.parametrize("campus", [2], indirect=True)]

WRONG_SOURCE = {"code": 401, "message": "User authentication method not allowed"}
NOT_LINKED = {"code": 401, "message": "Account inactive for this URL"}


@pytest.mark.parametrize(
    ("portal", "username", "ids"),
    [
        pytest.param(2, "plain.admin", [302, 303, 305, 306], id="1.1"),
        pytest.param(1, "teacher.uno", [301, 304, 306], id="1.2"),
        pytest.param(1, "root.admin", [301, 302, 303, 304, 305, 306, 307], id="1.3"),
        pytest.param(2, "sub.admin", [302, 303, 305, 306], id="1.4"),
        pytest.param(1, "both.tres", [306], id="1.5 at 1"),
        pytest.param(2, "both.tres", [306], id="1.5 at 2"),
    ],
)
def test_list_shows_the_users_in_reach_and_counts_them(at: At, portal: int, username: str, ids: list[int]) -> None:
    client = at(portal, username)
    assert client.ids() == ids
    document = client("GET", "/api/users?itemsPerPage=2").get_json(force=True)
    assert (document["hydra:totalItems"], len(document["hydra:member"])) == (len(ids), min(2, len(ids)))
    assert sorted(client.ids("/api/users.json?order[username]=desc&search=")) == ids


@pytest.mark.parametrize(
    ("portal", "username", "change", "ids"),
    [
        (2, "plain.admin", "UPDATE access_url_rel_user SET access_url_id = 2 WHERE user_id = 304", [302, 303, 304, 305, 306]),
        (2, "plain.admin", "DELETE FROM access_url_rel_user WHERE user_id = 305", [302, 303, 306]),
        (2, "sub.admin", "UPDATE access_url_rel_user SET user_id = 307 WHERE user_id = 305", [302, 303, 306, 307]),
        (
            1,
            "root.admin",
            "DELETE FROM access_url_rel_user WHERE user_id = 305; DELETE FROM `user` WHERE id = 305",
            [301, 302, 303, 304, 306, 307],
        ),
    ],
)
def test_list_and_total_follow_what_chamilo_changes(
    examples: Campus, at: At, portal: int, username: str, change: str, ids: list[int]
) -> None:
    client = at(portal, username)
    client.ids()
    for statement in change.split(";"):
        examples.run(statement)
    assert client.ids() == ids
    for query in ("", "&order[username]=asc", "&search="):
        assert client("GET", f"/api/users?itemsPerPage=0{query}").get_json(force=True)["hydra:totalItems"] == len(ids)


def test_page_of_portals_takes_three_statements_like_one_of_everyone_and_an_item_one(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[Read] = []
    read = Reader.rows
    monkeypatch.setattr(Reader, "rows", lambda self, what, given: run.append(what) or read(self, what, given))
    for client in (at(1, "root.admin"), at(2, "plain.admin"), at(2, "sub.admin")):
        for path, statements in (("/api/users", 3), ("/api/users/306", 1)):
            client("GET", path)
            run.clear()
            assert (client("GET", path).status_code, len(run)) == (200, statements)


def test_1_2_teacher_sees_all_fields_and_1_5_student_the_public_ones(at: At) -> None:
    assert "email" in at(1, "teacher.uno")("GET", "/api/users.json").json[0]
    assert "email" not in at(2, "both.tres")("GET", "/api/users.json").json[0]


def test_1_4_user_without_an_authentication_source_of_the_portal_is_refused(at: At) -> None:
    answer = at(1, "sub.admin")("GET", "/api/users")
    assert (answer.status_code, answer.json) == (401, WRONG_SOURCE)


def test_1_6_administrator_sees_everyone_and_changes_only_those_in_scope(at: At) -> None:
    client = at(2, "plain.admin")
    assert client("GET", "/api/users/304").status_code == 200
    answer = client("PATCH", "/api/users/304", {"firstname": "X"})
    assert (answer.status_code, answer.json) == (403, {"error": "Access Denied."})


def test_1_7_scope_of_changes_and_deletes(at: At) -> None:
    client = at(2, "plain.admin")
    assert client("PATCH", "/api/users/306", {"firstname": "Bob"}).get_json(force=True)["firstname"] == "Bob"
    answers = [client("DELETE", "/api/users/307"), client("DELETE", "/api/users/302"), client("DELETE", "/api/users/999")]
    assert [(answer.status_code, answer.json) for answer in answers] == [
        (403, {"error": "Access Denied."}),
        (403, {"error": "You cannot delete this user"}),
        (404, {"error": "Not Found"}),
    ]


def test_1_8_unknown_host_gets_the_portal_with_the_lowest_id(examples: Campus, caplog: pytest.LogCaptureFixture) -> None:
    app = examples.app(ACCESS_URL_ID="host")
    with caplog.at_level(logging.WARNING, "models.platform"):
        assert Client(examples, app, "root.admin", "nobody.example.net").ids() == [301, 302, 303, 304, 305, 306, 307]
        assert Client(examples, app, "root.admin", "other.example.net").ids()[0] == 301
    assert [record.getMessage() for record in caplog.records] == ["no portal has the host of a request: portal 1 answers"]


def test_1_9_new_user_joins_the_portal_that_current_url_names_and_no_other(examples: Campus, at: At) -> None:
    body = {"username": "nueva", "email": "n@example.org", "currentUrl": "/api/access_urls/2"}
    answer = at(1, "root.admin")("POST", "/api/users", body)
    user = answer.get_json(force=True)
    assert (answer.status_code, "currentUrl" in user) == (201, False)
    links = examples.run("SELECT access_url_id FROM access_url_rel_user WHERE user_id = :id", id=user["id"])
    sources = examples.run("SELECT authentication, url_id FROM user_auth_source WHERE user_id = :id", id=user["id"])
    assert (links, sources) == ([{"access_url_id": 2}], [{"authentication": "platform", "url_id": 2}])


def test_new_user_joins_the_portal_of_the_request(examples: Campus, at: At) -> None:
    user = at(2, "plain.admin")("POST", "/api/users", {"username": "n", "email": "n@example.org"}).get_json(force=True)
    assert examples.run("SELECT access_url_id FROM access_url_rel_user WHERE user_id = :id", id=user["id"]) == [
        {"access_url_id": 2}
    ]


@pytest.mark.parametrize(
    ("url", "status", "text"),
    [
        ("/api/access_urls/9", 400, 'Item not found for "/api/access_urls/9".'),
        ("x", 400, 'Invalid IRI "x".'),
        ("/api/users/1", 400, 'Invalid IRI "/api/users/1".'),
        (2, 400, 'The type of the "currentUrl" attribute must be "string", "integer" given.'),
        ("/api/access_urls/1", 403, "Access Denied."),
    ],
)
def test_current_url_that_names_no_portal_of_the_callers_is_refused(at: At, url: Any, status: int, text: str) -> None:
    body = {"username": "n", "email": "n@example.org", "currentUrl": url}
    answer = at(2, "plain.admin")("POST", "/api/users", body)
    said = answer.get_json(force=True)
    assert (answer.status_code, said.get("hydra:description", said.get("error"))) == (status, text)


def test_current_url_in_a_change_is_ignored(examples: Campus, at: At) -> None:
    assert at(1, "both.tres")("PATCH", "/api/users/306", {"currentUrl": "/api/access_urls/9"}).status_code == 200
    assert at(1, "root.admin")("PUT", "/api/users/305", {"currentUrl": "/api/access_urls/1"}).status_code == 200
    assert examples.run("SELECT access_url_id FROM access_url_rel_user WHERE user_id = 305") == [{"access_url_id": 2}]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE access_url SET active = 0 WHERE id = 1", NOT_LINKED),
        ("DELETE FROM access_url_rel_user WHERE user_id = 304", NOT_LINKED),
        ("DELETE FROM user_auth_source WHERE user_id = 304", WRONG_SOURCE),
        ("UPDATE user_auth_source SET authentication = 'ldap' WHERE user_id = 304", WRONG_SOURCE),
        ("UPDATE user_auth_source SET url_id = 2 WHERE user_id = 304", WRONG_SOURCE),
    ],
)
def test_portal_is_looked_at_on_every_request_and_at_sign_in(
    examples: Campus, at: At, change: str, expected: dict[str, Any]
) -> None:
    client = at(1, "teacher.uno")
    assert client("GET", "/api/me").status_code == 200
    examples.run(change)
    answer = client("GET", "/api/me")
    assert (answer.status_code, answer.json) == (401, expected)
    credentials = {"username": "teacher.uno", "password": "campus-pass"}
    assert client.http.post("/api/authentication_token", json=credentials).json == expected
    credentials["password"] = "wrong"
    assert client.http.post("/api/authentication_token", json=credentials).json["message"] == "Invalid credentials."


def test_unrestricted_plain_administrator_changes_users_of_every_portal_and_lists_one(examples: Campus, at: At) -> None:
    examples.run("INSERT INTO access_url_rel_user (access_url_id, user_id) VALUES (1, 302)")
    client = at(2, "plain.admin")
    assert client.ids() == [302, 303, 305, 306]
    assert client("PATCH", "/api/users/307", {"phone": "1"}).get_json(force=True)["phone"] == "1"


def test_restricted_global_administrator_manages_what_lies_below(examples: Campus, at: At) -> None:
    examples.run(
        "INSERT INTO access_url (id, url, active, parent_id, tree_root, lft, rgt, lvl) VALUES (3, 'https://x/', 1, 2, 1, 3, 4, 2)"
    )
    examples.run("UPDATE access_url SET rgt = 6 WHERE id = 1")
    examples.run("UPDATE access_url SET rgt = 5 WHERE id = 2")
    examples.run("INSERT INTO access_url_rel_user (access_url_id, user_id) VALUES (3, 307)")
    client = at(2, "sub.admin")
    assert client.ids() == [302, 303, 305, 306, 307]
    assert client("PATCH", "/api/users/307", {"phone": "1"}).status_code == 200
    assert client("PATCH", "/api/users/304", {"phone": "1"}).status_code == 403
    examples.run("UPDATE access_url SET tree_root = NULL")
    fresh = Client(examples, examples.app(ACCESS_URL_ID="2"), "sub.admin")
    assert fresh.ids() == [302, 303, 305, 306, 307]


def test_restricted_global_administrator_grants_no_global_administrator(at: At) -> None:
    body = {"roles": ["ROLE_GLOBAL_ADMIN"]}
    said = at(2, "sub.admin")("PATCH", "/api/users/305", body)
    text = "Only a global admin registered in the topmost access URL may grant the global admin role."
    assert (said.status_code, said.json) == (403, {"error": text})
    assert at(1, "root.admin")("PATCH", "/api/users/305", body).status_code == 200


def test_password_is_set_in_scope_only(at: At) -> None:
    client = at(2, "plain.admin")
    statuses = [
        client("PATCH", f"/api/users/{number}/password", {"password": "brandnew"}).status_code for number in (305, 304, 302)
    ]
    assert statuses == [200, 403, 200]


@pytest.mark.parametrize("host", ["escuela.example.org", "ESCUELA.example.org", "escuela.example.org:443"])
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_portal_is_the_one_of_the_host(examples: Campus, host: str, scheme: str) -> None:
    app = examples.app(ACCESS_URL_ID="host")
    headers = examples.headers_of(app, "alumna.dos") | {"Host": host}
    answer = app.test_client().get("/api/users.json", headers=headers, base_url=f"{scheme}://{host}")
    assert (answer.status_code, answer.json[0]["fullName"]) == (200, "Núñez Ana María")


@pytest.mark.parametrize(
    ("portal", "language", "user", "expected"),
    [
        pytest.param(1, "es", 305, "Núñez, Ana María", id="5.1 at 1"),
        pytest.param(2, "ja", 305, "Núñez Ana María", id="5.1 at 2"),
        pytest.param(1, "fr_FR", 305, "Ana María Núñez", id="5.2 fr_FR"),
        pytest.param(1, "hu_HU", 305, "Ana María Núñez", id="5.2 hu_HU"),
        pytest.param(1, None, 305, "Ana María Núñez", id="5.2 none"),
        pytest.param(1, "es", 307, "Nadie, ", id="5.3 es"),
        pytest.param(1, "ja", 307, "Nadie ", id="5.3 ja"),
        pytest.param(1, "en_US", 307, " Nadie", id="5.3 en_US"),
    ],
)
def test_full_name_is_written_by_the_platform_language(
    examples: Campus, at: At, portal: int, language: str | None, user: int, expected: str
) -> None:
    examples.run("DELETE FROM settings WHERE variable = 'platform_language' AND access_url = :portal", portal=portal)
    if language:
        examples.run(
            "INSERT INTO settings (access_url, variable, category, selected_value, title, access_url_changeable)"
            " VALUES (:portal, 'platform_language', 'language', :language, '', 1)",
            portal=portal,
            language=language,
        )
    client = at(portal, "root.admin" if portal == 1 else "plain.admin")
    answer = client("GET", f"/api/users/{user}.json?_locale=fr_FR", **{"Accept-Language": "fr"})
    assert answer.json["fullName"] == expected
    if user == 305:
        assert expected in {row["fullName"] for row in client("GET", "/api/users.json").json}
        assert client("PATCH", "/api/users/305", {"phone": "1"}).get_json(force=True)["fullName"] == expected


@pytest.mark.parametrize("language", ["es", "ja", "fr_FR"])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("firstname = NULL, lastname = NULL", dict.fromkeys(("es", "ja", "fr_FR"), "teacher.uno")),
        ("firstname = '', lastname = ' '", dict.fromkeys(("es", "ja", "fr_FR"), "teacher.uno")),
        ("firstname = NULL", {"es": "Uno,", "ja": "Uno", "fr_FR": "Uno"}),
    ],
)
def test_own_full_name_is_trimmed_and_the_user_name_without_names(
    examples: Campus, at: At, language: str, names: str, expected: dict[str, str]
) -> None:
    examples.run("UPDATE settings SET selected_value = :language WHERE variable = 'platform_language'", language=language)
    examples.run(f"UPDATE `user` SET {names} WHERE id = 304")
    assert at(1, "teacher.uno")("GET", "/api/me.json").json["fullName"] == expected[language]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"ACCESS_URL_ID": "9"}, "error    portals    ACCESS_URL_ID is 9, and there is no such portal"),
        (
            {},
            "warning  portals    ACCESS_URL_ID is not set: this server stands for portal 1, and users of the other portals get 401",
        ),
        ({"ACCESS_URL_ID": "2"}, "ok       portals    this server stands for portal 2"),
        ({"ACCESS_URL_ID": "host"}, "ok       portals    each request's Host header chooses the portal"),
    ],
)
def test_doctor_says_which_portal_the_server_stands_for(examples: Campus, variables: dict[str, str], says: str) -> None:
    done = examples.app(**variables).test_cli_runner().invoke(args=["poort", "doctor"])
    assert says in done.output.splitlines()


def test_start_with_a_portal_that_is_not_there_fails(examples: Campus) -> None:
    app = examples.app(ACCESS_URL_ID="9")
    with app.test_request_context(), pytest.raises(UnusableTable, match="has no portal 9"):
        parts().check_table()


def test_start_warns_of_several_portals_and_none_chosen(examples: Campus, caplog: pytest.LogCaptureFixture) -> None:
    with examples.app().test_request_context(), caplog.at_level(logging.WARNING, "blueprints.parts"):
        parts().check_table()
    assert "users of other portals than 1 get 401" in caplog.text
