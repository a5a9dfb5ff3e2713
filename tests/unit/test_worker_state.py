"""What the loop of a worker counts, without a server around it."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from deploy.metrics import worker_state
from deploy.metrics.worker_state import WorkerState
from deploy.unread_answers import Unsent


def test_what_a_worker_holds_is_seen_and_a_lost_key_leaves_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_state, "PAUSE_SECONDS", 0.0)
    registry, key = CollectorRegistry(), tmp_path / "private.pem"
    key.touch()
    os.utime(key, (1_700_000_000, 1_700_000_000))
    state = WorkerState(str(key), registry)

    def seen_with(connections: int, *unread: bytes) -> list[float | None]:
        answers = {number: Unsent(memoryview(rest), closes=False) for number, rest in enumerate(unread)}
        state.look(SimpleNamespace(nr_conns=connections, unread=answers))
        names = ("poort_open_connections", "poort_unread_answer_bytes", "poort_signing_key_changed_timestamp_seconds")
        return [registry.get_sample_value(name) for name in names]

    assert seen_with(3, b"12345", b"123") == [3, 8, 1_700_000_000]
    key.unlink()
    assert seen_with(0) == [0, 0, 1_700_000_000]
    assert registry.get_sample_value("poort_worker_starts_total") == 1
