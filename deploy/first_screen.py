"""End a start on a terminal with a block that says where the server listens, how to sign in, and what to type next."""

import json
import logging
from dataclasses import dataclass
from typing import Any

import click
from gunicorn.app.wsgiapp import WSGIApplication

from config import Settings
from config.home import as_typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The facts about a start that the block shows.

    `password` is the first user's, if this start created that user. `variables` is the text to put before a command so that it
    uses the same settings. `known` is a user whose password is documented, and that password.
    """

    settings: Settings
    password: str = ""
    variables: str = ""
    remarks: tuple[tuple[str, str], ...] = ()
    known: tuple[str, str] | None = None


class ServerOnTerminal(WSGIApplication):  # type: ignore[misc]  # gunicorn has no types
    """A gunicorn that prints the block once its workers listen, and logs at the level of LOG_LEVEL from then on."""

    def __init__(self, start: Start) -> None:
        """Take the facts for the block. Reads sys.argv, as gunicorn does."""
        self._start = start
        super().__init__()

    def load_config(self) -> None:
        """Load the configuration, and have its hooks print the block."""
        super().load_config()
        when_ready, post_worker_init = self.cfg.when_ready, self.cfg.post_worker_init

        def show_block_after_start(server: Any) -> None:
            when_ready(server)
            manage = server.manage_workers

            def manage_and_show() -> None:
                manage()
                server.manage_workers = manage
                logging.disable(logging.NOTSET)
                click.echo(block(self._start, server.cfg.bind))

            server.manage_workers = manage_and_show

        def log_requests(worker: Any) -> None:
            post_worker_init(worker)
            logging.disable(logging.NOTSET)

        self.cfg.set("when_ready", show_block_after_start)
        self.cfg.set("post_worker_init", log_requests)


def block(start: Start, addresses: list[str]) -> str:
    """Return the block for a server that listens on `addresses`, gunicorn's `bind`."""
    url = next((f"http://{where}" for where in addresses if ":" in where and not where.startswith(("unix:", "fd:"))), "")
    off = as_typed("off; `APP_ENABLE_API_ENTRYPOINT=1 make serve` switches it on")
    lines = [
        ("Address", f"{url or ', '.join(addresses)}    Ctrl-C stops the server"),
        ("Explorer", f"{url}/api" if start.settings.app_enable_api_entrypoint else off),
        *_sign_in(start),
        *start.remarks,
    ]
    text = "\n".join(f"  {name and name + ':':<10} {what}" for name, what in lines)
    return f"\nPoort is running.\n\n{text}\n" + (
        f"\nNext, get a token in another terminal:\n\n{_curl(start, url)}\n" if url else ""
    )


def _sign_in(start: Start) -> list[tuple[str, str]]:
    if start.settings.database_schema == "chamilo":
        return [("User", "the users of your campus, with their passwords")]
    told = f"{start.password}    shown once" if start.password else "was shown by the first start"
    command = as_typed(f"{start.variables}bin/poort users set-password admin")
    return [("User", "admin"), ("Password", f"{told}; `{command}` makes a new one")]


def _curl(start: Start, url: str) -> str:
    first = "USER" if start.settings.database_schema == "chamilo" else "admin"
    username, password = start.known or (first, start.password or "PASSWORD")
    body = json.dumps({"username": username, "password": password})
    return f"  curl -s {url}/api/authentication_token \\\n    -H 'Content-Type: application/json' \\\n    -d '{body}'"
