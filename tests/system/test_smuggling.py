"""Request smuggling: a request hidden in the body of another reaches no view, with or without nginx."""

from dataclasses import dataclass

import pytest
from system.proxied import HOST, Proxied
from system.serving import Home, Server

pytest_plugins = ("system.fixtures",)

HOST_FIELD = f"Host: {HOST}\r\n".encode()
#: The hidden request. If it were served, the access log would have a line with its id and route.
INNER = b"GET /api/users/987654321 HTTP/1.1\r\n" + HOST_FIELD + b"X-Request-Id: smuggled\r\n\r\n"
ROUTE = "/api/users/<"
#: The last request, for a server that takes the request before it for complete.
LAST = b"GET /healthz HTTP/1.1\r\n" + HOST_FIELD + b"Connection: close\r\n\r\n"
END = b"0\r\n\r\n"


@dataclass
class Attempt:
    """Bytes, and the statuses with which gunicorn alone answers; a final 200 means that it answered LAST."""

    raw: bytes
    statuses: tuple[int, ...]


def post(fields: bytes, body: bytes, target: bytes = b"POST /api/authentication_token HTTP/1.1") -> bytes:
    return target + b"\r\n" + HOST_FIELD + b"Content-Type: application/json\r\n" + fields + b"\r\n\r\n" + body


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def with_length_too(coding: bytes) -> bytes:
    """A body that is empty when read as chunks, and holds a request when read by its length."""
    body = END + INNER
    return post(length(body) + b"\r\n" + coding, body)


def chunk(size: bytes, data: bytes = b"{}") -> bytes:
    return post(b"Transfer-Encoding: chunked", size + b"\r\n" + data + b"\r\n" + END + INNER)


#: Content-Length with Transfer-Encoding, plain or in disguise. If gunicorn does not recognize the coding, it uses the length.
CODINGS: dict[str, tuple[tuple[int, ...], bytes]] = {
    "plain": ((400,), b"Transfer-Encoding: chunked"),
    "case": ((400,), b"tRANSFER-eNCODING: ChUnKeD"),
    "tab": ((400,), b"Transfer-Encoding:\tchunked"),
    "vertical tab": ((400,), b"Transfer-Encoding:\x0bchunked"),
    "form feed": ((400,), b"Transfer-Encoding: \x0cchunked"),
    "space before the colon": ((400,), b"Transfer-Encoding : chunked"),
    "tab before the colon": ((400,), b"Transfer-Encoding\t: chunked"),
    "line feed before the colon": ((400,), b"Transfer-Encoding\n: chunked"),
    "indented": ((400,), b" Transfer-Encoding: chunked"),
    "folded": ((400,), b"Transfer-Encoding:\r\n chunked"),
    "after a line feed": ((400,), b"X: x\nTransfer-Encoding: chunked"),
    "after a carriage return": ((400,), b"X: x\rTransfer-Encoding: chunked"),
    "before a carriage return": ((400,), b"Transfer-Encoding: chunked\r"),
    "NUL": ((400,), b"Transfer-Encoding: chunked\0"),
    "quoted": ((501,), b'Transfer-Encoding: "chunked"'),
    "xchunked": ((501,), b"Transfer-Encoding: xchunked"),
    "parameter": ((501,), b"Transfer-Encoding: chunked;q=1"),
    "twice": ((400,), b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    "twice in one": ((400,), b"Transfer-Encoding: chunked, chunked"),
    "then another": ((501,), b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
    "after another": ((501,), b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
    "identity": ((400,), b"Transfer-Encoding: identity"),
    "chunked, identity": ((400,), b"Transfer-Encoding: chunked, identity"),
    "identity, chunked": ((400,), b"Transfer-Encoding: identity, chunked"),
    "gzip, chunked": ((400,), b"Transfer-Encoding: gzip, chunked"),
    "empty": ((501,), b"Transfer-Encoding: "),
    "comma": ((501,), b"Transfer-Encoding: ,chunked"),
    "Latin-1 in the name": ((400,), b"Transfer-Encod\xefng: chunked"),
    "underscore": ((400, 200), b"Transfer_Encoding: chunked"),
    "other field": ((400, 200), b"Content-Encoding: chunked"),
    "hop by hop": ((400,), b"Connection: Content-Length\r\nTransfer-Encoding: chunked"),
}

LENGTHS: dict[str, bytes] = {
    "twice": b"Content-Length: 0\r\nContent-Length: %d",
    "twice the same": b"Content-Length: %d\r\nContent-Length: %d",
    "list": b"Content-Length: %d, %d",
    "plus": b"Content-Length: +%d",
    "minus": b"Content-Length: -%d",
    "hexadecimal": b"Content-Length: 0x%x",
    "underscore in the number": b"Content-Length: 0_%d",
    "decimals": b"Content-Length: %d.0",
    "vertical tab": b"Content-Length: \x0b%d",
    "superscript": b"Content-Length: \xb2",
    "Arabic digits": "Content-Length: ٣".encode(),
    "empty": b"Content-Length: ",
    "space before the colon": b"Content-Length : %d",
    "after a line feed": b"X: x\nContent-Length: %d",
    "folded": b"Content-Length:\r\n %d",
}

#: The size line of the first chunk, which has two bytes.
SIZES: dict[str, bytes] = {
    "plus": b"+2",
    "minus": b"-2",
    "hexadecimal": b"0x2",
    "underscore": b"0_2",
    "space before": b" 2",
    "empty": b"",
    "more than 64 bits": b"10000000000000002",
    "not a number": b"z",
    "full width": "\uff12".encode(),
    "line feed in an extension": b"2;a\nb",
    "line feed after it": b"2\n",
    "carriage return in an extension": b"2;a\rb",
    "NUL in an extension": b"2;\0",
    "second size after a line feed": b"2;\n{}\n0\n",
}

#: Complete requests whose body holds the hidden one: the server reads or discards it, and never parses it.
SWALLOWED: dict[str, tuple[tuple[int, ...], bytes]] = {
    "body of a sign-in": ((400,), post(length(INNER), INNER)),
    "body of a GET": ((200,), post(length(INNER), INNER, b"GET /healthz HTTP/1.1")),
    "body of a HEAD": ((200,), post(length(INNER), INNER, b"HEAD /healthz HTTP/1.1")),
    "body for no route": ((404,), post(length(INNER), INNER, b"POST /nope HTTP/1.1")),
    "body for another method": ((405,), post(length(INNER), INNER, b"DELETE /api/users HTTP/1.1")),
    "body of a preflight": (
        (204,),
        post(
            length(INNER) + b"\r\nOrigin: http://localhost\r\nAccess-Control-Request-Method: GET",
            INNER,
            b"OPTIONS /api/users HTTP/1.1",
        ),
    ),
    "body before the token": ((401,), post(length(INNER), INNER, b"POST /api/users HTTP/1.1")),
    "body of another type": ((415,), post(length(INNER), INNER).replace(b"application/json", b"text/plain")),
    "chunk": ((400,), post(b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(INNER), INNER) + END)),
    "chunk of a GET": (
        (200,),
        post(b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(INNER), INNER) + END, b"GET /healthz HTTP/1.1"),
    ),
    "extension": ((400,), post(b"Transfer-Encoding: chunked", b'2;a="GET /api/users/987654321 HTTP/1.1"\r\n{}\r\n' + END)),
    "trailer": (
        (400,),
        post(b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\nX-Request-Id: smuggled\r\n\r\n"),
    ),
    "offer of HTTP/2": (
        (200,),
        b"GET /healthz HTTP/1.1\r\n"
        + HOST_FIELD
        + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    ),
    "expectation": ((100, 400), post(length(INNER) + b"\r\nExpect: 100-continue", INNER)),
}

#: Requests that end in the middle of the hidden one.
BROKEN: dict[str, bytes] = {
    "chunks, and a length of a few bytes": post(
        b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(INNER), INNER) + END
    ),
    "chunks in HTTP/1.0": post(b"Transfer-Encoding: chunked", END + INNER, b"POST /api/authentication_token HTTP/1.0"),
    "end of a chunk": post(b"Transfer-Encoding: chunked", b"2\r\n{}XX" + END + INNER),
    "no end of a chunk": post(b"Transfer-Encoding: chunked", b"2\r\n{}" + END + INNER),
    "trailer that is a request": post(b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n" + INNER),
    "last chunk that ends with a line feed": post(b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\n\n" + INNER),
    "trailer that is a length": post(b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\nContent-Length: 99\r\n\r\n" + INNER),
    "trailer after a line feed": post(b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\nX: x\n\n" + INNER),
}

#: Malformed heads, with the hidden request behind them.
HEADS: dict[str, bytes] = {
    "two hosts": b"GET /healthz HTTP/1.1\r\n" + HOST_FIELD + HOST_FIELD + b"\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "line feeds": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "line feed in the target": b"GET /healthz\n HTTP/1.1\r\n" + HOST_FIELD + b"\r\n",
    "raw UTF-8": "GET /é HTTP/1.1\r\n".encode() + HOST_FIELD + b"\r\n",
    "NUL": b"GET /healthz HTTP/1.1\r\n" + HOST_FIELD + b"X: \0\r\n\r\n",
    "two spaces": b"GET  /healthz HTTP/1.1\r\n" + HOST_FIELD + b"\r\n",
    "space at the end": b"GET /healthz HTTP/1.1 \r\n" + HOST_FIELD + b"\r\n",
    "HTTP/0.9": b"GET /healthz\r\n",
    "PROXY line": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /healthz HTTP/1.1\r\n" + HOST_FIELD + b"\r\n",
    "no name": b"GET /healthz HTTP/1.1\r\n" + HOST_FIELD + b": x\r\n\r\n",
    "no colon": b"GET /healthz HTTP/1.1\r\n" + HOST_FIELD + b"GET /api/users/987654321 HTTP/1.1\r\n\r\n",
    "space before the first field": b"GET /healthz HTTP/1.1\r\n X: x\r\n" + HOST_FIELD + b"\r\n",
}


def attempts() -> dict[str, Attempt]:
    found = {f"coding: {name}": Attempt(with_length_too(raw), statuses) for name, (statuses, raw) in CODINGS.items()}
    for name, field in LENGTHS.items():
        fields = field.replace(b"%d", b"%d" % len(INNER)).replace(b"%x", b"%x" % len(INNER))
        found[f"length: {name}"] = Attempt(post(fields, INNER), (400,))
    found |= {f"chunk size: {name}": Attempt(chunk(size), (400,)) for name, size in SIZES.items()}
    found |= {f"broken: {name}": Attempt(raw, (400,)) for name, raw in BROKEN.items()}
    found |= {f"head: {name}": Attempt(raw + INNER, (400,)) for name, raw in HEADS.items()}
    return found | {f"swallowed: {name}": Attempt(raw, (*statuses, 200)) for name, (statuses, raw) in SWALLOWED.items()}


ATTEMPTS = attempts()

#: nginx may accept these, and passes them on well-formed: the hidden request is then an ordinary second one.
FORGIVEN = {
    ATTEMPTS[name].raw
    for name in (
        *("head: two spaces", "head: space at the end", "head: raw UTF-8", "head: no colon", "head: no name"),
        *("chunk size: NUL in an extension", "broken: last chunk that ends with a line feed"),
        *("broken: trailer that is a length", "broken: trailer after a line feed"),
    )
}


def views_reached(server: Server) -> list[str]:
    """Return the log lines about requests that nobody should have served."""
    lines = [line for line in server.log_lines if line["logger"] == "poort.access"]
    return [line["message"] for line in lines if line["request_id"] == "smuggled" or (line["route"] or "").startswith(ROUTE)]


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_no_smuggled_request_reaches_a_view(server: Server, attempt: Attempt) -> None:
    before = views_reached(server)
    assert [answer.status for answer in server.exchange(attempt.raw + LAST)] == list(attempt.statuses)
    assert views_reached(server) == before


def seen_by_nginx(proxied: Proxied) -> int:
    """Return how often nginx took the hidden text for a second request: it tolerates some heads and chunk ends."""
    return sum(line["path"] == "/api/users/987654321" for line in proxied.access_lines)


@pytest.mark.services
@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_no_request_that_nginx_does_not_see_reaches_a_view(proxied: Proxied, attempt: Attempt) -> None:
    before, seen_before = len(views_reached(proxied.server)), seen_by_nginx(proxied)
    answers = {answer.status for answer in proxied.exchange(attempt.raw + LAST)}
    # Text left over on a connection to gunicorn would be answered to the next client.
    for _ in range(3):
        assert proxied.request("GET", "/healthz")[2] == {"status": "ok"}
    seen = seen_by_nginx(proxied) - seen_before
    assert len(views_reached(proxied.server)) - before == seen
    assert answers <= {*attempt.statuses, 200, 400, 501} | ({401} if seen else set())
    assert seen == 0 or attempt.raw in FORGIVEN


def test_a_request_that_does_reach_a_view_is_seen(home: Home) -> None:
    """Prove that the checks above can fail."""
    home.set_up()
    server = home.serve()
    try:
        assert [answer.status for answer in server.exchange(LAST.replace(b"Connection: close\r\n", b"") + INNER)] == [200, 401]
    finally:
        server.stop()
    assert views_reached(server) == ["request"]
