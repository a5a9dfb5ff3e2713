"""What gunicorn's master does for us: checks before the start, workers that follow each other without a gap, and metrics."""

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from app import create_app
from blueprints.parts import parts
from config import InvalidSetting, Settings, load_settings
from config.settings import require_drivers, stop_start
from models import db
from models.user_table import UnusableTable
from security.keys.pair import UnusableKey

# M_ARENA_MAX of malloc.h, and how many.
_ARENA_MAX, _ARENAS = -8, 2

# Until a worker is ready it has the master's handlers, which would put a signal aside: the master would wait 30 s for its
# end in vain. So such a signal waits for the fork, and ends the worker then. Gunicorn's own `post_fork` comes too late.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

_MOST_SECONDS_TO_LISTEN = 5


def check_before_start(server: Any, settings: Settings) -> None:
    """Stop the start with one sentence, once, where every worker would fail."""
    try:
        _refuse_unusable(settings)
        _refuse_too_few_threads(server.cfg.threads, settings.password_hash_queue)
        _refuse_tls(server.cfg.is_ssl)
        share_unix_sockets(server)
        if "GUNICORN_PID" not in os.environ:  # set on USR2: the new server takes over the port of the old one
            _refuse_taken_ports("PORT", server.cfg.address)
            _refuse_taken_ports("METRICS_PORT", [("127.0.0.1", settings.metrics_port)] if settings.metrics_port else [])
    except (InvalidSetting, UnusableKey, UnusableTable) as problem:
        raise stop_start(problem) from None


def prepare(server: Any) -> None:
    """Change how the master reloads, replaces workers and forks."""
    server.handle_hup = partial(_reload_if_usable, server, server.handle_hup)
    server.manage_workers = partial(_replace_who_has_served_enough, server, server.manage_workers)
    _share_arenas()
    # What is there now is there for good: the collector need not touch it, and so the workers keep sharing its memory.
    gc.collect()
    gc.freeze()
    server.births = []
    after_in_parent = partial(_go_on_after_fork, server.births)
    os.register_at_fork(before=_hold_signals, after_in_parent=after_in_parent, after_in_child=_be_ended_by_signals)


def announce_addresses(server: Any, settings: Settings) -> None:
    """Say where the server answers: gunicorn does not know it where each worker listens for itself.

    A unix socket is opened to its group, which is nginx's: `umask` would keep it for this user alone.
    """
    for address in server.cfg.address:
        if isinstance(address, str) and not server.systemd:  # systemd's own is as its unit says
            Path(address).chmod(0o660)
    server.log.info("serving on %s", ", ".join(where if "unix:" in where else f"http://{where}" for where in server.cfg.bind))
    if not settings.trusted_proxies and any(listener.FAMILY == socket.AF_UNIX for listener in server.LISTENERS):
        server.log.warning(
            "gunicorn listens on a unix socket and TRUSTED_PROXIES is empty: all clients share one address, and so one throttle "
            "of sign-ins. Set TRUSTED_PROXIES=127.0.0.1, and let the proxy overwrite X-Forwarded-For."
        )


def share_unix_sockets(server: Any) -> None:
    """Let workers share a unix socket: each would put one of its own in the place of the others', for this user alone."""
    if any(not isinstance(address, tuple) for address in server.cfg.address):
        server.cfg.set("reuse_port", False)


def expect_birth(server: Any) -> None:
    """Open what the next worker closes as soon as it listens."""
    server.births.append(os.pipe())


def announce_birth(server: Any) -> None:
    """Let the master go on: this worker has its sockets."""
    while server.births:
        for end in server.births.pop():
            os.close(end)


def _share_arenas() -> None:
    """Let the threads of a worker share what the C library keeps for allocations: each would keep the most it ever needed."""
    with contextlib.suppress(AttributeError):  # a C library that is not glibc
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def _go_on_after_fork(births: list[tuple[int, int]]) -> None:
    """Wait until the new worker listens: gunicorn would end an old one at once, and for a moment nobody might listen."""
    _let_signals_through()
    if births:
        reads, writes = births.pop()
        os.close(writes)
        select.select([reads], [], [], _MOST_SECONDS_TO_LISTEN)
        os.close(reads)


def _let_signals_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _be_ended_by_signals() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    _let_signals_through()


def _reload_if_usable(server: Any, reload: Callable[[], None]) -> None:
    """Do what HUP asks for, unless the new workers could not start: that would be the end of the old ones too."""
    try:
        _refuse_unusable(load_settings())
    except (InvalidSetting, UnusableKey, UnusableTable) as problem:
        server.log.error("nothing is reloaded: %s", problem)
    else:
        reload()


def _replace_who_has_served_enough(server: Any, manage: Callable[[], None]) -> None:
    """Start a replacement first; gunicorn then finds one worker too many and stops the oldest: one at a time."""
    served_enough = [worker for worker in server.WORKERS.values() if getattr(worker, "has_served_enough", (False,))[0]]
    if served_enough and len(server.WORKERS) == server.num_workers:
        served_enough[0].age = 0
        server.log.info("a new worker takes the place of one that has answered %d requests", server.cfg.max_requests)
        server.spawn_worker()
    manage()


def _refuse_unusable(ours: Settings) -> None:
    """Raise InvalidSetting, UnusableKey or UnusableTable where no worker could serve with these settings."""
    require_drivers(ours)
    with create_app(ours).app_context():
        parts().check_keys()
        parts().check_table()
        parts().keys.announce()
        db.engine.dispose()  # a connection must not be shared with the workers that are forked from here


def _refuse_taken_ports(name: str, addresses: list[Any]) -> None:
    """Raise InvalidSetting where somebody listens already: with `reuse_port` two servers would share the requests."""
    for address in addresses:
        if not isinstance(address, tuple):  # a unix socket
            continue
        try:
            socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET).close()
        except OSError as reason:
            why = os.strerror(reason.errno or 0)
            raise InvalidSetting(f"{name} {address[1]} cannot be used on {address[0]}: {why}.") from None


def _refuse_tls(wanted: bool) -> None:
    """Raise InvalidSetting where gunicorn is to end TLS: JsonWorker peeks at what has arrived, which TLS does not allow."""
    if wanted:
        raise InvalidSetting(
            "gunicorn cannot end TLS here: put a proxy in front (docs/nginx.md), and remove --certfile and --keyfile."
        )


def _refuse_too_few_threads(number: int, hash_queue: int) -> None:
    """Raise InvalidSetting where GUNICORN_CMD_ARGS leaves no thread free of those who wait for the hashing of a password."""
    busy = hash_queue + 1
    if number <= busy:
        said = f"who waits and who is hashed for take {busy} threads of a worker, and gunicorn's --threads is {number}."
        raise InvalidSetting(f"PASSWORD_HASH_QUEUE is {hash_queue}: {said}")
