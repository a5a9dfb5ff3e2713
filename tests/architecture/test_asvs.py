"""docs/asvs.md has every requirement, and each test that it names exists; docs/security.md says what asvs.md cites it for."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from config.settings import VARIABLES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "asvs.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()

#: The requirements of levels 1 and 2 in ASVS 5.0.0, by section.
REQUIREMENTS = {
    "6.1": (1, 2, 3),
    "6.2": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
    "6.3": (1, 2, 3, 4),
    "6.4": (1, 2, 3, 4),
    "6.5": (1, 2, 3, 4, 5),
    "6.6": (1, 2, 3),
    "6.8": (1, 2, 3, 4),
    "7.1": (1, 2, 3),
    "7.2": (1, 2, 3, 4),
    "7.3": (1, 2),
    "7.4": (1, 2, 3, 4, 5),
    "7.5": (1, 2),
    "7.6": (1, 2),
    "8.1": (1, 2),
    "8.2": (1, 2, 3),
    "8.3": (1,),
    "8.4": (1,),
    "9.1": (1, 2, 3),
    "9.2": (1, 2, 3, 4),
}

#: Level 1; the rest of REQUIREMENTS is level 2.
LEVEL_1 = {
    *("6.1.1", "6.2.1", "6.2.2", "6.2.3", "6.2.4", "6.2.5", "6.2.6", "6.2.7", "6.2.8", "6.3.1", "6.3.2", "6.4.1", "6.4.2"),
    *("7.2.1", "7.2.2", "7.2.3", "7.2.4", "7.4.1", "7.4.2"),
    *("8.1.1", "8.2.1", "8.2.2", "8.3.1", "9.1.1", "9.1.2", "9.1.3", "9.2.1"),
}

#: Requirements of other chapters, and of level 3, that the page covers too.
BESIDE = {
    *("6.3.8", "8.3.2", "3.4.1", "3.4.2", "3.4.3", "3.4.4", "3.4.5", "3.4.6", "4.1.1", "4.1.3", "4.2.1"),
    *("11.2.3", "11.4.2", "11.5.1", "13.4.2", "13.4.4", "13.4.5", "14.2.1", "14.3.2", "15.1.3", "15.2.2"),
    *("16.2.1", "16.2.2", "16.2.3", "16.2.4", "16.2.5", "16.3.1", "16.3.2", "16.3.3", "16.4.1", "16.5.1", "16.5.2", "16.5.3"),
}

ROWS = re.findall(r"^\| (\d+\.\d+\.\d+) \| ([123]) \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)

NAMED_TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")

ONLY_TESTS = re.compile(rf"{NAMED_TEST.pattern}(, {NAMED_TEST.pattern})*")

WITH_A_REASON = re.compile(r"not (met|applicable): \S.{20,}")


@cache
def named_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_requirement_has_a_row_and_only_one() -> None:
    asked = {f"{section}.{number}" for section, numbers in REQUIREMENTS.items() for number in numbers} | BESIDE
    numbers = [number for number, *_ in ROWS]
    assert sorted(numbers) == sorted(asked)
    assert len(re.findall(r"^\| \d", PAGE, re.MULTILINE)) == len(ROWS), "each row can be parsed"


def test_levels_are_those_of_the_standard() -> None:
    in_chapters = [(number, level) for number, level, *_ in ROWS if number not in BESIDE]
    assert [number for number, level in in_chapters if level != ("1" if number in LEVEL_1 else "2")] == []
    assert {number for number, *_ in ROWS} >= LEVEL_1


def test_counts_are_those_of_the_standard() -> None:
    chapters = [section.partition(".")[0] for section, numbers in REQUIREMENTS.items() for _ in numbers]
    assert {chapter: chapters.count(chapter) for chapter in "6789"} == {"6": 35, "7": 18, "8": 7, "9": 7}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_row_has_one_kind_of_proof(row: tuple[str, str, str, str]) -> None:
    proof = row[3]
    assert bool(ONLY_TESTS.fullmatch(proof)) + bool(WITH_A_REASON.fullmatch(proof)) == 1, proof


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED_TEST.findall(PAGE)}))
def test_named_tests_exist(path: str) -> None:
    assert {name for named, name in NAMED_TEST.findall(PAGE) if named == path} - named_in(path) == set()


#: Requirements that ask for documentation: the section of the security page, and words that it must contain.
SAID = {
    "6.1.1": ("Guessing", ("LOGIN_THROTTLING_MAX_ATTEMPTS", "LOGIN_THROTTLING_INTERVAL", "Nobody is locked out by others")),
    "6.1.3": ("Ways in", ("/api/authentication_token", "/api/token/refresh", "generate-token")),
    "7.1.1": ("Sessions", ("JWT_TOKEN_TTL", "REFRESH_TOKEN_TTL", "REFRESH_TOKEN_MAX_LIFETIME", "NIST")),
    "7.1.2": ("Sessions", ("REFRESH_TOKEN_MAX_SESSIONS", "one more ends")),
    "8.1.1": ("Who may do what", ("see one user", "delete a user", "blueprints/users/policy.py")),
    "8.1.2": ("Who may do what", ("public fields", "ten harmless fields", "blueprints/users/resource.py")),
    "15.1.3": ("Overload", ("PASSWORD_HASH_QUEUE", "PASSWORD_HASH_WAIT", "MAX_ITEMS_PER_PAGE", "Retry-After")),
    "16.2.3": ("Logs", ("standard error", "poort_audit", "track_e_login_record", "nginx")),
}


def test_what_is_promised_in_words_is_in_this_table() -> None:
    citing = {number for number, _, _, proof in ROWS if "::test_security_page_says_it`" in proof}
    assert citing == set(SAID)


@pytest.mark.parametrize("number", SAID)
def test_security_page_says_it(number: str) -> None:
    section, words = SAID[number]
    text = SECURITY.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    assert [word for word in words if word not in text] == []


def test_defaults_on_the_security_page_are_the_settings() -> None:
    said = re.findall(r"`([A-Z_]+)` \((\d+)", SECURITY)
    defaults = {variable.name: variable.default for variable in VARIABLES.values()}
    assert len(said) >= 5
    assert [(name, value) for name, value in said if defaults[name] != value] == []


def events_in_the_code() -> set[str]:
    """Return the names of all events that modules record."""
    found = set()
    for module in [*(ROOT / "blueprints").rglob("*.py"), *(ROOT / "commands").rglob("*.py")]:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"record_event", "record_now"}:
                assert isinstance(node.args[0], ast.Constant), f"{module}: an event is named where it happens"
                found.add(node.args[0].value)
    return found


def test_every_event_is_on_the_security_page() -> None:
    table = SECURITY.partition("\n## Audit log\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", "\n".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE))))
    assert named == events_in_the_code()


def test_event_fits_its_column() -> None:
    assert [event for event in events_in_the_code() if len(event) > 40] == []


def test_password_of_the_explorers_panel_is_a_password_field() -> None:
    page = (ROOT / "blueprints" / "docs" / "templates" / "flasgger" / "index.html").read_text()
    (field,) = re.findall(r"<input[^>]*name=\"password\"[^>]*>", page)
    assert ('type="password"' in field, 'autocomplete="current-password"' in field) == (True, True)
