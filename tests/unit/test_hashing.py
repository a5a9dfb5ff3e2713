"""The hashing thread: one hash at a time, a short queue, low priority; nothing is hashed for a refused request."""

import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from load import occupied, wait_until_inside
from werkzeug.exceptions import ServiceUnavailable

from config.settings import ROOT
from security.fair_queue import Requester
from security.hashing import HashingThread

WAIT_SECONDS = 30


def test_what_the_work_returns_or_raises_is_the_callers() -> None:
    hashing = HashingThread(0, 1)
    assert hashing.run(lambda: "hash") == "hash"
    with pytest.raises(TimeoutError, match="of the work"):
        hashing.run(lambda: (_ for _ in ()).throw(TimeoutError("of the work")))
    assert (hashing.run(threading.get_native_id) == threading.get_native_id(), hashing.inside) == (False, 0)


def test_turns_come_one_at_a_time_in_the_order_of_their_arrival_and_are_counted() -> None:
    hashing, done, at_work = HashingThread(3, WAIT_SECONDS), [], []

    def work(number: int) -> None:
        at_work.append(number)
        time.sleep(0.01)
        assert at_work.pop() == number
        done.append(number)

    with ThreadPoolExecutor(3) as pool, occupied(hashing):
        waiting: list[Future[None]] = []
        for number in range(3):
            waiting.append(pool.submit(hashing.run, lambda number=number: work(number)))
            wait_until_inside(hashing, number + 2)
        time.sleep(0.01)
        assert done == []
    assert [turn.result() for turn in waiting] == [None] * 3
    assert (done, hashing.turns_total, hashing.refused_total, hashing.inside) == ([0, 1, 2], 4, 0, 0)
    assert hashing.waited_seconds_total > 0.03


def test_who_finds_no_room_is_refused_at_once_and_nothing_is_done_for_them(caplog: pytest.LogCaptureFixture) -> None:
    hashing, done = HashingThread(1, 7), []
    with ThreadPoolExecutor(1) as pool:
        with occupied(hashing):
            hashing.require_room()
            waiting = pool.submit(hashing.run, lambda: done.append("waited"))
            wait_until_inside(hashing, 2)
            for _ in range(20):
                with pytest.raises(ServiceUnavailable) as refused:
                    hashing.run(lambda: done.append("refused"))
                with pytest.raises(ServiceUnavailable):
                    hashing.require_room()
        waiting.result(WAIT_SECONDS)
    assert refused.value.retry_after == 7
    assert (done, hashing.refused_total, hashing.turns_total) == (["waited"], 40, 2)
    hashing.require_room()
    assert hashing.run(lambda: "room again") == "room again"
    assert [(record.levelno, record.refused_total) for record in caplog.records] == [(logging.WARNING, 1)], "one for a while"


def test_client_with_many_turns_loses_the_newest_to_one_with_none() -> None:
    hashing, done = HashingThread(3, WAIT_SECONDS), []
    busy, other = Requester("192.0.2.1", "mallory"), Requester("192.0.2.1", "alice")
    with ThreadPoolExecutor(4) as pool:
        with occupied(hashing):
            waiting = []
            for number in range(3):
                waiting.append(pool.submit(hashing.run, lambda number=number: done.append(number), busy))
                wait_until_inside(hashing, number + 2)
            with pytest.raises(ServiceUnavailable):
                hashing.require_room(busy)
            hashing.require_room(other)
            let_in = pool.submit(hashing.run, lambda: done.append("alice"), other)
            with pytest.raises(ServiceUnavailable):
                waiting[2].result(WAIT_SECONDS)
        for turn in (*waiting[:2], let_in):
            turn.result(WAIT_SECONDS)
    assert (done, hashing.refused_total, hashing.inside) == ([0, "alice", 1], 2, 0)


def test_who_waited_too_long_is_refused_and_nothing_is_done_for_them_later() -> None:
    hashing, done = HashingThread(1, WAIT_SECONDS), []
    with occupied(hashing):
        hashing._wait_seconds = 0
        with pytest.raises(ServiceUnavailable):
            hashing.run(lambda: done.append("too late"))
        assert (hashing.inside, hashing.refused_total) == (1, 1)
    hashing._wait_seconds = WAIT_SECONDS
    assert hashing.run(lambda: done) == []


def test_what_has_begun_is_waited_for_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, waited_out = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert waited_out.wait(WAIT_SECONDS)
        return "hash"

    def pass_the_wait(_turns: object, _seconds: float) -> None:
        assert begun.wait(WAIT_SECONDS)
        waited_out.set()

    monkeypatch.setattr("security.hashing.wait", pass_the_wait)
    hashing = HashingThread(0, 1)
    assert (hashing.run(work), hashing.refused_total) == ("hash", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a priority of its own")
def test_the_thread_gives_way_and_no_other_does() -> None:
    hashing, before = HashingThread(0, 1), os.getpriority(os.PRIO_PROCESS, 0)
    assert hashing.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())) == 15
    assert os.getpriority(os.PRIO_PROCESS, 0) == os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.mark.parametrize(("platform", "failure"), [("darwin", None), ("linux", PermissionError())])
def test_where_the_priority_cannot_be_lowered_it_hashes_all_the_same(
    monkeypatch: pytest.MonkeyPatch, platform: str, failure: Exception | None
) -> None:
    def refuse(*_given: int) -> None:
        raise failure or AssertionError("elsewhere it would be that of the whole process")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "setpriority", refuse)
    assert HashingThread(0, 1).run(lambda: "hash") == "hash"


#: Forks while one hash runs and another waits; prints the results of child and parent.
FORKED = """
import os, threading, time, warnings
from security.hashing import HashingThread
warnings.simplefilter("ignore")  # that it has threads when it forks is what is tried
hashing, begun, end = HashingThread(1, 30), threading.Event(), threading.Event()
def work():
    begun.set()
    end.wait(30)
waiting = [threading.Thread(target=hashing.run, args=(work,)) for _ in range(2)]
for thread in waiting:
    thread.start()
begun.wait(30)
while hashing.inside < 2:
    time.sleep(0.001)
child = os.fork()
if not child:
    print(hashing.run(lambda: "child"), hashing.inside, flush=True)
    os._exit(0)
os.waitpid(child, 0)
end.set()
for thread in waiting:
    thread.join()
print(hashing.run(lambda: "parent"), hashing.inside, flush=True)
"""


def test_it_works_after_a_fork_and_keeps_no_process_from_its_end() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], check=False, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "child 0\nparent 0\n", "")
