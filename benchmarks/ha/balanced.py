"""Two hosts with Poort behind deploy/haproxy.cfg, in network namespaces: one is stopped, killed, and cut off under load."""

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.commands import ROOT
from benchmarks.ground import lay
from benchmarks.ha.lan import Lan
from benchmarks.ha.proof import COST
from benchmarks.services import DidNotStart, Program, find_program, run, spawn, start_mariadb
from benchmarks.serving import children_of, clean_environment

TITLE = "Two hosts behind HAProxy, in network namespaces"
PORT = 8000
BALANCED_PORT = 8080
HOSTS = ("a", "b")
#: Seconds of load around each event.
SECONDS = 6
#: HAProxy needs two checks, a second apart, to mark a host as down, and each may take a second.
MOST_SECONDS_OF_FAILURES = 5


class Site:
    """HAProxy, two hosts, a client, and a database on this machine."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Start everything. Raises NotInstalled and DidNotStart."""
        haproxy = find_program("haproxy")
        self._stack = stack
        self.lan = Lan(("balancer", *HOSTS, "client"))
        stack.callback(self.lan.remove)
        database = start_mariadb(f"--bind-address=127.0.0.1,{self.lan.address('here')}")
        stack.callback(database.stop)
        url = database.create_database()
        self.ground = lay(folder / "ground", url, COST)
        self._url = url.replace("127.0.0.1", self.lan.address("here"))
        self.hosts = {name: self.start_host(name) for name in HOSTS}
        settings = folder / "haproxy.cfg"
        settings.write_text(self._settings())
        run([haproxy, "-c", "-q", "-f", str(settings)])
        self._spawn("haproxy", "balancer", [haproxy, "-db", "-f", str(settings)])
        self.wait_until_ready()

    def start_host(self, name: str) -> Program:
        """Start Poort on a host, behind HAProxy's address."""
        listen = f"--bind={self.lan.address(name)}:{PORT}"
        command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", listen, "wsgi:app"]
        more = {"DATABASE_URL": self._url, "TRUSTED_PROXIES": self.lan.address("balancer"), "WEB_CONCURRENCY": "1"}
        return self._spawn(name, name, ["env", "-C", str(ROOT), *command], **self.ground.settings | more)

    def load(self, seconds: float) -> Any:
        """Start clients on the client's host: they read, and write. `communicate` gives what they saw, as JSON."""
        given = {
            "url": f"http://{self.lan.address('balancer')}:{BALANCED_PORT}",
            "password": self.ground.password,
            "seconds": seconds,
        }
        command = [*self.lan.on("client"), sys.executable, str(Path(__file__).with_name("balanced_client.py")), json.dumps(given)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def wait_until_ready(self) -> None:
        """Wait until each host is ready, and HAProxy knows it. Raises DidNotStart."""
        deadline = time.monotonic() + 30
        checks = [f"http://{self.lan.address(name)}:{PORT}/readyz" for name in HOSTS]
        checks.append(f"http://{self.lan.address('balancer')}:{BALANCED_PORT}/.well-known/jwks.json")
        while time.monotonic() < deadline:
            code = "import sys, urllib.request; [urllib.request.urlopen(url, timeout=2) for url in sys.argv[1:]]"
            if not subprocess.run(
                [*self.lan.on("client"), sys.executable, "-c", code, *checks], check=False, capture_output=True
            ).returncode:
                time.sleep(3)  # until HAProxy has seen both twice
                return
            time.sleep(0.2)
        raise DidNotStart("a host or HAProxy does not answer")

    def addresses_of_failures(self) -> set[str]:
        """Return the addresses from which sign-ins failed, as the audit lines of the hosts tell."""
        lines = "".join(host.log for host in self.hosts.values()).splitlines()
        said = [json.loads(line) for line in lines if line.startswith("{")]
        return {line["address"] for line in said if line.get("event") == "sign_in_refused"}

    def _settings(self) -> str:
        text = (ROOT / "deploy/haproxy.cfg").read_text().partition("\n# Not needed if")[0]
        for number, name in enumerate(HOSTS, 1):
            text = text.replace(f"10.0.0.{number}:", f"{self.lan.address(name)}:")
        return text + "\n"

    def _spawn(self, name: str, place: str, command: list[str], **variables: str) -> Program:
        folder = Path(tempfile.mkdtemp(prefix=f"poort-{name}-"))
        set_variables = ["env", "-i", *(f"{key}={value}" for key, value in clean_environment(**variables).items())]
        program = Program(name, spawn([*self.lan.on(place), *set_variables, *command], folder), folder)
        self._stack.callback(program.stop)
        return program


class Event:
    """What happened to a host, and the requests around it."""

    def __init__(self, name: str, seen: list[Any], at: float) -> None:
        self.name, self.requests = name, len(seen)
        good = {"read": 200, "write": 201}  # the kinds by the beginning of the client's name
        self.failed = [one for one in seen if one[3] != good[re.match("[a-z]+(?=[0-9])", one[0])[0]]]  # type: ignore[index]
        self.statuses = Counter(
            f"{'GET' if one[0].startswith('read') else 'POST'} {one[3] or 'no answer'}" for one in self.failed
        )
        self.failing_for = max((one[2] - at for one in self.failed), default=0)
        self.slowest = max(one[2] - one[1] for one in seen)


def events(site: Site) -> Iterator[Event]:
    """Let one host after the other stop, die and vanish, and return."""
    yield _during(site, "host b is stopped (SIGTERM)", site.hosts["b"].process.terminate)
    site.hosts["b"] = site.start_host("b")
    site.wait_until_ready()
    yield _during(site, "host a is killed (kill -9)", lambda: _kill(site.hosts["a"]))
    site.hosts["a"] = site.start_host("a")
    site.wait_until_ready()
    yield _during(site, "the cable of host b is pulled", lambda: site.lan.pull_cable("b"))
    yield _during(site, "the cable is plugged in again", lambda: site.lan.plug_in("b"))


def _during(site: Site, name: str, happen: Callable[[], object]) -> Event:
    load = site.load(SECONDS)
    time.sleep(SECONDS / 3)
    at = time.monotonic()
    happen()
    output, _ = load.communicate(timeout=SECONDS + 60)
    return Event(name, json.loads(output), at)


def _kill(program: Program) -> None:
    """Kill the master and its workers at once, as a power failure would."""
    pid = program.process.pid
    for each in (pid, *children_of(pid)):
        subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(each)], check=False)
    program.process.wait()


@contextmanager
def balanced() -> Iterator[Site]:
    """Run a site in this context. Raises NotInstalled."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="poort-balanced-")))
        yield Site(folder, stack)


def prove() -> bool:
    """Print what clients saw. Returns whether all bounds held. Raises NotInstalled."""
    print(f"\n## {TITLE}\n\n| event | requests | failed | failing for | slowest |\n|---|---|---|---|---|")
    held = True
    with balanced() as site:
        for event in events(site):
            said = ", ".join(f"{number} x {what}" for what, number in event.statuses.items())
            failed = f"{len(event.failed)}{f' ({said})' if said else ''}"
            print(f"| {event.name} | {event.requests:,} | {failed} | {event.failing_for:.1f} s | {event.slowest:.1f} s |")
            held &= event.failing_for <= MOST_SECONDS_OF_FAILURES
        addresses = site.addresses_of_failures()
        print(f"\nAddresses of failed sign-ins in the audit: {addresses}; that of the client: {site.lan.address('client')}")
        return held and addresses == {site.lan.address("client")}
