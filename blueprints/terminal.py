"""What commands say to a person. Names are what strangers typed: they start no line, move no cursor and forge no column."""

import click

from config.logging import printable


def say(text: str, *, err: bool = False) -> None:
    """Write a line, with what does not print written out."""
    click.echo(printable(text), err=err)


def say_row(*cells: str) -> None:
    """Write a line of cells, with a tab between them and none in them."""
    click.echo("\t".join(map(printable, cells)))


class Refusal(click.ClickException):
    """A command that cannot be carried out; each line is a sentence of its own."""

    def __init__(self, *lines: str) -> None:
        """Take the sentences."""
        super().__init__("\n".join(map(printable, lines)))
