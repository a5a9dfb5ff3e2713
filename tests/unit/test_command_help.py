"""Lists of commands have whole sentences, and the help of a command shows its example as it is typed."""

import click
import pytest
from factories import settings_for
from flask.cli import ScriptInfo

from app import create_app


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> dict[str, click.Group]:
    app = create_app(settings_for(DATABASE_URL=f"sqlite:///{tmp_path_factory.mktemp('help')}/poort.db"))
    return {name: group for name, group in app.cli.commands.items() if isinstance(group, click.Group)}


@pytest.mark.parametrize("width", [40, 80])
def test_lists_of_commands_have_whole_sentences(groups: dict[str, click.Group], width: int) -> None:
    root = click.Group("poort", commands=groups)
    for group in (root, *groups.values()):
        context = click.Context(group, info_name=group.name, terminal_width=width, max_content_width=width, obj=ScriptInfo())
        text = group.get_help(context).partition("Commands:")[2]
        for name, command in group.commands.items():
            if not command.hidden:
                said = " ".join(text.split())
                assert f"{name} {command.short_help}" in said, (group.name, name)


def test_help_shows_examples_as_they_are_typed(groups: dict[str, click.Group]) -> None:
    commands = [(group.name, command) for group in groups.values() for command in group.commands.values()]
    examples = 0
    for name, command in commands:
        parent = click.Context(click.Group("poort"), info_name="bin/poort")
        context = click.Context(command, parent, info_name=f"{name} {command.name}", max_content_width=80)
        text = command.get_help(context)
        assert "\b" not in text
        assert "\\b" not in text
        examples += "  Example: bin/poort " in text
    assert examples >= 20
