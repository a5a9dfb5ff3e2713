"""The keys of a server (docs/keys.md): the pair that signs, and the set that verifies, read again from files and database."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from threading import Lock

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from models.verification_key import VerificationKey, find_verification_keys, publish_key
from security.keys.files import KeyFiles, file_version
from security.keys.json_web_key import thumbprint
from security.keys.pair import KeyPair, UnusableKey, parse_public_key

logger = logging.getLogger(__name__)

#: If a snapshot is older than this, its next use reads the keys again.
MAX_AGE_SECONDS = 1.0

#: A token that no key verifies causes a new read if the snapshot is older than this, so that random tokens cause few reads.
MAX_AGE_AT_FAILURE_SECONDS = 0.1

#: A key is kept this much longer than its last token: the clocks of hosts differ, and a rotation waits before it changes keys.
MARGIN_SECONDS = 3600

# The largest value of the column `expires_at`.
_LAST_SECOND = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The keys as they were at `read_at`, in seconds of the timer; `failure` is why the database could not be read then."""

    pair: KeyPair
    keys: Mapping[str, RSAPublicKey]
    kids: frozenset[str]
    read_at: float
    failure: SQLAlchemyError | None


@dataclass(eq=False, repr=False)
class KeySet:
    """This host's pair, the public keys set aside next to it, and the keys of all hosts. The first use reads them.

    One thread replaces an old snapshot, while the others still use it. If the private key or the database cannot be read, the
    keys that were read from it before are kept.
    `lifetime_seconds` is the longest time that a token is accepted, leeway included. `timer` is monotonic, in seconds.
    """

    files: KeyFiles
    engine: Callable[[], Engine]
    clock: Callable[[], datetime]
    lifetime_seconds: int
    _: KW_ONLY
    writes_rows: bool
    timer: Callable[[], float] = time.monotonic

    _lock: Lock = field(default_factory=Lock, init=False)
    _snapshot: _Snapshot | None = field(default=None, init=False)
    _file_version: tuple[int, ...] = field(default=(), init=False)
    _rows: list[VerificationKey] = field(default_factory=list, init=False)
    _published_until: dict[str, int] = field(default_factory=dict, init=False)
    _logged: dict[str, str] = field(default_factory=dict, init=False)

    def signing_pair(self, until: int) -> KeyPair:
        """Return the pair that signs, after publishing its key for tokens that expire by `until`, in seconds since the epoch.

        So a key that is no longer used to sign expires only after its last token. Raises UnusableKey, and SQLAlchemyError if
        the key cannot be published.
        """
        pair, until = self._current().pair, int(min(until, _LAST_SECOND - MARGIN_SECONDS))
        if self.writes_rows and self._published_until.get(pair.kid, 0) < until:
            expires_at = until + MARGIN_SECONDS
            with Session(self.engine()) as session:
                publish_key(session, pair.kid, pair.public_pem, expires_at)
                session.commit()
            self._published_until[pair.kid] = expires_at
        return pair

    def verification_keys(self) -> Mapping[str, RSAPublicKey]:
        """Return the public keys by `kid`: this host's first, then the others in a stable order. Raises UnusableKey."""
        return self._current().keys

    def verification_kids(self) -> frozenset[str]:
        """Return the `kid`s of `verification_keys`. Raises UnusableKey."""
        return self._current().kids

    def newer_verification_keys(self) -> Mapping[str, RSAPublicKey]:
        """Return the public keys as they were at most 0.1 seconds ago.

        Raises SQLAlchemyError if the database cannot be reached: the token may be valid, so 401 would be wrong.
        """
        snapshot = self._snapshot_within(MAX_AGE_AT_FAILURE_SECONDS, waits=True)
        if snapshot.failure is not None:
            raise snapshot.failure
        return snapshot.keys

    def refused_elsewhere(self) -> str:
        """Return the `kid` of the key that signs here if other hosts do not know it and this one may not publish it; else ""."""
        kid = self._current().pair.kid
        is_known = self.writes_rows or not self._rows or any(row.kid == kid and not row.is_withdrawn for row in self._rows)
        return "" if is_known else kid

    def announce(self) -> None:
        """Publish this host's key before its first token, so that other hosts know it early. A failure is only logged."""
        if kid := self.refused_elsewhere():
            logger.error(
                "with READ_ONLY=1 this host's key is not published, and other hosts refuse its tokens: copy the folder of the "
                "keys and JWT_PASSPHRASE of a host that writes, then reload",
                extra={"kid": kid},
            )
        try:
            self.signing_pair(int(self.clock().timestamp()) + self.lifetime_seconds)
        except SQLAlchemyError as reason:
            logger.warning("this host's key is not published yet: %s", type(reason).__name__)

    def needed_until(self, now: datetime) -> int:
        """Return the time until which a key that signs up to `now` is needed, margin included, in seconds since the epoch."""
        return int(now.timestamp()) + self.lifetime_seconds + MARGIN_SECONDS

    def put_aside_before(self, now: datetime) -> int:
        """Return the cut-off: keys set aside by then no longer verify any live token."""
        return int(now.timestamp()) - self.lifetime_seconds - MARGIN_SECONDS

    def _current(self) -> _Snapshot:
        return self._snapshot_within(MAX_AGE_SECONDS, waits=False)

    def _snapshot_within(self, max_age_seconds: float, *, waits: bool) -> _Snapshot:
        """Return a snapshot of at most this age. While another thread reads, return an older one, unless `waits`."""
        snapshot = self._snapshot
        if snapshot is not None and self.timer() - snapshot.read_at < max_age_seconds:
            return snapshot
        if not self._lock.acquire(blocking=waits or snapshot is None) and snapshot is not None:
            return snapshot
        try:
            if self._snapshot is None or self.timer() - self._snapshot.read_at >= max_age_seconds:
                self._snapshot = self._read_all(self._snapshot)
            return self._snapshot
        finally:
            self._lock.release()

    def _read_all(self, last: _Snapshot | None) -> _Snapshot:
        read_at, moment = self.timer(), self.clock()
        now = int(moment.timestamp())
        pair = self._read_pair(last.pair if last else None)
        failure = self._read_rows(now)
        keys: dict[str, RSAPublicKey] = {}
        for kid, found in self.files.keys_put_aside(self.put_aside_before(moment)):
            self._log(f"file {kid}", f"a key that was put aside is not used: {found}" if isinstance(found, UnusableKey) else "")
            if not isinstance(found, UnusableKey):
                keys[kid] = found
        for row in self._rows:
            keys.pop(row.kid, None)
            if row.expires_at > now and not row.is_withdrawn and (key := self._parse_row(row)):
                keys[row.kid] = key
        withdrawn = any(row.kid == pair.kid and row.is_withdrawn for row in self._rows)
        self._log(f"own {pair.kid}", "the key that signs here was withdrawn; run `bin/poort jwt rotate-key`" if withdrawn else "")
        all_keys = {pair.kid: pair.verification_key} | {kid: keys[kid] for kid in sorted(keys) if kid != pair.kid}
        # After a failure the age counts from the end of the read, however long the database took to fail.
        return _Snapshot(pair, all_keys, frozenset(all_keys), self.timer() if failure else read_at, failure)

    def _read_pair(self, pair: KeyPair | None) -> KeyPair:
        """Return the current pair. The private key is opened only if its file has changed, since opening it takes 40 ms."""
        version = file_version(self.files.private)
        if pair is None:
            pair = self.files.load()
        elif version != self._file_version:
            try:
                pair = self.files.load_signing_pair()
            except UnusableKey as problem:
                logger.error("the private key has changed and cannot be used; the one before it still signs: %s", problem)
            else:
                logger.info("the private key has changed", extra={"kid": pair.kid})
        self._file_version = version
        return pair

    def _read_rows(self, now: int) -> SQLAlchemyError | None:
        """Read the keys of all hosts. Return the failure if the database cannot be reached."""
        try:
            with Session(self.engine()) as session:
                # A read-only server may run beside a campus that has none of our tables.
                is_there = self.writes_rows or inspect(session.connection()).has_table(VerificationKey.__tablename__)
                rows = list(find_verification_keys(session, now)) if is_there else []
        except SQLAlchemyError as reason:
            self._log("rows", f"the keys of other hosts cannot be read: {type(reason).__name__}")
            return reason if isinstance(reason, OperationalError | InterfaceError | PoolTimeout) else None
        self._log("rows", "")
        self._rows = rows
        self._published_until = {row.kid: row.expires_at for row in rows}
        return None

    def _parse_row(self, row: VerificationKey) -> RSAPublicKey | None:
        try:
            key = parse_public_key(row.public_pem.encode(), f"row {row.kid}")
        except UnusableKey:
            key = None
        fits = key is not None and thumbprint(key) == row.kid
        self._log(f"row {row.kid}", "" if fits else f"a row of poort_verification_key is not used: it is not the key {row.kid}")
        return key if fits else None

    def _log(self, topic: str, problem: str) -> None:
        """Log the problem of a topic, unless it is the one that was logged last. An empty text means that it is solved."""
        if problem and self._logged.get(topic) != problem:
            logger.error("%s", problem)
        self._logged[topic] = problem
