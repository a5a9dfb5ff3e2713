"""Every worker, and another server on the same database, refuses an ended token at the next request."""

from pathlib import Path

from system.serving import GUNICORN, Home, Server

pytest_plugins = ("system.fixtures",)


def test_every_worker_and_host_refuses_an_ended_token_at_once(home: Home, tmp_path: Path) -> None:
    password = home.set_up()
    logs = [tmp_path / name for name in ("one", "other")]
    for folder in logs:
        folder.mkdir()
    servers = [Server(GUNICORN, folder, home.environment(WEB_CONCURRENCY="2")).start() for folder in logs]
    one, other = servers
    try:
        for how in ("invalidate", "invalidate-all", "console"):
            header = {"Authorization": f"Bearer {one.sign_in('admin', password)[2]['token']}"}
            before = {server.request("GET", "/api/me", **header)[0] for server in servers for _ in range(8)}
            if how == "console":
                assert home.flask("users", "sign-out", "admin").returncode == 0
            else:
                assert one.request("POST", f"/api/token/{how}", **header)[0] == 204
            after = [other.request("GET", "/api/me", **header) for _ in range(8)]
            after += [one.request("GET", "/api/me", **header) for _ in range(8)]
            assert before == {200}, how
            assert {(answer[0], answer[2]["message"]) for answer in after} == {(401, "Invalid JWT Token")}, how
    finally:
        for server in servers:
            server.stop()
    for server in servers:
        assert len({line["process"] for line in server.log_lines if line.get("route") == "/api/me<suffix:suffix>"}) == 2


def test_a_database_that_lacks_our_tables_stops_the_start(home: Home) -> None:
    home.set_up()
    assert home.flask("db", "downgrade", "p001").returncode == 0
    said = home.fails_to_serve()
    assert said.startswith(("gunicorn: ", "__main__.py: "))
    assert "poort_audit" in said.partition("The database lacks ")[2].partition(".")[0]
    assert "Run `bin/poort db upgrade` to create Poort's tables." in said
