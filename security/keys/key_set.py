"""The set of keys of a server: what it signs with, and what it verifies with, which follows files and database by itself."""

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
from security.keys.files import KeyFiles
from security.keys.json_web_key import thumbprint
from security.keys.pair import KeyPair, UnusableKey, parse_public_key

logger = logging.getLogger(__name__)

#: What was read so long ago is read again at the next use.
MAX_AGE_SECONDS = 1.0

#: A token that nothing verifies has the set read again where it is older than this: random ones are no storm of reads.
MAX_AGE_AT_FAILURE_SECONDS = 0.1

#: How much longer than its last token a key is kept: hosts' clocks differ, and a rotation waits before the key changes.
MARGIN_SECONDS = 3600

# What the column holds.
_LAST_SECOND = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Read:
    """The set as it was at one moment of the timer, by when it is told how old this is."""

    pair: KeyPair
    keys: Mapping[str, RSAPublicKey]
    kids: frozenset[str]
    read_at: float
    failure: SQLAlchemyError | None


@dataclass(eq=False, repr=False)
class KeySet:
    """The own pair, the keys put aside beside it, and the keys of all hosts; read at the first use, and then ever again.

    One thread reads while the others go on with what was read before. What cannot be read stays as it was.
    """

    files: KeyFiles
    engine: Callable[[], Engine]
    clock: Callable[[], datetime]
    lifetime_seconds: int
    _: KW_ONLY
    writes_rows: bool
    timer: Callable[[], float] = time.monotonic

    _lock: Lock = field(default_factory=Lock, init=False)
    _read: _Read | None = field(default=None, init=False)
    _version: tuple[int, ...] = field(default=(), init=False)
    _rows: list[VerificationKey] = field(default_factory=list, init=False)
    _published_until: dict[str, int] = field(default_factory=dict, init=False)
    _said: dict[str, str] = field(default_factory=dict, init=False)

    def signing_pair(self, until: int) -> KeyPair:
        """Return the pair that signs, once every host verifies what it signs until then, in seconds since the epoch.

        So a key that nobody signs with any more ends by itself after its last token. Raises UnusableKey, and SQLAlchemy's
        errors where the key cannot be published.
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
        """Return the public keys by their ids: the own one, then the others in a stable order. Raises UnusableKey."""
        return self._current().keys

    def verification_kids(self) -> frozenset[str]:
        """Return the ids of these keys. Raises UnusableKey."""
        return self._current().kids

    def newer_verification_keys(self) -> Mapping[str, RSAPublicKey]:
        """Return the public keys as they were a tenth of a second ago at most.

        Raises SQLAlchemy's error where the database cannot tell: then nobody knows that a token is bad.
        """
        read = self._not_older_than(MAX_AGE_AT_FAILURE_SECONDS, waits=True)
        if read.failure is not None:
            raise read.failure
        return read.keys

    def announce(self) -> None:
        """Publish the own key before its first token, so that other hosts know it early. A failure of this stops nothing."""
        try:
            self.signing_pair(int(self.clock().timestamp()) + self.lifetime_seconds)
        except SQLAlchemyError as reason:
            logger.warning("the own key is not published yet: %s", type(reason).__name__)

    def needed_until(self, now: datetime) -> int:
        """Return until which second a key is needed that signs up to now, the margin included."""
        return int(now.timestamp()) + self.lifetime_seconds + MARGIN_SECONDS

    def put_aside_before(self, now: datetime) -> int:
        """Return the second of which it holds that keys put aside up to it verify nothing any more."""
        return int(now.timestamp()) - self.lifetime_seconds - MARGIN_SECONDS

    def _current(self) -> _Read:
        return self._not_older_than(MAX_AGE_SECONDS, waits=False)

    def _not_older_than(self, seconds: float, *, waits: bool) -> _Read:
        read = self._read
        if read is not None and self.timer() - read.read_at < seconds:
            return read
        if not self._lock.acquire(blocking=waits or read is None) and read is not None:
            return read
        try:
            if self._read is None or self.timer() - self._read.read_at >= seconds:
                self._read = self._read_all(self._read)
            return self._read
        finally:
            self._lock.release()

    def _read_all(self, before: _Read | None) -> _Read:
        read_at, moment = self.timer(), self.clock()
        now = int(moment.timestamp())
        pair = self._read_pair(before.pair if before else None)
        failure = self._read_rows(now)
        keys: dict[str, RSAPublicKey] = {}
        for kid, found in self.files.keys_put_aside(self.put_aside_before(moment)):
            self._say(f"file {kid}", f"a key that was put aside is not used: {found}" if isinstance(found, UnusableKey) else "")
            if not isinstance(found, UnusableKey):
                keys[kid] = found
        for row in self._rows:
            keys.pop(row.kid, None)
            if row.expires_at > now and not row.is_withdrawn and (key := self._key_of(row)):
                keys[row.kid] = key
        withdrawn = any(row.kid == pair.kid and row.is_withdrawn for row in self._rows)
        self._say(f"own {pair.kid}", "the key that signs here was withdrawn; run `flask jwt rotate-key`" if withdrawn else "")
        all_keys = {pair.kid: pair.verification_key} | {kid: keys[kid] for kid in sorted(keys) if kid != pair.kid}
        # A database that is down is asked again a second after it failed to answer, however long that took.
        return _Read(pair, all_keys, frozenset(all_keys), self.timer() if failure else read_at, failure)

    def _read_pair(self, before: KeyPair | None) -> KeyPair:
        """Open the private key where it has changed: that takes 40 ms."""
        version = self.files.version()
        if before is None:
            before = self.files.load()
        elif version != self._version:
            try:
                before = self.files.load_signing_pair()
            except UnusableKey as problem:
                logger.error("the private key has changed and cannot be used; the one before it still signs: %s", problem)
            else:
                logger.info("the private key has changed", extra={"kid": before.kid})
        self._version = version
        return before

    def _read_rows(self, now: int) -> SQLAlchemyError | None:
        """Read the keys of all hosts; return what kept the database from telling them."""
        try:
            with Session(self.engine(), expire_on_commit=False) as session:
                # A server that only reads may stand beside a campus that has none of our tables.
                is_there = self.writes_rows or inspect(session.connection()).has_table(VerificationKey.__tablename__)
                rows = list(find_verification_keys(session, now)) if is_there else []
        except SQLAlchemyError as reason:
            self._say("rows", f"the keys of other hosts cannot be read: {type(reason).__name__}")
            return reason if isinstance(reason, OperationalError | InterfaceError | PoolTimeout) else None
        self._say("rows", "")
        self._rows = rows
        self._published_until = {row.kid: row.expires_at for row in rows}
        return None

    def _key_of(self, row: VerificationKey) -> RSAPublicKey | None:
        try:
            key = parse_public_key(row.public_pem.encode(), f"row {row.kid}")
        except UnusableKey:
            key = None
        fits = key is not None and thumbprint(key) == row.kid
        self._say(f"row {row.kid}", "" if fits else f"a row of poort_verification_key is not used: it is not the key {row.kid}")
        return key if fits else None

    def _say(self, topic: str, text: str) -> None:
        """Log what is wrong, once, until it changes or is over."""
        if text and self._said.get(topic) != text:
            logger.error("%s", text)
        self._said[topic] = text
