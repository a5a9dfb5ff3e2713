"""Keys of several hosts: which keys each accepts, when it notices new ones, what it publishes. Hosts are folders on one database."""

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from factories import START, Clock, Database
from hosts import TTL, Host, make_host
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from models import VerificationKey
from models.verification_key import publish_key, withdraw_key
from security.keys.key_set import MARGIN_SECONDS

NOW = int(START.timestamp())
MakeHost = Callable[..., Host]


@pytest.fixture
def make(database: Database, clock: Clock, tmp_path: Path) -> MakeHost:
    def made(name: str, *, writes_rows: bool = True, engine: Any = None) -> Host:
        return make_host(tmp_path / name, engine or (lambda: database.engine), clock, writes_rows=writes_rows)

    return made


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def rows(database: Database) -> dict[str, int]:
    return {row.kid: row.expires_at for row in database.rows(VerificationKey)}


def test_every_host_verifies_what_any_host_signs(make: MakeHost) -> None:
    hosts = [make("a"), make("b"), make("c")]
    tokens = [host.issue() for host in hosts]
    assert [[host.pass_time().accepts(token) for token in tokens] for host in hosts] == [[True] * 3] * 3


def test_own_key_comes_first_and_the_others_in_their_order(make: MakeHost) -> None:
    hosts = [make(name) for name in "abcd"]
    for host in hosts:
        host.keys.announce()
    for host in hosts:
        kids = list(host.pass_time().keys.verification_keys())
        assert kids[0] == host.pair.kid
        assert kids[1:] == sorted(other.pair.kid for other in hosts if other is not host)


def test_token_of_a_key_that_is_a_moment_old_is_accepted(make: MakeHost) -> None:
    a, b = make("a"), make("b")
    a.keys.verification_keys()
    a.timer.now += 0.1
    assert a.accepts(b.issue()), "the set is read again although it is younger than a second"


def test_random_kids_have_the_set_read_ten_times_a_second_at_most(make: MakeHost, database: Database) -> None:
    a, b = make("a"), make("b")
    a.keys.verification_keys()
    token = b.issue()
    a.timer.now += 0.09
    assert not a.accepts(token)
    with database.session() as session:
        session.execute(text("DELETE FROM poort_verification_key"))
    a.timer.now += 0.01
    assert not a.accepts(token)
    with database.session() as session:
        publish_key(session, b.pair.kid, b.pair.public_pem, NOW + TTL)
    assert not a.accepts(token), "the set was read at this moment"
    assert a.pass_time().accepts(token)


@pytest.mark.parametrize("kid", ["", "../../dev/null", "x" * 1000], ids=lambda kid: repr(kid)[:20])
def test_kid_that_names_no_key_has_all_of_them_tried(make: MakeHost, kid: str) -> None:
    a, b = make("a"), make("b")
    b.keys.announce()
    for host in (a, b):
        claims = {"iat": NOW, "exp": NOW + 1, "username": "alice"}
        assert a.accepts(jwt.encode(claims, host.pair.signing_key, "RS256", {"kid": kid}))


def test_kid_that_names_a_key_has_that_one_tried_alone(make: MakeHost) -> None:
    a, b = make("a"), make("b")
    b.keys.announce()
    claims = {"iat": NOW, "exp": NOW + 1, "username": "alice"}
    for signs in (a, b):
        for named in (a, b):
            token = jwt.encode(claims, signs.pair.signing_key, "RS256", {"kid": named.pair.kid})
            assert a.accepts(token) == (signs is named)


def test_key_is_published_until_after_its_last_token(make: MakeHost, database: Database, clock: Clock) -> None:
    a = make("a")
    a.issue()
    assert rows(database) == {a.pair.kid: NOW + TTL + MARGIN_SECONDS}
    clock.advance(MARGIN_SECONDS)
    a.pass_time().issue()
    assert rows(database) == {a.pair.kid: NOW + TTL + MARGIN_SECONDS}, "one write an hour is enough"
    clock.advance(1)
    a.pass_time().issue()
    assert rows(database) == {a.pair.kid: NOW + 1 + TTL + 2 * MARGIN_SECONDS}
    a.issue(ttl_seconds=10**9)
    a.pass_time().issue()
    assert rows(database) == {a.pair.kid: NOW + 1 + 2 * MARGIN_SECONDS + 10**9}, "and never earlier than published"


def test_key_ends_by_itself_after_its_last_token(make: MakeHost, clock: Clock) -> None:
    a, b = make("a"), make("b")
    token = a.issue(ttl_seconds=60)
    a.change_pair()
    assert b.accepts(token)
    clock.advance(60 + TTL + MARGIN_SECONDS)
    assert list(b.pass_time().keys.verification_keys()) == [b.pair.kid]


def test_row_that_was_lost_is_written_again(make: MakeHost, database: Database) -> None:
    a = make("a")
    a.issue()
    with database.session() as session:
        session.execute(text("DELETE FROM poort_verification_key"))
    a.pass_time().issue()
    assert list(rows(database)) == [a.pair.kid]


def test_read_only_server_writes_nothing_and_reads_what_others_write(make: MakeHost, database: Database) -> None:
    quiet, other = make("a", writes_rows=False), make("b")
    assert quiet.accepts(quiet.issue())
    quiet.keys.announce()
    assert rows(database) == {}
    assert quiet.pass_time().accepts(other.issue())


def test_read_only_host_with_a_pair_of_its_own_says_so_until_it_has_the_pair_of_a_writing_host(
    make: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    replica, writing = make("a", writes_rows=False), make("b")
    replica.keys.announce()
    assert (caplog.messages, replica.keys.refused_elsewhere()) == ([], ""), "there is no other host"
    writing.keys.announce()
    assert not writing.pass_time().accepts(replica.pass_time().issue())
    replica.keys.announce()
    (record,) = [record for record in caplog.records if record.message.startswith("with READ_ONLY=1 this host's key is not")]
    assert (record.levelname, record.kid) == ("ERROR", replica.pair.kid)
    assert "copy the folder of the keys and JWT_PASSPHRASE of a host that writes" in record.message
    caplog.clear()
    for name in ("private", "public"):
        Path(getattr(replica.files, name)).write_bytes(Path(getattr(writing.files, name)).read_bytes())
    replica.pass_time().keys.announce()
    assert (caplog.messages, replica.keys.refused_elsewhere()) == ([], "")
    assert writing.accepts(replica.issue())


def test_row_that_is_not_the_key_of_its_id_is_not_used_and_said_once(
    make: MakeHost, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    a, other = make("a"), make("b")
    with database.session() as session:
        publish_key(session, "x" * 43, other.pair.public_pem, NOW + TTL)
        publish_key(session, "y" * 43, other.files.public, NOW + TTL)
        publish_key(session, "z" * 43, "", NOW + TTL)
    for _ in range(3):
        assert list(a.pass_time().keys.verification_keys()) == [a.pair.kid]
    assert [record.message for record in caplog.records] == [
        f"a row of poort_verification_key is not used: it is not the key {letter * 43}" for letter in "xyz"
    ]


def test_withdrawn_key_verifies_on_no_host_whatever_the_files_say(make: MakeHost, database: Database, clock: Clock) -> None:
    a, b = make("a"), make("b")
    old, token = a.pair, a.issue()
    a.files.put_aside(old, clock())
    a.change_pair()
    assert (a.pass_time().accepts(token), b.accepts(token)) == (True, True)
    with database.session() as session:
        withdraw_key(session, old.kid, old.public_pem, NOW + TTL)
    assert (a.pass_time().accepts(token), b.pass_time().accepts(token)) == (False, False)


def test_host_that_signs_with_a_withdrawn_key_says_so_once_and_cannot_bring_it_back(
    make: MakeHost, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = make("a"), make("b")
    with database.session() as session:
        withdraw_key(session, a.pair.kid, a.pair.public_pem, NOW + TTL)
    for _ in range(3):
        token = a.pass_time().issue(ttl_seconds=10**6)
    assert (a.accepts(token), b.pass_time().accepts(token)) == (True, False)
    assert [record.message for record in caplog.records] == [
        "the key that signs here was withdrawn; run `bin/poort jwt rotate-key`"
    ]


class Broken:
    """An engine whose database can be switched off."""

    def __init__(self, database: Database) -> None:
        self.down = False
        self._engines = {False: database.engine, True: create_engine("sqlite:////nowhere/poort.db")}

    def __call__(self) -> Engine:
        return self._engines[self.down]


def test_database_that_is_down_leaves_what_was_read_and_is_said_once(
    make: MakeHost, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken(database)
    a, b, c = make("a", engine=broken), make("b"), make("c")
    known, unknown = b.issue(), c.issue()
    with database.session() as session:
        session.execute(text("DELETE FROM poort_verification_key WHERE kid = :kid"), {"kid": c.pair.kid})
    assert a.accepts(known)
    broken.down = True
    for _ in range(3):
        assert a.pass_time().accepts(known)
    with pytest.raises(OperationalError):
        a.accepts(unknown)
    assert [record.message for record in caplog.records] == ["the keys of other hosts cannot be read: OperationalError"]
    with pytest.raises(OperationalError):
        a.issue(ttl_seconds=10**6)
    a.keys.announce()
    broken.down = False
    assert not a.pass_time().accepts(unknown)


def test_start_without_a_database_says_that_the_key_is_not_published(
    make: MakeHost, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken(database)
    broken.down = True
    a = make("a", engine=broken)
    with caplog.at_level(logging.WARNING):
        a.keys.announce()
    assert caplog.records[-1].message == "this host's key is not published yet: OperationalError"
