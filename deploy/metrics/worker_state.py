"""Gauges that no request could set: the loop of a worker does so, once a second. Not imported if METRICS_PORT is 0."""

import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

#: Between two looks, so that a busy loop, which turns thousands of times a second, pays almost nothing.
PAUSE_SECONDS = 1.0


class WorkerState:
    """What a worker holds for its clients, how often workers have started, and the age of the key."""

    def __init__(self, private_key: str, registry: CollectorRegistry | None = None) -> None:
        """Create the metrics, and count the start of this worker."""
        gauge = partial(Gauge, multiprocess_mode="livesum", registry=registry)
        self._private_key = Path(private_key)
        self._next_look_at = 0.0
        self._last: tuple[float, ...] = ()
        Counter("poort_worker_starts_total", "Workers that have started.", registry=registry).inc()
        self._gauges = (
            gauge("poort_open_connections", "Open connections of clients, also idle ones."),
            gauge("poort_unread_answer_bytes", "Bytes of answers that clients have not read yet."),
            # All workers have the same key, and the latest to look knows best.
            gauge(
                "poort_signing_key_changed_timestamp_seconds",
                "When the file of the private key was last changed, since the epoch.",
                multiprocess_mode="livemostrecent",
            ),
        )

    def look(self, worker: Any) -> None:
        """Set the gauges, at most once a second. Called by the loop of the worker."""
        if (now := time.monotonic()) < self._next_look_at:
            return
        self._next_look_at = now + PAUSE_SECONDS
        unread = sum(len(unsent.rest) for unsent in worker.unread.values())
        values = (worker.nr_conns, unread, self._key_changed_at())
        if values == self._last:
            return
        self._last = values
        with suppress(OSError):  # a count that cannot be written must not end the loop
            for gauge, value in zip(self._gauges, values, strict=True):
                gauge.set(value)

    def _key_changed_at(self) -> float:
        with suppress(OSError):  # without a file, the time of the last one stays: other metrics tell of the fault
            return self._private_key.stat().st_mtime
        return self._last[-1] if self._last else 0
