"""Every example in docs/integrators.md and the quick starts runs and prints what its page shows."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
from clients.installing import require, run
from clients.pages import printed_by_step, program_of, steps_of
from system.serving import Home, Server

from config.settings import ROOT

GUIDE = ROOT / "docs" / "integrators.md"
QUICK_STARTS = [ROOT / "README.md", ROOT / "docs" / "quickstart.md", ROOT / "docs" / "quickstart.nl.md"]

#: By language: its interpreter, the programs that its examples need, and its file extension.
LANGUAGES = {"sh": ("bash", ("curl", "jq"), "sh"), "python": (sys.executable, (), "py"), "js": ("node", (), "mjs")}

# The password that the page uses.
CAROL = {"username": "carol", "password": "a long enough secret"}


@dataclass
class Guided:
    """A server as the page assumes: refresh tokens are on; besides the first user there is only carol, who has a second factor."""

    server: Server
    password: str
    codes: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guided]:
    folder = tmp_path_factory.mktemp("guided")
    (folder / "config" / "jwt").mkdir(parents=True)
    home = Home(folder).write_env(
        JWT_PASSPHRASE="of the guide", APP_SECRET="of the guide", PASSWORD_HASH_COST="4", REFRESH_TOKEN_TTL="3600",
        USER_DELETE_MODE="hard",  # each language creates alice again
    )  # fmt: skip
    password = home.set_up()
    server = home.serve()
    try:
        yield Guided(server, password, enrol_carol(server, password))
    finally:
        server.stop()


def enrol_carol(server: Server, password: str) -> list[str]:
    """Create carol with a second factor; return her backup codes, one for each language, since an app's code works once."""

    def ask(method: str, path: str, document: object, token: str) -> dict[str, object]:
        status, _, body = server.request(method, path, document, Authorization=f"Bearer {token}")
        assert status in {200, 201}, body
        return body

    admin = server.sign_in("admin", password)[2]["token"]
    user = {"username": CAROL["username"], "plainPassword": CAROL["password"], "email": "carol@example.com"}
    ask("POST", "/api/users", user, admin)
    carol = server.sign_in(**CAROL)[2]["token"]
    secret = ask("POST", "/api/me/totp", {"password": CAROL["password"]}, carol)["secret"]
    return ask("PUT", "/api/me/totp", {"totp": pyotp.TOTP(str(secret)).now()}, carol)["backupCodes"]


def as_shown(printed: str, shown: str) -> bool:
    """Tell whether printed text equals the shown text, in which `…` matches anything; JSON is compared by value."""
    try:
        return json.loads(printed) == json.loads(shown)
    except ValueError:
        pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
        return re.fullmatch(pattern, printed) is not None


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_example_of_the_guide_prints_what_the_page_shows(language: str, guided: Guided, tmp_path: Path) -> None:
    program, needs, ending = LANGUAGES[language]
    for need in needs:
        require(need)
    steps = steps_of(GUIDE)
    file = tmp_path / f"guide.{ending}"
    file.write_text(program_of(steps, language))
    output = run([require(program), str(file)], tmp_path, POORT=guided.url, PASSWORD=guided.password, CODE=guided.codes.pop())
    printed = printed_by_step(output)
    assert len(printed) == len(steps)
    wrong = [
        (step.blocks[language], text)
        for step, text in zip(steps, printed, strict=True)
        if language in step.blocks and not as_shown(text, step.shown or "")
    ]
    assert wrong == []


def test_guide_has_each_step_in_each_language() -> None:
    steps = steps_of(GUIDE)
    assert len(steps) >= 15
    # A complete client is too long for a shell script.
    assert [sorted(step.blocks) for step in steps if set(step.blocks) != set(LANGUAGES)] == [["js", "python"]]
    assert [step.blocks for step in steps if step.shown is None] == []


@pytest.mark.parametrize("page", QUICK_STARTS, ids=lambda page: page.name)
def test_commands_of_the_quick_starts_get_a_token_and_use_it(page: Path, guided: Guided, tmp_path: Path) -> None:
    require("curl")
    commands = "".join(block for step in steps_of(page) for block in step.blocks.values() if "curl" in block)
    commands = commands.replace("http://127.0.0.1:8000", guided.url).replace("PASSWORD", guided.password)
    output = run(["bash", "-euo", "pipefail", "-c", commands], tmp_path)
    assert [user["username"] for user in json.loads(output)["hydra:member"]] == ["admin", "carol"]


def test_quick_starts_say_the_same_commands() -> None:
    english, dutch = ([step.blocks for step in steps_of(page)] for page in QUICK_STARTS[1:])
    assert english == dutch
