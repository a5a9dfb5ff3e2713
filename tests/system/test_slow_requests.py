"""Clients that send or read slowly, or not at all, without nginx: they occupy no thread, and their connections end in time."""

import http.client
import json
import os
import re
import select
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial

import pytest
from system.serving import GUNICORN, HEALTHY, WAIT_SECONDS, Answer, Home, Server

from blueprints.request_hooks import SAFE_HEADERS

pytest_plugins = ("system.fixtures",)

CONFIGURATION = """
import runpy
globals().update(runpy.run_path({configuration!r}))
from deploy.arriving_requests import Limits
JsonWorker.limits = Limits({limits})
"""
LATE = {"error": "The request did not arrive in time."}
TOO_MANY = {"error": "Too many requests are arriving slowly at the moment."}

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/authentication_token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
STALLED = {
    "one byte": b"G",
    "empty line": b"\r\n",
    "head": GET,
    "head after an empty line": b"\r\n" + GET,
    "head that lacks its last byte": GET + b"\r",
    "no body": POST + b"Content-Length: 9\r\n\r\n",
    "part of a body": POST + b"Content-Length: 9\r\n\r\n{",
    "body of a GET": GET + b"Content-Length: 9\r\n\r\n{",
    "no chunk": CHUNKED,
    "part of a chunk": CHUNKED + b"9\r\n{",
    "no last chunk": CHUNKED + b"2\r\n{}\r\n",
    "part of the last chunk": CHUNKED + b"2\r\n{}\r\n0\r\n",
    "chunk that looks like the last one": CHUNKED + b"9\r\n{\r\n\r\n",
    "chunks of more than the loop holds": CHUNKED + b"ffff\r\n" + b" " * 12_000,
    "body that waits for 100": POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "second request": GET + b"\r\n" + GET,
}


def start(home: Home, limits: str, application: str = GUNICORN[-1], **variables: str) -> Server:
    """Start a server with other limits on slow clients."""
    configuration = home.folder / "slow.conf.py"
    configuration.write_text(CONFIGURATION.format(configuration=GUNICORN[-2], limits=limits))
    command = (*GUNICORN[:-2], str(configuration), application)
    return Server(command, home.folder, home.environment(**variables)).start()


@contextmanager
def served(home: Home, limits: str, **variables: str) -> Iterator[Server]:
    home.set_up()
    server = start(home, limits, **variables)
    try:
        yield server
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits half a second for progress, a second and a half for a whole request, and one for the next request."""
    home = Home(tmp_path_factory.mktemp("quick")).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4")
    limits = "prompt_seconds=0.05, stall_seconds=0.5, whole_seconds=1.5"
    with served(home, limits, GUNICORN_CMD_ARGS="--keep-alive 1") as server:
        yield server


def opened(server: Server, raw: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS)
    connection.sendall(raw)
    return connection


def answers_of(connection: socket.socket) -> list[Answer]:
    """Read until the server closes the connection; return all answers."""
    received = b""
    while part := connection.recv(65536):
        received += part
    connection.close()
    found = re.split(rb"(?=HTTP/1\.1 \d{3} )", received.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b""))
    return [Answer.read(text) for text in found if text]


@pytest.mark.parametrize("raw", STALLED.values(), ids=STALLED)
def test_a_request_that_makes_no_progress_is_408_and_ends_the_connection(quick: Server, raw: bytes) -> None:
    *before, answer = answers_of(opened(quick, raw))
    assert [earlier.status for earlier in before] == [200] * (raw.count(b"GET") - 1)
    assert (answer.status, answer.json) == (408, LATE)
    assert (answer.headers["connection"], answer.headers["content-type"]) == ("close", "application/json")
    assert {name: answer.headers.get(name.lower()) for name in SAFE_HEADERS} == SAFE_HEADERS
    said = [line for line in quick.log_lines if line.get("request_id") == answer.headers["x-request-id"]]
    assert [line["status"] for line in said] == [408]


TRICKLED = {
    "head": GET,
    "request line": b"",
    "body": POST + b"Content-Length: 999\r\n\r\n",
    "chunk size": CHUNKED,
    "chunk that a thread reads": CHUNKED + b"fff\r\n\r\n\r\n",
}


def trickle(server: Server, start: bytes) -> tuple[Answer, int]:
    """Send a byte each tenth of a second until there is an answer; return it, and how many were sent."""
    connection, sent = opened(server, start), 0
    while not select.select([connection], [], [], 0.1)[0]:
        connection.sendall(b"1")
        sent += 1
    answer = Answer.read(connection.recv(65536))
    connection.close()
    return answer, sent


@pytest.mark.quiet
def test_requests_that_trickle_end_when_they_have_taken_too_long(quick: Server) -> None:
    """Each byte arrives before the time limit on progress."""
    with ThreadPoolExecutor(len(TRICKLED)) as pool:
        ended = dict(zip(TRICKLED, pool.map(partial(trickle, quick), TRICKLED.values()), strict=True))
    assert {name: (answer.status, answer.json) for name, (answer, _) in ended.items()} == dict.fromkeys(TRICKLED, (408, LATE))
    assert min(sent for _, sent in ended.values()) > 5, "the limit on progress was not what ended it"


@pytest.mark.parametrize("raw", [b"", GET + b"\r\n"])
def test_a_connection_without_a_byte_of_a_request_is_closed_silently(quick: Server, raw: bytes) -> None:
    lines = len([line for line in quick.log_lines if line["level"] == "warning"])
    assert [answer.status for answer in answers_of(opened(quick, raw))] == ([200] if raw else [])
    assert len([line for line in quick.log_lines if line["level"] == "warning"]) == lines


def test_a_client_that_was_busy_for_a_while_goes_on_with_its_connection(home: Home) -> None:
    """Node.js keeps an idle connection for 4 s. While its one thread is busy, it cannot see that a server has closed it."""
    with served(home, "", WEB_CONCURRENCY="1") as server, closing(server.connection()) as connection:
        for seconds in (0, 7):
            time.sleep(seconds)
            connection.request("GET", "/healthz")
            assert json.loads(connection.getresponse().read()) == HEALTHY


def test_idle_connections_make_room_for_new_ones(home: Home) -> None:
    """gunicorn keeps as many idle ones as it has connections beyond its threads; silent new ones take the rest."""
    variables = {"WEB_CONCURRENCY": "1", "PASSWORD_HASH_QUEUE": "0", "GUNICORN_CMD_ARGS": "--worker-connections 8"}
    with served(home, "stall_seconds=60", **variables) as server, ExitStack() as stack:
        idle = [stack.enter_context(opened(server, GET + b"\r\n")) for _ in range(4)]
        assert {Answer.read(connection.recv(65536)).headers["connection"] for connection in idle} == {"keep-alive"}
        silent = [stack.enter_context(opened(server, b"")) for _ in range(4)]
        assert server.request("GET", "/healthz")[2] == HEALTHY
        assert idle[0].recv(1) == b""
        assert not select.select([idle[-1], *silent], [], [], 0)[0]


def test_complete_requests_are_answered_beside_200_stalled_ones_that_are_few_or_refused(home: Home) -> None:
    with served(home, "stall_seconds=3", WEB_CONCURRENCY="2") as server, ExitStack() as stack:
        kinds = list(STALLED.values())
        held = [stack.enter_context(opened(server, kinds[number % len(kinds)])) for number in range(200)]
        for _ in range(20):
            assert server.request("GET", "/healthz")[2] == HEALTHY
            assert server.request("POST", "/api/authentication_token", {"username": "x", "password": "y"})[0] == 401
        last = [answers_of(connection)[-1] for connection in held]
    statuses = Counter((answer.status, answer.json["error"]) for answer in last)
    assert statuses.keys() == {(408, LATE["error"]), (503, TOO_MANY["error"])}
    assert statuses[408, LATE["error"]] <= 2 * (4 + 2), "a quarter of the threads, and two that read chunks"
    assert {answer.headers["retry-after"] for answer in last if answer.status == 503} == {"5"}
    assert {answer.headers["connection"] for answer in last} == {"close"}
    refused = [line for line in server.log_lines if line["message"].startswith("refused before the application: ")]
    assert len(refused) <= 200


def test_a_place_among_the_slow_is_free_again_when_its_request_has_arrived(home: Home) -> None:
    """One thread is a quarter of four."""
    with served(home, "prompt_seconds=0", WEB_CONCURRENCY="1", PASSWORD_HASH_QUEUE="0") as server:
        for _ in range(3):
            both = {opened(server, GET), opened(server, GET)}
            refused = select.select(both, [], [], WAIT_SECONDS)[0]
            assert [[answer.status for answer in answers_of(connection)] for connection in refused] == [[503]]
            (held,) = both.difference(refused)
            held.sendall(b"Connection: close\r\n\r\n")
            assert [answer.status for answer in answers_of(held)] == [200]


def test_requests_in_two_packets_are_not_slow(home: Home) -> None:
    """Many clients send the head and the body in separate packets."""
    with served(home, "prompt_seconds=5", WEB_CONCURRENCY="1") as server:
        body = b'{"username":"x","password":"y"}'
        head = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        connections = [opened(server, head) for _ in range(40)]
        assert server.request("GET", "/healthz")[2] == HEALTHY
        for connection in connections:
            connection.sendall(body)
        assert [answers_of(connection)[0].status for connection in connections] == [401] * 40


def test_a_client_that_waits_for_100_continue_gets_it_once_and_then_its_answer(quick: Server) -> None:
    body = b'{"username":"x","password":"y"}'
    for framing, framed in (
        (b"Content-Length: %d" % len(body), body),
        (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
    ):
        connection = opened(quick, POST + b"Connection: close\r\nExpect: 100-continue\r\n" + framing + b"\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(framed)
        assert [answer.status for answer in answers_of(connection)] == [401]


SPLIT = POST + b"Content-Length: 31\r\n\r\n" + b'{"username":"x","password":"y"}' + CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_requests_may_come_in_pieces_of_any_size(home: Home, size: int) -> None:
    with served(home, "") as server:
        raw = SPLIT + GET + b"Connection: close\r\n\r\n"
        connection = opened(server, b"")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(raw), size):
            connection.sendall(raw[start : start + size])
            select.select([], [], [], 0.0005)
        assert [answer.status for answer in answers_of(connection)] == [401, 400, 200]


def test_a_body_that_nobody_reads_does_not_spoil_the_connection(quick: Server) -> None:
    head = b"POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    connection = opened(quick, head)
    connection.sendall(b"unread..." + GET + b"Connection: close\r\n\r\n")
    assert [(answer.status, answer.headers["connection"]) for answer in answers_of(connection)] == [
        (404, "keep-alive"),
        (200, "close"),
    ]


def test_a_body_that_is_too_large_is_413_without_waiting_for_it(quick: Server) -> None:
    connection = opened(quick, POST + b"Content-Length: 99999999\r\n\r\n{")
    assert [(answer.status, answer.headers["connection"]) for answer in answers_of(connection)] == [(413, "close")]


SIZED = b"""
import itertools
numbers = itertools.count()
def app(environ, start_response):
    number = next(numbers)
    text = environ["PATH_INFO"][1:]
    body = b"%d" % number if text == "number" else b"1" * (int(text) if text.isdigit() else 2)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""
MEGABYTE = 1024 * 1024


@contextmanager
def served_by_size(home: Home, limits: str, **variables: str) -> Iterator[Server]:
    """A server that answers with as many bytes as the path says, or with the number of requests before."""
    home.set_up()
    (home.folder / "sized.py").write_bytes(SIZED)
    server = start(home, limits, "sized:app", PYTHONPATH=str(home.folder), WEB_CONCURRENCY="1", **variables)
    try:
        yield server
    finally:
        assert server.stop() == 0


def flood(server: Server, raw: bytes) -> socket.socket:
    """Send a request until the server takes no more, and read nothing."""
    connection = opened(server, raw)
    connection.setblocking(False)
    while select.select([], [connection], [], 0.3)[1]:
        connection.send(raw * 100)
    return connection


@pytest.mark.parametrize(
    "raw", [b"GET /4194304 HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD /2 HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["GET", "HEAD"]
)
def test_answers_that_nobody_reads_occupy_no_thread(home: Home, raw: bytes) -> None:
    """The server has four threads."""
    with served_by_size(home, "stall_seconds=60", PASSWORD_HASH_QUEUE="0") as server, ExitStack() as stack:
        unread = [stack.enter_context(flood(server, raw)) for _ in range(6)]
        for _ in range(20):
            assert server.request("GET", "/")[2] == 11
        unread[0].setblocking(True)
        assert len(read_all(unread[0], raw.partition(b" ")[0].decode())) == (4 * MEGABYTE if raw.startswith(b"GET") else 0)


def test_a_client_that_does_not_read_has_few_requests_answered(home: Home) -> None:
    """Its own buffer takes some 60 answers, and the kernel's would take 7,000 more."""
    with served_by_size(home, "stall_seconds=60") as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.setblocking(False)
        while select.select([], [client], [], 0.3)[1]:
            client.send(b"GET /200 HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        assert 40 < server.request("GET", "/number")[2] < 400


def test_what_clients_do_not_read_has_a_limit_together(home: Home) -> None:
    with served_by_size(home, "") as server:
        raw = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % (40 * MEGABYTE)
        with opened(server, raw) as first:
            assert first.recv(1, socket.MSG_PEEK) == b"H"
            with opened(server, raw) as second, pytest.raises(ConnectionResetError):
                read_all(second)
            assert len(read_all(first)) == 40 * MEGABYTE


def read_all(connection: socket.socket, method: str = "GET") -> bytes:
    """Read one answer; return its body."""
    answer = http.client.HTTPResponse(connection, method=method)
    answer.begin()
    return answer.read()


def read_never(connection: socket.socket) -> None:
    while not select.select([], [], [connection], 0.1)[2]:
        error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise ConnectionResetError(error, os.strerror(error))


def read_slowly(connection: socket.socket) -> int:
    """Read until the connection ends; return the number of bytes."""
    received = 0
    while data := connection.recv(65536):
        received += len(data)
        select.select([], [], [], 0.1)
    return received


@pytest.mark.parametrize("read", [read_never, read_slowly])
def test_an_answer_that_is_not_read_in_time_ends_the_connection(home: Home, read: Callable[[socket.socket], object]) -> None:
    with served_by_size(home, "stall_seconds=0.5, whole_seconds=0.5, least_read_bytes=64 * 1024 * 1024") as server:
        raw = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % (64 * MEGABYTE)
        with opened(server, raw) as connection, pytest.raises(ConnectionResetError):
            read(connection)
        assert server.request("GET", "/")[2] == 11
        said = [line for line in server.log_lines if line["message"].startswith("the client does not read the answer")]
        assert [line["level"] for line in said] == ["warning"]


def test_a_long_answer_has_more_time(home: Home) -> None:
    """`read_slowly` takes some three seconds for two megabytes, of which the kernel takes few without waiting."""
    raw = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % (2 * MEGABYTE)
    with served_by_size(home, "whole_seconds=0.5, least_read_bytes=65536") as server, opened(server, raw) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert read_slowly(connection) > 2 * MEGABYTE


def leave_politely(connection: socket.socket) -> None:
    with suppress(OSError):
        answers_of(connection)


def leave_at_once(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_thousand_stalled_connections_leave_no_descriptor_behind(home: Home) -> None:
    with served(home, "prompt_seconds=0.05, stall_seconds=0.5, whole_seconds=1.5", WEB_CONCURRENCY="1") as server:
        kinds = [b"", *STALLED.values()]
        before = None
        for leave in (leave_politely, leave_politely, leave_politely, leave_at_once, leave_at_once):
            connections = [opened(server, kinds[number % len(kinds)]) for number in range(200)]
            for connection in connections:
                leave(connection)
            assert server.request("GET", "/healthz")[2] == HEALTHY
            if before is None:  # by now the worker has opened its database connections
                before = server.descriptors()
        server.wait_until(lambda: server.descriptors() <= before)


def listens(server: Server) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", server.port)) == 0


def test_an_end_in_order_waits_for_slow_requests_as_long_as_they_may_take_and_answers_them(home: Home) -> None:
    home.set_up()
    server = start(home, "stall_seconds=2", WEB_CONCURRENCY="1")
    stalled, arriving, silent = (opened(server, raw) for raw in (GET, GET, b""))
    server.request("GET", "/healthz")
    server.process.send_signal(signal.SIGTERM)
    server.wait_until(lambda: not listens(server))
    arriving.sendall(b"\r\n")
    assert [(answer.status, answer.headers["connection"]) for answer in answers_of(arriving)] == [(200, "close")]
    assert [answer.json for answer in answers_of(stalled)] == [LATE]
    assert answers_of(silent) == []
    assert server.process.wait(WAIT_SECONDS) == 0


def test_new_settings_are_not_held_up_by_slow_requests(home: Home) -> None:
    with served(home, "stall_seconds=2", WEB_CONCURRENCY="2") as server:
        before = server.all_workers()
        stalled = [opened(server, GET) for _ in range(8)]
        server.process.send_signal(signal.SIGHUP)
        server.wait_until(lambda: len(server.workers() - before) == 2)
        assert server.request("GET", "/healthz")[2] == HEALTHY
        assert {answers_of(connection)[-1].status for connection in stalled} <= {408, 503}
        server.wait_until(lambda: not server.workers() & before)


def test_a_large_body_in_small_pieces_is_taken(quick: Server) -> None:
    body = json.dumps({"username": "x" * 500_000, "password": "y"}).encode()
    connection = opened(quick, POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    for start in range(0, len(body), 1000):
        connection.sendall(body[start : start + 1000])
    assert [answer.status for answer in answers_of(connection)] in ([400], [401], [413])


def test_tls_of_gunicorn_itself_stops_the_start(home: Home) -> None:
    home.set_up()
    said = home.fails_to_serve(GUNICORN_CMD_ARGS="--certfile certificate.pem --keyfile certificate.key")
    assert "gunicorn cannot terminate TLS here" in said
    assert said.count("\n") == 1
