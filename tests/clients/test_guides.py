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
from clients.pages import Step, printed_by_step, program_of, steps_of
from system.serving import Home, Server

from config.settings import ROOT
from deploy import demo

GUIDE = ROOT / "docs" / "integrators.md"
QUICK_STARTS = [ROOT / "README.md", ROOT / "docs" / "quickstart.md", ROOT / "docs" / "quickstart.nl.md"]

#: By language: its interpreter, the programs that its examples need, and its file extension.
LANGUAGES = {"sh": ("bash", ("curl", "jq"), "sh"), "python": (sys.executable, (), "py"), "js": ("node", (), "mjs")}

CAROL = {"username": "carol", "password": demo.PASSWORD}


#: What comes first; the other sections of the guide may be run in any order.
FIRST_SECTIONS = ("Sign in", "Use the token", "Create a user")


@dataclass
class Guided:
    """A server as `make demo` starts it, on which carol has switched on a second factor."""

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
    home = Home(folder).write_env(JWT_PASSPHRASE="of the guide", APP_SECRET="of the guide", **demo.SETTINGS)
    password = home.set_up()
    done = home.flask("users", "import", str(demo.USERS))
    assert done.returncode == 0, done.stderr
    server = home.serve()
    try:
        yield Guided(server, password, enrol_carol(server))
    finally:
        server.stop()


def enrol_carol(server: Server) -> list[str]:
    """Switch on carol's second factor; return her backup codes, one for each run, since an app's code works once."""
    carol = server.sign_in(**CAROL)[2]["token"]

    def ask(method: str, document: object) -> dict[str, object]:
        status, _, body = server.request(method, "/api/me/totp", document, Authorization=f"Bearer {carol}")
        assert status == 200, body
        return body

    secret = ask("POST", {"password": CAROL["password"]})["secret"]
    return ask("PUT", {"totp": pyotp.TOTP(str(secret)).now()})["backupCodes"]


def as_shown(printed: str, shown: str) -> bool:
    """Tell whether printed text equals the shown text, in which `…` matches anything; JSON is compared by value."""
    try:
        return json.loads(printed) == json.loads(shown)
    except ValueError:
        pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
        return re.fullmatch(pattern, printed) is not None


def sections_of(page: Path, *, backwards: bool) -> list[Step]:
    """Return the steps of a page, section by section: first those that the others need, then these, maybe backwards."""
    sections: dict[str, list[Step]] = {}
    for step in steps_of(page):
        sections.setdefault(step.section, []).append(step)
    others = [name for name in sections if name not in FIRST_SECTIONS]
    names = [*FIRST_SECTIONS, *(reversed(others) if backwards else others)]
    return [step for name in names for step in sections[name]]


@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_example_of_the_guide_prints_what_the_page_shows(
    language: str, backwards: bool, guided: Guided, tmp_path: Path
) -> None:
    program, needs, ending = LANGUAGES[language]
    for need in needs:
        require(need)
    steps = sections_of(GUIDE, backwards=backwards)
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
    assert [user["username"] for user in json.loads(output)["hydra:member"]][:4] == ["admin", "ada", "tom", "carol"]


def test_quick_starts_say_the_same_commands() -> None:
    english, dutch = ([step.blocks for step in steps_of(page)] for page in QUICK_STARTS[1:])
    assert english == dutch
