"""Measure requests per second behind nginx, as production has it: each server on a unix socket, with deploy/nginx.conf."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.commands import ROOT
from benchmarks.figures import Figures
from benchmarks.ground import Ground
from benchmarks.plan import Plan
from benchmarks.rates import measure_round, warm_up
from benchmarks.services import start_nginx
from benchmarks.serving import Server

SITE = ROOT / "deploy" / "nginx.conf"
NAMES = ("poort", "bare", "tutorial", "fastapi", "tuned")

_OTHER_SERVERS = re.compile(
    r"^# Closes connections for unknown hosts.*?(?=^server \{\n    listen 443 ssl;)", re.MULTILINE | re.DOTALL
)
_TLS = re.compile(r"^ *(ssl_.*|listen \[::\].*)\n", re.MULTILINE)


def measure(plan: Plan, ground: Ground) -> Figures:
    """Measure items and lists of Poort and its peers, each behind an nginx of its own."""
    figures = Figures()
    with ExitStack() as stack:
        servers = [stack.enter_context(_proxied(ground, name)) for name in NAMES]
        warm_up(ground, servers)
        for number in range(plan.rounds):
            plan.say(f"behind nginx, round {number + 1} of {plan.rounds}")
            measure_round(plan, figures, servers, number)
    return figures


@contextmanager
def _proxied(ground: Ground, name: str) -> Iterator[Server]:
    path = ground.folder / f"{name}.sock"
    server = ground.server(name, path)
    server.environment = {**server.environment, "TRUSTED_PROXIES": "127.0.0.1"}
    nginx = start_nginx(site_of(path, server.port, ground.folder), server.port)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        nginx.stop()


def site_of(path: Path, port: int, logs: Path) -> str:
    """Return deploy/nginx.conf for a unix socket, without TLS, and with limits that do not count this machine's requests."""
    site, number = _OTHER_SERVERS.subn("", SITE.read_text())
    assert number == 1
    for there, here in {
        "/run/poort/gunicorn.sock": str(path),
        "listen 443 ssl;": f"listen 127.0.0.1:{port};",
        "# 192.0.2.7/32 1;  # CHANGE": "127.0.0.0/8 1;",
        "/var/log/nginx": str(logs),
    }.items():
        assert there in site
        site = site.replace(there, here)
    return _TLS.sub("", site)
