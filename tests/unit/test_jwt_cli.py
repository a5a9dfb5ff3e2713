"""`flask jwt` and `bin/console lexik:jwt:…`: messages, exit codes, files."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jwt
import pytest
from factories import dispose

from app import create_app
from config import load_settings
from config.settings import DATABASE_PARTS, ROOT, VARIABLES

Run = Callable[..., "Ran"]

DONE = "Done!\n"
EXISTS = "Your keys already exist. Use the `--overwrite` option to force regeneration.\n"
SKIPPED = "Your key files already exist, they won't be overriden.\n"
QUESTION = "You are about to replace your existing keys. Are you sure you wish to continue? (yes/no)"
BOTH = "Both options `--skip-if-exists` and `--overwrite` cannot be combined.\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with its own `.env`, keys and database."""
    (tmp_path / ".env").write_text("JWT_PASSPHRASE='secret enough'\nPASSWORD_HASH_COST=4\n")
    return tmp_path


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    status: int
    stdout: str
    stderr: str


def run_console(home: Path, *arguments: str, answer: str = "") -> Ran:
    """Run `bin/console` as a process, from an unrelated folder."""
    if not (ROOT / ".venv").exists():
        pytest.fail("bin/console needs .venv; `make test` makes it")
    known = {variable.name for variable in VARIABLES.values()} | set(DATABASE_PARTS)
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment["POORT_ENV_FILE"] = str(home / ".env")
    command = [ROOT / "bin" / "console", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=answer, cwd="/", env=environment)
    return Ran(done.returncode, done.stdout, done.stderr)


def run_flask(home: Path, *arguments: str, answer: str = "", **variables: str) -> Ran:
    """Run `flask ARGUMENTS` in this process."""
    app = create_app(load_settings({"POORT_ENV_FILE": str(home / ".env"), "APP_ENV": "dev"} | variables))
    result = app.test_cli_runner().invoke(args=arguments, input=answer)
    dispose(app)
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def run(home: Path) -> Run:
    return partial(run_flask, home, "jwt")


@pytest.fixture
def console(home: Path) -> Run:
    return partial(run_console, home)


def content(home: Path) -> tuple[str, str]:
    folder = home / "config" / "jwt"
    return (folder / "private.pem").read_text(), (folder / "public.pem").read_text()


@pytest.mark.parametrize("way", ["flask jwt", pytest.param("bin/console", marks=pytest.mark.slow)])
def test_a_pair_is_made_where_there_is_none(home: Path, way: str) -> None:
    def run(name: str, *options: str) -> Ran:
        if way == "bin/console":
            return run_console(home, f"lexik:jwt:{name}", *options)
        return run_flask(home, "jwt", name, *options)

    result = run("generate-keypair")
    assert (result.status, result.stdout, result.stderr) == (0, DONE, "")
    assert content(home)[0].startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    private, public = home / "config" / "jwt" / "private.pem", home / "config" / "jwt" / "public.pem"
    assert (stat.S_IMODE(private.stat().st_mode), stat.S_IMODE(public.stat().st_mode)) == (0o600, 0o644)
    command = ["openssl", "pkey", "-in", private, "-passin", "pass:secret enough", "-pubout"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == content(home)[1]

    before = content(home)
    for options, status, output in (
        ((), 1, EXISTS),
        (("--no-interaction",), 1, EXISTS),
        (("--skip-if-exists",), 0, SKIPPED),
        (("--overwrite", "--skip-if-exists"), 1, BOTH),
        (("--overwrite", "--skip-if-exists", "--no-interaction"), 1, BOTH),
    ):
        result = run("generate-keypair", *options)
        assert (result.status, result.stdout, result.stderr) == (status, output, ""), options
    assert content(home) == before


@pytest.mark.parametrize("missing", ["private.pem", "public.pem"])
def test_one_file_is_enough_to_stop(home: Path, run: Run, missing: str) -> None:
    assert run("generate-keypair").status == 0
    (home / "config" / "jwt" / missing).unlink()
    assert run("generate-keypair").stdout == EXISTS
    assert not (home / "config" / "jwt" / missing).exists()


def test_replacing_asks(home: Path, run: Run) -> None:
    run("generate-keypair")
    before = content(home)
    for answer in ("no\n", "n\n", "perhaps\n"):
        result = run("generate-keypair", "--overwrite", answer=answer)
        assert result.status == 0
        assert QUESTION in result.stdout
        assert "Your action was canceled.\n" in result.stdout
    assert run("generate-keypair", "--overwrite", answer="").status == 1, "nobody can answer"
    assert content(home) == before
    result = run("generate-keypair", "--overwrite", answer="yes\n")
    assert (result.status, DONE in result.stdout) == (0, True)
    assert content(home) != before


def test_replacing_does_not_ask_without_interaction(home: Path, run: Run) -> None:
    run("generate-keypair")
    before = content(home)
    for option in ("--no-interaction", "-n"):
        result = run("generate-keypair", "--overwrite", option)
        assert (result.status, result.stdout) == (0, DONE)
    assert content(home) != before


def test_a_dry_run_prints_both_keys_and_writes_nothing(home: Path, run: Run) -> None:
    result = run("generate-keypair", "--dry-run")
    assert result.status == 0
    for line in ("ENCRYPTED PRIVATE KEY", "PUBLIC KEY"):
        assert f"-----BEGIN {line}-----" in result.stdout
        assert f"-----END {line}-----" in result.stdout
    assert not (home / "config").exists()


def test_bits_are_what_is_asked_for(home: Path, run: Run) -> None:
    assert run("generate-keypair", "--bits", "3072").status == 0
    command = ["openssl", "pkey", "-pubin", "-in", home / "config" / "jwt" / "public.pem", "-text", "-noout"]
    assert "(3072 bit)" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert run("generate-keypair", "--overwrite", "-n", "--bits", "1024").status != 0


def test_keys_that_are_no_files_cannot_be_written(run: Run) -> None:
    result = run("generate-keypair", JWT_SECRET_KEY="-----BEGIN PRIVATE KEY-----\n…")
    assert result.status == 1
    assert "hold keys instead of paths" in result.stdout


def test_a_folder_that_cannot_be_made_is_named(home: Path, run: Run) -> None:
    (home / "config").write_text("in the way")
    result = run("generate-keypair")
    assert result.status == 1
    assert result.stdout.startswith("The keys cannot be written: ")
    assert "Traceback" not in result.stderr


def test_check_config_names_the_fault(home: Path, run: Run) -> None:
    result = run("check-config")
    assert (result.status, result.stdout) == (1, "")
    assert f"There is no private key at {home}/config/jwt/private.pem." in result.stderr
    run("generate-keypair")
    assert run("check-config").stdout == "The configuration seems correct.\n"
    result = run("check-config", JWT_PASSPHRASE="wrong")
    assert result.status == 1
    assert f"JWT_PASSPHRASE does not open the private key {home}/config/jwt/private.pem." in result.stderr
    result = run("check-config", APP_ENV="prod", JWT_PASSPHRASE="")
    assert result.status == 1
    assert "JWT_PASSPHRASE is empty" in result.stderr


def test_a_token_is_good_for_whom_it_names(home: Path, run: Run) -> None:
    assert run_flask(home, "poort", "setup").status == 0
    result = run("generate-token", "admin", "--ttl", "60")
    assert (result.status, result.stderr) == (0, "")
    claims = jwt.decode(result.stdout.strip(), content(home)[1], algorithms=["RS256"])
    assert list(claims) == ["iat", "exp", "roles", "username"]
    assert (claims["exp"] - claims["iat"], claims["roles"], claims["username"]) == (60, ["ROLE_ADMIN", "ROLE_USER"], "admin")
    result = run("generate-token", "nobody")
    assert result.status == 1
    assert "There is no user 'nobody'." in result.stderr


@pytest.mark.slow
def test_the_console_takes_what_symfonys_takes(home: Path, console: Run) -> None:
    result = console("-n", "--env=dev", "--no-debug", "-vv", "--no-ansi", "lexik:jwt:generate-keypair")
    assert (result.status, result.stdout) == (0, DONE)
    before = content(home)
    result = console("lexik:jwt:generate-keypair", "--overwrite", "-q", "-e", "dev")
    assert (result.status, result.stdout) == (0, ""), "--quiet does not ask"
    assert content(home) != before
    (home / ".env").write_text("JWT_PASSPHRASE=your_secret_passphrase\n")
    assert "is the one that Chamilo ships" in console("lexik:jwt:check-config", "--env", "prod").stderr


@pytest.mark.parametrize("arguments", [("cache:clear",), ("lexik:jwt:nothing", "-n"), ()], ids=str)
def test_the_console_says_what_it_does_not_know(console: Run, arguments: tuple[str, ...]) -> None:
    result = console(*arguments)
    assert result.status == 1
    assert result.stdout == ""
    named = f'Command "{arguments[0]}" is not defined.' if arguments else "No command is given."
    assert result.stderr.startswith(f"{named} There are: lexik:jwt:generate-keypair, ")


@pytest.mark.parametrize("arguments", [("list",), ("--help",), ("-h",)], ids=str)
def test_the_console_lists_its_commands(console: Run, arguments: tuple[str, ...]) -> None:
    result = console(*arguments)
    assert (result.status, result.stderr) == (0, "")
    assert re.findall(r"^  (lexik:\S+)  ", result.stdout, re.MULTILINE) == [
        f"lexik:jwt:{name}" for name in ("generate-keypair", "check-config", "generate-token")
    ]


def test_the_console_names_a_command_that_can_be_typed(console: Run) -> None:
    result = console("lexik:jwt:generate-keypair", "--nope")
    assert (result.status, result.stderr.splitlines()[0]) == (2, "Usage: poort jwt generate-keypair [OPTIONS]")


def test_the_console_says_where_its_venv_should_be(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "console", tmp_path / "bin")
    shutil.copytree(ROOT / "poort", tmp_path / "poort")
    command = [tmp_path / "bin" / "console", "lexik:jwt:check-config"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
    assert (result.returncode, result.stderr) == (
        1,
        f"There is no {tmp_path}/.venv/bin/python. Run `make setup` in {tmp_path} first.\n",
    )
