"""Print messages of commands safely: a name that a client chose cannot start a line, move the cursor or fake a column."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from errno import ENOSPC
from functools import wraps
from itertools import chain, islice
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config.home import as_typed
from config.logging import printable
from models.outages import missing_right, setting_at_fault
from security.keys.pair import UnusableKey


class Commands(AppGroup):
    """A group of commands, which lists each with a whole sentence, and turns common errors into a Refusal.

    Common errors are an unusable key pair, a failure of the database, and a full disk.
    """

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command. Puts a backspace before the example in its help, so that click does not wrap that paragraph."""
        cmd.help = as_typed(re.sub(r"\n( *)Example: ", "\n\\1\b\n\\1Example: ", cmd.help or ""))
        super().add_command(complete(cmd), name)


def complete(command: click.Command) -> click.Command:
    """Give a command what Commands gives its own: lists show its first sentence uncut, and common errors become a Refusal."""
    # click itself cuts the first sentence at the width of the terminal.
    command.short_help = _SENTENCE.match(" ".join((command.help or "").partition("\n\n")[0].split()))[0]  # type: ignore[index]
    if command.callback is not None:
        command.callback = _refusing(command.callback)
    return command


# The first sentence: it ends at a full stop before a space, so not at that of `.json`. Without one, it is the whole text.
_SENTENCE = re.compile(r".*?(?:\.(?= )|$)")


def _refusing(callback: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(callback)
    def run(*args: Any, **options: Any) -> Any:
        try:
            return callback(*args, **options)
        except (DBAPIError, PoolTimeout) as failure:
            # The failure's own text quotes values unescaped.
            raise Refusal(_sentence_of(failure)) from None
        except UnusableKey as problem:
            raise Refusal(str(problem)) from None
        except OSError as failure:
            if failure.errno != ENOSPC:
                raise
            raise Refusal(f"The output cannot be written: {failure.strerror}.") from None

    return run


def say(text: str, *, err: bool = False) -> None:
    """Print a line, with unprintable characters escaped."""
    click.echo(printable(text), err=err)


def say_row(*cells: str) -> None:
    """Print cells separated by tabs, with tabs inside them escaped."""
    click.echo("\t".join(map(printable, cells)))


def say_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: aligned below a header on a terminal; elsewhere separated by tabs, and without a header."""
    if not is_screen():
        for row in rows:
            say_row(*row)
        return
    cells = (list(map(printable, row)) for row in chain([header], rows))
    # Only the first page decides the widths, so that the output of a long list begins at once.
    page = list(islice(cells, _ROWS_OF_A_PAGE))
    widths = [max(map(len, column)) for column in zip(*page, strict=True)]
    for row in chain(page, cells):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


_ROWS_OF_A_PAGE = 500


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, whose plural ends in s: `1 user`, `1,000 users`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def words(names: Iterable[str]) -> str:
    """Join names with spaces, with spaces inside them escaped."""
    return " ".join(name.replace(" ", r"\x20") for name in names)


def is_screen() -> bool:
    """Tell whether the output goes to a terminal."""
    return sys.stdout.isatty()


def is_log_screen() -> bool:
    """Tell whether standard error, and so the log, goes to a terminal."""
    return sys.stderr.isatty()


def is_terminal() -> bool:
    """Tell whether standard input is a terminal, so that somebody can answer a question."""
    return sys.stdin.isatty()


def require_agreement(question: str, option: str, *, given: bool) -> None:
    """Ask a question, unless the option that answers it is given. Raises Refusal if the answer is no or there is no terminal."""
    if given:
        return
    if not is_terminal():
        raise Refusal(f"{question} Add {option}: there is no terminal to ask at.")
    if not click.confirm(printable(question), err=True):
        raise Refusal("Nothing was changed.")


class Refusal(click.ClickException):
    """The command cannot be carried out. Each line of the message is a sentence."""

    def __init__(self, *lines: str) -> None:
        """Take one sentence per line."""
        super().__init__(as_typed("\n".join(map(printable, lines))))


def _sentence_of(failure: DBAPIError | PoolTimeout) -> str:
    if isinstance(failure, DBAPIError) and (sentence := setting_at_fault(failure)):
        return sentence
    if isinstance(failure, DBAPIError) and (right := missing_right(failure)):
        return f"The database user lacks the right {right}: grant it, or name a user who has it in DATABASE_URL for this command."
    kind = type(getattr(failure, "orig", failure)).__name__
    if isinstance(failure, OperationalError | InterfaceError | PoolTimeout):  # its text may name a database account
        return f"The database cannot be used ({kind}): `bin/poort doctor` says why."
    return f"The database refuses this: {kind}: {failure.orig}"
