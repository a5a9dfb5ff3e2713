"""The address of a request's client: the peer's, unless the peer is a proxy that is trusted to name another."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Network = IPv4Network | IPv6Network

# No address is longer (RFC 4291, section 2.2), and no column is wider.
_LENGTH = 45


class TrustedProxies:
    """WSGI middleware: X-Forwarded-For and -Proto count from a trusted proxy, and from nobody else.

    It writes the client's address in its plain form, so that everything behind it sees one form. A peer on a unix socket
    has no address; it is trusted where any proxy is.
    """

    def __init__(self, app: Application, networks: tuple[Network, ...]) -> None:
        """Take the application and the networks of the trusted proxies."""
        self._app = app
        self._behind_proxy = ProxyFix(app, x_for=0, x_proto=1, x_host=0, x_port=0, x_prefix=0)
        self._networks = networks

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on, with the client's address where the proxy told it."""
        peer = environ.get("REMOTE_ADDR", "")
        if not self._is_trusted(peer):
            environ["REMOTE_ADDR"] = plain_address(peer)
            return self._app(environ, start_response)
        # The proxy adds the last address. ProxyFix reads the field as a list with quoted texts, so that a client's
        # lone quotation mark would hide it. Where the last text is no address, the proxy's own one counts.
        named = parse_address(environ.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2])
        environ["REMOTE_ADDR"] = str(named) if named else plain_address(peer)
        return self._behind_proxy(environ, start_response)

    def _is_trusted(self, peer: str) -> bool:
        if not self._networks or not peer:
            return bool(self._networks)
        address = parse_address(peer)
        if address is None:
            return False
        # A network may be written as IPv4 or, by somebody who listens on [::], as IPv4-mapped IPv6.
        forms = (address, IPv6Address(f"::ffff:{address}")) if isinstance(address, IPv4Address) else (address,)
        return any(form in network for network in self._networks for form in forms)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, also as a proxy may write it: `[2001:db8::1]:443`, `192.0.2.1:4711`. None where it is none.

    IPv4-mapped IPv6 is IPv4. A zone (`%eth0`, RFC 4007) is dropped: it means nothing to other hosts.
    """
    text = text.strip()
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if ":" not in text or not bracket or (port and not _is_port(port.removeprefix(":"))):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(port):
            return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def plain_address(text: str) -> str:
    """Return an address in the one form in which it is kept; other text as it is, cut to the length of an address."""
    # IPv4 has one form; every request passes here.
    address = parse_address(text) if ":" in text else None
    return text[:_LENGTH] if address is None else str(address)


def network_of(address: str, prefix_length: int = 64) -> str:
    """Return the network that an address shares with its neighbors: IPv6 by its prefix, IPv4 as it is, other text as it is.

    A subscriber has a whole /64 at least (RFC 6177), so that single addresses of IPv6 tell nobody apart.
    """
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed.packed, prefix_length), strict=False))
    return plain_address(address)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()
