"""Which header fields of a trusted proxy count, and the form of addresses."""

from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest

from security.client_address import TrustedProxies, network_of, parse_address, plain_address

FORWARDED = {
    "HTTP_X_FORWARDED_FOR": "198.51.100.1, 192.0.2.9",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "evil.example",
    "HTTP_X_FORWARDED_PORT": "81",
    "HTTP_X_FORWARDED_PREFIX": "/evil",
}


def seen(peer: str, networks: list[str], **environ: str) -> dict[str, Any]:
    """Return what the application sees of a request from a peer."""
    found: dict[str, Any] = {}

    def app(given: dict[str, Any], _start: Any) -> list[bytes]:
        found.update(given)
        return [b"answered"]

    proxies = TrustedProxies(app, tuple(map(ip_network, networks)))
    given = {"wsgi.url_scheme": "http", "HTTP_HOST": "campus.example", "SERVER_PORT": "80", "SCRIPT_NAME": "", **FORWARDED}
    assert proxies(given | {"REMOTE_ADDR": peer} | environ, None) == [b"answered"]
    return {name: found[name] for name in ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_PORT", "SCRIPT_NAME")}


def test_trusted_proxy_says_address_scheme_host_and_port_and_no_prefix() -> None:
    plain = {"wsgi.url_scheme": "http", "HTTP_HOST": "campus.example", "SERVER_PORT": "80", "SCRIPT_NAME": ""}
    assert seen("192.0.2.1", ["10.0.0.0/8"]) == {"REMOTE_ADDR": "192.0.2.1", **plain}
    said = {"wsgi.url_scheme": "https", "HTTP_HOST": "evil.example:81", "SERVER_PORT": "81", "SCRIPT_NAME": ""}
    assert seen("10.0.0.1", ["10.0.0.0/8"]) == {"REMOTE_ADDR": "192.0.2.9", **said}


@pytest.mark.parametrize(
    ("field", "value", "place", "seen_there"),
    [
        ("PROTO", "https, http", "wsgi.url_scheme", "http"),
        ("PROTO", "ftp", "wsgi.url_scheme", "http"),
        ("HOST", "a.example, b.example", "HTTP_HOST", "b.example:81"),
        ("HOST", "b a d", "HTTP_HOST", "campus.example:81"),
        ("PORT", "1, 65535", "SERVER_PORT", "65535"),
        ("PORT", "65536", "SERVER_PORT", "80"),
        ("PORT", "0", "SERVER_PORT", "80"),
        ("PORT", "x", "SERVER_PORT", "80"),
    ],
)
def test_last_value_of_a_field_counts_where_it_is_one(field: str, value: str, place: str, seen_there: str) -> None:
    assert seen("10.0.0.1", ["10.0.0.0/8"], **{f"HTTP_X_FORWARDED_{field}": value})[place] == seen_there


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" 192.0.2.1 ", IPv4Address("192.0.2.1")),
        ("192.0.2.1:1", IPv4Address("192.0.2.1")),
        ("192.0.2.1:", None),
        ("192.0.2.1:\u0661", None),
        ("192.0.2.1:1:2", None),
        ("[192.0.2.1]", None),
        ("[::1]", IPv6Address("::1")),
        ("[::1]:1", IPv6Address("::1")),
        ("[::1]:", None),
        ("[::1]:x", None),
        ("[::1]1", IPv6Address("::1")),
        ("[::1", None),
        ("::1]", None),
        ("::1", IPv6Address("::1")),
        ("::1%eth0", IPv6Address("::1")),
        ("::ffff:192.0.2.1", IPv4Address("192.0.2.1")),
        ("::", IPv6Address("::")),
        ("", None),
        ("x", None),
    ],
)
def test_address_is_read_in_these_forms(text: str, address: Any) -> None:
    assert parse_address(text) == address


def test_plain_address_is_at_most_as_long_as_its_column() -> None:
    assert [plain_address(text) for text in ("2001:DB8::0:1", "192.0.2.1", "x" * 46)] == ["2001:db8::1", "192.0.2.1", "x" * 45]
    assert len(plain_address("x:" * 40)) == 45


@pytest.mark.parametrize(
    ("length", "network"), [((), "2001:db8:1:2::/64"), ((48,), "2001:db8:1::/48"), ((128,), "2001:db8:1:2:8000::1/128")]
)
def test_network_has_the_length_that_is_asked_for(length: tuple[int, ...], network: str) -> None:
    assert network_of("2001:db8:1:2:8000::1", *length) == network
