"""Rules for the files of the repository: documented variables, safe versions, no secrets."""

import re
import subprocess
from pathlib import Path

import pytest
from packaging.version import Version

from config.settings import DATABASE_PARTS, VARIABLES

ROOT = Path(__file__).parents[2]

#: By package: the oldest version without a known vulnerability (docs/security.md).
FLOORS = {
    "pyjwt": "2.15.1",
    "flask": "3.1.3",
    "werkzeug": "3.1.9",
    "gunicorn": "27.0.1",
    "cryptography": "50.0.2",
    "flask-swagger-ui": "5.34.0",
}

#: Pinned exactly: we override a private method of the first, and keep the second from serving its bundle of 2020.
EXACT = {"flask-jwt-extended": "4.7.4", "flasgger": "0.9.7.1"}

#: Vulnerable packages that we do not need: rest/cors.py answers cross-origin requests.
NOT_NEEDED = {"flask-cors"}

REQUIREMENTS = sorted(ROOT.glob("requirements*.txt"))

PINS = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ \\;]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))

EXAMPLE = dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", FLOORS)
def test_pin_is_at_its_floor_or_above(name: str) -> None:
    assert Version(PINS[name]) >= Version(FLOORS[name])


@pytest.mark.parametrize("name", EXACT)
def test_package_whose_inside_is_relied_on_is_pinned(name: str) -> None:
    assert PINS[name] == EXACT[name]
    assert re.search(rf"^{name}=={EXACT[name]}\b", (ROOT / "requirements.in").read_text(), re.MULTILINE | re.IGNORECASE)


def test_package_with_holes_that_nobody_needs_is_not_there() -> None:
    assert NOT_NEEDED & set(PINS) == set()


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_every_pin_carries_hashes(file: Path) -> None:
    entries = re.split(r"^(?=[a-z0-9][a-z0-9._-]*==)", file.read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_pins_are_compiled_and_installed_by_make(file: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert f"$(COMPILE) $(ARGS) {file.stem}.in\n" in makefile
    assert f"-r {file.name}" in makefile
    wanted = re.findall(r"^([A-Za-z0-9._-]+)", file.with_suffix(".in").read_text(), re.MULTILINE)
    pinned = re.findall(r"^([a-z0-9._-]+)==", file.read_text(), re.MULTILINE)
    assert [name for name in wanted if not name.startswith("-") and name.lower() not in pinned] == []


def test_pins_of_redis_hold_what_debians_python_needs() -> None:
    """Python 3.11.2 is Debian 12's, and `redis` needs one package more there."""
    line = r'^async-timeout==[0-9.]+ ; python_full_version < "3\.11\.3" \\$'
    assert re.search(line, (ROOT / "requirements-redis.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize("variable", VARIABLES.values(), ids=lambda variable: variable.name)
def test_variable_is_in_the_example_with_its_default(variable: object) -> None:
    assert EXAMPLE[variable.name].strip("'\"") == variable.default


def test_example_names_no_other_variable() -> None:
    assert set(EXAMPLE) - {variable.name for variable in VARIABLES.values()} - set(DATABASE_PARTS) - {"POORT_ENV_FILE"} == set()


def tracked() -> list[Path]:
    """Return the tracked files; without git, all files whose names git would not ignore."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return [ROOT / name for name in done.stdout.split("\0") if name]
    apart = re.compile(r"(^|/)(\.[a-z_]+(cache|thesis)?|var|node_modules|__pycache__)/")
    return [path for path in ROOT.rglob("*") if not apart.search(path.relative_to(ROOT).as_posix())]


#: A whole key, not only its first line, which code compares with.
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s:,-]{100}")
TEST_KEYS = ROOT / "tests" / "contract" / "jwt"


def test_no_private_key_is_tracked_but_the_test_key() -> None:
    texts = {path: path.read_text(errors="replace") for path in tracked() if path.is_file()}
    assert [path for path, text in texts.items() if PRIVATE_KEY.search(text)] == [TEST_KEYS / "private.pem"]


def test_no_environment_and_no_database_is_tracked() -> None:
    names = [path.relative_to(ROOT).as_posix() for path in tracked()]
    assert [name for name in names if re.search(r"(^|/)\.env(\.local)?$|\.db$|\.sqlite3?$|^config/jwt/.*\.pem$", name)] == []


def test_test_passphrase_is_nowhere_else() -> None:
    passphrase = (TEST_KEYS / "PASSPHRASE").read_text().strip()
    found = [path for path in tracked() if path.is_file() and passphrase in path.read_text(errors="replace")]
    assert found == [TEST_KEYS / "PASSPHRASE"]
