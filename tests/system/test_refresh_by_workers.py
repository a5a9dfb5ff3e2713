"""Refresh tokens on a real server: at any worker, and many at once."""

from concurrent.futures import ThreadPoolExecutor

from system.serving import Home

pytest_plugins = ("system.fixtures",)

ROUTE = "/api/token/refresh"


def test_any_worker_refreshes_what_any_worker_gave(home: Home) -> None:
    password = home.set_up()
    server = home.serve(WEB_CONCURRENCY="2", REFRESH_TOKEN_TTL="3600")

    def refresh(token: str) -> tuple[int, dict[str, str], dict[str, str]]:
        return server.request("POST", ROUTE, {"refresh_token": token})

    try:
        token, statuses = server.sign_in("admin", password)[2]["refresh_token"], []
        for _ in range(20):
            status, _, given = refresh(token)
            token = given["refresh_token"]
            header = {"Authorization": f"Bearer {given['token']}"}
            statuses += [status, server.request("GET", "/api/me", **header)[0]]
        with ThreadPoolExecutor(30) as pool:
            raced = list(pool.map(refresh, [token] * 30))
        last = refresh(raced[0][2]["refresh_token"])
        sessions = server.request("GET", "/api/me/sessions", Authorization=f"Bearer {last[2]['token']}")[2]
        ended = server.request("POST", "/api/token/invalidate", Authorization=f"Bearer {last[2]['token']}")[0]
        after = [refresh(last[2]["refresh_token"])[0] for _ in range(8)]
    finally:
        server.stop()
    assert statuses == [200] * 40
    assert [answer[0] for answer in raced] == [200] * 30
    assert len({answer[2]["refresh_token"] for answer in raced}) == 1
    assert (last[0], [session["current"] for session in sessions]) == (200, [True])
    assert (ended, after) == (204, [401] * 8)
    refreshes = [line for line in server.log_lines if line.get("route") == ROUTE]
    assert len({line["process"] for line in refreshes}) == 2
    assert "refresh_token_reused" not in server.log
