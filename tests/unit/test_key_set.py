"""The key set of one server: its files, how soon it notices changes, and how it treats unusable files."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import START, Clock
from hosts import TTL, Host, make_host, pair_number
from jwt import PyJWK
from sqlalchemy import NullPool, create_engine

from security.keys.files import FilesInUse, KeyFiles
from security.keys.json_web_key import json_web_key, thumbprint
from security.keys.key_set import MARGIN_SECONDS, KeySet
from security.keys.pair import UnusableKey
from security.tokens import AccessTokens


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def a(tmp_path: Path, clock: Clock) -> Iterator[Host]:
    """A read-only server beside a campus without our tables."""
    engine = create_engine("sqlite://", poolclass=NullPool)  # no thread keeps a connection
    yield make_host(tmp_path / "a", lambda: engine, clock, writes_rows=False)
    engine.dispose()


def test_file_that_is_not_the_key_of_its_name_is_not_used_and_said_once(a: Host, caplog: pytest.LogCaptureFixture) -> None:
    folder, now = Path(a.files.public).parent, START.timestamp()
    (folder / f"public-{'x' * 43}.pem").write_bytes(Path(a.files.public).read_bytes())
    (folder / f"public-{'y' * 43}.pem").write_text("no key")
    (folder / "public-old.pem").write_text("someone's own copy")
    for file in folder.iterdir():
        os.utime(file, (now, now))
    for _ in range(3):
        assert list(a.pass_time().keys.verification_keys()) == [a.pair.kid]
    assert sorted(record.message.partition(": ")[0] for record in caplog.records) == ["a key that was put aside is not used"] * 2
    assert a.files.remove_put_aside(2**40, ()) == 2
    assert (folder / "public-old.pem").exists(), "other files stay"


def test_key_that_is_put_aside_verifies_until_its_last_token_has_expired(a: Host, clock: Clock) -> None:
    old, token = a.pair, a.issue()
    a.files.put_aside(old, clock())
    a.change_pair()
    assert a.pass_time().accepts(token)
    clock.advance(TTL + MARGIN_SECONDS - 1)
    assert old.kid in a.pass_time().keys.verification_keys()
    clock.advance(1)
    assert old.kid not in a.pass_time().keys.verification_keys()


def test_new_private_key_is_noticed_after_a_second(a: Host) -> None:
    old = a.pair
    assert a.keys.signing_pair(0).kid == old.kid
    new = a.change_pair()
    a.timer.now += 0.99
    assert a.keys.signing_pair(0).kid == old.kid
    a.timer.now += 0.01
    assert a.keys.signing_pair(0).kid == new.kid


@pytest.mark.parametrize(
    "spoiled", [b"x", b"", "half", "folder", None], ids=["garbage", "nothing", "half", "unreadable", "no file"]
)
def test_private_key_that_cannot_be_used_leaves_the_one_before_it(
    a: Host, spoiled: bytes | str | None, caplog: pytest.LogCaptureFixture
) -> None:
    old, path, new = a.keys.signing_pair(0), Path(a.files.private), pair_number(100)[0]
    path.unlink()
    if spoiled == "folder":  # root may read any file
        path.mkdir()
    elif spoiled is not None:
        path.write_bytes(new[:900] if isinstance(spoiled, str) else spoiled)
    for _ in range(3):
        assert a.pass_time().keys.signing_pair(0).kid == old.kid
        assert a.accepts(a.issue())
    assert [record.message.partition(": ")[0] for record in caplog.records] == [
        "the private key has changed and cannot be used; the one before it still signs"
    ]
    if path.is_dir():
        path.rmdir()
    path.write_bytes(new)
    assert a.pass_time().keys.signing_pair(0).kid != old.kid


def test_private_key_is_opened_only_when_it_changes(a: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    a.keys.verification_keys()
    monkeypatch.setattr(KeyFiles, "load_signing_pair", lambda _self: pytest.fail("it is opened again"))
    for _ in range(3):
        a.pass_time().keys.verification_keys()


def test_missing_table_is_no_outage_of_a_server_that_only_reads(
    a: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_host(tmp_path / "b", a.keys.engine, Clock(), writes_rows=False)
    assert not a.accepts(other.issue())
    a.keys.announce()
    assert caplog.records == []


def test_one_thread_reads_and_the_others_go_on(a: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, release, read = threading.Event(), threading.Event(), a.keys._read_rows

    def wait_and_read(now: int) -> object:
        entered.set()
        assert release.wait(30)
        return read(now)

    token = a.issue()
    monkeypatch.setattr(a.keys, "_read_rows", wait_and_read)
    reader = threading.Thread(target=a.pass_time().keys.verification_keys)
    reader.start()
    assert entered.wait(30)
    assert a.accepts(token), "the earlier set serves meanwhile"
    release.set()
    reader.join(30)
    assert not reader.is_alive()


def test_keys_given_as_text_are_a_set_too(a: Host) -> None:
    files = KeyFiles(Path(a.files.private).read_text(), Path(a.files.public).read_text(), "")
    keys = KeySet(files, a.keys.engine, Clock(), TTL, writes_rows=False)
    tokens = AccessTokens(keys, Clock(), TTL, 0)
    assert tokens.verify(tokens.issue("alice", []))["username"] == "alice"
    assert list(keys.verification_keys()) == [a.pair.kid]
    assert files.remove_put_aside(2**40, ()) == 0
    assert (files.are_paths, a.files.are_paths) == (False, True)


def test_owner_and_mode_stay_whoever_changes_the_keys(a: Host, clock: Clock) -> None:
    private = Path(a.files.private)
    private.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(private, 1234, 2345)
    before = private.stat()
    with a.files.next_pair(2048) as following:
        a.files.put_aside(a.pair, clock())
        assert a.pair.kid != following.pair.kid
        following.take_over()
    after = private.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert a.pair.kid == following.pair.kid


def test_pair_that_does_not_take_over_leaves_nothing(a: Host) -> None:
    before = sorted(Path(a.files.private).parent.iterdir())
    with pytest.raises(ZeroDivisionError), a.files.next_pair(2048):
        raise ZeroDivisionError
    assert sorted(Path(a.files.private).parent.iterdir()) == before


def test_one_changes_the_keys_at_a_time(a: Host) -> None:
    with a.files.locked(), pytest.raises(FilesInUse), a.files.locked():
        pass
    with a.files.locked():
        pass


def test_links_to_the_files_stay_links(a: Host, tmp_path: Path, clock: Clock) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for source in (a.files.private, a.files.public):
        (links / Path(source).name).symlink_to(source)
    files = KeyFiles(str(links / "private.pem"), str(links / "public.pem"), "")
    old = a.pair
    with files.locked(), files.next_pair(2048) as following:
        files.put_aside(old, clock())
        following.take_over()
    assert sorted(file.name for file in links.iterdir()) == ["private.pem", "public.pem"]
    assert all(file.is_symlink() for file in links.iterdir())
    assert set(a.pass_time().keys.verification_keys()) == {old.kid, following.pair.kid}


def test_foreign_public_key_beside_the_pair_is_no_rotation(a: Host) -> None:
    Path(a.files.public).write_bytes(pair_number(100)[1])
    with pytest.raises(UnusableKey, match="does not belong to"):
        a.files.load()


def test_public_key_before_is_repaired_from_the_private_key(a: Host, clock: Clock) -> None:
    old = a.pair
    a.files.put_aside(old, clock())
    new = a.change_pair()
    Path(a.files.public).write_text(old.public_pem)
    pair = a.files.load()
    assert pair.kid == new.kid
    a.files.repair(pair)
    assert Path(a.files.public).read_text() == new.public_pem


def test_id_of_a_key_is_its_thumbprint() -> None:
    """The example in RFC 7638, section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst"
        "n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1"
        "n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = PyJWK({"kty": "RSA", "n": modulus, "e": "AQAB"}, "RS256").key
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert json_web_key(key) == {"kty": "RSA", "n": modulus, "e": "AQAB"}
