"""What commands say to a person. Names are what strangers typed: they start no line, move no cursor and forge no column."""

from collections.abc import Iterable
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from config.logging import printable


class Commands(AppGroup):
    """A group of commands that say in a sentence what the database refuses, since it quotes the values as they are."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Raises Refusal."""
        try:
            return super().invoke(ctx)
        except DBAPIError as failure:
            raise Refusal(_sentence_of(failure)) from None


def say(text: str, *, err: bool = False) -> None:
    """Write a line, with what does not print written out."""
    click.echo(printable(text), err=err)


def say_row(*cells: str) -> None:
    """Write a line of cells, with a tab between them and none in them."""
    click.echo("\t".join(map(printable, cells)))


def words(names: Iterable[str]) -> str:
    """Write names with a space between them and none in them."""
    return " ".join(name.replace(" ", r"\x20") for name in names)


def is_agreed(question: str) -> bool:
    """Ask a question; the answer is no unless it is yes."""
    return click.confirm(printable(question), err=True)


class Refusal(click.ClickException):
    """A command that cannot be carried out; each line is a sentence of its own."""

    def __init__(self, *lines: str) -> None:
        """Take the sentences."""
        super().__init__("\n".join(map(printable, lines)))


def _sentence_of(failure: DBAPIError) -> str:
    kind = type(failure.orig).__name__
    if isinstance(failure, OperationalError | InterfaceError):  # its text may name the account that was refused
        return f"The database cannot be used: {kind}. `flask poort doctor` says more."
    return f"The database refuses this: {kind}: {failure.orig}"
