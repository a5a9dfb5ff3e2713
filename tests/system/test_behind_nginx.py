"""nginx with deploy/nginx.conf in front of two gunicorn workers: what passes, what is refused, which address counts."""

import json
import re
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from factories import settings_for
from installed import needed
from system.proxied import (
    HOST,
    SITE,
    SITE_WITHOUT_LIMITS,
    Proxied,
    ServerNameConnection,
    serve_behind_nginx,
    serve_on_a_socket,
    site_for,
)
from system.serving import HEALTHY, WAIT_SECONDS, Home

from app import MAX_BODY_BYTES, create_app
from benchmarks.services import find_program, free_port, start_nginx
from blueprints.request_hooks import SAFE_HEADERS

pytest_plugins = ("system.fixtures",)
pytestmark = pytest.mark.services

WRONG = {"code": 401, "message": "Invalid credentials."}
TOO_MANY = {"code": 401, "message": "Too many failed login attempts, please try again in 60 minutes."}


@pytest.fixture
def throttled(tmp_path: Path) -> Iterator[Proxied]:
    """A server whose throttle window is longer than any test."""
    yield from serve_behind_nginx(tmp_path, LOGIN_THROTTLING_INTERVAL="3600")


def spoofed(number: int) -> dict[str, str]:
    address = f"203.0.113.{number}"
    return {
        "X-Forwarded-For": f"{address}, 198.51.100.{number}",
        "X-Real-IP": address,
        "Forwarded": f"for={address};proto=http;host=evil.example",
        "X_Forwarded_For": address,
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Proto": "http",
        "Client-IP": address,
        "True-Client-IP": address,
        "CF-Connecting-IP": address,
        "Connection": "close, X-Forwarded-For",
    }


def rows(proxied: Proxied, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(proxied.folder / "var" / "poort.db")) as database:
        return database.execute(query).fetchall()


def test_thirty_spoofed_addresses_count_as_the_one_that_they_come_from(throttled: Proxied) -> None:
    answers = [throttled.sign_in("admin", "wrong", source="127.0.0.2", **spoofed(number)) for number in range(30)]
    assert [(answer[0], answer[2]) for answer in answers] == [(401, WRONG)] * 10 + [(401, TOO_MANY)] * 20
    refused = [line for line in throttled.server.log_lines if line["logger"] == "poort.audit"]
    assert {line["address"] for line in refused} == {"127.0.0.2"}
    throttled_lines = [line["process"] for line in refused if line["reason"].startswith("Too many")]
    assert (len(refused) - len(throttled_lines), len(throttled_lines) > 0) == (10, True)
    assert len(set(throttled_lines)) == len(throttled_lines), "each worker says it once"
    assert rows(throttled, "SELECT username, user_ip, success FROM track_e_login_record") == [("admin", "127.0.0.2", 0)] * 10
    assert {line["address"] for line in throttled.access_lines} == {"127.0.0.2"}
    assert "203.0.113" not in throttled.server.log


def test_whoever_uses_up_a_name_keeps_nobody_elsewhere_from_it(throttled: Proxied) -> None:
    for number in range(12):
        throttled.sign_in("admin", "wrong", source="127.0.0.2", **spoofed(number))
    assert throttled.sign_in("admin", throttled.password, source="127.0.0.2")[2] == TOO_MANY
    assert list(throttled.sign_in("admin", throttled.password, source="127.0.0.3")[2]) == ["token"]


def test_a_person_signs_in_and_lists(proxied: Proxied) -> None:
    status, headers, body = proxied.sign_in("admin", proxied.password)
    assert (status, headers["cache-control"]) == (200, "no-store")
    bearer = {"Authorization": f"Bearer {body['token']}"}
    status, headers, body = proxied.request("GET", "/api/users", **bearer)
    assert (status, [member["username"] for member in body["hydra:member"]]) == (200, ["admin"])
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert (headers["server"], "content-encoding" in headers) == ("nginx", False)
    known = {"If-None-Match": headers["etag"]}
    assert proxied.request("GET", "/api/users", **bearer, **known)[0] == 304
    status, headers, _ = proxied.request("GET", "/api/users", **bearer, **{"Accept-Encoding": "gzip, br"})
    assert (status, "content-encoding" in headers) == (200, False)


def test_no_security_header_is_sent_twice(proxied: Proxied) -> None:
    connection = ServerNameConnection(proxied.tls_port, proxied.tls)
    connection.request("GET", "/nope", headers={"Host": HOST})
    answer = connection.getresponse()
    sent = {name: answer.headers.get_all(name) for name in (*SAFE_HEADERS, "Strict-Transport-Security", "Server")}
    connection.close()
    assert answer.status == 404
    assert sent == {name: [value] for name, value in SAFE_HEADERS.items()} | {
        "Strict-Transport-Security": ["max-age=31536000"],
        "Server": ["nginx"],
    }


def test_links_have_the_scheme_host_and_port_of_the_client(proxied: Proxied) -> None:
    for headers in ({}, spoofed(1), {"X-Forwarded-Host": f"{HOST}, evil.example"}, {"X-Forwarded-Host": '"evil.example'}):
        status, _, body = proxied.request("GET", "/api//nope?x=1", **headers)
        assert (status, body) == (404, {"error": f'No route found for "GET {proxied.origin}/api//nope"'})
        context = proxied.request("GET", "/api/contexts/User", **headers)[2]["@context"]
        assert context["@vocab"] == f"{proxied.origin}/api/docs.jsonld#"


def test_another_host_gets_nothing(proxied: Proxied) -> None:
    assert proxied.exchange(b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n") == []
    assert (
        proxied.exchange(b"GET https://evil.example/ HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\nConnection: close\r\n\r\n") == []
    )
    answers = proxied.exchange(f"GET https://{HOST}/nope HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
    assert [answer.json for answer in answers] == [{"error": f'No route found for "GET {proxied.origin}/nope"'}]


def test_plain_http_leads_to_https(proxied: Proxied) -> None:
    for method in ("GET", "POST"):
        connection = HTTPConnection("127.0.0.1", proxied.plain_port, timeout=10)
        connection.request(method, "/api/users?page=2", headers={"Host": HOST})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Location")) == (301, f"https://{HOST}/api/users?page=2")
        connection.close()


def test_a_body_is_too_large_for_both_at_once() -> None:
    assert "client_max_body_size 1m;" in SITE
    assert MAX_BODY_BYTES == 1024 * 1024


REFUSED: dict[str, tuple[int, str, bytes]] = {
    "body": (413, "The body is larger than a mebibyte.", b"POST /api/users HTTP/1.1\r\nHost: %b\r\nContent-Length: 1048577\r\n"),
    "line": (414, "The request line is longer than 4094 bytes.", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: %b\r\n"),
    "longer line": (414, "The request line is too long.", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: %b\r\n"),
    "field": (431, "A header field is too long.", b"GET /healthz HTTP/1.1\r\nHost: %b\r\nX-A: " + b"a" * 9000 + b"\r\n"),
    "trace": (405, "The method is not allowed.", b"TRACE /healthz HTTP/1.1\r\nHost: %b\r\n"),
    "coding": (501, "No transfer coding but chunked is supported.", b"GET / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: x\r\n"),
}


#: The words of `X-Error-Code`.
WORDS = {
    400: "invalid_http",
    405: "method_not_allowed",
    413: "body_too_large",
    414: "uri_too_long",
    431: "header_fields_too_large",
    501: "not_implemented",
}


@pytest.mark.parametrize(("status", "text", "raw"), REFUSED.values(), ids=REFUSED)
def test_what_nginx_refuses_is_json_with_the_safe_headers(proxied: Proxied, status: int, text: str, raw: bytes) -> None:
    answers = proxied.exchange(raw.replace(b"%b", HOST.encode()) + b"Connection: close\r\n\r\n")
    assert [(answer.status, answer.json) for answer in answers] == [(status, {"error": text})]
    headers = answers[0].headers
    assert headers["content-type"] == "application/json"
    assert {name: headers.get(name.lower()) for name in SAFE_HEADERS} == SAFE_HEADERS
    assert (headers["strict-transport-security"], headers["server"]) == ("max-age=31536000", "nginx")
    assert headers["x-error-code"] == WORDS[status]
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


def line_of(proxied: Proxied, request_id: str) -> dict[str, str]:
    """Return the line that nginx logs for a request, which it writes after the answer."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (lines := [line for line in proxied.access_lines if line["request_id"] == request_id]):
        assert time.monotonic() < deadline, "there is no such line"
        time.sleep(0.01)
    return lines[0]


def test_refusal_of_nginx_is_logged_with_the_path_that_was_asked_for_and_its_id(proxied: Proxied) -> None:
    status, headers, _ = proxied.request("TRACE", "/api/users?token=hush")
    assert status == 405
    found = line_of(proxied, headers["x-request-id"])
    assert (found["path"], found["status"]) == ("/api/users", "405")


def test_request_has_one_id_in_all_logs(proxied: Proxied) -> None:
    given = proxied.request("GET", "/healthz", **{"X-Request-Id": "of-the-client"})[1]["x-request-id"]
    made = proxied.request("GET", "/healthz", **{"X-Request-Id": "no id {}"})[1]["x-request-id"]
    assert (given, len(made)) == ("of-the-client", 32)
    for request_id in (given, made):
        assert line_of(proxied, request_id)["status"] == "200"
        assert any(line.get("request_id") == request_id for line in proxied.server.log_lines)


def test_trace_passes_nginx_and_is_in_both_logs(proxied: Proxied) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    for number, (given, found) in enumerate({f"00-{trace}-00f067aa0ba902b7-01": trace, f"00-{trace}-{'0' * 16}-01": ""}.items()):
        proxied.request("GET", "/healthz", **{"X-Request-Id": f"traced-{number}", "traceparent": given, "tracestate": "a=b"})
        assert line_of(proxied, f"traced-{number}")["trace_id"] == found
        (line,) = (line for line in proxied.server.log_lines if line.get("request_id") == f"traced-{number}")
        assert line.get("trace_id", "") == found


def test_what_has_no_host_or_wants_a_tunnel_is_refused(proxied: Proxied) -> None:
    raw = (b"GET /healthz HTTP/1.1\r\n", f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\n".encode())
    answers = [answer for request in raw for answer in proxied.exchange(request + b"Connection: close\r\n\r\n")]
    assert len(answers) == 2
    assert {answer.status for answer in answers} <= {400, 405}


def test_what_poort_refuses_passes_unchanged(proxied: Proxied) -> None:
    status, headers, body = proxied.request("DELETE", "/api/users")
    assert (status, headers["allow"], headers["x-error-code"]) == (405, "GET, POST", "method_not_allowed")
    assert body == {"error": f'No route found for "DELETE {proxied.origin}/api/users": Method Not Allowed (Allow: GET, POST)'}
    assert proxied.request("POST", "/api/authentication_token", {})[0] == 400


def test_no_query_is_in_the_log_of_nginx(proxied: Proxied) -> None:
    proxied.request("GET", "/nope/logged?token=hush", Referer="https://hush.example/", Authorization="Bearer hush")
    deadline = time.monotonic() + WAIT_SECONDS
    while not (lines := [line for line in proxied.access_lines if line["path"] == "/nope/logged"]):
        assert time.monotonic() < deadline, "nginx writes the line after the answer"
        time.sleep(0.01)
    assert [(line["method"], line["status"]) for line in lines] == [("GET", "404")]
    assert "hush" not in json.dumps(lines)


def test_gunicorn_that_is_gone_is_502_in_json(tmp_path: Path) -> None:
    serving = serve_behind_nginx(tmp_path)
    proxied = next(serving)
    try:
        proxied.server.stop()
        status, headers, body = proxied.request("GET", "/api/users")
    finally:
        serving.close()
    assert (status, body) == (502, {"error": "The server cannot be reached at the moment."})
    assert headers["strict-transport-security"]


WARNING = "gunicorn listens on a unix socket and TRUSTED_PROXIES is empty: all clients share one address"


@pytest.mark.parametrize(("proxies", "warnings"), [("", 1), ("127.0.0.1", 0)])
def test_a_unix_socket_without_trusted_proxies_warns_once(home: Home, proxies: str, warnings: int) -> None:
    home.set_up()
    server = serve_on_a_socket(home, TRUSTED_PROXIES=proxies)
    try:
        assert server.request("GET", "/healthz")[2] == HEALTHY
        assert server.socket.stat().st_mode & 0o777 == 0o660
    finally:
        server.stop()
    said = [line for line in server.log_lines if line["message"].startswith(WARNING)]
    assert [line["level"] for line in said] == ["warning"] * warnings
    assert all("Set TRUSTED_PROXIES=127.0.0.1" in line["message"] for line in said)


def test_a_port_without_trusted_proxies_does_not_warn(home: Home) -> None:
    home.set_up()
    server = home.serve()
    server.stop()
    assert "TRUSTED_PROXIES" not in server.log


def site_beside_a_campus() -> str:
    """Return the site with the variant at its end instead of `location /`."""
    everything = re.search(r"^    location / \{\n.*?^    \}\n", SITE, re.MULTILINE | re.DOTALL)
    assert everything
    start = "    # location ~ "
    before, variant = SITE.replace(everything[0], "").split(start, 1)
    return before + re.sub(r"^    # ?", "    ", start + variant, flags=re.MULTILINE)


def test_the_variant_beside_a_campus_is_a_good_configuration(tmp_path: Path) -> None:
    site = site_beside_a_campus()
    assert "    root /var/www/chamilo/public;" in site
    # Debian's file, which the variant includes.
    (tmp_path / "fastcgi_params").write_text("fastcgi_param REQUEST_METHOD $request_method;\n")
    site = site_for(tmp_path, tmp_path / "socket", 1, 2, site)
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{site}\n}}\n")
    nginx = needed(lambda: find_program("nginx"))
    done = subprocess.run(
        [nginx, "-t", "-p", tmp_path, "-e", tmp_path / "error.log", "-c", tmp_path / "nginx.conf"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


class Neighbour(BaseHTTPRequestHandler):
    """A stand-in for Chamilo's PHP, which answers every request."""

    def do_GET(self) -> None:
        body = json.dumps({"chamilo": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PATCH = do_GET  # noqa: N815 - names of http.server

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="module")
def beside_a_campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """The variant with another server for `location /`, so that an answer tells who gave it."""
    neighbour = ThreadingHTTPServer(("127.0.0.1", 0), Neighbour)
    threading.Thread(target=neighbour.serve_forever, daemon=True).start()
    site, php = site_beside_a_campus(), "try_files $uri /index.php$is_args$args;"
    assert php in site
    site = site.replace(php, f"proxy_pass http://127.0.0.1:{neighbour.server_port};")
    folder = tmp_path_factory.mktemp("beside")
    (folder / "fastcgi_params").touch()
    site = site.replace("include fastcgi_params;", f"include {folder}/fastcgi_params;")
    try:
        yield from serve_behind_nginx(folder, site=site, REFRESH_TOKEN_TTL="1000", APP_ENABLE_API_ENTRYPOINT="1")
    finally:
        neighbour.shutdown()
        neighbour.server_close()


#: What Poort has beside a campus, each with a method that a request may have.
POORTS = {
    "/api/users": "GET",
    "/api/users?page=2": "GET",
    "/api/users/": "GET",
    "/api/users.json": "GET",
    "/api/users/2": "GET",
    "/api/users/2/": "GET",
    "/api/users/2.json": "GET",
    "/api/users/2.jsonld": "GET",
    "/api/users/2/password": "PATCH",
    "/api/access_urls/2/user": "POST",
    "/api/me": "GET",
    "/api/me/sessions": "GET",
    "/api/me/sessions/1f": "DELETE",
    "/api/me/totp": "GET",
    "/api/me/totp/backup-codes": "POST",
    "/api/authentication_token": "POST",
    "/api/token/refresh": "POST",
    "/api/token/invalidate": "POST",
    "/api/token/invalidate-all": "POST",
    "/api/contexts/User": "GET",
    "/api/contexts/User.jsonld": "GET",
    "/api/contexts/CurrentUserProfile": "GET",
    "/api/docs": "GET",
    "/api/docs.json": "GET",
    "/api/docs/explorer/explorer.js": "GET",
    "/.well-known/jwks.json": "GET",
    "/healthz": "GET",
    "/readyz": "GET",
}

CHAMILOS = [
    "/",
    "/api",
    "/api/users/2/skills",
    "/api/users/2/skills.json",
    "/api/users/305/courses/1/stats/x",
    "/api/users/305/session_subscriptions/past",
    "/api/users/abc",
    "/api/users/2/password/x",
    "/api/users/2.json/x",
    "/api/users.JSON",
    "/api/users_and_more",
    "/api/me/courses",
    "/api/me.json",
    "/api/mean",
    "/api/user_rel_users",
    "/api/access_urls",
    "/api/access_urls/2",
    "/api/access_urls/2/users",
    "/api/access_url_rel_users",
    "/api/extra_fields",
    "/api/extra_field_values",
    "/api/contexts/Course",
    "/api/token",
    "/api/token/other",
    "/x/api/users",
    "/scim/v2/Users",
    "/healthz/x",
]


@pytest.mark.parametrize("path", POORTS)
def test_poort_gets_its_own_paths_beside_a_campus(beside_a_campus: Proxied, path: str) -> None:
    connection = ServerNameConnection(beside_a_campus.tls_port, beside_a_campus.tls)
    connection.request(POORTS[path], path, headers={"Host": HOST})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert (answer.getheader("X-Request-Id", "") != "", b"chamilo" in body) == (True, False)
    assert answer.status != 404 or path == "/api/me/sessions/1f"


@pytest.mark.parametrize("path", CHAMILOS)
def test_chamilo_gets_everything_else(beside_a_campus: Proxied, path: str) -> None:
    status, headers, body = beside_a_campus.request("GET", path)
    assert (status, body, "x-request-id" in headers) == (200, {"chamilo": path}, False)


def test_every_path_of_poort_is_known_to_nginx(tmp_path: Path) -> None:
    """A new route needs a line in deploy/nginx.conf; the start page and the entrypoint are Chamilo's."""
    regex = re.search(r'location ~ "\(\?x\)(.*?)" \{', site_beside_a_campus(), re.DOTALL)
    assert regex
    app = create_app(settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/poort.db", REFRESH_TOKEN_TTL="1000"))
    examples = {"suffix": "", "name": "User", "filename": "x"}
    paths = [re.sub(r"<\w+:(\w+)>", lambda part: examples.get(part[1], "2"), rule.rule) for rule in app.url_map.iter_rules()]
    by_others = {"/", "/api/authentication_token", "/api/token/refresh", "/api", "/api/index.jsonld"}
    assert {path for path in paths if not re.search(regex[1], path, re.VERBOSE)} == by_others


LIMITED = {"error": "Too Many Requests"}

# Limits that a test reaches at once: the real burst, and then no request for an hour.
SITE_OF_ONE_BURST = re.sub(r"rate=\d+r/s", "rate=1r/m", SITE)


def bursts() -> dict[str, int]:
    return {zone: int(burst) for zone, burst in re.findall(r"limit_req zone=poort_(\w+) burst=(\d+) nodelay;", SITE)}


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Proxied]:
    yield from serve_behind_nginx(tmp_path, site=SITE_OF_ONE_BURST, LOGIN_THROTTLING_MAX_ATTEMPTS="0")


def test_a_flood_of_sign_ins_is_429_in_json_and_nothing_else_is_refused(limited: Proxied) -> None:
    paths = ("/api/authentication_token", "/api/token/refresh")
    answers = [limited.request("POST", paths[number % 2], {}) for number in range(bursts()["sign_ins"] + 3)]
    refused = [answer for answer in answers if answer[0] == 429]
    assert len(refused) == 2, "the burst and one request more pass: the first does not count as burst"
    assert [answer[0] == 429 for answer in answers[-2:]] == [True, True]
    for _, headers, body in refused:
        assert body == LIMITED
        assert (headers["content-type"], headers["retry-after"]) == ("application/json", "5")
        assert {name: headers.get(name.lower()) for name in SAFE_HEADERS} == SAFE_HEADERS
        assert headers["strict-transport-security"] == "max-age=31536000"
    assert limited.request("GET", "/api/users")[0] == 401
    assert list(limited.sign_in("admin", limited.password, source="127.0.0.2")[2]) == ["token"], "another client"


def test_other_refusals_of_nginx_do_not_ask_to_come_back(proxied: Proxied) -> None:
    assert "retry-after" not in proxied.request("TRACE", "/healthz")[1]


def test_a_flood_of_requests_is_429(limited: Proxied) -> None:
    raw = f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    last = raw.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answers = []
    while len(answers) < bursts()["requests"] + 3:
        answers += limited.exchange(raw * 99 + last)
    statuses = [answer.status for answer in answers]
    assert statuses == [200] * (bursts()["requests"] + 1) + [429] * (len(answers) - bursts()["requests"] - 1)
    assert answers[-1].json == LIMITED


def test_connections_of_one_client_are_limited(tmp_path: Path) -> None:
    serving = serve_behind_nginx(
        tmp_path, site=SITE.replace("limit_conn poort_connections 100;", "limit_conn poort_connections 2;")
    )
    proxied = next(serving)
    try:
        with ExitStack() as stack:
            for _ in range(2):
                plain = stack.enter_context(socket.create_connection(("127.0.0.1", proxied.tls_port), WAIT_SECONDS))
                held = stack.enter_context(proxied.tls.wrap_socket(plain, server_hostname=HOST))
                held.sendall(f"POST /api/users HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\n{{".encode())
            deadline = time.monotonic() + WAIT_SECONDS
            while (answer := proxied.request("GET", "/healthz"))[0] != 429:
                assert time.monotonic() < deadline, "nginx has not read the heads yet"
            assert answer[2] == LIMITED
            assert proxied.request("GET", "/healthz", source="127.0.0.2")[2] == HEALTHY
    finally:
        serving.close()


def test_networks_may_be_without_a_limit(tmp_path: Path) -> None:
    serving = serve_behind_nginx(tmp_path, site=SITE_WITHOUT_LIMITS.replace("burst=1000", "burst=1").replace("=100r/s", "=1r/m"))
    proxied = next(serving)
    try:
        assert [proxied.request("GET", "/healthz")[0] for _ in range(5)] == [200] * 5
    finally:
        serving.close()


KEYS = {
    "IPv4": ("192.0.2.1", "192.0.2.1"),
    "mapped": ("::ffff:192.0.2.1", "192.0.2.1"),
    "full": ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:"),
    "zeros at the end": ("2001:db8:1:2::1", "2001:db8:1:2:"),
    "fourth group zero": ("2001:db8:1:0:3:4:5:6", "2001:db8:1:"),
    "fourth group zero, and more": ("2001:db8:1::1", "2001:db8:1:"),
    "third and fourth group zero": ("2001:db8::3:4:5:6", "2001:db8:"),
    "third and fourth group zero, and more": ("2001:db8::1", "2001:db8:"),
    "third and fourth group zero, others shortened": ("2001:db8:0:0:1::", "2001:db8:"),
    "third group zero": ("2001:db8:0:2::1", "2001:db8:0:2:"),
    "second and third group zero": ("2001:0:0:2:3:4:5:6", "2001::2"),
    "all zero but the first": ("2001::1", "2001::"),
    "upper case": ("2001:DB8:A:B::1", "2001:db8:a:b:"),
    "loopback": ("::1", "::1"),
}


@pytest.fixture(scope="module")
def key_server() -> Iterator[int]:
    """An nginx that answers with the limit key of an address, by the part of the site that computes it."""
    maps = "".join(re.findall(r"^(?:geo|map) \$poort_unlimited.*?^\}\n", SITE, re.MULTILINE | re.DOTALL))
    port = free_port()
    real = "set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP;"
    nginx = needed(lambda: start_nginx(f'{maps} server {{ listen 127.0.0.1:{port}; {real} return 200 "$poort_client"; }}', port))
    yield port
    nginx.stop()


@pytest.mark.parametrize(("address", "key"), KEYS.values(), ids=KEYS)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(key_server: int, address: str, key: str) -> None:
    connection = HTTPConnection("127.0.0.1", key_server, timeout=WAIT_SECONDS)
    connection.request("GET", "/", headers={"X-Real-IP": address})
    assert connection.getresponse().read().decode() == key
    connection.close()
