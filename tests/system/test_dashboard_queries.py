"""Every query of deploy/grafana-dashboard.json, answered by a real Prometheus that scrapes a real server under load."""

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from installed import needed
from system.serving import GUNICORN, WAIT_SECONDS, Home, Server

from benchmarks.prometheus import start_prometheus
from benchmarks.services import free_port
from config.settings import ROOT

pytestmark = pytest.mark.services

DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
QUERIES = [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] if panel["type"] != "row" for target in panel["targets"]
]
# `rate` needs two scrapes in its range.
VARIABLES = {"$instance": ".*", "$__rate_interval": "4s"}


def asked(port: int, query: str) -> dict[str, Any]:
    """Return the answer of Prometheus, with an error, too."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    with urlopen(f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': query})}", timeout=WAIT_SECONDS) as answer:
        return dict(json.load(answer))


def values(port: int, query: str) -> list[float]:
    return [float(series["value"][1]) for series in asked(port, query)["data"]["result"]]


def use(server: Server, password: str, is_over: threading.Event) -> None:
    """Sign in, read and fail as users do, until the end."""
    path = "/api/authentication_token"
    while not is_over.wait(0.03):
        with suppress(OSError):  # the server ends
            token = server.sign_in("admin", password)[2]["token"]
            server.request("POST", path, {"username": "admin", "password": "wrong"})
            for _ in range(5):
                server.request("GET", "/api/users", Authorization=f"Bearer {token}")
            server.request("GET", "/api/me", Authorization="Bearer no")
            server.request("GET", "/readyz")
            server.request("POST", "/api/token/invalidate", {}, Authorization=f"Bearer {token}")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Prometheus that has scraped a busy server a few times."""
    home = Home(tmp_path_factory.mktemp("watched")).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4")
    password, metrics_port, is_over = home.set_up(), free_port(), threading.Event()
    program, port = needed(lambda: start_prometheus(metrics_port, 0.5))
    environment = home.environment(WEB_CONCURRENCY="2", METRICS_PORT=str(metrics_port), LOGIN_THROTTLING_MAX_ATTEMPTS="10000")
    server = Server(GUNICORN, home.folder, environment).start()
    user = threading.Thread(target=use, args=(server, password, is_over))
    user.start()
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        last = 'rate(poort_http_request_duration_seconds_count{route="/api/token/invalidate"}[4s])'
        # On a busy machine, the requests begin after those scrapes.
        while (values(port, "sum(count_over_time(poort_workers[1m]))") or [0])[0] < 6 or not values(port, last):
            assert time.monotonic() < deadline, program.log
            time.sleep(0.2)
        yield port
    finally:
        is_over.set()
        user.join(WAIT_SECONDS)
        server.stop()
        program.stop()


def test_queries_find_numbers(prometheus: int) -> None:
    found = {(title, query): values(prometheus, query) for title, query in QUERIES}
    assert [key for key, numbers in found.items() if not numbers] == [], "nothing is found"
    assert [key for key, numbers in found.items() if not any(map(math.isfinite, numbers))] == [], "no number is found"
    shown = {title: max(numbers) for (title, _), numbers in found.items()}
    assert (shown["Servers up"], shown["Workers"]) == (1, 2)
    for title in (
        "Requests",
        "Requests by route",
        "Duration of reads",
        "Duration of sign-ins",
        "Sign-ins by outcome",
        "CPU",
        "Memory",
    ):
        assert shown[title] > 0, title


def test_alerts_marks_and_instances_have_valid_queries(prometheus: int) -> None:
    notes = [note["target"]["expr"] for note in DASHBOARD["annotations"]["list"]]
    assert [query for query in notes if asked(prometheus, query)["status"] != "success"] == []
    (variable,) = (one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query")
    assert variable == 'label_values(up{job="poort"}, instance)'
    assert values(prometheus, 'up{job="poort"}') == [1]
