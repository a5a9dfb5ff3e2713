"""Parsers of single settings: the texts that they accept, and the messages that refuse others."""

import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from config.database_hosts import hosts_of, shown
from config.database_url import MEANING, NO_MEANING, database_url, database_url_of_parts
from config.parsing import (
    MailServer,
    boolean,
    integer,
    mailer_dsn,
    networks,
    one_of,
    origin_pattern,
    redis_url,
)

ROOT = Path(__file__).parents[2]

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
def test_file_of_sqlite_has_no_options(prefix: str) -> None:
    assert database_url(f"{prefix}sqlite:////var/x.db?charset=utf8").render_as_string() == "sqlite:////var/x.db"


THIS = __file__
FOLDER = str(Path(THIS).parent)
CHARSET = {"charset": "utf8mb4"}


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("mysql://h/x?" + "&".join(f"{name}=1" for name in sorted(NO_MEANING)), CHARSET),
        ("pgsql://h/x?" + "&".join(f"{name}=1" for name in sorted(NO_MEANING)), {}),
        (f"mysql://h/x?charset=latin1&ssl_ca={THIS}&serverVersion=10", CHARSET | {"ssl_ca": THIS}),
        (f"mysql://h/x?ssl-mode=VERIFY_CA&ssl-ca={THIS}&ssl-capath={FOLDER}", CHARSET | {"ssl_mode": "verify_ca", "ssl_ca": THIS, "ssl_capath": FOLDER}),
        (f"mysql://h/x?sslMode=verify-identity&sslCert={THIS}&sslkey={THIS}", CHARSET | {"ssl_mode": "verify_identity", "ssl_cert": THIS, "ssl_key": THIS}),
        ("mysql://h/x?sslmode=disabled&ssl-cipher=AES256-SHA", CHARSET | {"ssl_mode": "disabled", "ssl_cipher": "AES256-SHA"}),
        (f"pgsql://h/x?charset=utf8&sslmode=require&sslrootcert={THIS}", {"sslmode": "require", "sslrootcert": THIS}),
        ("pgsql://h/x?sslmode=verify-full&sslrootcert=system", {"sslmode": "verify-full", "sslrootcert": "system"}),
        (f"pgsql://h/x?sslcert={THIS}&sslkey={THIS}&application_name=poort", {"sslcert": THIS, "sslkey": THIS, "application_name": "poort"}),
        *[(f"pgsql://h/x?pgbouncer={text}", {"pgbouncer": "1"}) for text in ("1", "true")],
        *[(f"pgsql://h/x?pgbouncer={text}", {}) for text in ("0", "false")],
    ],
)  # fmt: skip
def test_database_url_passes_on_the_options_that_its_driver_knows(given: str, options: dict[str, str]) -> None:
    assert database_url(given).query == options


# What SQLAlchemy and models/connecting.py get: host names and ports, separated by commas.
SEVERAL_HOSTS = [
    ("pgsql://u:p@a:1,b/x", "a,b", "1,5432", "pgsql://u:***@a:1,b:5432/x"),
    ("pgsql://u:p%40%2C/,@[::1],[fe80::1%eth0]:1/x", "::1,fe80::1%eth0", "5432,1", "pgsql://u:***@[::1]:5432,[fe80::1%eth0]:1/x"),
    ("pgsql://u:p@%2Frun%2Fpg:7,b/x", "/run/pg,b", "7,5432", "pgsql://u:***@/run/pg:7,b:5432/x"),
    ("pgsql:///x?host=a:1&host=b", "a,b", "1,5432", "pgsql://a:1,b:5432/x"),
    ("pgsql:///x?host=a,::1&port=1", "a,::1", "1,1", "pgsql://a:1,[::1]:1/x"),
    ("pgsql:///x?host=a,b&port=1,2", "a,b", "1,2", "pgsql://a:1,b:2/x"),
    ("mysql://u:p@a,b_2:1,c.d/x", "a,b_2,c.d", "3306,1,3306", "mysql://u:***@a:3306,b_2:1,c.d:3306/x"),
    (database_url_of_parts("a,b", "7", "x", "u", "p"), "a,b", "7,7", "mysql://u:***@a:7,b:7/x"),
]


@pytest.mark.parametrize(("given", "hosts", "ports", "text"), SEVERAL_HOSTS)
def test_database_url_may_name_several_hosts(given: str, hosts: str, ports: str, text: str) -> None:
    url = database_url(given)
    assert (url.host, url.port, url.query["host"], url.query["port"]) == (None, None, hosts, ports)
    assert url.query.get("target_session_attrs") == ("read-write" if given.startswith("pgsql") else None)
    assert hosts_of(url) == list(zip(hosts.split(","), ports.split(","), strict=True))
    assert shown(url).partition("?")[0].replace("postgresql+psycopg", "pgsql").replace("mysql+pymysql", "mysql") == text
    _, options = url.get_dialect()().create_connect_args(url)
    assert (options["host"], options["port"]) == (hosts, ports)


def test_database_url_of_one_host_stays_as_it_is() -> None:
    assert (database_url("pgsql:///x?host=/run/pg&port=7").query, database_url("pgsql://h:7/x").query) == (
        {"host": "/run/pg", "port": "7"},
        {},
    )
    assert (hosts_of(database_url("pgsql:///x?host=/run/pg")), shown(database_url("mysql://u:p@h/x"))) == (
        [],
        "mysql+pymysql://u:***@h/x?charset=utf8mb4",
    )
    assert database_url("pgsql://a,b/x?target_session_attrs=primary").query["target_session_attrs"] == "primary"


UNLISTED = "which is not in docs/operators.md#database-url-options"

USELESS = [
    ("mysql://h/x?driverOptions[1009]=/ca.pem", f"has the option `driverOptions[1009]`, {UNLISTED}"),
    ("mysql://h/x?sslrootcert=/ca.pem", f"has the option `sslrootcert`, {UNLISTED}"),
    ("mysql://h/x?pgbouncer=1", f"has the option `pgbouncer`, {UNLISTED}"),
    ("pgsql://h/x?ssl-mode=require", f"has the option `ssl-mode`, {UNLISTED}"),
    ("pgsql://h/x?options=-csearch_path%3Dx", f"has the option `options`, {UNLISTED}"),
    ("sqlite:////x.db?mode=ro", f"has the option `mode`, {UNLISTED}"),
    ("mysql://h/x?s3cret@h=1", f"has an option with an unusual name, {UNLISTED}"),
    ("mysql://h/x?ssl-ca=/nowhere/ca.pem", "has the option `ssl-ca`, but /nowhere/ca.pem is not a file that this user can read"),
    ("pgsql://h/x?sslrootcert=/nowhere/ca.pem", "has the option `sslrootcert`, but /nowhere/ca.pem is not a file that this user can read"),
    ("mysql://h/x?ssl-key=/", "has the option `ssl-key`, but / is not a file that this user can read"),
    ("pgsql://h/x?sslmode=on", "has the option `sslmode`, which must be disable, allow, prefer, require, verify-ca or verify-full, not 'on'"),
    ("pgsql://h/x?pgbouncer=maybe", f"has the option `pgbouncer`, which {BOOLEAN}'maybe'"),
    *[
        (f"{scheme}://u:{hosts}/x", f"has several hosts, and number {number} is not like host, host:{port} or [::1]")
        for scheme, port, hosts, number in (
            *(("pgsql", 5432, hosts, 2) for hosts in ("p@a,", "p@a,b:0", "p@a,b:65536", "p@a,b:x", "p@a,::1", "p@a,[x]", "p@a,b c")),
            *(("mysql", 3306, "p@,b", 1), ("mysql", 3306, "p@s3cret@a,b", 1), ("mysql", 3306, "p@a,%2Frun", 2)),
        )
    ],
    ("pgsql:///x?host=a,b&port=1,2,3", "has a number of ports that is not that of its hosts"),
    ("pgsql:///x?host=a&host=b&port=1", "has several times the option `host`, so their ports belong there: host=a:5432&host=b:5432"),
    *[
        (f"pgsql://{text}", "has hosts both before the name of the database and in the option `host`")
        for text in ("a,b/x?host=c", "a/x?host=b,c", "a/x?host=b&host=c")
    ],
    ("mysql://a,b/x?unix_socket=/s", "has several hosts and a unix_socket, which would take their place"),
    ("mysql://a,b/x?target_session_attrs=read-write", f"has the option `target_session_attrs`, {UNLISTED}"),
    ("pgsql://a,b/x?target_session_attrs=write", "has the option `target_session_attrs`, which must be any, read-write, read-only, primary, standby or prefer-standby, not 'write'"),
    ("sqlite://a,b/x.db", "has several hosts, and SQLite has none: name the file, like sqlite:////var/lib/poort/poort.db"),
    ("pgsql://h/x?sslmode=require&sslmode=require", "has the option `sslmode` twice"),
    ("mysql://h/x?ssl-mode=required&sslmode=required", "has the option `sslmode` twice"),
    (f"mysql://h/x?ssl-key={THIS}", "has an ssl-key, which needs its ssl-cert"),
    *[
        (f"mysql://h/x?ssl-mode={mode}&ssl-ca={THIS}", f"has certificates that ssl-mode={mode} would not use: choose REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
        for mode in ("disabled", "preferred")
    ],
]  # fmt: skip


@pytest.mark.parametrize(("given", "sentence"), USELESS)
def test_option_of_a_database_url_that_would_do_nothing_is_refused_by_name(given: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"\A" + re.escape(sentence) + r"\Z") as caught:
        database_url(given)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_file_that_this_user_may_not_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may read everything
    with pytest.raises(ValueError, match="is not a file that this user can read"):
        database_url(f"pgsql://h/x?sslkey={THIS}")


def test_documents_list_each_option_of_a_database_url() -> None:
    page = (ROOT / "docs" / "operators.md").read_text()
    section = page.partition("### Database URL options")[2].partition("\n## ")[0]
    listed = {name.replace("-", "_") for name in re.findall(r"`([\w-]+)`", section)}
    assert {name for names in MEANING.values() for name in names} | NO_MEANING <= listed


def test_parts_of_a_database_url_are_quoted_and_have_defaults() -> None:
    assert database_url_of_parts("", "", "x", "", "") == "mysql://:@localhost:3306/x"
    assert database_url_of_parts("db", "3307", "a/b", "u@v", "p:/?#") == "mysql://u%40v:p%3A%2F%3F%23@db:3307/a%2Fb"


def mail_server(host: str, port: int, username: str = "", password: str = "", **more: Any) -> MailServer:
    usual = {"is_encrypted": False, "auto_tls": True, "require_tls": False, "verify_peer": True, "local_domain": "[127.0.0.1]"}
    return MailServer(host=host, port=port, username=username, password=password, **usual | more)


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
