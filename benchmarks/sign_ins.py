"""Measure sign-ins per second, and compare them with the limit: cores / (one bcrypt + one signature)."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import bcrypt
import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from benchmarks.clients import Clients
from benchmarks.figures import Figures, add
from benchmarks.ground import COST, Ground
from benchmarks.plan import Plan
from benchmarks.serving import Server, running

CORES = len(os.sched_getaffinity(0))
PAIRS = 6
#: Seconds at the start that do not count, until the queues are full.
FILLING_SECONDS = 2
TOGETHER_SECONDS = 0.05
#: Sign-ins are few, so their runs are longer than those of reads.
TIMES_AS_LONG = 6


def measure(plan: Plan, ground: Ground) -> Figures:
    """Measure the limit and the sign-ins in turns, with twice as many clients as cores."""
    figures, server = Figures(), ground.server("poort")
    with running(server), limit_of(ground) as limit:
        for number in range(plan.rounds):
            plan.say(f"sign-ins, round {number + 1} of {plan.rounds}")
            add(figures, "limit", limit())
            seconds = plan.seconds * TIMES_AS_LONG + FILLING_SECONDS
            done = start_clients(server, ground, 2 * CORES, seconds).result()
            add(figures, "poort", rate_of(done))
            add(figures, "refused", sum(done["others"].values()))
    return figures


def start_clients(server: Server, ground: Ground, number: int, seconds: float, *, obeys: bool = True) -> Clients:
    """Start clients that sign in without pause, each as another user."""
    requests = [_request(server, f"user{user}", ground.password) for user in range(2, 2 + number)]
    return Clients("sign-in", port=server.port, requests=requests, seconds=seconds, obeys=obeys)


def rate_of(done: dict[str, Any]) -> float:
    """Return sign-ins per second, measured between two ends of sign-ins, so that none counts partly."""
    good = sorted(moment for moment in done["good"] if moment >= FILLING_SECONDS)
    # Sign-ins of several cores that ended together count as one end.
    after = [moment for moment in good if moment > good[0] + TOGETHER_SECONDS]
    return len(after) / (after[-1] - good[0]) if after else 0.0


@contextmanager
def limit_of(ground: Ground) -> Iterator[Callable[[], float]]:
    """Yield a function that measures the limit: one process per core hashes and signs as fast as it can."""
    key = (ground.folder / "peers" / "private.pem").read_bytes()
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, spawning, _prepare, (key,)) as pool:
        list(pool.map(hash_and_sign, [1] * CORES))

        def limit() -> float:
            return sum(pool.map(hash_and_sign, [PAIRS] * CORES))

        yield limit


def hash_and_sign(pairs: int) -> float:
    """Check a password and sign a token this often. Returns the rate per second."""
    begun = time.perf_counter()
    for _ in range(pairs):
        bcrypt.checkpw(b"a password", _prepared["hash"])
        jwt.encode({"username": "admin", "roles": ["ROLE_ADMIN"], "iat": 0, "exp": 1}, _prepared["key"], "RS256")
    return pairs / (time.perf_counter() - begun)


_prepared: dict[str, Any] = {}


def _prepare(key: bytes) -> None:
    _prepared["key"] = load_pem_private_key(key, None)
    _prepared["hash"] = bcrypt.hashpw(b"a password", bcrypt.gensalt(COST))


def _request(server: Server, username: str, password: str) -> str:
    path, content_type, body = server.sign_in_request(username, password)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head + body.decode()
