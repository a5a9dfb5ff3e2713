"""Parsers of single settings: the texts that they accept, and the messages that refuse others."""

import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from config.parsing import (
    MailServer,
    boolean,
    database_url,
    database_url_of_parts,
    integer,
    mailer_dsn,
    networks,
    one_of,
    origin_pattern,
    redis_url,
)

BOOLEAN = "must be 1 or 0 (or true, yes, on, false, no, off), not "
INTEGER = "must be a whole number from 0 to 10, not "
WORD = "must be info, debug or error, not "
PATTERN = "must be a regular expression, but '(' is not one: missing ), unterminated subpattern at position 0"
NETWORKS = "must be addresses or networks like 10.0.0.0/8, separated by commas, not "
URL_OF_DATABASE = "must be a URL like mysql://user:password@host:3306/name, postgresql://… or sqlite:///file"
FILE = "must name a file that the workers can share, like sqlite:////var/lib/poort/poort.db"
NAME = "must name the database after the host, like mysql://user:password@host:3306/name"
URL_OF_REDIS = (
    "must be a URL like redis://:password@host:6379/0, rediss://… or unix:///run/redis.sock?db=0, "
    "with special characters in the password percent-encoded"
)

PRIVATE = (
    *("127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12", "169.254.0.0/16"),
    *("::1/128", "fc00::/7", "fe80::/10"),
)

digit = integer(0, 10)
word = one_of("info", "debug", "error")

#: A parser, a text that it refuses, and its message.
REFUSED: list[tuple[Callable[[str], Any], str, str]] = [
    (boolean, "perhaps", f"{BOOLEAN}'perhaps'"),
    (boolean, "2", f"{BOOLEAN}'2'"),
    (digit, "ten", f"{INTEGER}'ten'"),
    (digit, "-1", f"{INTEGER}'-1'"),
    (digit, "11", f"{INTEGER}'11'"),
    (digit, "", f"{INTEGER}''"),
    (digit, "1_0", f"{INTEGER}'1_0'"),
    (digit, "+1", f"{INTEGER}'+1'"),
    (digit, "1 0", f"{INTEGER}'1 0'"),
    (digit, "\u0661", f"{INTEGER}'\u0661'"),
    (digit, "\u0967", f"{INTEGER}'\u0967'"),
    (digit, "\uff11", f"{INTEGER}'\uff11'"),
    (digit, "9" * 18, f"{INTEGER}'{'9' * 18}'"),
    (digit, "0" * 18 + "1", f"{INTEGER}'{'0' * 18}1'"),
    (word, "loud", f"{WORD}'loud'"),
    (one_of("a", "b"), "", "must be a or b, not ''"),
    (origin_pattern, "(", PATTERN),
    (networks, "proxy", f"{NETWORKS}'proxy'"),
    (networks, "10.0.0.1/8", f"{NETWORKS}'10.0.0.1/8'"),
    *[
        (database_url, text, URL_OF_DATABASE)
        for text in ("nonsense", "oracle://u:p@h/x", "mysql:/h/x", "mysql://h:port/x", "mysql+", "://h/x")
    ],
    *[(database_url, text, FILE) for text in ("sqlite://", "sqlite:///", "sqlite:///:memory:")],
    *[(database_url, text, NAME) for text in ("mysql://u:p@h", "postgresql://u:p@h/")],
    *[
        (redis_url, text, URL_OF_REDIS)
        for text in (
            *("redis://", "unix://", "http://h", "h:6379", "redis://h:0", "redis://h:65536", "redis://h#1", "redis://h/x"),
            *("redis://h/123456", "redis://h?db=1_0", "redis://h?db=\u0661", "redis://h?db", "redis://h?ssl_keyfile=/x"),
            *("unix:///run/redis.sock?ssl_ca_certs=/x", "unix:///run/redis.sock?db=x", "redis://[::1"),
        )
    ],
]


@pytest.mark.parametrize(("read", "text", "sentence"), REFUSED)
def test_refused_text_is_said_in_one_sentence(read: Callable[[str], Any], text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"\A" + re.escape(sentence) + r"\Z") as caught:
        read(text)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "the message must not quote a password"


#: A parser, a text, and its value.
TAKEN: list[tuple[Callable[[str], Any], str, Any]] = [
    *[(boolean, text, True) for text in ("1", "true", "Yes", " ON\n")],
    *[(boolean, text, False) for text in ("0", "false", "No", " OFF\n", "", " ")],
    (digit, "0", 0),
    (digit, " 10\n", 10),
    (digit, "007", 7),
    (digit, "0" * 17 + "7", 7),
    (digit, "-0", 0),
    (integer(-5, 5), "-5", -5),
    (word, " DEBUG ", "debug"),
    (origin_pattern, "", None),
    (origin_pattern, "^https://a", re.compile("^https://a", re.IGNORECASE)),
    (networks, "", ()),
    (networks, " , ", ()),
    (networks, "10.0.0.1, ::1/128,", (ip_network("10.0.0.1/32"), ip_network("::1/128"))),
    (networks, "Private_Ranges", tuple(map(ip_network, PRIVATE))),
    (redis_url, "", ""),
    *[
        (redis_url, text, text)
        for text in (
            *("redis://h", "redis://h/", "redis://h:65535/12345", "redis://h/3?db=4", "redis://h?db=0"),
            *("redis://h?username=u&password=p", "rediss://h?ssl_certfile=/c&ssl_keyfile=/k", "unix:///run/redis.sock"),
        )
    ],
    (redis_url, "RedisS://H/1", "rediss://H/1"),
]


@pytest.mark.parametrize(("read", "text", "value"), TAKEN)
def test_text_is_read(read: Callable[[str], Any], text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize("prefix", ["", "pdo_", "PDO-"])
def test_file_of_sqlite_brings_none_of_its_options(prefix: str) -> None:
    assert database_url(f"{prefix}sqlite:////var/x.db?mode=ro").render_as_string() == "sqlite:////var/x.db"


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("mysql://h/x?charset=latin1&ssl_ca=/c&sslmode=require&serverVersion=10", {"charset": "utf8mb4", "ssl_ca": "/c"}),
        ("pgsql://h/x?charset=utf8&sslmode=require&sslrootcert=/c", {"sslmode": "require", "sslrootcert": "/c"}),
    ],
)
def test_database_url_passes_on_the_options_that_its_driver_knows(given: str, options: dict[str, str]) -> None:
    assert database_url(given).query == options


def test_parts_of_a_database_url_are_quoted_and_have_defaults() -> None:
    assert database_url_of_parts("", "", "x", "", "") == "mysql://:@localhost:3306/x"
    assert database_url_of_parts("db", "3307", "a/b", "u@v", "p:/?#") == "mysql://u%40v:p%3A%2F%3F%23@db:3307/a%2Fb"


def mail_server(host: str, port: int, username: str = "", password: str = "", **more: Any) -> MailServer:
    return MailServer(host=host, port=port, username=username, password=password, **{"is_encrypted": False} | more)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("", None),
        (" ", None),
        ("null://null", None),
        ("NULL://default", None),
        ("smtp://localhost", mail_server("localhost", 25)),
        ("smtp://mail.example", mail_server("mail.example", 465, is_encrypted=True)),
        ("smtp://mail.example:25", mail_server("mail.example", 25)),
        ("smtp://mail.example:465", mail_server("mail.example", 465, is_encrypted=True)),
        ("smtps://mail.example:2465/", mail_server("mail.example", 2465, is_encrypted=True)),
        ("SMTPS://[::1]", mail_server("::1", 465, is_encrypted=True)),
        ("smtp://u%40x:p%2F%3A+%25@h:587", mail_server("h", 587, "u@x", "p/:+%")),
        ("smtp://u@h:587", mail_server("h", 587, "u")),
        ("smtp://h:25?verify_peer=0", mail_server("h", 25, verify_peer=False)),
        ("smtp://h:25?auto_tls=false&require_tls=true", mail_server("h", 25, auto_tls=False, require_tls=True)),
        ("smtp://h:25?local_domain=campus.example", mail_server("h", 25, local_domain="campus.example")),
        ("smtp://h:25?restart_threshold=10&ping_threshold=5", mail_server("h", 25)),
    ],
)
def test_mail_server_is_read_as_symfony_reads_it(text: str, server: MailServer | None) -> None:
    assert mailer_dsn(text) == server
