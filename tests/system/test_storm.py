"""More sign-ins than two workers can hash: reads on a real server do not suffer."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from load import Load
from system.serving import Home

pytest_plugins = ("system.fixtures",)

CLIENTS = 16


@pytest.mark.quiet
def test_no_read_fails_while_sign_ins_are_served_or_told_to_come_back(home: Home) -> None:
    # All clients sign in with one name and the right password, so the throttle must allow many.
    home.write_env(
        JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="11", PASSWORD_HASH_QUEUE="2", LOGIN_THROTTLING_MAX_ATTEMPTS="100"
    )
    password = home.set_up()
    server = home.serve(WEB_CONCURRENCY="2")
    reads = []
    try:
        headers = {"Authorization": f"Bearer {server.sign_in('admin', password)[2]['token']}"}

        def read() -> None:
            while not load.done.is_set():
                reads.append(server.request("GET", "/api/users/1", **headers)[0])

        load = Load(read, read)
        with load, ThreadPoolExecutor(CLIENTS) as pool:
            answers = list(pool.map(lambda _: server.sign_in("admin", password), range(CLIENTS)))
    finally:
        assert server.stop() == 0
    statuses = Counter(status for status, *_ in answers)
    assert statuses.keys() <= {200, 503}
    assert statuses[200] >= 2
    assert set(reads) == {200}
    refused = [answer for answer in answers if answer[0] == 503]
    assert refused
    assert all(headers["retry-after"] == "5" and list(body) == ["error"] for _, headers, body in refused)
    warnings = [line for line in server.log_lines if line["logger"] == "security.hashing"]
    assert len({line["process"] for line in warnings}) == len(warnings) <= 2, "each worker warns once, however many it refused"


def test_too_few_threads_for_those_who_wait_stop_the_start(home: Home) -> None:
    home.set_up()
    said = home.fails_to_serve(GUNICORN_CMD_ARGS="--threads 13")
    assert "PASSWORD_HASH_QUEUE is 12, so hashing can occupy 13 threads" in said
    assert said.count("\n") == 1
