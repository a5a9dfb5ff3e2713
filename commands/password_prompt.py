"""Read a new password for a command, never from the command line."""

import secrets
import sys
from typing import Any

import click

from commands.terminal import is_terminal


def with_password(command: Any) -> Any:
    """Decorate a command that takes a new password."""
    command = click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line.")(command)
    return click.option("--generate-password", is_flag=True, help="Create a random password and print it.")(command)


def ask_password(*, password_stdin: bool, generate: bool) -> str:
    """Return a new password: from standard input, generated, or typed twice. Raises click.UsageError."""
    if password_stdin and generate:
        raise click.UsageError("--password-stdin and --generate-password exclude each other.")
    if generate:
        return secrets.token_urlsafe(12)
    if password_stdin:
        try:
            return sys.stdin.readline().rstrip("\n")
        except UnicodeDecodeError:
            raise click.UsageError("The password on standard input is not UTF-8.") from None
    if not is_terminal():
        raise click.UsageError("There is no terminal to ask for a password: add --password-stdin or --generate-password.")
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return answer
