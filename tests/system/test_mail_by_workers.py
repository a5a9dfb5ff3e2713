"""Mail to new users beside gunicorn: no request waits for it, and a worker delivers the waiting mail before it ends."""

import time
from pathlib import Path

from mail_server import mail_server
from system.serving import Home


def test_server_that_stops_sends_what_waits(tmp_path: Path) -> None:
    with mail_server(pause_seconds=1) as box:
        home = Home(tmp_path).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4", MAILER_DSN=box.dsn)
        password = home.set_up()
        server = home.serve(WEB_CONCURRENCY="1")
        headers = {"Authorization": f"Bearer {server.sign_in('admin', password)[2]['token']}"}
        begun = time.monotonic()
        for number in range(4):
            body = {"username": f"user{number}", "email": f"user{number}@example.org"}
            assert server.request("POST", "/api/access_urls/1/user", body, **headers)[0] == 201
        taken = time.monotonic() - begun
        before = len(box.messages)
        assert server.stop() == 0
        assert (before < 4, len(box.messages)) == (True, 4), (taken, server.log)
