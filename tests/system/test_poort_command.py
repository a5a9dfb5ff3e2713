"""`bin/poort`: the commands with the settings of the server, in any folder; and the texts that name it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from serving import Home, Server, clean_environment

ROOT = Path(__file__).parents[2]


def poort(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(**variables)
    return subprocess.run(
        (ROOT / "bin" / "poort", *words), check=False, capture_output=True, text=True, cwd=folder, env=environment
    )


def test_it_has_the_settings_of_the_server_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    home, elsewhere = Home(tmp_path / "home").write_env(JWT_PASSPHRASE="of my own"), tmp_path / "else"
    elsewhere.mkdir()
    (elsewhere / ".env").write_text("DATABASE_URL=nonsense\n")
    (elsewhere / "wsgi.py").write_text("raise SystemExit('not this one')\n")
    done = poort(elsewhere, "setup", POORT_ENV_FILE=str(home.folder / ".env"))
    assert (done.returncode, "admin password: " in done.stdout) == (0, True), done.stderr
    found = poort(elsewhere, "doctor", POORT_ENV_FILE=str(home.folder / ".env")).stdout
    assert f"APP_ENV is prod; read from {home.folder}/.env" in found


def test_workers_load_no_package_that_only_the_explorer_needs(tmp_path: Path) -> None:
    home = Home(tmp_path).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4")
    server = Server([str(ROOT / "bin" / "poort"), "serve"], tmp_path, home.environment()).start()
    try:
        libraries = [Path(f"/proc/{worker}/maps").read_text() for worker in server.all_workers()]
    finally:
        server.stop()
    # Of what flasgger needs, rpds is a library, so the kernel knows of it.
    assert [text for text in libraries if "/rpds/" in text] == []


NO_TERMINAL = "Error: There is no terminal to ask for a password: add --password-stdin or --generate-password."
REDIRECTED = {
    "no terminal": ("users create new --email new@example.com", "<&-", 2, [NO_TERMINAL]),
    "no input": ("users set-password admin --password-stdin", "<&-", 1, ["Error: The password must not be empty."]),
    "no output": ("users list", ">&-", 0, []),
    "no streams": ("users list", "<&- >&- 2>&-", 0, []),
    "full disk": ("users list", ">/dev/full", 1, ["Error: The output cannot be written: No space left on device."]),
}


@pytest.mark.parametrize(("words", "redirected", "status", "said"), REDIRECTED.values(), ids=REDIRECTED)
def test_streams_may_be_closed_or_full(tmp_path: Path, words: str, redirected: str, status: int, said: list[str]) -> None:
    home = Home(tmp_path).write_env(JWT_PASSPHRASE="long enough", PASSWORD_HASH_COST="4")
    home.set_up()
    command = f"exec {ROOT}/bin/poort {words} {redirected}"
    done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True, env=home.environment())
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (status, said)


def test_it_completes_words(tmp_path: Path) -> None:
    done = poort(tmp_path, COMP_WORDS="poort use", COMP_CWORD="1", _POORT_COMPLETE="bash_complete")
    assert (done.returncode, done.stdout) == (0, "plain,users\n")


def test_it_says_where_its_venv_should_be(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "poort", tmp_path / "bin")
    done = subprocess.run([tmp_path / "bin" / "poort"], check=False, capture_output=True, text=True, cwd="/")
    sentence = f"There is no {tmp_path}/.venv/bin/python. Run `make setup` in {tmp_path} first.\n"
    assert (done.returncode, done.stderr) == (1, sentence)


GROUPS = "api-key|audit|db|extra-fields|jwt|poort|users"
OTHERWISE = re.compile(rf"\.venv/bin/flask (?!run)|\bflask\s+({GROUPS})\b")
ROOMS = ("blueprints", "commands", "config", "deploy", "docs", "models", "poort", "rest", "security")


def said() -> list[Path]:
    """Return the documents, and the modules with messages. Decisions are history."""
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in {".md", ".py", ".yml", ".service"}]
    documents = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".env.example")]
    return [path for path in (*found, *documents) if "adr" not in path.parts]


def test_texts_name_it_and_not_the_flask_of_the_venv() -> None:
    assert {path.name: found for path in said() if (found := OTHERWISE.findall(path.read_text()))} == {}


@pytest.mark.parametrize("text", [".venv/bin/flask users list", "run `flask\n  jwt rotate-key`", "`flask db upgrade`"])
def test_planted_command_is_found(text: str) -> None:
    assert OTHERWISE.search(text)
    assert not OTHERWISE.search("flask run, .venv/bin/flask run, bin/poort users list")


def test_it_is_executable() -> None:
    assert os.access(ROOT / "bin" / "poort", os.X_OK)
