"""Requests that gunicorn refuses or passes on broken: the answer is JSON, and never a 5xx except the intended 501."""

import json
import socket
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime

import pytest
from system.serving import HEALTHY, WAIT_SECONDS, Server

from blueprints.request_hooks import SAFE_HEADERS

pytest_plugins = ("system.fixtures",)

HOST = b"Host: x\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST

REFUSED = {
    "long request line": (414, b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "long query": (414, b"GET /api/users?" + b"a" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "long field": (431, GET + b"X-A: " + b"a" * 9000 + b"\r\n\r\n"),
    "many fields": (431, GET + b"".join(b"X-%d: a\r\n" % number for number in range(120)) + b"\r\n"),
    "no version": (400, b"GET /healthz\r\n\r\n"),
    "TLS to a plain port": (400, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"),
    "method": (400, b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "lower-case method": (400, b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n"),
    "version": (400, b"GET / HTTP/3.0\r\n" + HOST + b"\r\n"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "no host": (400, b"GET /healthz HTTP/1.1\r\n\r\n"),
    "two hosts": (400, GET + b"Host: y\r\n\r\n"),
    "length and chunks": (400, GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, GET + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    "signed length": (400, GET + b"Content-Length: +0\r\n\r\n"),
    "negative length": (400, GET + b"Content-Length: -1\r\n\r\n"),
    "identity coding": (400, GET + b"Transfer-Encoding: identity\r\n\r\n"),
    "chunked, identity": (400, GET + b"Transfer-Encoding: chunked, identity\r\n\r\n"),
    "unknown coding": (501, GET + b"Transfer-Encoding: xchunked\r\n\r\n"),
    "chunks in HTTP/1.0": (400, b"POST /api/users HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "folded field": (400, GET + b"X-A: b\r\n c\r\n\r\n"),
    "NUL": (400, GET + b"X-A: b\0c\r\n\r\n"),
    "vertical tab": (400, GET + b"Transfer-Encoding:\x0bchunked\r\n\r\n"),
    "bare line feeds": (400, b"GET /healthz HTTP/1.1\nHost: x\n\n"),
    "space before the colon": (400, GET + b"X-A : b\r\n\r\n"),
    "raw UTF-8 path": (400, "GET /é HTTP/1.1\r\n".encode() + HOST + b"\r\n"),
    "expectation": (417, GET + b"Expect: tea\r\n\r\n"),
}


#: The words of `X-Error-Code`.
WORDS = {
    400: "invalid_http",
    414: "uri_too_long",
    417: "expectation_failed",
    431: "header_fields_too_large",
    501: "not_implemented",
}


@pytest.mark.parametrize(("status", "raw"), REFUSED.values(), ids=REFUSED)
def test_a_request_that_is_refused_before_the_application_is_answered_in_json(server: Server, status: int, raw: bytes) -> None:
    answers = server.exchange(raw)
    assert [answer.status for answer in answers] == [status]
    assert answers[0].headers["content-type"] == "application/json"
    assert answers[0].headers["connection"] == "close"
    assert int(answers[0].headers["content-length"]) == len(answers[0].text.encode())
    assert list(answers[0].json) == ["error"]
    assert answers[0].headers["x-error-code"] == WORDS[status]
    refused = [line for line in server.log_lines if line.get("request_id") == answers[0].headers["x-request-id"]]
    assert [line["status"] for line in refused] == [status]


def test_no_answer_tells_what_the_server_is(server: Server) -> None:
    for raw in (GET + b"\r\n", REFUSED["method"][1], b"GET /api/nope HTTP/1.1\r\n" + HOST + b"\r\n"):
        answer = server.exchange(raw)[0]
        assert "server" not in answer.headers
        assert "date" in answer.headers or answer.headers["connection"] == "close"
        said = f"{answer.headers} {answer.text}".lower()
        assert not [word for word in ("gunicorn", "python", "flask", "werkzeug", "27.") if word in said]


def test_answer_says_when_it_was_made_and_whether_another_may_follow(server: Server) -> None:
    last, old = GET + b"Connection: close\r\n\r\n", b"GET /healthz HTTP/1.0\r\n" + HOST + b"\r\n"
    answers = [answer for raw in (GET + b"\r\n" + last + GET + b"\r\n", old) for answer in server.exchange(raw)]
    assert [(answer.status, answer.headers["connection"]) for answer in answers] == [
        (200, "keep-alive"), (200, "close"), (200, "close"),
    ]  # fmt: skip
    made = [parsedate_to_datetime(answer.headers["date"]).timestamp() for answer in answers]
    assert made == sorted(made)
    assert abs(made[-1] - time.time()) < WAIT_SECONDS


def test_a_refusal_has_the_safe_headers_of_every_answer(server: Server) -> None:
    for raw in (GET + b"\r\n", REFUSED["method"][1]):
        headers = server.exchange(raw)[0].headers
        assert {name: headers.get(name.lower()) for name in SAFE_HEADERS} == SAFE_HEADERS


@pytest.mark.parametrize("path", ["/api/users", "/healthz", "/nope"])
def test_trace_echoes_nothing(server: Server, path: str) -> None:
    answers = server.exchange(f"TRACE {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hush\r\n\r\n".encode())
    assert [answer.status for answer in answers] == [404 if path == "/nope" else 405]
    assert answers[0].headers["content-type"] == "application/json"
    assert "hush" not in answers[0].text


@pytest.mark.parametrize("target", ["x:443", "/api/users", "http://x/api/users"])
def test_nobody_gets_a_tunnel(server: Server, target: str) -> None:
    answers = server.exchange(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert [answer.status in {400, 404, 405} for answer in answers] == [True]
    assert list(answers[0].json) == ["error"]


def test_what_is_taken_for_a_request_line_is_not_logged(server: Server) -> None:
    first, second = server.exchange(GET + b'\r\n{"username":"alice","password":"hush hush"}\r\n\r\n')
    assert (first.status, second.status) == (200, 400)
    assert "hush" not in second.text + server.log


def test_an_unread_body_that_is_broken_brings_no_second_answer(server: Server) -> None:
    head = b"POST /api/users HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    for raw in (GET + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", head + b"zz\r\n"):
        assert len(server.exchange(raw)) == 1


def chunks(*parts: bytes) -> bytes:
    return b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


BROKEN = {
    "whole, and shorter than it says": lambda body: b"Content-Length: %d\r\n\r\n%b" % (len(body) + 9, body),
    "broken off": lambda body: b"Content-Length: %d\r\n\r\n%b" % (len(body), body[:9]),
    "nothing": lambda body: b"Content-Length: %d\r\n\r\n" % len(body),
    "chunk size": lambda body: b"Transfer-Encoding: chunked\r\n\r\nzz\r\n%b\r\n0\r\n\r\n" % body,
    "end of a chunk": lambda body: chunks(body)[:-2] + b"XX0\r\n\r\n",
    "chunk broken off": lambda body: b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b" % (len(body) + 9, body),
    "no last chunk": chunks,
    "chunk extension": lambda body: b"Transfer-Encoding: chunked\r\n\r\n%x;\0\r\n%b\r\n0\r\n\r\n" % (len(body), body),
    "trailer": lambda body: chunks(body) + b"0\r\nbad trailer\r\n\r\n",
}
PATHS = ("/api/authentication_token", "/api/users")


def head_and_body(server: Server, path: str, username: str = "zed") -> tuple[bytes, bytes]:
    password = server.environment["ADMIN_PASSWORD"]
    credentials = {"username": "admin", "password": password}
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    if path == "/api/users":
        token = server.sign_in("admin", password)[2]["token"]
        return f"{head}Authorization: Bearer {token}\r\n".encode(), json.dumps(
            {"username": username, "email": "zed@example.com"}
        ).encode()
    return head.encode(), json.dumps(credentials).encode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_body_is_400(server: Server, path: str, fault: str) -> None:
    head, body = head_and_body(server, path)
    answers = server.exchange(head + BROKEN[fault](body))
    assert [(answer.status, answer.json) for answer in answers] == [
        (400, {"error": "The body of the request could not be read to its end."})
    ]
    assert answers[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [1024 * 1024, 1024 * 1024 + 1, 3 * 1024 * 1024])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_a_mebibyte_is_413(server: Server, path: str, size: int, chunked: bool) -> None:
    if (size, chunked) == (1024 * 1024, False):
        size += 1
    head, body = head_and_body(server, path)
    body = body.ljust(size)
    raw = head + (chunks(body) + b"0\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n%b" % (size, body))
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        with suppress(OSError):  # the server stops reading before the end
            connection.sendall(raw)
        first = connection.recv(65536).split(b"\r\n")[0]
    assert first.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("path", "status", "name"), [(PATHS[0], 200, ""), (PATHS[1], 201, "chunky")])
def test_a_body_in_chunks_is_read(server: Server, path: str, status: int, name: str) -> None:
    head, body = head_and_body(server, path, name)
    assert [answer.status for answer in server.exchange(head + chunks(body[:5], body[5:]) + b"0\r\n\r\n")] == [status]


def test_who_asks_is_not_told_by_a_stranger(server: Server) -> None:
    """Without TRUSTED_PROXIES neither gunicorn nor the application believes X-Forwarded-*."""
    forwarded = b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Ssl: off\r\nSCRIPT_NAME: /x\r\n"
    answer = server.exchange(b"GET /api/nope HTTP/1.1\r\n" + HOST + forwarded + b"\r\n")[0]
    assert answer.json == {"error": 'No route found for "GET http://x/api/nope"'}


@pytest.mark.quiet
def test_clients_that_do_not_close_do_not_stop_a_worker(server: Server) -> None:
    asked = GET + b"Connection: close\r\n\r\n"
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(6)]
    for connection in held:
        connection.sendall(asked)
    time.sleep(0.2)
    begun = time.monotonic()
    for _ in range(6):
        assert server.request("GET", "/healthz")[2] == HEALTHY
    assert time.monotonic() - begun < 1
    for connection in held:
        connection.close()


def test_a_connection_serves_many_requests(server: Server) -> None:
    answers = server.exchange((GET + b"\r\n") * 5)
    assert [(answer.status, answer.headers["connection"]) for answer in answers] == [(200, "keep-alive")] * 5


@pytest.mark.parametrize("target", ["{}", "http://x{}", "http://evil.example{}"])
@pytest.mark.parametrize(
    "path",
    [
        *("//api/users/1", "//api/users/1/", "/api/users/1%2f", "/api/users/1%2F", "/api//users/1", "/%2fapi/users/1"),
        *("/api%2Fusers/1", "//evil.example/api/users/1/", "/api/users/1/%2f", "/%2f%2fevil.example/"),
    ],
)
def test_a_user_has_one_path_and_no_other_is_answered_or_redirected(server: Server, path: str, target: str) -> None:
    token = server.sign_in("admin", server.environment["ADMIN_PASSWORD"])[2]["token"]
    head = f"GET {target.format(path)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    (answer,) = server.exchange(head.encode())
    assert (answer.status, "location" in answer.headers) == (404, False)
    assert answer.json == {"error": f'No route found for "GET http://x{path}"'}


@pytest.mark.parametrize("target", ["{}", "http://x{}", "http://evil.example{}"])
@pytest.mark.parametrize("path", ["/api/users", "/api/users/1"])
@pytest.mark.parametrize("end", ["/", "/?page=1", "/#here"])
def test_a_slash_too_many_is_redirected_to_the_one_path(server: Server, path: str, end: str, target: str) -> None:
    (answer,) = server.exchange(f"GET {target.format(path + end)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    query = "?page=1" if "?" in end else ""
    assert (answer.status, answer.headers["location"]) == (301, f"http://x{path}{query}")
