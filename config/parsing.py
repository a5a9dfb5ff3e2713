"""Parse the text of each variable. The text of a ValueError completes a sentence that begins with the variable's name."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}

# The networks that Symfony calls `private_ranges`: RFC 1918, RFC 4193, loopback and link-local networks.
_PRIVATE_RANGES = (
    *("127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12", "169.254.0.0/16"),
    *("::1/128", "fc00::/7", "fe80::/10"),
)

# The options of redis-py that a URL may set. The throttle sets the time-outs itself.
_REDIS_OPTIONS = {
    "redis": {"db", "username", "password"},
    "rediss": {"db", "username", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"},
    "unix": {"db", "username", "password"},
}

# Symfony's options of a mail server. Those that limit its pace have no effect here, since each mail has a connection of its own.
_MAIL_OPTIONS = {"verify_peer", "auto_tls", "require_tls", "local_domain"}
_MAIL_OPTIONS_OF_PACE = {"restart_threshold", "restart_threshold_sleep", "ping_threshold", "max_per_second"}
_MAIL_PORT, _MAILS_PORT = 25, 465


def boolean(text: str) -> bool:
    """Parse 1, true, yes, on and 0, false, no, off, in any case."""
    word = text.strip().lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise ValueError(f"must be 1 or 0 (or true, yes, on, false, no, off), not {text!r}")


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` to `most`, both included."""

    def parse(text: str) -> int:
        if re.fullmatch(r"\s*-?[0-9]{1,18}\s*", text) and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"must be a whole number from {least} to {most}, not {text!r}")

    return parse


#: A portal's id, `host` if the host of each request chooses the portal, or None if the variable is not set.
AccessUrlId = int | Literal["host"] | None


def access_url_id(text: str) -> AccessUrlId:
    """Parse the id of a portal, or `host`; return None for an empty text."""
    word = text.strip().lower()
    if not word:
        return None
    if word == "host":
        return "host"
    if re.fullmatch(r"[0-9]{1,10}", word, re.ASCII) and 1 <= int(word) < 2**31:
        return int(word)
    raise ValueError(f"must be the id of a portal, a whole number from 1 to {2**31 - 1}, or host, not {text!r}")


def short_text(most: int) -> Callable[[str], str]:
    """Return a parser of a text of 1 to `most` printable characters."""

    def parse(text: str) -> str:
        if 1 <= len(text.strip()) <= most and text.isprintable():
            return text.strip()
        raise ValueError(f"must be a text of 1 to {most} printable characters, not {text!r}")

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that accepts a few words, in any case."""

    def parse(text: str) -> str:
        if text.strip().lower() in words:
            return text.strip().lower()
        raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}, not {text!r}")

    return parse


def origin_pattern(text: str) -> re.Pattern[str] | None:
    """Parse the regular expression of allowed web origins; an empty text allows none."""
    if not text:
        return None
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as reason:
        raise ValueError(f"must be a regular expression, but {text!r} is not one: {reason}") from None


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Parse comma-separated addresses and networks. The word `private_ranges` stands for all private and loopback networks."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        return tuple(
            ip_network(name) for word in words for name in (_PRIVATE_RANGES if word.lower() == "private_ranges" else [word])
        )
    except ValueError:
        raise ValueError(f"must be addresses or networks like 10.0.0.0/8, separated by commas, not {text!r}") from None


def redis_url(text: str) -> str:
    """Parse the URL of a Redis server; an empty text means none. No error contains the password."""
    if not text:
        return ""
    try:
        url = urlsplit(text)
        options = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
        place = url.path if url.scheme == "unix" else url.hostname
        number = options.get("db") or ("" if url.scheme == "unix" else url.path.strip("/"))
        is_whole = place and url.port != 0 and not url.fragment and re.fullmatch("[0-9]{0,5}", number)
    except ValueError:  # dropped, since its text may hold part of the password
        is_whole = None
    if not is_whole or set(options) - _REDIS_OPTIONS.get(url.scheme, set()) or url.scheme not in _REDIS_OPTIONS:
        raise ValueError(
            "must be a URL like redis://:password@host:6379/0, rediss://… or unix:///run/redis.sock?db=0, "
            "with special characters in the password percent-encoded"
        )
    return url.scheme + text[len(url.scheme) :]


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server that sends our mail. `is_encrypted`: the connection begins with TLS. `verify_peer`: check the certificate.

    `auto_tls`: otherwise, change to TLS by STARTTLS if the server offers that. `require_tls`: send nothing without TLS.
    `local_domain` is the name in EHLO.
    """

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    is_encrypted: bool
    auto_tls: bool = True
    require_tls: bool = False
    verify_peer: bool = True
    local_domain: str = "[127.0.0.1]"


def mailer_dsn(text: str) -> MailServer | None:
    """Parse a DSN of Symfony's mailer; return None for an empty text and `null://null`. No error contains the password."""
    try:
        url = urlsplit(text.strip())
        if not text.strip() or url.scheme == "null":
            return None
        return _mail_server(url, url.port or 0)
    except ValueError:  # dropped, since its text may hold part of the password
        raise ValueError(
            "must be a URL like smtp://user:password@host:587, smtps://… or null://null, "
            "with special characters in the password percent-encoded"
        ) from None


def _mail_server(url: SplitResult, port: int) -> MailServer:
    """Return the server of a URL. Without a port, TLS is used unless the host is this one, as in Symfony. Raises ValueError."""
    options = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
    is_known = url.scheme in {"smtp", "smtps"} and options.keys() <= _MAIL_OPTIONS | _MAIL_OPTIONS_OF_PACE
    if not is_known or not url.hostname or url.path not in {"", "/"} or url.fragment:
        raise ValueError
    of_mails = {name: options[name] for name in _MAIL_OPTIONS & options.keys()}
    given: dict[str, Any] = {name: text if name == "local_domain" else boolean(text) for name, text in of_mails.items()}
    is_encrypted = url.scheme == "smtps" or port == _MAILS_PORT or (not port and url.hostname != "localhost")
    return MailServer(
        host=url.hostname,
        port=port or (_MAILS_PORT if is_encrypted else _MAIL_PORT),
        username=unquote(url.username or ""),
        password=unquote(url.password or ""),
        is_encrypted=is_encrypted,
        **given,
    )


def mail_address(text: str) -> str:
    """Parse an e-mail address without a display name; an empty text means none."""
    address = text.strip()
    if not address or re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}", address, re.ASCII):
        return address
    raise ValueError(f"must be an e-mail address like noreply@campus.example, not {text!r}")
