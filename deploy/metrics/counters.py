"""What a worker counts of its requests, for Prometheus; nobody imports this where METRICS_PORT is 0.

All of it is counted in one place, after a request. The parts that count by themselves are looked at there as well.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from flask import Flask, Response
from flask.globals import app_ctx, request_ctx
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable

from blueprints.parts import Parts, parts
from models import db
from security.errors import (
    BadCredentials,
    CodeRequired,
    ExpiredToken,
    InvalidRefreshToken,
    InvalidToken,
    MissingRefreshToken,
    MissingToken,
    MissingUsername,
    ReusedRefreshToken,
    TooManyAttempts,
)
from security.keys.pair import UnusableKey

logger = logging.getLogger(__name__)

# An item takes half a millisecond, a sign-in half a second.
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

SIGN_IN = "auth.create_token"

#: By kind of failure: how a sign-in ended.
OUTCOMES = {
    CodeRequired: "code_required",
    TooManyAttempts: "throttled",
    BadCredentials: "bad_credentials",
    ServiceUnavailable: "unavailable",
    SQLAlchemyError: "unavailable",
    UnusableKey: "unavailable",
}

#: By kind of failure: which part could not be used.
UNAVAILABLE = {SQLAlchemyError: "database", UnusableKey: "keys"}

#: By kind of failure: what was wrong with a token.
TOKEN_FAILURES = {
    MissingToken: "missing",
    ExpiredToken: "expired",
    InvalidToken: "invalid",
    MissingUsername: "without_username",
    BadCredentials: "user_refused",
    MissingRefreshToken: "refresh_missing",
    ReusedRefreshToken: "refresh_reused",
    InvalidRefreshToken: "refresh_invalid",
}

# What a request may be called by in a label; a stranger may think of others without end.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Metrics:
    """The metrics of a worker; docs/monitoring.md says what each is for."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Take a registry to be found in; the workers' are found by their files."""
        # Each write costs a few microseconds of a request that takes eighty: this one metric has number and time of requests.
        self.requests = Histogram(
            "poort_http_request_duration_seconds",
            "Requests, and how long their answers took.",
            ("method", "route", "status"),
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self.sign_ins = Counter("poort_sign_ins_total", "Sign-ins, by how they ended.", ("outcome",), registry=registry)
        self.token_failures = Counter(
            "poort_token_failures_total", "Tokens that were refused, by what was wrong with them.", ("kind",), registry=registry
        )
        self.throttled = Counter("poort_throttled_total", "Attempts that the throttle refused.", registry=registry)
        self.throttle_unavailable = Counter(
            "poort_throttle_unavailable_total",
            "Attempts that went on uncounted: the throttle's store was down.",
            registry=registry,
        )
        self.attacked_names = Counter(
            "poort_attacked_names_total",
            "User names with 100 failed sign-ins in an hour; once for each name, hour and worker.",
            registry=registry,
        )
        self.hash_turns = Counter("poort_password_hash_turns_total", "Turns in which passwords were hashed.", registry=registry)
        self.hash_wait = Counter(
            "poort_password_hash_wait_seconds_total", "How long those turns were waited for, in all.", registry=registry
        )
        self.hash_refused = Counter(
            "poort_password_hash_refused_total", "Requests that were told to come back: too many wait already.", registry=registry
        )
        self.hash_depth = Gauge(
            "poort_password_hash_queue_depth",
            "Requests whose password is being hashed, or waits for it.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.unavailable = Counter(
            "poort_unavailable_total", "Requests that failed because a part could not be used.", ("part",), registry=registry
        )
        self.connections = Gauge(
            "poort_database_connections_in_use",
            "Connections to the database that requests hold.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.workers = Gauge("poort_workers", "Processes that serve.", multiprocess_mode="livesum", registry=registry)
        self.workers.set(1)
        # A series that begins with its first event has no increase then.
        for outcome in {"success", "malformed", "failed", *OUTCOMES.values()}:
            self.sign_ins.labels(outcome)
        for kind in TOKEN_FAILURES.values():
            self.token_failures.labels(kind)
        for part in UNAVAILABLE.values():
            self.unavailable.labels(part)


class _Grown:
    """Brings what a part counts by itself, since the start of its process, to a counter."""

    def __init__(self, read: Callable[[], float], counter: Counter) -> None:
        self._read = read
        self._counter = counter
        self._seen = read()
        self._lock = threading.Lock()

    def look(self) -> None:
        """Count what was added since the last look."""
        if self._read() == self._seen:
            return
        with self._lock:
            now = self._read()
            self._counter.inc(now - self._seen)
            self._seen = now


class RequestCounter:
    """Counts what is seen after a request."""

    def __init__(self, metrics: Metrics, ours: Parts, engine: Engine) -> None:
        self._metrics = metrics
        self._engine = engine
        self._held = -1
        self._known: dict[tuple[str, str, int], Callable[[float], None]] = {}
        limiter, hashing = ours.limiter, ours.hashing
        self._grown = (
            _Grown(lambda: limiter.unavailable_total, metrics.throttle_unavailable),
            _Grown(lambda: limiter.reported_names_total, metrics.attacked_names),
            _Grown(lambda: hashing.turns_total, metrics.hash_turns),
            _Grown(lambda: hashing.waited_seconds_total, metrics.hash_wait),
            _Grown(lambda: hashing.refused_total, metrics.hash_refused),
        )
        hashing.watch(metrics.hash_depth.set)

    def count(self, response: Response) -> Response:
        """Count the request at hand; the answer is left as it is, also where a file of the counts cannot grow."""
        try:
            self._count(response)
        except OSError as reason:
            logger.error("a request is not counted: %s", reason.strerror)
        return response

    def _count(self, response: Response) -> None:
        here, request = app_ctx.g, request_ctx.request
        rule, method, status = request.url_rule, request.environ["REQUEST_METHOD"], response.status_code
        route = rule.rule if rule else "none"
        observe = self._known.get((method, route, status)) or self._of_kind(method, route, status)
        observe(time.perf_counter() - here.started)
        held = self._engine.pool.checkedout()  # type: ignore[attr-defined]  # of QueuePool, which all our databases have
        if held != self._held:
            self._held = held
            self._metrics.connections.set(held)
        failure = here.get("failure")
        if failure is not None:
            self._count_failure(failure)
        if method not in _READS:
            for part in self._grown:
                part.look()
            if rule is not None and rule.endpoint == SIGN_IN:
                self._metrics.sign_ins.labels(_outcome(failure, status)).inc()

    def _of_kind(self, method: str, route: str, status: int) -> Callable[[float], None]:
        observe: Callable[[float], None] = self._metrics.requests.labels(
            method if method in _METHODS else "other", route, status
        ).observe
        if method in _METHODS:
            self._known[method, route, status] = observe
        return observe

    def _count_failure(self, failure: Exception) -> None:
        metrics = self._metrics
        if isinstance(failure, TooManyAttempts):
            metrics.throttled.inc()
        elif part := _first_of(UNAVAILABLE, failure):
            metrics.unavailable.labels(part).inc()
        elif request_ctx.request.endpoint != SIGN_IN and (kind := _first_of(TOKEN_FAILURES, failure)):
            metrics.token_failures.labels(kind).inc()


def _outcome(failure: Exception | None, status: int) -> str:
    if failure is None:
        return "success"
    return _first_of(OUTCOMES, failure) or ("failed" if status >= 500 else "malformed")  # noqa: PLR2004 - of the server


def _first_of(names: dict[type[Exception], str], failure: Exception) -> str | None:
    ancestors: Iterable[type] = type(failure).__mro__
    return next((names[kind] for kind in ancestors if kind in names), None)


def count_requests(app: Flask, metrics: Metrics) -> None:
    """Have an application count its requests; before the first of them."""
    with app.app_context():
        counter = RequestCounter(metrics, parts(), db.engine)
    app.after_request(counter.count)
