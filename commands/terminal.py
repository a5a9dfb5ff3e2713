"""Print messages of commands safely: a name that a client chose cannot start a line, move the cursor or fake a column."""

import re
from collections.abc import Iterable
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from config.logging import printable
from models.outages import setting_at_fault


class Commands(AppGroup):
    """A group of commands that turn database errors into a Refusal, because their texts quote values unescaped."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command. Marks the example of its help with a backspace, so that click does not wrap it."""
        cmd.help = re.sub(r"\n( *)Example: ", "\n\\1\b\n\\1Example: ", cmd.help or "")
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Raises Refusal."""
        try:
            return super().invoke(ctx)
        except DBAPIError as failure:
            raise Refusal(_sentence_of(failure)) from None


def say(text: str, *, err: bool = False) -> None:
    """Print a line, with unprintable characters escaped."""
    click.echo(printable(text), err=err)


def say_row(*cells: str) -> None:
    """Print cells separated by tabs, with tabs inside them escaped."""
    click.echo("\t".join(map(printable, cells)))


def words(names: Iterable[str]) -> str:
    """Join names with spaces, with spaces inside them escaped."""
    return " ".join(name.replace(" ", r"\x20") for name in names)


def is_agreed(question: str) -> bool:
    """Ask a question. The default answer is no."""
    return click.confirm(printable(question), err=True)


class Refusal(click.ClickException):
    """The command cannot be carried out. Each line of the message is a sentence."""

    def __init__(self, *lines: str) -> None:
        """Take one sentence per line."""
        super().__init__("\n".join(map(printable, lines)))


def _sentence_of(failure: DBAPIError) -> str:
    if sentence := setting_at_fault(failure):
        return sentence
    kind = type(failure.orig).__name__
    if isinstance(failure, OperationalError | InterfaceError):  # its text may name a database account
        return f"The database cannot be used: {kind}. `flask poort doctor` says more."
    return f"The database refuses this: {kind}: {failure.orig}"
