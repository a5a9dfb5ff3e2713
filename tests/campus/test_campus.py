"""Beside a running campus: the server understands what Chamilo wrote, and Chamilo can read what the server writes."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from answers import body_of, name_in, signed_in_as
from campus.campuses import Campus
from factories import CONTRACT
from flask.testing import FlaskClient
from installed import needed
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.services import find_program
from blueprints.users.resource import read_filters
from models.php_serialize import unserialize_strings
from models.user_table import UserTable

PASSWORDS = json.loads((CONTRACT / "passwords.json").read_text())
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
pytestmark = pytest.mark.services


def sign_in(client: FlaskClient, username: str, password: str) -> Any:
    return client.post("/api/authentication_token", json={"username": username, "password": password})


def headers_of(client: FlaskClient, username: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {sign_in(client, username, PASSWORDS[username]).json['token']}"}


def changes(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[Any, set[str]]:
    """Return the changed columns by row id."""
    old = {row["id"]: row for row in before}
    changed = {row["id"]: {name for name in row if row[name] != old[row["id"]][name]} for row in after if row["id"] in old}
    return {key: names for key, names in changed.items() if names}


@pytest.mark.parametrize("username", ["admin", "alice", "ünïcodé", "legsha", "legbc4", "legargon"])
def test_each_kind_of_hash_signs_in(campus: Campus, username: str) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    assert signed_in_as(sign_in(client, username, PASSWORDS[username])) == username


def test_sign_in_changes_last_login_and_an_old_hash_alone(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    before = campus.snapshot()
    sign_in(client, "alice", PASSWORDS["alice"])
    sign_in(client, "legsha", PASSWORDS["legsha"])
    after = campus.snapshot()
    assert changes(before["user"], after["user"]) == {2: {"last_login"}, 9: {"last_login", "password"}}
    assert [row["login_user_id"] for row in after["track_e_login"]] == [2, 9]
    assert [(row["username"], row["success"]) for row in after["track_e_login_record"]] == [("alice", 1), ("legsha", 1)]


def test_rehash_can_be_switched_off(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4", PASSWORD_REHASH="0").test_client()
    before = campus.snapshot()["user"]
    sign_in(client, "legsha", PASSWORDS["legsha"])
    assert changes(before, campus.snapshot()["user"]) == {9: {"last_login"}}


def test_no_table_of_chamilo_is_altered(campus: Campus) -> None:
    before = campus.definitions(), campus.snapshot()
    campus.app()
    assert (campus.definitions(), campus.snapshot()) == before
    assert {"poort_throttled_login", "poort_alembic_version"} <= {next(iter(row.values())) for row in campus.run("SHOW TABLES")}


def test_accents_and_spaces_are_not_forgiven_at_sign_in(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    assert [sign_in(client, name, PASSWORDS["alice"]).status_code for name in ("ALICE", "alicé", "alice ")] == [200, 401, 401]


def test_patch_changes_what_it_names_and_the_roles_encoding_stays(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    headers = headers_of(client, "admin") | MERGE_PATCH
    before = campus.snapshot()["user"]
    answer = client.patch("/api/users/2", headers=headers, json={"firstname": "Al", "roles": ["role_hr"]})
    after = campus.snapshot()["user"]
    assert answer.get_json(force=True)["roles"] == ["ROLE_HR", "ROLE_USER"]
    assert changes(before, after) == {2: {"firstname", "roles", "updated_at"}}
    roles = next(row["roles"] for row in after if row["id"] == 2)
    assert roles == ('a:1:{i:0;s:7:"ROLE_HR";}' if campus.version == 2 else '["ROLE_HR"]')


def test_password_change_renews_the_hash_alone(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    headers = headers_of(client, "admin") | MERGE_PATCH
    before = campus.snapshot()["user"]
    client.patch("/api/users/2", headers=headers, json={"plainPassword": "brandnew"})
    expected = {"password", "updated_at"} | ({"password_updated_at"} if campus.version == 3 else set())
    assert changes(before, campus.snapshot()["user"]) == {2: expected}
    assert signed_in_as(sign_in(client, "alice", "brandnew")) == "alice"


def test_soft_delete_changes_active_alone(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    headers = headers_of(client, "admin")
    before = campus.snapshot()["user"]
    assert client.delete("/api/users/2", headers=headers).status_code == 204
    assert changes(before, campus.snapshot()["user"]) == {2: {"active", "updated_at"}}


def test_new_user_has_all_that_chamilo_needs(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    body = {"username": "Neu", "email": "Neu@Example.com", "plainPassword": "secret", "roles": ["ROLE_TEACHER"]}
    user_id = client.post("/api/users", headers=headers_of(client, "admin"), json=body).get_json(force=True)["id"]
    (row,) = campus.run("SELECT * FROM `user` WHERE id = :id", id=user_id)
    assert (row["username"], row["username_canonical"], row["email_canonical"]) == ("Neu", "neu", "neu@example.com")
    assert (len(row["uuid"]), row["uuid"][6] >> 4, len(row["salt"]), row["of_a_plugin"]) == (16, 4, 40, "")
    assert row["roles"] == ('a:1:{i:0;s:12:"ROLE_TEACHER";}' if campus.version == 2 else '["ROLE_TEACHER"]')
    assert len(campus.run("SELECT 1 FROM access_url_rel_user WHERE user_id = :id AND access_url_id = 1", id=user_id)) == 1
    source = "SELECT authentication FROM user_auth_source WHERE user_id = :id AND url_id = 1"
    assert campus.run(source, id=user_id) == [{"authentication": "platform"}]
    assert signed_in_as(sign_in(client, "neu", "secret")) == "Neu"


def test_first_row_of_an_empty_table_is_encoded_by_the_version(campus: Campus) -> None:
    runner = campus.app(PASSWORD_HASH_COST="4").test_cli_runner()
    campus.run("DELETE FROM access_url_rel_user")
    campus.run("DELETE FROM `user`")
    done = runner.invoke(
        args=["users", "create", "first", "--email", "f@example.com", "--role", "ROLE_HR", "--generate-password"]
    )
    assert done.exit_code == 0, done.output
    assert campus.run("SELECT roles FROM `user`")[0]["roles"][0] == ("a" if campus.version == 2 else "[")


def test_name_that_the_collation_finds_taken_is_a_violation(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    answer = client.post("/api/users", headers=headers_of(client, "admin"), json={"username": "Alicé", "email": "a@example.com"})
    assert (answer.status_code, answer.get_json(force=True)["violations"][0]["message"]) == (422, "This value is already used.")


def test_search_and_order_go_by_the_collation(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    headers = headers_of(client, "admin")
    found = client.get("/api/users.json?lastname=bo", headers=headers).json
    last = client.get("/api/users.json?order[username]=desc&itemsPerPage=45", headers=headers).json
    assert [user["username"] for user in found] == ["bob"]
    assert [user["username"] for user in last[39:42]] == ["user01", "ünïcodé", "tess"]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_order_of_user_names_is_that_of_chamilos_index(campus: Campus, direction: str) -> None:
    table = UserTable(is_campus=True)
    with Session(campus.engine) as session:
        for name, is_sorted in (("username", False), ("lastname", True)):
            filters = read_filters(table, {"order": {name: direction, "firstname": "asc"}}, privileged=True)
            page = table.select(session, ["id"]).order_by(*filters.order).limit(30)  # a longer list would be a table scan
            statement = page.compile(campus.engine, compile_kwargs={"literal_binds": True})
            plan = session.execute(text(f"EXPLAIN FORMAT=TRADITIONAL {statement}")).all()
            assert ("filesort" in str(plan)) is is_sorted


@pytest.mark.parametrize(
    ("table", "message"),
    [("user_auth_source", "User authentication method not allowed"), ("access_url_rel_user", "Account inactive for this URL")],
)
def test_user_whom_the_portal_refuses_reads_chamilos_words(campus: Campus, table: str, message: str) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    campus.run(f"DELETE FROM {table} WHERE user_id = 2")
    assert sign_in(client, "alice", PASSWORDS["alice"]).json == {"code": 401, "message": message}
    assert sign_in(client, "alice", "wrong").json == {"code": 401, "message": "Invalid credentials."}


def test_other_portal_has_users_of_its_own(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    body = {"username": "two", "email": "two@example.com", "password": "secret"}
    assert name_in(client.post("/api/access_urls/2/user", headers=headers_of(client, "admin"), json=body), 201) == "two"
    beside_two = campus.app(PASSWORD_HASH_COST="4", ACCESS_URL_ID="2").test_client()
    assert [sign_in(there, "two", "secret").status_code for there in (client, beside_two)] == [401, 200]


def test_missing_column_is_named(campus: Campus) -> None:
    campus.run("ALTER TABLE `user` DROP COLUMN phone")
    app = campus.app()
    done = app.test_cli_runner().invoke(args=["db", "check"])
    assert (done.exit_code, "missing: column user.phone" in done.output) == (1, True)
    assert "database" in app.test_client().get("/readyz").json["failing"]


def test_fitting_schema_is_said_to_fit(campus: Campus) -> None:
    done = campus.app().test_cli_runner().invoke(args=["db", "check"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "The database fits.")
    assert ("not there, and not needed: column user.mfa_secret" in done.output) is True


@pytest.mark.bare_campus
def test_read_only_leaves_no_trace(campus: Campus) -> None:
    before = campus.snapshot(), campus.run("SHOW TABLES")
    client = campus.app(READ_ONLY="1", PASSWORD_HASH_COST="4").test_client()
    headers = headers_of(client, "admin")
    assert signed_in_as(sign_in(client, "legsha", PASSWORDS["legsha"])) == "legsha"
    assert name_in(client.get("/api/users/2", headers=headers)) == "alice"
    answers = [
        client.post("/api/users", headers=headers, json={}),
        client.put("/api/users/2", headers=headers, json={}),
        client.delete("/api/users/2", headers=headers),
        client.patch("/api/users/2/password", headers=headers | MERGE_PATCH, json={"password": "x"}),
    ]
    assert {(answer.status_code, "read-only" in answer.json["error"]) for answer in answers} == {(503, True)}
    assert (campus.snapshot(), campus.run("SHOW TABLES")) == before


@pytest.mark.bare_campus
def test_read_only_server_throttles_all_the_same(campus: Campus) -> None:
    client = campus.app(READ_ONLY="1", PASSWORD_HASH_COST="4").test_client()
    answers = [sign_in(client, "alice", "wrong").json["message"] for _ in range(11)]
    assert [message[:8] for message in answers] == ["Invalid "] * 10 + ["Too many"]


def test_other_writers_columns_are_not_lost(campus: Campus) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    headers = headers_of(client, "admin") | MERGE_PATCH
    for turn in range(20):
        campus.run("UPDATE `user` SET theme = :theme, lastname = :name WHERE id = 2", theme=f"t{turn}", name=f"n{turn}")
        assert body_of(client.patch("/api/users/2", headers=headers, json={"firstname": f"f{turn}"}))["firstname"] == f"f{turn}"
        (row,) = campus.run("SELECT firstname, lastname, theme FROM `user` WHERE id = 2")
        assert row == {"firstname": f"f{turn}", "lastname": f"n{turn}", "theme": f"t{turn}"}


def test_second_factor_is_noted(campus: Campus, caplog: pytest.LogCaptureFixture) -> None:
    if campus.version == 3:
        campus.run("UPDATE `user` SET mfa_enabled = 1 WHERE id = 2")
    sign_in(campus.app(PASSWORD_HASH_COST="4").test_client(), "alice", PASSWORDS["alice"])
    (line,) = [record for record in caplog.records if record.name == "poort.audit"]
    assert (line.event, line.details) == ("sign_in", {"second_factor": "not asked" if campus.version == 3 else "none"})


@pytest.mark.parametrize("given", ["hard", "sqlite"])
def test_what_cannot_be_beside_a_campus_stops_the_start(campus: Campus, given: str) -> None:
    variables = {"USER_DELETE_MODE": "hard"} if given == "hard" else {"DATABASE_URL": "sqlite:////tmp/none.db"}
    from config import InvalidSetting, parse_settings

    with pytest.raises(InvalidSetting):
        parse_settings({"DATABASE_URL": campus.url, "DATABASE_SCHEMA": "chamilo"} | variables)


@pytest.fixture(scope="module")
def php() -> str:
    return needed(lambda: find_program("php"))


def run_php(php: str, code: str, given: Any) -> Any:
    """Run PHP with a JSON value as `$given`; return its JSON output."""
    script = f"$given = json_decode(stream_get_contents(STDIN), true); {code}"
    done = subprocess.run([php, "-r", script], input=json.dumps(given), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_php_reads_what_is_written(campus: Campus, php: str) -> None:
    client = campus.app(PASSWORD_HASH_COST="4").test_client()
    headers = headers_of(client, "admin") | MERGE_PATCH
    (row,) = campus.run("SELECT roles FROM `user` WHERE id = 2")
    # A new role could not have such a name, but the row has it already.
    held = 'a:1:{i:0;s:7:"ROLE_É";}' if row["roles"].startswith("a") else '["ROLE_É"]'
    campus.run("UPDATE `user` SET roles = :held WHERE id = 2", held=held)
    client.patch("/api/users/2", headers=headers, json={"plainPassword": "pässwörd", "roles": ["ROLE_É", "ROLE_HR"]})
    (row,) = campus.run("SELECT roles, password FROM `user` WHERE id = 2")
    code = """$roles = $given['roles'][0] === 'a' ? unserialize($given['roles'], ['allowed_classes' => false]) : json_decode($given['roles']);
    echo json_encode([$roles, password_verify('pässwörd', $given['password'])]);"""
    assert run_php(php, code, row) == [["ROLE_É", "ROLE_HR"], True]


def test_php_verifies_our_token_and_opens_our_key(campus: Campus, php: str, tmp_path: Path) -> None:
    from security.keys.pair import make_key_pair

    private_pem, public_pem = make_key_pair("geheim", 2048)
    (tmp_path / "private.pem").write_bytes(private_pem)
    (tmp_path / "public.pem").write_bytes(public_pem)
    keys = {"JWT_SECRET_KEY": f"{tmp_path}/private.pem", "JWT_PUBLIC_KEY": f"{tmp_path}/public.pem", "JWT_PASSPHRASE": "geheim"}
    token = sign_in(campus.app(PASSWORD_HASH_COST="4", **keys).test_client(), "alice", PASSWORDS["alice"]).json["token"]
    code = """[$h, $p, $s] = explode('.', $given['token']);
    $sig = base64_decode(strtr($s, '-_', '+/'));
    $public = openssl_pkey_get_public($given['public']);
    $private = openssl_pkey_get_private($given['private'], 'geheim');
    echo json_encode([openssl_verify("$h.$p", $sig, $public, OPENSSL_ALGO_SHA256), $private !== false]);"""
    given = {"token": token, "public": public_pem.decode(), "private": private_pem.decode()}
    assert run_php(php, code, given) == [1, True]


def test_what_php_writes_is_read(campus: Campus, php: str, tmp_path: Path) -> None:
    code = """$key = openssl_pkey_new(['private_key_bits' => 2048]);
    openssl_pkey_export($key, $private, 'geheim');
    $public = openssl_pkey_get_details($key)['key'];
    $b = fn($x) => rtrim(strtr(base64_encode($x), '+/', '-_'), '=');
    $t = $b('{"typ":"JWT","alg":"RS256"}') . '.' . $b(json_encode(['iat' => $given['now'], 'exp' => $given['now'] + 60, 'username' => 'bob']));
    openssl_sign($t, $s, $key, OPENSSL_ALGO_SHA256);
    echo json_encode(['private' => $private, 'public' => $public, 'token' => "$t." . $b($s),
        'roles' => serialize([3 => 'ROLE_HR', 7 => 'ROLE_É']), 'hash' => password_hash('aus php', PASSWORD_BCRYPT, ['cost' => 4])]);"""
    made = run_php(php, code, {"now": int(campus.clock().timestamp())})
    (tmp_path / "private.pem").write_text(made["private"])
    (tmp_path / "public.pem").write_text(made["public"])
    roles = made["roles"] if campus.version == 2 else json.dumps({"3": "ROLE_HR", "7": "ROLE_É"})
    campus.run("UPDATE `user` SET roles = :roles, password = :hash WHERE id = 3", roles=roles, hash=made["hash"])
    keys = {"JWT_SECRET_KEY": f"{tmp_path}/private.pem", "JWT_PUBLIC_KEY": f"{tmp_path}/public.pem", "JWT_PASSPHRASE": "geheim"}
    client = campus.app(PASSWORD_HASH_COST="4", **keys).test_client()
    shown = client.get("/api/me.json", headers={"Authorization": f"Bearer {made['token']}"}).json
    token = sign_in(client, "bob", "aus php").json["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert (shown["roles"], claims["roles"]) == (["ROLE_HR", "ROLE_USER", "ROLE_É"], ["ROLE_HR", "ROLE_É", "ROLE_USER"])
    assert unserialize_strings(made["roles"]) == ["ROLE_HR", "ROLE_É"]


def test_import_changes_users_of_a_campus_in_their_own_encoding(campus: Campus, tmp_path: Path) -> None:
    runner = campus.app(PASSWORD_HASH_COST="4").test_cli_runner()
    (tmp_path / "users.csv").write_text("username,email,phone,roles\nBOB,bob@new.example,0470,ROLE_TEACHER ROLE_HR\n")
    before = campus.run("SELECT id, roles FROM `user` ORDER BY id")
    words = ("users", "import", str(tmp_path / "users.csv"), "--update")
    done = runner.invoke(args=words)
    assert "1 changed" in done.output, done.output
    after = campus.run("SELECT id, roles FROM `user` ORDER BY id")
    ((old, new),) = [(old["roles"], new["roles"]) for old, new in zip(before, after, strict=True) if old != new]
    assert (old[0], "ROLE_TEACHER" in new) == (new[0], True)
    assert "0 changed, 1 as they were." in runner.invoke(args=words).output


def test_file_is_imported_beside_a_campus(campus: Campus, tmp_path: Path) -> None:
    app = campus.app(PASSWORD_HASH_COST="4")
    rows = [
        {"username": "neu1", "email": "n1@example.com", "password": "eins"},
        {"id": 900, "username": "neu2", "email": "n2@example.com"},
    ]
    (tmp_path / "users.json").write_text(json.dumps(rows))
    done = app.test_cli_runner().invoke(args=["users", "import", str(tmp_path / "users.json")])
    assert (done.exit_code, sign_in(app.test_client(), "neu1", "eins").status_code) == (0, 200), done.output
    stored = campus.run("SELECT username, roles, of_a_plugin FROM `user` WHERE username LIKE 'neu_' ORDER BY username")
    assert [row["username"] for row in stored] == ["neu1", "neu2"]
    assert {row["roles"][0] for row in stored} == {"a" if campus.version == 2 else "["}


@pytest.mark.parametrize("asked", ["2", "3"])
def test_doctor_warns_of_a_version_that_is_not_that_of_the_tables(campus: Campus, asked: str) -> None:
    done = campus.app(CHAMILO_VERSION=asked).test_cli_runner().invoke(args=["poort", "doctor"])
    found = [line for line in done.output.splitlines() if " version " in line]
    if asked == str(campus.version):
        assert found == [f"ok       version    clients and tables agree: Chamilo {asked}"]
    else:
        assert len(found) == 1
        assert f"warning  version    CHAMILO_VERSION is {asked}, but the tables are those of Chamilo {campus.version}" in found[0]
        assert f"Set CHAMILO_VERSION={campus.version}" in done.output


@pytest.mark.parametrize("asked", ["2", "3"])
def test_version_that_clients_meet_does_not_change_what_is_stored(campus: Campus, asked: str) -> None:
    client = campus.app(CHAMILO_VERSION=asked, PASSWORD_HASH_COST="4").test_client()
    made = client.post(
        "/api/users",
        json={"username": "newcomer", "email": "n@example.com", "roles": ["ROLE_TEACHER"]},
        headers=headers_of(client, "admin"),
    )
    assert name_in(made, 201) == "newcomer"
    [row] = campus.run("SELECT roles FROM `user` WHERE username = 'newcomer'")
    assert row["roles"].startswith("[" if campus.version == 3 else "a:1:")
