"""The loop of a worker answers plain reads, and only while they are quick and their clients read."""

import json
import select
import socket
import struct
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from system.serving import GUNICORN, WAIT_SECONDS, Home, Server

pytest_plugins = ("system.fixtures",)

CONFIGURATION = """
import runpy
globals().update(runpy.run_path({configuration!r}))
PoortWorker.reads_in_loop = True
"""

#: Says which thread answers. User 7 takes a while, user 8 is large, user 9 fails.
APPLICATION = """
import json, threading, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.endswith("/7"):
        time.sleep(0.1)
    if path.endswith("/9"):
        raise ValueError(path)
    size = 16_000_000 if path.endswith("/8") else 0
    body = json.dumps([threading.current_thread() is threading.main_thread(), "x" * size]).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""

TOKEN = {"Authorization": "Bearer eyJ"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one worker that tells which thread answers."""
    home = Home(tmp_path_factory.mktemp("told")).write_env(JWT_PASSPHRASE="long enough")
    home.set_up()
    (home.folder / "told.py").write_text(APPLICATION)
    configuration = home.folder / "told.conf.py"
    configuration.write_text(CONFIGURATION.format(configuration=GUNICORN[-2]))
    variables = {"PYTHONPATH": str(home.folder), "WEB_CONCURRENCY": "1", "GUNICORN_CMD_ARGS": "--keep-alive 5"}
    server = Server((*GUNICORN[:-2], str(configuration), "told:app"), home.folder, home.environment(**variables)).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def kept_alive(told: Server) -> Iterator[HTTPConnection]:
    """A connection that has had an answer, at a time when reads are quick."""
    connection = told.connection()
    deadline = time.monotonic() + WAIT_SECONDS
    while not in_loop(connection, "/api/users/2"):
        assert time.monotonic() < deadline, "the loop answers no read"
    yield connection
    connection.close()


def in_loop(connection: HTTPConnection, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> bool:
    """Tell whether the loop answered a request."""
    given = TOKEN | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    assert answer.status == 200
    return bool(json.loads(answer.read())[0])


@pytest.mark.parametrize(
    "path", ["/api/users", "/api/users/2", "/api/users.json", "/api/users/123.jsonld", "/api/me", "/api/me.json"]
)
def test_loop_answers_plain_reads(kept_alive: HTTPConnection, path: str) -> None:
    assert in_loop(kept_alive, path)
    assert in_loop(kept_alive, path)


OTHERS = {
    "query": {"path": "/api/users?page=2"},
    "empty search": {"path": "/api/users?search="},
    "write": {"method": "PATCH", "body": b"{}"},
    "body of a GET": {"body": b"{}"},
    "chunked body of a GET": {"Transfer_Encoding": "chunked", "body": b"0\r\n\r\n"},
    "HEAD is no GET": {"method": "OPTIONS"},
    "expectation": {"Expect": "100-continue"},
    "other path": {"path": "/api/me/sessions"},
    "health": {"path": "/readyz"},
    "below a user": {"path": "/api/users/2/password"},
    "no number": {"path": "/api/users/two"},
    "API key": {"Authorization": "Bearer chamilo_ext_x"},
}


@pytest.mark.parametrize("request_", OTHERS.values(), ids=OTHERS)
def test_threads_answer_whatever_is_no_plain_read(kept_alive: HTTPConnection, request_: dict[str, str]) -> None:
    assert not in_loop(kept_alive, **{"path": "/api/users/2"} | request_)
    assert in_loop(kept_alive, "/api/users/2"), "the same connection goes on in the loop"


def test_first_request_of_a_connection_goes_to_a_thread_and_so_does_one_without_a_token(told: Server) -> None:
    connection = told.connection()
    assert not in_loop(connection, "/api/users/2")
    connection.request("GET", "/api/users/2")
    assert json.loads(connection.getresponse().read())[0] is False
    connection.close()


def test_after_a_slow_read_threads_answer_for_a_while(kept_alive: HTTPConnection) -> None:
    assert in_loop(kept_alive, "/api/users/7"), "nobody knew"
    begun = time.monotonic()
    assert not in_loop(kept_alive, "/api/users/2")
    while not in_loop(kept_alive, "/api/users/2"):
        assert time.monotonic() < begun + WAIT_SECONDS


def test_pipelined_reads_are_answered_in_order(told: Server, kept_alive: HTTPConnection) -> None:
    raw = b"GET /api/users/2 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer eyJ\r\n\r\n"
    last = raw.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert in_loop(kept_alive, "/api/users/2")
    assert [answer.status for answer in told.exchange(raw * 200 + last)] == [200] * 201


def test_request_that_comes_in_pieces_is_answered(told: Server, kept_alive: HTTPConnection) -> None:
    raw = b"GET /api/users/2 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer eyJ\r\n\r\n"
    assert in_loop(kept_alive, "/api/users/2")
    kept_alive.sock.sendall(raw[:20])
    assert told.request("GET", "/healthz")[0] == 200
    kept_alive.sock.sendall(raw[20:])
    assert b"200 OK" in kept_alive.sock.recv(65536)


def test_failure_in_the_loop_is_a_500_and_the_worker_goes_on(told: Server, kept_alive: HTTPConnection) -> None:
    (worker,) = told.workers()
    kept_alive.request("GET", "/api/users/9", headers=TOKEN)
    answer = kept_alive.getresponse()
    assert (answer.status, json.loads(answer.read())) == (500, {"error": "Internal Server Error"})
    assert told.workers() == {worker}


@pytest.mark.parametrize("closes", [False, True])
def test_client_that_does_not_read_holds_up_nobody_and_gets_all_of_its_answer_later(
    told: Server, kept_alive: HTTPConnection, *, closes: bool
) -> None:
    headers = TOKEN | ({"Connection": "close"} if closes else {})
    kept_alive.request("GET", "/api/users/8", headers=headers)
    select.select([kept_alive.sock], [], [], WAIT_SECONDS)  # the beginning is there, and the end does not fit
    for _ in range(20):
        assert told.request("GET", "/healthz")[0] == 200
    answer = kept_alive.getresponse()
    was_in_loop, text = json.loads(answer.read())
    assert (was_in_loop, len(text), answer.headers["Connection"]) == (True, 16_000_000, "close" if closes else "keep-alive")
    if not closes:
        in_loop(kept_alive, "/api/users/2")


def test_client_that_leaves_in_the_middle_of_an_answer_leaves_nothing_behind(told: Server, kept_alive: HTTPConnection) -> None:
    before = told.descriptors() - 1
    kept_alive.request("GET", "/api/users/8", headers=TOKEN)
    select.select([kept_alive.sock], [], [], WAIT_SECONDS)
    kept_alive.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    kept_alive.sock.close()
    kept_alive.close()
    told.wait_until(lambda: told.descriptors() <= before)
    assert told.request("GET", "/healthz")[0] == 200


def test_silent_connection_is_closed_after_its_time_although_the_loop_kept_it(kept_alive: HTTPConnection) -> None:
    assert in_loop(kept_alive, "/api/users/2")
    kept_alive.sock.settimeout(WAIT_SECONDS)
    assert kept_alive.sock.recv(1) == b""
