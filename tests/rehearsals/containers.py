"""`make container-rehearsal`: build the image and run the services of deploy/compose.yaml without a container engine.

The commands of docs/docker.md prepare the folder. Needs root, debootstrap, overlayfs and a Debian mirror, and a wheel in dist/.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from .containerfile import read_image
from .pages import ROOT, Failed, blocks_of
from .roots import Layer, build, install_services, make_base, run
from .services import Service, services_of

HOST = "campus.example.org"
SECRETS = ("app_secret", "jwt_passphrase", "database_password", "postgres_password", "redis_password")
#: Processes and mounts of the rehearsal end with it.
_APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private")
_BEGUN = time.monotonic()


def main() -> int:
    """Do what the options say; return 0 if nothing failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", type=Path, help="a folder that keeps the root of debootstrap for the next time")
    parser.add_argument("--stage", choices=("build", "serve"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        try:
            (build_all if options.stage == "build" else serve_all)(options.folder, options.base)
        except Failed as reason:
            print(f"FAILED: {reason}")
            return 1
        return 0
    if os.getuid() or not shutil.which("debootstrap"):
        print("skipped: the rehearsal needs root and the Debian package debootstrap")
        return 0
    with tempfile.TemporaryDirectory(prefix="poort-containers-") as folder:
        base = options.base or Path(folder) / "base"
        return subprocess.run([*_APART, *again("build", Path(folder), base)], check=False).returncode


def again(stage: str, folder: Path, base: Path) -> list[str]:
    """Return the words that run a stage of this program."""
    return [sys.executable, "-m", "tests.rehearsals.containers", "--stage", stage, "--folder", str(folder), "--base", str(base)]


class SiteConnection(HTTPSConnection):
    """A connection to the site on the loopback, under the name of its host."""

    def __init__(self, certificate: Path) -> None:
        self._trusted = ssl.create_default_context(cafile=certificate)
        super().__init__(HOST, timeout=60, context=self._trusted)

    def connect(self) -> None:
        self.sock = self._trusted.wrap_socket(socket.create_connection(("127.0.0.1", 443), 60), server_hostname=HOST)


def say(what: str) -> None:
    """Print a line with the seconds since the start of the stage."""
    print(f"{time.monotonic() - _BEGUN:5.0f} s  {what}", flush=True)


def build_all(folder: Path, base: Path) -> None:
    """Prepare the folder as the page does, build all roots, and go on in a network of its own. Raises Failed."""
    project = folder / "srv" / "poort"
    project.parent.mkdir()
    for block in blocks_of("docker.md", "Prepare a folder"):
        run(["bash", "-euc", block.replace("/srv/poort", str(project))], cwd=ROOT / "dist")
    say("the folder is prepared")
    make_base(base)
    image = build(project / "Containerfile", Layer(base, folder / "poort"))
    version = run(["chroot", base, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    if f"python:{version}-slim-bookworm" not in image.base:
        raise Failed(f"the rehearsal has Python {version}, and the image is made from {image.base}")
    say("the image is built")
    install_services(Layer(base, folder / "services"))
    say("Debian's servers are installed")
    status = subprocess.run(["unshare", "--net", *again("serve", folder, base)], check=False).returncode
    if status:
        raise Failed("see above")


def serve_all(folder: Path, base: Path) -> None:
    """Start the services, use them, and look whether the promises hold. Raises Failed."""
    run(["ip", "link", "set", "lo", "up"])
    project = folder / "srv" / "poort"
    services = services_of(project, folder / "run", read_image(project / "Containerfile"))
    ports = {value for service in services.values() for value in service.says.get("sysctls", {}).values()}
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text(str(*ports))
    serve_alone(services["poort"], Layer(base, folder / "poort"))
    for service in services.values():
        service.make_root(base, Layer(base, folder / ("poort" if "build" in service.says else "services")))
        service.start()
        say(f"{service.name} is healthy")
        confined_or_fail(service)
    poort = services["poort"]
    password = re.findall(r"^admin password: (\S+)$", poort.log.read_text(), re.MULTILINE)
    token = ask(project, "POST", "/api/authentication_token", {"username": "admin", "password": password[0]})["token"]
    say(f"{ask(project, 'GET', '/api/me', token=token)['username']} has a token through nginx")
    print(poort.execute("poort", "doctor"))
    use(poort, project, token)
    for service in reversed(services.values()):
        say(f"{service.name} stopped within {service.stop():.1f} s")


def serve_alone(poort: Service, layer: Layer) -> None:
    """Run the image without the other services and without settings, as the page does. Raises Failed."""
    names = ("image", "user", "read_only", "cap_drop", "tmpfs", "stop_grace_period")
    says = {name: poort.says[name] for name in names} | {"volumes": ["alone:/var/lib/poort"]}
    alone = Service("alone", says, poort.project, poort.root.parent.with_name("alone") / "root", poort.image)
    alone.make_root(layer.base, layer)
    alone.start()
    made = sorted(path.relative_to(alone.root) for path in (alone.root / "var/lib/poort").rglob("*") if path.is_file())
    if "admin password: " not in alone.log.read_text() or Path("var/lib/poort/.env") not in made:
        raise Failed(f"the image alone made {made}")
    say(f"the image alone is healthy, and stopped within {alone.stop():.1f} s")


def use(poort: Service, project: Path, token: str) -> None:
    """Reload and restart Poort; see that nothing is lost, and that secrets stay where they are. Raises Failed."""
    look_for_secrets(project)
    poort.process.send_signal(signal.SIGHUP)
    time.sleep(3)
    ask(project, "GET", "/api/me", token=token)
    say(f"Poort stopped within {poort.stop():.1f} s, and starts again")
    poort.start()
    ask(project, "GET", "/api/me", token=token)
    if poort.log.read_text().count("admin password: ") != 1:
        raise Failed("the second start made another first user")
    say("the token is valid after a reload and a restart")


def ask(project: Path, method: str, path: str, document: object = None, token: str = "") -> Mapping[str, Any]:
    """Send a request to nginx over TLS, and return its answer. Raises Failed if its status is not 200."""
    connection = SiteConnection(project / "secrets" / "tls_certificate")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection.request(method, path, None if document is None else json.dumps(document), headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != 200:
        raise Failed(f"{method} {path}: {response.status} {body!r}")
    found: Mapping[str, Any] = json.loads(body)
    return found


def confined_or_fail(service: Service) -> None:
    """Raise Failed if a process of a service has a right, or its user can write to the root."""
    status = dict(re.findall(r"^(\w+):\s*(.*)$", Path(f"/proc/{service.process.pid}/status").read_text(), re.MULTILINE))
    rights = {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)}
    if rights or status["NoNewPrivs"] != "1" or status["Uid"].split() != [service.user.split(":")[0]] * 4:
        raise Failed(f"{service.name} has rights: {rights}, {status['NoNewPrivs']}, {status['Uid']}")
    # The kernel asks first whether the file system may be written to only where the user may write: root shows it for all.
    done = subprocess.run(["touch", service.root / "usr" / "x"], check=False, capture_output=True, text=True)
    if "Read-only file system" not in done.stderr:
        raise Failed(f"the root of {service.name} can be written to: {done.stderr}")


def look_for_secrets(project: Path) -> None:
    """Raise Failed if the environment or the arguments of a process hold a secret."""
    secrets = [(project / "secrets" / name).read_bytes().strip() for name in SECRETS]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            seen = b"".join((process / file).read_bytes() for file in ("environ", "cmdline"))
        except OSError:  # it has ended
            continue
        if any(secret in seen for secret in secrets):
            raise Failed(f"a secret is in the environment or the arguments of {(process / 'comm').read_text()}")
    say(f"no secret is in the environment or the arguments of {len(list(Path('/proc').glob('[0-9]*')))} processes")


if __name__ == "__main__":
    sys.exit(main())
