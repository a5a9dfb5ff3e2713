"""READ_ONLY=1 beside a campus: the log of the database server itself shows that nothing is written."""

import re

import pytest
from campus.campuses import Campus

pytestmark = [pytest.mark.services, pytest.mark.parametrize("campus", [2], indirect=True)]

_WRITES = re.compile(
    r"\s*(insert|update|delete|replace|create|alter|drop|truncate|lock|grant)\b|.*\bfor update\b", re.IGNORECASE | re.DOTALL
)
KEY_701 = "chamilo_ext__1xufA2UngR_nzghWeI8Oy4Rwosc4gb6W5Zv0tzsEwA"


@pytest.mark.bare_campus
def test_database_sees_no_write(whole_campus: Campus) -> None:
    client = whole_campus.app(READ_ONLY="1", ACCESS_URL_ID="1", PASSWORD_HASH_COST="4").test_client()
    credentials = {"username": "root.admin", "password": "campus-pass"}
    whole_campus.run("SET GLOBAL log_output = 'TABLE'")
    whole_campus.run("TRUNCATE mysql.general_log")
    whole_campus.run("SET GLOBAL general_log = 1")
    try:
        token = client.post("/api/authentication_token", json=credentials).json["token"]
        refused = client.post("/api/authentication_token", json=credentials | {"password": "wrong"})
        headers = {"Authorization": f"Bearer {token}"}
        reads = (
            "/api/users",
            "/api/users/304",
            "/api/me",
            "/api/users?search=tres",
            "/api/users?extrafield[]=legal_id&extrafieldvalue[]=x",
        )
        statuses = [client.get(path, headers=headers).status_code for path in reads]
        with_key = client.get("/api/users/304", headers={"Authorization": f"Bearer {KEY_701}"})
        posted = client.post("/api/users", headers=headers, json={"username": "n", "email": "n@example.org"})
        added = client.post("/api/access_urls/1/user", headers=headers, json={"username": "n", "email": "n@example.org"})
    finally:
        whole_campus.run("SET GLOBAL general_log = 0")
    assert (refused.status_code, statuses, with_key.status_code) == (401, [200] * len(reads), 200)
    assert (posted.status_code, added.status_code) == (503, 503)
    logged = [
        row["argument"] for row in whole_campus.run("SELECT CONVERT(argument USING utf8mb4) AS argument FROM mysql.general_log")
    ]
    assert len(logged) > 10
    assert [statement for statement in logged if _WRITES.match(statement) and "mysql.general_log" not in statement] == []
    assert whole_campus.run("SELECT last_used_at FROM user_api_key WHERE id = 701") == [{"last_used_at": None}]
