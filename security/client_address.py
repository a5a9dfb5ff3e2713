"""Find the client's address, and the scheme, host and port of its request, believing trusted proxies only."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.sansio.utils import get_host

from models.database import ADDRESS_LENGTH

_LARGEST_PORT = 65535

# The headers that ProxyFix reads, with a check of each. An invalid value counts as absent.
_VALID: dict[str, Callable[[str], bool]] = {
    "HTTP_X_FORWARDED_PROTO": lambda text: text in {"http", "https"},
    "HTTP_X_FORWARDED_HOST": lambda text: bool(get_host("", text)),
    "HTTP_X_FORWARDED_PORT": lambda text: _is_port(text) and 0 < int(text[:6]) <= _LARGEST_PORT,
}


class TrustedProxies:
    """WSGI middleware that believes X-Forwarded-For, -Proto, -Host and -Port only from trusted proxies.

    It sets REMOTE_ADDR in the form of `plain_address`. A peer on a unix socket has no address; it is trusted if there is any
    trusted proxy.
    """

    def __init__(self, app: WSGIApplication, networks: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self._app = app
        self._behind_proxy = ProxyFix(app, x_for=0, x_proto=1, x_host=1, x_port=1, x_prefix=0)
        self._networks = networks

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Set the client's address and call the application."""
        peer = environ.get("REMOTE_ADDR", "")
        if not self._is_trusted(peer):
            environ["REMOTE_ADDR"] = plain_address(peer)
            return self._app(environ, start_response)
        # Only the last value of a header comes from the proxy. ProxyFix may miss it, since it parses quoted strings: a client
        # could hide it behind a quotation mark. Without a valid last address, the proxy counts as the client.
        forwarded = parse_address(_last_value(environ, "HTTP_X_FORWARDED_FOR"))
        environ["REMOTE_ADDR"] = str(forwarded) if forwarded else plain_address(peer)
        for name in _VALID.keys() & environ:
            value = _last_value(environ, name)
            environ[name] = value if _VALID[name](value) else ""
        return self._behind_proxy(environ, start_response)

    def _is_trusted(self, peer: str) -> bool:
        if not self._networks or not peer:
            return bool(self._networks)
        address = parse_address(peer)
        if address is None:
            return False
        # TRUSTED_PROXIES may name an IPv4 network as IPv4-mapped IPv6, which is how a socket on [::] shows it.
        forms = (address, IPv6Address(f"::ffff:{address}")) if isinstance(address, IPv4Address) else (address,)
        return any(form in network for network in self._networks for form in forms)


def _last_value(environ: WSGIEnvironment, name: str) -> str:
    value: str = environ.get(name, "").rpartition(",")[2]
    return value.strip().lower()


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, with or without a port (`[2001:db8::1]:443`, `192.0.2.1:4711`). Return None if it is invalid.

    IPv4-mapped IPv6 becomes IPv4. A zone (`%eth0`, RFC 4007) is dropped, since it means nothing to other hosts.
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
    """Return an address in canonical form; any other text unchanged, but cut to 45 characters."""
    # IPv4 has only one form and needs no parsing, which saves time for each request.
    address = parse_address(text) if ":" in text else None
    return text[:ADDRESS_LENGTH] if address is None else str(address)


def network_of(address: str, prefix_length: int = 64) -> str:
    """Return the network of an IPv6 address. For IPv4 and any other text, return `plain_address`.

    A subscriber gets a /64 or more (RFC 6177), so one client has many IPv6 addresses (docs/compatibility.md#ipv6-networks).
    """
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed.packed, prefix_length), strict=False))
    return plain_address(address)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()
