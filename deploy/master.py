"""Extend gunicorn's master: check before the start, replace workers without a gap, and run the metrics process."""

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask

from app import create_app
from blueprints.parts import parts
from config import InvalidSetting, Settings, load_settings
from config.drivers import require_drivers
from config.settings import stop_start
from models import db
from models.user_table import UnusableTable
from security.keys.pair import UnusableKey

# A forked worker keeps the master's signal handlers until it is ready. They would swallow a signal, and the master would wait
# 30 s for a worker that does not end. So these signals are blocked during the fork and then end the worker. `post_fork` runs
# too late for this.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

_MOST_SECONDS_TO_LISTEN = 5


def check_before_start(server: Any, settings: Settings) -> None:
    """Stop the start, with one message, if every worker would fail."""
    try:
        server.app.usable = _make_usable(settings)
        _refuse_options(server.cfg, settings.password_hash_queue)
        _fit_sockets(server)
        if "GUNICORN_PID" not in os.environ:  # it is set on USR2, when a new server takes over the port
            _refuse_taken_ports("PORT", server.cfg.address)
            _refuse_taken_ports("METRICS_PORT", [("127.0.0.1", settings.metrics_port)] if settings.metrics_port else [])
    except (InvalidSetting, UnusableKey, UnusableTable) as problem:
        raise stop_start(problem) from None


def prepare(server: Any) -> None:
    """Change how the master reloads, replaces workers and forks."""
    server.setup = partial(_set_up_again, server, server.setup)
    server.handle_hup = partial(_reload_if_usable, server, server.handle_hup)
    server.manage_workers = partial(_replace_spent_worker, server, server.manage_workers)
    # Threads of a worker share glibc's allocation arenas. Otherwise each keeps the most memory that it ever needed.
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX of malloc.h
    _share_memory()
    server.births = []
    server.metrics = None
    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, _ENDING),
        after_in_parent=partial(_go_on_after_fork, server.births),
        after_in_child=_be_ended_by_signals,
    )


def announce_addresses(server: Any, settings: Settings) -> None:
    """Log where the server listens. gunicorn cannot, if each worker has a socket of its own."""
    open_unix_sockets(server)
    server.log.info("serving on %s", addresses_of(server.cfg))
    if not settings.trusted_proxies and any(listener.FAMILY == socket.AF_UNIX for listener in server.LISTENERS):
        server.log.warning(
            "gunicorn listens on a unix socket and TRUSTED_PROXIES is empty: all clients share one address and one throttle "
            "of sign-ins. Set TRUSTED_PROXIES=127.0.0.1, and let the proxy overwrite X-Forwarded-For."
        )


def addresses_of(cfg: Any) -> str:
    """Return where the server listens, in the form of gunicorn's `bind`."""
    return ", ".join(where if "unix:" in where else f"http://{where}" for where in cfg.bind)


def open_unix_sockets(server: Any) -> None:
    """Let the group of a unix socket, which is nginx's, use the socket. Our `umask` allows only this user."""
    server.cfg.set("group", server.own_group)  # the workers' own
    for address in server.cfg.address:
        if isinstance(address, str) and not server.systemd:  # the unit sets the mode of systemd's socket
            Path(address).chmod(0o660)


def _set_up_again(server: Any, set_up: Callable[[Any], None], app: Any) -> None:
    """Apply the configuration that HUP has read, before gunicorn opens new sockets for changed addresses."""
    set_up(app)
    _fit_sockets(server)


def _fit_sockets(server: Any) -> None:
    """Have the workers share a unix socket, with the group that its folder passes on (setgid), which is nginx's (docs/nginx.md).

    Otherwise each worker would replace the others' socket, and gunicorn would give a new socket the group of its workers,
    which shuts nginx out.
    """
    server.own_group = server.cfg.gid
    for address in server.cfg.address:
        if not isinstance(address, tuple):
            server.cfg.set("reuse_port", False)
        folder = Path(address).parent if isinstance(address, str) else None
        if folder and folder.is_dir() and folder.stat().st_mode & stat.S_ISGID and server.own_group == os.getegid():
            server.cfg.set("group", folder.stat().st_gid)


def serve_metrics(server: Any, port: int, make_process: Callable[[int], Any] | None) -> None:
    """Start the metrics process, or stop it if METRICS_PORT has changed. `make_process` is None if metrics are off."""
    if server.metrics and server.metrics.port != port:
        end_metrics(server)
    if make_process and not server.metrics:
        server.metrics = make_process(port)
    if server.metrics:
        server.metrics.run(server.LISTENERS)


def end_metrics(server: Any) -> None:
    """Stop the metrics process, if there is one."""
    if server.metrics:
        server.metrics.remove()
        server.metrics = None


def expect_birth(server: Any, worker: Any) -> None:
    """Open the pipe that the next worker closes once it listens, and choose the slot of its metrics."""
    server.births.append(os.pipe())
    taken = {getattr(other, "metrics_slot", 0) for other in server.WORKERS.values()}
    worker.metrics_slot = server.metrics.take_slot(taken) if server.metrics else 0


def announce_birth(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's
    """Tell the master, which waits for each new worker, that this one listens."""
    while server.births:
        for end in server.births.pop():
            os.close(end)


def forget_worker(server: Any, worker: Any) -> None:
    """Reset the gauges of an ended worker, such as its open connections, and restart the metrics process if it has ended too."""
    if server.metrics:
        server.metrics.leave_slot(getattr(worker, "metrics_slot", 0))
        server.metrics.run(server.LISTENERS)


def _share_memory() -> None:
    """Exempt all objects that exist now from garbage collection: its marks would copy the pages that workers share."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _go_on_after_fork(births: list[tuple[int, int]]) -> None:
    """Wait until the new worker listens. Otherwise gunicorn stops an old one at once, and for a moment none may listen."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    if births:
        reads, writes = births.pop()
        os.close(writes)
        select.select([reads], [], [], _MOST_SECONDS_TO_LISTEN)
        os.close(reads)


def _be_ended_by_signals() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _reload_if_usable(server: Any, reload: Callable[[], None]) -> None:
    """Reload on HUP, unless the new workers could not start, which would stop the old ones too."""
    try:
        server.app.usable = _make_usable(load_settings())
    except (InvalidSetting, UnusableKey, UnusableTable) as problem:
        server.log.error("nothing is reloaded: %s", problem)
    else:
        _share_memory()
        reload()


def _replace_spent_worker(server: Any, manage: Callable[[], None]) -> None:
    """Start a replacement first; gunicorn then finds one worker too many and stops the oldest: one at a time."""
    spent = [worker for worker in server.WORKERS.values() if getattr(worker, "has_served_enough", (False,))[0]]
    if spent and len(server.WORKERS) == server.num_workers:
        spent[0].age = 0
        server.log.info("a new worker takes the place of one that has answered %d requests", server.cfg.max_requests)
        server.spawn_worker()
    manage()


def _make_usable(ours: Settings) -> Flask:
    """Return the application of the workers. Raises InvalidSetting, UnusableKey or UnusableTable if no worker could serve."""
    require_drivers(ours)
    application = create_app(ours, has_commands=False)
    with application.app_context():
        parts().check_keys()
        parts().check_table()
        parts().keys.announce()
        # Forked workers must not share a connection.
        parts().reader.close()
        db.engine.dispose()
    return application


def _refuse_taken_ports(name: str, addresses: list[Any]) -> None:
    """Raise InvalidSetting if another server uses an address: with `reuse_port` the two would share the requests."""
    for host, port in (address for address in addresses if isinstance(address, tuple)):  # no unix sockets
        try:
            socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        except OSError as reason:
            raise InvalidSetting(f"{name} {port} cannot be used on {host}: {os.strerror(reason.errno or 0)}.") from None


def _refuse_options(cfg: Any, hash_queue: int) -> None:
    """Raise InvalidSetting if GUNICORN_CMD_ARGS leaves no thread for requests that hash no password, or asks for TLS."""
    busy = hash_queue + 1
    if cfg.threads <= busy:
        raise InvalidSetting(
            f"PASSWORD_HASH_QUEUE is {hash_queue}, so hashing can occupy {busy} threads of a worker, and gunicorn's --threads is "
            f"{cfg.threads}. Raise --threads, or lower PASSWORD_HASH_QUEUE."
        )
    if cfg.is_ssl:  # the loop peeks at arrived bytes, which TLS does not allow
        raise InvalidSetting(
            "gunicorn cannot terminate TLS here: put a proxy in front (docs/nginx.md), and remove --certfile and --keyfile."
        )
