"""Keep commands from writing if READ_ONLY is on: in a trial beside a campus, the database belongs to the campus."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from blueprints.parts import parts
from commands.terminal import Refusal


def writes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the function of a command that writes to the database."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        require_writable()
        return command(*args, **options)

    return run


def require_writable() -> None:
    """Raise Refusal if READ_ONLY is on."""
    if parts().settings.read_only:
        raise Refusal("READ_ONLY is on, so nothing is written to the database.")
