"""Several hosts in DATABASE_URL, in libpq's form: `postgresql://user:secret@host1:5432,host2:5432/poort`.

Texts of errors complete a sentence, as in parsing.py. They show no host: a password that is not percent-encoded may be in it.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from sqlalchemy import URL

#: The part of a URL after `://` as SQLAlchemy splits it: user and password, the hosts, and the rest.
_PARTS = re.compile(r"((?:[^:/]*(?::[^@]*)?@)?)([^/?]*)(.*)", re.DOTALL)

_HOST = re.compile(
    r"(?:\[(?P<address>[0-9a-f:.]+(?:%\w+)?)\]|(?P<name>[\w.-]+)|(?P<folder>(?:/|%2f)[\w./%-]+))(?::(?P<port>[0-9]{0,5}))?",
    re.IGNORECASE,
)

_PORTS = {"postgresql": "5432", "mysql": "3306"}


def without_hosts(after_scheme: str) -> tuple[str, list[str]]:
    """Cut several hosts out of the part of a URL after `://`: SQLAlchemy parses only one. Return the rest and the hosts."""
    parts = _PARTS.fullmatch(after_scheme)
    if parts is None or "," not in parts[2]:
        return after_scheme, []
    return parts[1] + parts[3], parts[2].split(",")


def hosts_in_query(query: Mapping[str, str | Sequence[str]]) -> list[str]:
    """Return several hosts that the options name: `host=a:1&host=b:2`, or `host=a,b&port=1,2`. One host gives an empty list."""
    hosts, ports = query.get("host", ""), query.get("port", "")
    if not isinstance(hosts, str):
        if ports:
            raise ValueError("has several times the option `host`, so their ports belong there: host=a:5432&host=b:5432")
        return list(hosts)
    if "," not in hosts:
        return []
    names = [f"[{name}]" if ":" in name else name for name in hosts.split(",")]
    numbers = ports.split(",") if isinstance(ports, str) else list(ports)
    if len(numbers) == 1:  # a single port is that of all hosts, as in libpq
        numbers *= len(names)
    if len(numbers) != len(names):
        raise ValueError("has a number of ports that is not that of its hosts")
    return [f"{name}:{number}" for name, number in zip(names, numbers, strict=True)]


def options_of_hosts(backend: str, hosts: Sequence[str]) -> dict[str, str]:
    """Return the options `host` and `port` that name several hosts, separated by commas, each with its port."""
    names, ports = [], []
    for number, text in enumerate(hosts, 1):
        found = _HOST.fullmatch(text.strip())
        port = (found and found["port"]) or _PORTS[backend]
        if not found or not 1 <= int(port) < 2**16 or (found["folder"] and backend != "postgresql"):
            raise ValueError(f"has several hosts, and number {number} is not like host, host:{_PORTS[backend]} or [::1]")
        names.append(found["address"] or found["name"] or unquote(found["folder"]))
        ports.append(port)
    return {"host": ",".join(names), "port": ",".join(ports)}


def hosts_of(url: URL) -> list[tuple[str, str]]:
    """Return the hosts with their ports if a parsed URL has several, in the order of the URL; otherwise an empty list."""
    hosts, ports = url.query.get("host", ""), url.query.get("port", "")
    if not (isinstance(hosts, str) and isinstance(ports, str) and "," in hosts):
        return []
    return list(zip(hosts.split(","), ports.split(","), strict=True))


def shown(url: URL) -> str:
    """Return a parsed URL for people: without the password, and with several hosts as an operator writes them."""
    hosts = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts_of(url)]
    if not hosts:
        return url.render_as_string(hide_password=True)
    others = url.difference_update_query(("host", "port")).set(host="several-hosts")
    return others.render_as_string(hide_password=True).replace("several-hosts", ",".join(hosts), 1)
