"""The wheel: what it holds, and what its program does in a virtual environment and a home folder of its own."""

import ast
import json
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from system.serving import Server, clean_environment
from system.test_make import LEFT_OUT

from benchmarks.services import free_port
from config.settings import ROOT
from config.version import VERSION
from deploy import demo

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]

NAME = f"poort-{VERSION}-py3-none-any.whl"

#: Files of a checkout that nobody else may get, or that an earlier build has left.
NOT_OURS = (
    *(
        ".env",
        ".env.local",
        "config/jwt/private.pem",
        "config/jwt/public.pem",
        "var/poort.db",
        "var/demo/.env",
        "site/index.html",
    ),
    *("build/lib/poort/server/old.py", "deploy/__pycache__/master.cpython-311.pyc", "tests/test_it.py", ".venv/lib/module.py"),
)

#: Rooms of the server, of which the wheel has every module.
ROOMS = ("blueprints", "commands", "config", "deploy", "migrations", "models", "rest", "security")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, as a developer's checkout."""
    tree = tmp_path_factory.mktemp("wheel") / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT, "build", "dist", "*.egg-info"))
    return tree


def build(tree: Path, name: str) -> Path:
    """Build a wheel with the setuptools of this environment, so without the network."""
    pip = (sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check", "--no-deps", "--no-build-isolation")
    environment = clean_environment(SOURCE_DATE_EPOCH="1800000000")
    subprocess.run([*pip, "--wheel-dir", tree.parent / name, "."], check=True, cwd=tree, env=environment)
    return tree.parent / name / NAME


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    return build(tree, "clean")


@pytest.fixture(scope="module")
def venv(wheel: Path) -> Path:
    """A virtual environment with the wheel, which sees the packages of this one; pip leaves their versions alone."""
    folder = wheel.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = subprocess.run(
        [folder / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    pip = (sys.executable, "-m", "pip", "--python", str(folder), "install", "-qq", "--disable-pip-version-check", "--no-deps")
    subprocess.run([*pip, str(wheel)], check=True)
    here = subprocess.run(
        [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    Path(packages, "packages.pth").write_text(here)
    return folder


def run(venv: Path, home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(HOME=str(home), **variables)
    return subprocess.run(
        [venv / "bin" / words[0], *words[1:]], check=False, capture_output=True, text=True, cwd=home, env=environment
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_it_holds_the_server_and_nothing_else_that_lies_in_the_checkout(tree: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {f"poort/server/{path.relative_to(tree)}" for room in ROOMS for path in (tree / room).rglob("*.py")}
    assert modules <= names
    assert {name for name in names if name.endswith(".py")} - modules == {
        *("poort/__init__.py", "poort/__main__.py", "poort/console.py", "poort/server/app.py", "poort/server/wsgi.py"),
    }
    for name in NOT_OURS:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("SECRET = 1\n")
    assert build(tree, "dirty").read_bytes() == wheel.read_bytes()


def test_it_requires_the_pinned_versions(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"poort-{VERSION}.dist-info/METADATA").decode()
    required = re.findall(r"^Requires-Dist: ([^;\n]+)", text, re.MULTILINE)
    files = ("requirements.txt", *(f"requirements-{extra}.txt" for extra in ("mysql", "postgresql", "redis")))
    pinned = [pin for file in files for pin in re.findall(r"^[\w.-]+==[^ \n]+", (ROOT / file).read_text(), re.MULTILINE)]
    assert sorted(required) == sorted(pinned)
    assert re.findall(r"^Provides-Extra: (.+)", text, re.MULTILINE) == ["mysql", "postgresql", "redis"]


def test_it_lands_under_one_name(venv: Path) -> None:
    (packages,) = venv.glob("lib/python*/site-packages")
    assert {path.name for path in packages.iterdir()} == {"poort", f"poort-{VERSION}.dist-info", "packages.pth"}
    assert PathDistribution(packages / f"poort-{VERSION}.dist-info").version == VERSION


@pytest.fixture(scope="module")
def server(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home, metrics = tmp_path_factory.mktemp("home"), str(free_port())
    environment = clean_environment(HOME=str(home), METRICS_PORT=metrics, APP_ENABLE_API_ENTRYPOINT="1", PASSWORD_HASH_COST="4")
    server = Server([str(venv / "bin" / "poort"), "serve"], home, environment).start()
    server.metrics_port = int(metrics)
    yield server
    server.stop()


def test_two_commands_lead_to_a_token(venv: Path, server: Server) -> None:
    home = server.folder
    (password,) = re.findall(r"^admin password: (\S+)$", server.log, re.MULTILINE)
    status, _, body = server.sign_in("admin", password)
    bearer = {"Authorization": f"Bearer {body['token']}"}
    assert (status, server.request("GET", "/api/users", **bearer)[2]["hydra:totalItems"]) == (200, 1)

    state = home / ".local" / "share" / "poort"
    assert f"settings written: {state}/.env" in server.log
    assert [stat.S_IMODE(path.stat().st_mode) for path in (state, state / ".env", state / "var" / "poort.db")] == [
        0o700,
        0o600,
        0o600,
    ]
    assert "make serve" not in (state / ".env").read_text()

    assert run(venv, home, "poort", "users", "list").stdout.split("\t")[1] == "admin"
    assert run(venv, home, "python", "-m", "poort", "users", "list").stdout.split("\t")[1] == "admin"
    assert run(venv, home, "poort-console", "lexik:jwt:check-config").stdout == "The configuration seems correct.\n"
    examined = json.loads(run(venv, home, "poort", "doctor", "--json").stdout)["findings"]
    assert examined[0]["says"].endswith(f"read from {state}/.env")
    # Only root can read the folders of the tests of root.
    assert {finding["part"] for finding in examined if finding["state"] == "error"} <= {"files"}
    assert (
        "bin/poort"
        not in run(venv, home, "poort", "--help").stdout + run(venv, home, "poort", "jwt", "check-config", "--help").stdout
    )
    completed = run(venv, home, "poort", COMP_WORDS="poort ser", COMP_CWORD="1", _POORT_COMPLETE="bash_complete")
    assert completed.stdout == "plain,serve\n"


def test_all_say_the_same_version(venv: Path, server: Server) -> None:
    home, python = server.folder, ".".join(map(str, sys.version_info[:3]))
    assert run(venv, home, "poort", "--version").stdout == f"Poort {VERSION}, Python {python}\n"
    assert (
        run(venv, home, "poort", "doctor")
        .stdout.splitlines()[0]
        .startswith(f"ok       settings   Poort {VERSION} on Python {python};")
    )
    assert {server.request("GET", path)[2]["info"]["version"] for path in ("/api/docs.json", "/api/docs.jsonopenapi")} == {
        VERSION
    }
    server.port, port = server.metrics_port, server.port
    connection = server.connection()
    connection.request("GET", "/metrics")
    assert f'poort_build_info{{python="{python}",version="{VERSION}"}} 1.0' in connection.getresponse().read().decode()
    connection.close()
    server.port = port


def test_nothing_is_written_beside_the_code(venv: Path, home: Path) -> None:
    (code,) = venv.glob("lib/python*/site-packages/poort")
    before = sorted(code.rglob("*"))
    environment = clean_environment(HOME=str(home), POORT_HOME="state", PASSWORD_HASH_COST="4")
    server = Server([str(venv / "bin" / "poort"), "serve", "--demo"], home, environment).start()
    try:
        assert server.sign_in("ada", demo.PASSWORD)[0] == 200
    finally:
        server.stop()
    assert [
        path for path in sorted(code.rglob("*")) if path not in before and path.suffix != ".pyc" and path.name != "__pycache__"
    ] == []
    assert {path.name for path in home.iterdir()} == {"log", "state"}
    assert run(venv, home, "poort", "users", "list", POORT_ENV_FILE="state/var/demo/.env").stdout.count("\n") == 51


@pytest.mark.parametrize(
    ("variables", "reason"),
    [({"POORT_HOME": "/proc/nowhere"}, "/proc/nowhere: No such file or directory"), ({"POORT_HOME": "/dev/null/x"}, "/dev/null/x: Not a directory")],
)  # fmt: skip
def test_a_home_that_cannot_be_made_is_one_sentence(venv: Path, home: Path, variables: dict[str, str], reason: str) -> None:
    for words in (("serve",), ("users", "list")):
        done = run(venv, home, "poort", *words, **variables)
        assert (done.returncode, done.stderr) == (
            1,
            f"poort: POORT_HOME must name a folder that this user may create: {reason}.\n",
        )


def test_a_driver_that_is_missing_is_named_with_its_pins(venv: Path, home: Path) -> None:
    (home / "sitecustomize.py").write_text(
        "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, p=None: None if n == 'redis' else f(n, p)\n"
    )
    done = run(venv, home, "poort", "serve", REDIS_URL="redis://127.0.0.1", PYTHONPATH=str(home))
    cure = (
        re.escape(f"{venv}/bin/pip install --require-hashes -r {venv}/lib/")
        + r"python[0-9.]+/\S+/poort/server/requirements-redis\.txt"
    )
    assert re.fullmatch(rf"poort: REDIS_URL needs the package redis, which is not installed: run `{cure}`\.\n", done.stderr), (
        done.stderr
    )


def test_the_version_stands_once() -> None:
    """setuptools reads it without running the module, so it must be a plain text."""
    module = ast.parse((ROOT / "config" / "version.py").read_text())
    assert [node.value.value for node in module.body if isinstance(node, ast.Assign)] == [VERSION]
    assert f"## [{VERSION}] - 20" in (ROOT / "CHANGELOG.md").read_text()


def test_set_up_with_secrets_in_files_writes_no_other_ones(venv: Path, home: Path) -> None:
    """In a container, `.env` would lie in a volume."""
    files = {name: home / name.lower() for name in ("APP_SECRET", "JWT_PASSPHRASE")}
    for file in files.values():
        file.write_text("of the file\n")
    state = home / "state"
    done = run(venv, home, "poort", "setup", POORT_HOME=str(state), **{f"{name}_FILE": str(file) for name, file in files.items()})
    assert done.returncode == 0, done.stderr
    assert not (state / ".env").exists()
    private = (state / "config" / "jwt" / "private.pem").read_bytes()
    assert serialization.load_pem_private_key(private, b"of the file")
