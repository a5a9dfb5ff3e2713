"""Rare paths of security/: proxies, and callbacks of flask-jwt-extended that no request reaches."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from factories import settings_for
from flask import Flask
from flask_jwt_extended import JWTManager

from app import create_app
from security.access import is_public, public, requires
from security.bearer import bearer_token
from security.client_address import TrustedProxies, network_of
from security.errors import InvalidToken, MissingToken


@pytest.fixture
def manager(tmp_path: Any) -> JWTManager:
    return create_app(settings_for(DATABASE_URL=f"sqlite:///{tmp_path}/poort.db")).extensions["flask-jwt-extended"]


def test_missing_token_of_the_library_is_ours(manager: JWTManager) -> None:
    with pytest.raises(MissingToken):
        manager._unauthorized_callback("no header")


LOADERS = [
    "invalid_token",
    "expired_token",
    "revoked_token",
    "needs_fresh_token",
    "user_lookup_error",
    "token_verification_failed",
]


@pytest.mark.parametrize("loader", LOADERS)
def test_every_failure_of_the_library_is_ours(manager: JWTManager, loader: str) -> None:
    with pytest.raises(InvalidToken):
        getattr(manager, f"_{loader}_callback")({}, {})


@pytest.mark.parametrize(
    ("peer", "networks", "address"),
    [
        ("10.0.0.1", ["10.0.0.0/8"], "192.0.2.9"),
        ("10.0.0.1", ["192.168.0.0/16"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("", ["10.0.0.0/8"], "192.0.2.9"),
        ("", [], ""),
        ("no address", ["10.0.0.0/8"], "no address"),
        ("::1", ["::1/128"], "192.0.2.9"),
        ("::ffff:10.0.0.1", ["10.0.0.0/8"], "192.0.2.9"),
        ("::ffff:10.0.0.1", ["::ffff:10.0.0.0/104"], "192.0.2.9"),
        ("10.0.0.1", ["::ffff:10.0.0.1/128"], "192.0.2.9"),
        ("::ffff:10.0.0.1", ["192.168.0.0/16"], "10.0.0.1"),
        ("fe80::1%eth0", ["fe80::/10"], "192.0.2.9"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("x" * 100, [], "x" * 45),
    ],
)
def test_only_a_trusted_proxy_names_the_client(peer: str, networks: list[str], address: str) -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], _start: Any) -> list[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        return []

    proxies = TrustedProxies(app, tuple(ip_network(network) for network in networks))
    proxies({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": "198.51.100.1, 192.0.2.9"}, None)
    assert seen == [address]


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1"])
@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("192.0.2.9:4711", "192.0.2.9"),
        ("fe80::1%" + "x" * 8000, "fe80::1"),
        ("::ffff:192.0.2.9%eth0", "192.0.2.9"),
        *[
            (junk, "10.0.0.1")
            for junk in ("unknown", "", ",", "_hidden", "[2001:db8::1", "[2001:db8::1]x", "1.2.3.4:x", "\x1b[2J", "1::2::3")
        ],
    ],
)
def test_trusted_proxy_names_an_address_in_any_form_and_no_junk(peer: str, named: str, address: str) -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], _start: Any) -> list[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        return []

    proxies = TrustedProxies(app, (ip_network("10.0.0.0/8"),))
    proxies({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": f"198.51.100.1, {named}"}, None)
    assert seen == [address]


def test_client_cannot_hide_the_address_that_its_proxy_adds() -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], _start: Any) -> list[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        return []

    proxies = TrustedProxies(app, (ip_network("10.0.0.0/8"),))
    for sent in ('"', '"203.0.113.1', "203.0.113.1\\", ",,", "203.0.113.1"):
        proxies({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": f"{sent}, 192.0.2.9"}, None)
    assert seen == ["192.0.2.9"] * 5


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("no address", "no address"),
        ("", ""),
    ],
)
def test_neighbors_share_a_network(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer x", "x"),
        ("BEARER x", "x"),
        (" Bearer x ", "x"),
        ("Bearer", None),
        ("Bearer  x", None),
        ("Bearer x y", None),
        ("Bearer x,y", None),
        ("", None),
        ("x", None),
    ],
)
def test_header_is_split_at_one_space(header: str, token: str | None) -> None:
    assert bearer_token(header) == token


def test_rule_tells_whether_it_is_open() -> None:
    assert is_public(public(lambda: ""))
    assert not is_public(requires(lambda _caller: True)(lambda: ""))
    assert not is_public(lambda: "")


def test_no_secret_is_in_what_objects_say_of_themselves(make_app: Callable[..., Flask]) -> None:
    """A traceback or an AttributeError may write the repr of an object to the log."""
    app = make_app(APP_SECRET="an-app-secret-of-the-test", DATABASE_PASSWORD="database-secret-of-the-test")
    passphrase = app.extensions["poort"].settings.jwt_passphrase
    said = repr(app.extensions["poort"]) + repr(app.extensions["poort-bearer"])
    said += repr(app.extensions["poort"].keys) + repr(app.extensions["poort"].keys.files)
    assert [secret for secret in (passphrase, "an-app-secret-of-the-test", "database-secret-of-the-test") if secret in said] == []
