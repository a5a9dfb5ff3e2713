"""Count the requests of a worker for Prometheus. Not imported if METRICS_PORT is 0.

Most counts are taken after a request. The totals of the throttle and the hashing thread are copied then, too. Mail, the depth
of the hash queue and lost writing are noted when they occur.
"""

import logging
import platform
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter

from flask import Flask, Response
from flask.globals import app_ctx, request_ctx
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable

from blueprints.mail import OUTCOMES as MAIL_OUTCOMES
from blueprints.parts import Parts, parts
from config.version import VERSION
from models import db
from models.write_probe import refuses_to_write
from security.errors import (
    BadCredentials,
    CodeRequired,
    ExpiredToken,
    InvalidRefreshToken,
    InvalidToken,
    MissingRefreshToken,
    MissingToken,
    MissingUsername,
    RefusedApiKey,
    ReusedRefreshToken,
    TooManyAttempts,
)
from security.keys.pair import UnusableKey

logger = logging.getLogger(__name__)

# The buckets cover the read of a user (half a millisecond) and a sign-in (half a second).
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

SIGN_IN = "auth.create_token"

#: Outcomes of sign-ins, by failure.
OUTCOMES = {
    CodeRequired: "code_required",
    TooManyAttempts: "throttled",
    BadCredentials: "bad_credentials",
    ServiceUnavailable: "unavailable",
    SQLAlchemyError: "without_database",
    UnusableKey: "unavailable",
}

#: Unavailable parts, by failure.
UNAVAILABLE = {SQLAlchemyError: "database", UnusableKey: "keys"}

#: What was wrong with a token, by failure.
TOKEN_FAILURES = {
    MissingToken: "missing",
    RefusedApiKey: "api_key",
    ExpiredToken: "expired",
    InvalidToken: "invalid",
    MissingUsername: "without_username",
    BadCredentials: "user_refused",
    MissingRefreshToken: "refresh_missing",
    ReusedRefreshToken: "refresh_reused",
    InvalidRefreshToken: "refresh_invalid",
}

# Methods that labels name. Others count as "other": a client could invent any number of them.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_READS = frozenset({"GET", "HEAD", "OPTIONS"})

#: Totals that parts of the server keep, and the counters that copy them.
_TOTALS = {
    "limiter.unavailable_total": (
        "poort_throttle_unavailable_total",
        "Attempts uncounted and slots not returned because the throttle's store was down.",
    ),
    "limiter.reported_names_total": (
        "poort_attacked_names_total",
        "User names with 100 failed sign-ins in an hour, once per name, hour and worker.",
    ),
    "hashing.turns_total": ("poort_password_hash_turns_total", "Turns on the hashing thread."),
    "hashing.waited_seconds_total": ("poort_password_hash_wait_seconds_total", "Total time that requests waited for a turn."),
    "hashing.refused_total": ("poort_password_hash_refused_total", "Requests refused because the hash queue was full."),
}


class Metrics:
    """The metrics of a worker (docs/monitoring.md#metrics)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Create the metrics in a registry. Workers need none: their counts are read from files."""
        counter, labelled = partial(Counter, registry=registry), partial(_labelled, registry)
        gauge = partial(Gauge, multiprocess_mode="livesum", registry=registry)
        # The value that any worker set last, also if another one found the opposite before.
        latest = partial(Gauge, multiprocess_mode="livemostrecent", registry=registry)
        self.requests = _count_and_time_requests(registry)
        outcomes = ("success", "malformed", "failed", *OUTCOMES.values())
        self.sign_ins = labelled("poort_sign_ins_total", "Sign-ins, by outcome.", "outcome", outcomes)
        self.token_failures = labelled(
            "poort_token_failures_total", "Refused tokens, by reason.", "kind", TOKEN_FAILURES.values()
        )
        self.throttled = counter("poort_throttled_total", "Attempts that the throttle refused.")
        self.totals = {total: counter(name, text) for total, (name, text) in _TOTALS.items()}
        self.hash_depth = gauge("poort_password_hash_queue_depth", "Requests that hash a password or wait to do so.")
        self.mails = labelled("poort_mails_total", "Mails to new users, by outcome.", "outcome", MAIL_OUTCOMES)
        self.unavailable = labelled(
            "poort_unavailable_total", "Requests that failed because a part was unavailable.", "part", UNAVAILABLE.values()
        )
        self.writing_lost = latest("poort_writing_lost", "1 if the database can be read and not written.")
        self.connections = gauge("poort_database_connections_in_use", "Database connections that requests hold.")
        gauge("poort_workers", "Worker processes.").set(1)
        build = latest("poort_build_info", "1, with versions.", ("version", "python"))
        build.labels(VERSION, platform.python_version()).set(1)


def _labelled(registry: CollectorRegistry | None, name: str, text: str, label: str, values: Iterable[str]) -> Counter:
    """Return a counter that has all its series: `increase()` misses the first event of a new one."""
    counter = Counter(name, text, (label,), registry=registry)
    for value in values:
        counter.labels(value)
    return counter


def _count_and_time_requests(registry: CollectorRegistry | None) -> Histogram:
    """Return a metric that both counts and times, because each metric adds microseconds to the eighty that a read takes."""
    return Histogram(
        "poort_http_request_duration_seconds",
        "Requests, and the time until they were answered.",
        ("method", "route", "status"),
        buckets=BUCKETS_SECONDS,
        registry=registry,
    )


class _Grown:
    """Copies a total, which another part of the server keeps, to a counter."""

    def __init__(self, read: Callable[[], float], counter: Counter) -> None:
        self._read = read
        self._counter = counter
        self._seen = read()
        self._lock = threading.Lock()

    def look(self) -> None:
        """Add the growth since the last look."""
        if self._read() == self._seen:
            return
        with self._lock:
            now = self._read()
            self._counter.inc(now - self._seen)
            self._seen = now


class RequestCounter:
    """Counts each request after its view."""

    def __init__(self, metrics: Metrics, ours: Parts, engine: Engine) -> None:
        self._metrics = metrics
        self._engine = engine
        self._held = -1
        self._is_writing_lost = False
        self._known: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._grown = [_Grown(partial(attrgetter(total), ours), counter) for total, counter in metrics.totals.items()]
        ours.hashing.watch(metrics.hash_depth.set)
        self._probe = ours.write_probe
        self._probe.watch(self._note_writing)
        if ours.mailer:
            ours.mailer.watch(lambda outcome: metrics.mails.labels(outcome).inc())

    def count(self, response: Response) -> Response:
        """Count the current request, and return the response unchanged, even if a count cannot be written."""
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
            if self._is_writing_lost or (failure is not None and refuses_to_write(failure)):
                self._probe.refusal()
            for part in self._grown:
                part.look()
            if rule is not None and rule.endpoint == SIGN_IN:
                self._metrics.sign_ins.labels(_outcome(failure, status)).inc()

    def _note_writing(self, is_lost: bool) -> None:
        self._is_writing_lost = is_lost
        self._metrics.writing_lost.set(is_lost)

    def _of_kind(self, method: str, route: str, status: int) -> Callable[[float], None]:
        name = method if method in _METHODS else "other"
        observe: Callable[[float], None] = self._metrics.requests.labels(name, route, status).observe
        if name == method:
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
    return _first_of(OUTCOMES, failure) or ("failed" if status >= 500 else "malformed")  # noqa: PLR2004 - 5xx


def _first_of(names: dict[type[Exception], str], failure: Exception) -> str | None:
    return next((names[kind] for kind in type(failure).__mro__ if kind in names), None)


def count_requests(app: Flask, metrics: Metrics) -> None:
    """Have an application count its requests. Call this before its first one."""
    with app.app_context():
        counter = RequestCounter(metrics, parts(), db.engine)
    app.after_request(counter.count)
