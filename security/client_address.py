"""Whose address a request has: the peer's, unless the peer is a proxy that is trusted to name another."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class TrustedProxies:
    """WSGI middleware: X-Forwarded-For and -Proto count from a trusted proxy, and from nobody else.

    A peer on a unix socket has no address; it is trusted where any proxy is.
    """

    def __init__(self, app: Application, networks: tuple[IPv4Network | IPv6Network, ...]) -> None:
        """Take the application and the networks whose word is good."""
        self._app = app
        self._behind_proxy = ProxyFix(app, x_for=1, x_proto=1, x_host=0, x_port=0, x_prefix=0)
        self._networks = networks

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on, with the client's address where the proxy told it."""
        app = self._behind_proxy if self._is_trusted(environ.get("REMOTE_ADDR", "")) else self._app
        return app(environ, start_response)

    def _is_trusted(self, peer: str) -> bool:
        if not self._networks or not peer:
            return bool(self._networks)
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
