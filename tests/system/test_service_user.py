"""The recipe of docs/nginx.md as an operator follows it: a user of Poort's own, nginx as www-data, a unix socket between them."""

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import needed
from system.proxied import Proxied, ServerOnASocket, put_behind_nginx
from system.serving import FLASK, GUNICORN, Home, Server

from benchmarks.services import NotInstalled, find_program
from config.settings import ROOT

pytestmark = pytest.mark.services

CONFIGURATION = ROOT / "deploy" / "gunicorn.conf.py"
NGINX_PAGE = (ROOT / "docs" / "nginx.md").read_text()
BACKUPS = "/var/backups/poort"
FINE = {"status": "ok", "failing": [], "degraded": []}
LOST = {"status": "degraded", "failing": [], "degraded": ["writing"]}


def make_user() -> str:
    """Make a user as docs/operations.md does. Raises NotInstalled where this test is not root's, or nginx has no user."""
    if os.getuid():
        raise NotInstalled("only root may make a user")
    if not any(user.pw_name == "www-data" for user in pwd.getpwall()):
        raise NotInstalled("there is no user www-data")
    name = f"poort-{secrets.token_hex(4)}"
    subprocess.run([find_program("useradd"), "--system", "--shell", "/usr/sbin/nologin", name], check=True, capture_output=True)
    return name


@pytest.fixture(scope="module")
def user() -> Iterator[str]:
    name = needed(make_user)
    yield name
    subprocess.run([find_program("userdel"), name], check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that everyone may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="poort-recipe-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


#: The one right of root's that the user keeps, where that is possible: the Python of the tests may be in a folder of root's.
MAY_READ = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search")


def find_words(user: str) -> tuple[str, ...]:
    """Return the words that run a command as a user who may write nothing of others. Raises NotInstalled."""
    words = (find_program("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups")
    for caps in (MAY_READ, ("--inh-caps=-all", "--bounding-set=-all")):
        python = (*words, *caps, sys.executable, "-c", "import flask, sqlite3")
        if not subprocess.run(python, check=False, capture_output=True, cwd="/").returncode:
            return (*words, *caps)
    raise NotInstalled("other users cannot read this Python")


@pytest.fixture(scope="module")
def as_user(user: str) -> tuple[str, ...]:
    return needed(lambda: find_words(user))


@pytest.fixture(scope="module")
def served(user: str, as_user: tuple[str, ...], folder: Path) -> Iterator[Proxied]:
    (recipe,) = re.findall(r"^install -d .*$", NGINX_PAGE, re.MULTILINE)
    run = folder / "run"
    subprocess.run(recipe.replace("-o poort", f"-o {user}").replace("/run/poort", str(run)), check=True, shell=True)
    state = folder / "state"
    state.mkdir()
    home = Home(state).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4", TRUSTED_PROXIES="127.0.0.1")
    password = home.set_up()
    (state / "log").touch()
    subprocess.run(["chown", "-R", f"{user}:{user}", str(state)], check=True)
    command = (*as_user, *GUNICORN[:-1], "--bind", f"unix:{run}/gunicorn.sock", GUNICORN[-1])
    server = Recipe(command, state, home.environment(WEB_CONCURRENCY="1"))
    server.start()
    (folder / "poort.access.log").touch()
    yield from put_behind_nginx(server, folder, password, user="www-data")


class Recipe(ServerOnASocket):
    """gunicorn with the socket of the recipe, or one beside it."""

    name = "gunicorn"

    @property
    def socket(self) -> Path:
        return self.folder.parent / "run" / f"{self.name}.sock"


def test_nginx_reaches_the_socket_and_others_do_not(served: Proxied, user: str) -> None:
    assert served.request("GET", "/readyz")[::2] == (200, FINE)
    assert list(served.sign_in("admin", served.password)[2]) == ["token"]
    assert owner_and_mode(served.server.socket) == (user, "www-data", "0o660")


def owner_and_mode(socket: Path) -> tuple[str, str, str]:
    return socket.owner(), socket.group(), oct(socket.stat().st_mode & 0o7777)


def test_workers_keep_their_own_group(served: Proxied, user: str) -> None:
    assert groups_of(served.server) == {str(pwd.getpwnam(user).pw_gid)}


def groups_of(server: Server) -> set[str]:
    """Return the ids of the groups of the workers."""
    statuses = [Path(f"/proc/{worker}/status").read_text() for worker in server.workers()]
    return {group for status in statuses for group in re.findall(r"^Gid:\s+(.*)$", status, re.MULTILINE)[0].split()}


def test_nightly_tasks_run_as_that_user(served: Proxied, user: str, as_user: tuple[str, ...], folder: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text().partition("### Nightly tasks")[2]
    (recipe,) = re.findall(r"^(install -d .*?) &&", page.partition("```\n")[0], re.MULTILINE)
    backups = folder / "backups"
    subprocess.run(
        recipe.replace("-o poort -g poort", f"-o {user} -g {user}").replace(BACKUPS, str(backups)), check=True, shell=True
    )
    units = "".join((ROOT / "deploy" / f"poort-{task}.service").read_text() for task in ("backup", "prune"))
    lines = re.findall(r"^ExecStart=/opt/poort/bin/poort (.*)$", units, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        words = (*as_user, *FLASK, *line.replace(BACKUPS, str(backups)).split())
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=served.server.environment, cwd="/")
        assert done.returncode == 0, done.stderr
    (made,) = backups.iterdir()
    assert (made.owner(), oct(made.stat().st_mode & 0o777)) == (user, "0o600")
    assert served.request("GET", "/readyz")[::2] == (200, FINE)


def test_file_of_the_database_without_the_right_to_write_is_degraded_and_the_doctor_says_what_to_type(
    served: Proxied, as_user: tuple[str, ...]
) -> None:
    file = served.server.folder / "var" / "poort.db"
    file.chmod(0o400)
    try:
        reload_until(served, LOST)
        assert served.sign_in("admin", served.password)[0] == 503
        words = (*as_user, *FLASK, "poort", "doctor")
        told = subprocess.run(words, check=False, capture_output=True, text=True, env=served.server.environment, cwd="/")
        (found,) = re.findall(r"^error    database .*\n(.*)$", told.stdout, re.MULTILINE)
        assert "`chown` both, then `chmod u+w`" in found
    finally:
        file.chmod(0o600)
        reload_until(served, FINE)


def test_socket_that_moves_with_a_reload_is_open_to_nginx_too(
    served: Proxied, user: str, as_user: tuple[str, ...], folder: Path
) -> None:
    state, run = served.server.folder, folder / "run"
    configuration = state / "gunicorn.conf.py"
    mine = f"__file__ = '{CONFIGURATION}'\nexec(open(__file__).read())\nbind = 'unix:{run}/%s.sock'\n"
    configuration.write_text(mine % "first")
    command = (*as_user, *(str(configuration) if word == str(CONFIGURATION) else word for word in GUNICORN))
    server = Recipe(command, state, served.server.environment)
    server.name = "first"
    server.start()
    try:
        configuration.write_text(mine % "second")
        server.process.send_signal(signal.SIGHUP)
        server.name = "second"
        expected = user, "www-data", "0o660"
        server.wait_until(lambda: server.socket.exists() and owner_and_mode(server.socket) == expected)
        assert groups_of(server) == {str(pwd.getpwnam(user).pw_gid)}
    finally:
        server.stop()


def reload_until(served: Proxied, readiness: object) -> None:
    """Reload, and wait until only a worker that opens the database anew is left."""
    before = served.server.workers()
    served.server.process.send_signal(signal.SIGHUP)
    served.server.wait_until(lambda: bool(served.server.workers()) and not before & served.server.workers())
    served.server.wait_until(lambda: served.request("GET", "/readyz")[2] == readiness)


def test_recipe_of_the_service_makes_way_for_the_site_and_lets_others_read_the_program() -> None:
    page = (ROOT / "docs" / "operations.md").read_text().partition("## Install as a systemd service")[2].partition("\n## ")[0]
    typed = [
        line.partition("#")[0].strip() for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()
    ]
    assert typed[0] == "umask 022", "root's may be 027"
    removes = typed.index("rm -f /etc/nginx/sites-enabled/default")
    assert (
        typed.index("cp deploy/nginx.conf /etc/nginx/conf.d/poort.conf")
        < removes
        < typed.index("nginx -t && systemctl reload nginx")
    )
