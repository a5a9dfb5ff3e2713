"""The end of a worker, in its loop and without a server around it."""

import os
import selectors
import signal
import socket
from collections.abc import Iterator
from threading import Semaphore
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.sock import TCPSocket

from deploy.waits import Waits
from deploy.worker import JsonWorker


@pytest.fixture
def listener() -> Iterator[TCPSocket]:
    listener = TCPSocket(("127.0.0.1", 0), Config(), SimpleNamespace())
    yield listener
    listener.close()


@pytest.fixture
def worker(listener: TCPSocket) -> Iterator[JsonWorker]:
    """A worker that listens on a socket of its own, as on a port."""
    config = Config()
    config.set("reuse_port", True)
    worker = JsonWorker(0, os.getppid(), [listener], None, 30, config, None)
    worker.poller = selectors.DefaultSelector()
    worker.waits = Waits(worker.poller)
    worker.waiting_threads = Semaphore()
    worker.method_queue.init()
    worker.poller.register(worker.method_queue.fileno(), selectors.EVENT_READ, worker.method_queue.run_callbacks)
    worker.set_accept_enabled(True)
    yield worker
    for key in list(worker.poller.get_map().values()):
        if isinstance(key.fileobj, socket.socket):
            key.fileobj.close()
    worker.poller.close()
    worker.method_queue.close()
    worker.tmp.close()


def test_a_connection_in_the_moment_of_the_end_is_accepted_and_does_not_break_the_loop(
    worker: JsonWorker, listener: TCPSocket
) -> None:
    """The loop finds the signal and the connection at once. The signal, which is first, closes the socket."""
    worker.handle_exit(signal.SIGTERM, None)
    with socket.create_connection(listener.getsockname()):
        worker.wait_for_and_dispatch_events(1)
        assert (worker.alive, worker.nr_conns) == (False, 1)
