"""Commands print through commands/terminal.py alone, so that no user name reaches a terminal unescaped."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask
from flask_migrate.cli import db as migration_commands

from commands import register_commands
from commands.terminal import Commands

ROOT = Path(__file__).parents[2]
ROOMS = ("blueprints", "commands", "config", "models", "rest", "security")
MODULES = sorted(path.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("*.py"))

#: Calls that print text unescaped, and command groups whose errors do.
RAW = {
    "click.echo",
    "click.secho",
    "click.confirm",
    "click.prompt",
    "click.ClickException",
    "print",
    "sys.stdout.write",
    "sys.stderr.write",
    "AppGroup",
    "click.group",
}

#: How often a module may do so: terminal.py itself; keys in PEM form; the doctor's colors and JSON; fixed questions.
ALLOWED = {
    "commands/terminal.py": {"click.echo": 3, "click.confirm": 1},
    "commands/jwt.py": {"click.echo": 2, "click.prompt": 1},
    "commands/doctor/command.py": {"click.echo": 3},
    "commands/password_prompt.py": {"click.prompt": 1},
}


def raw_calls(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in RAW:
            yield name


def test_nothing_is_shown_as_it_is() -> None:
    found = {module: dict(Counter(raw_calls((ROOT / module).read_text()))) for module in MODULES}
    assert {module: calls for module, calls in found.items() if calls} == ALLOWED


@pytest.fixture(scope="module")
def groups() -> list[click.Group]:
    app = Flask("commands")
    register_commands(app)
    return [group for group in app.cli.commands.values() if isinstance(group, Commands)]


def test_help_shows_each_example_on_one_line(groups: list[click.Group]) -> None:
    commands = [command for group in groups for command in group.commands.values()]
    assert len(commands) >= 20
    for command in commands:
        assert "\b" not in command.get_help(click.Context(command))
        assert "\\b" not in command.get_help(click.Context(command))
        examples = [line for line in command.get_help(click.Context(command)).splitlines() if line.startswith("  Example: ")]
        documented = [line.strip() for line in command.callback.__doc__.splitlines() if "Example: " in line]
        assert [example.strip() for example in examples] == documented
        assert [example.count("bin/poort ") for example in examples] == [1]


@pytest.mark.parametrize("width", [40, 80])
def test_no_summary_in_a_list_is_cut_off(groups: list[click.Group], width: int) -> None:
    all_groups = [*groups, migration_commands]
    root = click.Group("poort", commands={str(group.name): group for group in all_groups})
    for group in (root, *all_groups):
        shown = group.get_help(click.Context(group, terminal_width=width, max_content_width=width))
        summaries = " ".join(shown.partition("Commands:")[2].split())
        assert "..." not in summaries
        for name, command in group.commands.items():
            if not command.hidden:
                assert summaries.count(f"{name} {command.short_help}") == 1


def test_planted_call_is_found() -> None:
    assert list(raw_calls("import click\nclick.echo(user.name)\nraise click.ClickException(user.name)")) == [
        "click.echo",
        "click.ClickException",
    ]
