"""Keys at the edges: times, races of two processes, what reaches the disk, and which row is written when."""

import os
import pwd
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import Databases
from factories import START, Clock, Database
from hosts import TTL, Host, make_host, pair_number
from sqlalchemy import NullPool, create_engine

from models import VerificationKey
from models.verification_key import withdraw_key
from security.keys import files as files_module
from security.keys import key_set, pair
from security.keys.files import KeyFiles, file_version
from security.keys.json_web_key import thumbprint
from security.keys.key_set import MARGIN_SECONDS
from security.keys.pair import UnusableKey, write_beside, write_key_pair

NOW = int(START.timestamp())


@pytest.fixture
def database(databases: Databases) -> Database:
    return databases.shared("sqlite")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def host(tmp_path: Path, database: Database, clock: Clock) -> Host:
    return make_host(tmp_path / "host", lambda: database.engine, clock)


@pytest.fixture
def reader(tmp_path: Path, clock: Clock) -> Iterator[Host]:
    """A host without tables."""
    engine = create_engine("sqlite://", poolclass=NullPool)  # no thread keeps a connection
    yield make_host(tmp_path / "reader", lambda: engine, clock, writes_rows=False)
    engine.dispose()


# --- The set


def test_thread_with_a_token_that_nothing_verifies_waits_for_the_one_that_reads(
    reader: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, release, read = threading.Event(), threading.Event(), reader.keys._read_rows
    first = reader.pair.kid
    assert list(reader.keys.verification_keys()) == [first]
    found: list[list[str]] = []

    def wait_and_read(now: int) -> object:
        entered.set()
        assert release.wait(30)
        return read(now)

    monkeypatch.setattr(reader.keys, "_read_rows", wait_and_read)
    second = reader.change_pair().kid
    reader.timer.now += 2
    slow = threading.Thread(target=reader.keys.verification_keys)
    slow.start()
    assert entered.wait(30)
    waiting = threading.Thread(target=lambda: found.append(list(reader.keys.newer_verification_keys())))
    waiting.start()
    waiting.join(0.05)
    assert (found, list(reader.keys.verification_keys())) == ([], [first]), "others go on with what was read before"
    release.set()
    for thread in (slow, waiting):
        thread.join(30)
    assert found == [[second]]


def test_first_use_waits_for_the_thread_that_reads(reader: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, release, read = threading.Event(), threading.Event(), reader.keys._read_rows
    found: list[frozenset[str]] = []

    def wait_and_read(now: int) -> object:
        assert not entered.is_set(), "one thread reads"
        entered.set()
        assert release.wait(30)
        return read(now)

    monkeypatch.setattr(reader.keys, "_read_rows", wait_and_read)
    threads = [threading.Thread(target=lambda: found.append(reader.keys.verification_kids())) for _ in range(2)]
    threads[0].start()
    assert entered.wait(30)
    threads[1].start()
    threads[1].join(0.05)
    release.set()
    for thread in threads:
        thread.join(30)
    assert found == [{reader.pair.kid}] * 2


@pytest.mark.parametrize(("age", "is_read_again"), [(0.0625, False), (0.1, True)])
def test_set_is_read_again_for_an_unknown_token_after_a_tenth_of_a_second(reader: Host, age: float, is_read_again: bool) -> None:
    old = reader.pair.kid
    assert list(reader.keys.newer_verification_keys()) == [old]
    new = reader.change_pair().kid
    reader.timer.now = age
    assert list(reader.keys.newer_verification_keys()) == [new if is_read_again else old]


def test_own_key_that_was_withdrawn_is_said_once_until_another_one_signs(
    host: Host, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_host(Path(host.files.private).parent / "other", lambda: database.engine, Clock())
    host.issue()
    with database.session() as session:
        withdraw_key(session, other.pair.kid, other.pair.public_pem, NOW + 1000)
    assert host.pass_time().keys.verification_kids() == {host.pair.kid}
    assert caplog.messages == []
    with database.session() as session:
        withdraw_key(session, host.pair.kid, host.pair.public_pem, NOW + 1000)
    for _ in range(3):
        assert host.pass_time().keys.verification_kids() == {host.pair.kid}, "this host alone still takes it"
    assert caplog.messages == ["the key that signs here was withdrawn; run `bin/poort jwt rotate-key`"]


def test_key_is_published_where_its_row_ends_before_the_token(
    host: Host, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, published = key_set.publish_key, []

    def count(session: Any, kid: str, pem: str, expires_at: int) -> None:
        published.append(expires_at)
        publish(session, kid, pem, expires_at)

    monkeypatch.setattr(key_set, "publish_key", count)
    for until in (1, NOW, NOW + MARGIN_SECONDS, NOW + MARGIN_SECONDS + 1, NOW + MARGIN_SECONDS + 1):
        host.keys.signing_pair(until)
    assert published == [end + MARGIN_SECONDS for end in (1, NOW, NOW + MARGIN_SECONDS + 1)]
    assert [row.expires_at for row in database.rows(VerificationKey)] == published[-1:]


def test_row_of_a_key_ends_at_the_last_second_that_its_column_holds(host: Host, database: Database) -> None:
    host.keys.signing_pair(10**30)
    assert [row.expires_at for row in database.rows(VerificationKey)] == [2**63 - 1]


def test_margin_is_an_hour_on_both_sides(host: Host, clock: Clock) -> None:
    assert host.keys.needed_until(clock()) == NOW + TTL + 3600
    assert host.keys.put_aside_before(clock()) == NOW - TTL - 3600


def test_key_of_another_host_ends_with_its_row_even_while_the_database_is_down(
    host: Host, database: Database, clock: Clock, tmp_path: Path
) -> None:
    other = make_host(tmp_path / "other", lambda: database.engine, clock)
    other.issue()
    broken = create_engine("sqlite:////nowhere/at/all.db")
    assert host.keys.verification_kids() == {host.pair.kid, other.pair.kid}
    host.keys.engine = lambda: broken
    clock.advance(TTL + MARGIN_SECONDS - 1)
    assert host.pass_time().keys.verification_kids() == {host.pair.kid, other.pair.kid}
    clock.advance(1)
    assert host.pass_time().keys.verification_kids() == {host.pair.kid}
    broken.dispose()


# --- Files


def put_aside(files: KeyFiles, number: int, at: float) -> str:
    """Set one of the pairs of all tests aside at a second since the epoch, and return its id."""
    text = pair_number(number)[1]
    kid = thumbprint(pair.parse_public_key(text, "test"))
    path = Path(files.public).parent / f"public-{kid}.pem"
    path.write_bytes(text)
    os.utime(path, (at, at))
    return kid


def test_files_up_to_a_second_and_of_some_ids_are_removed(reader: Host) -> None:
    files = reader.files
    kids = [put_aside(files, number, at) for number, at in ((20, 1000), (21, 1001), (22, 1002), (23, 1003))]
    assert [kid for kid, _ in files.keys_put_aside(1001)] == sorted(kids[2:])
    assert files.remove_put_aside(1001, {kids[3]}) == 3
    assert [kid for kid, _ in files.keys_put_aside(0)] == [kids[2]]


def test_file_that_another_process_removes_meanwhile_is_no_failure(reader: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Path(reader.files.public).parent / f"public-{'g' * 43}.pem"
    monkeypatch.setattr(Path, "glob", lambda *_: [gone])
    assert reader.files.remove_put_aside(2**40, ()) == 0
    monkeypatch.setattr(KeyFiles, "_paths_put_aside", lambda _: [("g" * 43, gone, 1.0)])
    assert reader.files.remove_put_aside(2**40, ()) == 1


def test_key_that_is_text_or_no_path_has_no_version(tmp_path: Path) -> None:
    assert [file_version(source) for source in (str(tmp_path / "nothing"), "a\0b", "x" * 5000)] == [()] * 3
    (tmp_path / "key").write_text("x")
    assert len(file_version(str(tmp_path / "key"))) == 4


@pytest.mark.parametrize(("private", "public"), [("text", "path"), ("path", "text"), ("text", "text")])
def test_keys_are_paths_only_where_both_are(reader: Host, private: str, public: str) -> None:
    texts = {"private": Path(reader.files.private).read_text(), "public": Path(reader.files.public).read_text()}
    files = KeyFiles(
        texts["private"] if private == "text" else reader.files.private,
        texts["public"] if public == "text" else reader.files.public,
        "",
    )
    assert not files.are_paths
    assert reader.files.are_paths
    assert files.load().kid == reader.pair.kid
    files.repair(files.load())


def test_public_key_that_is_text_is_not_repaired(reader: Host) -> None:
    files = KeyFiles(reader.files.private, pair_number(20)[1].decode(), "")
    before = sorted(Path(reader.files.private).parent.rglob("*"))
    files.repair(files.load_signing_pair())
    assert sorted(Path(reader.files.private).parent.rglob("*")) == before


def test_public_keys_are_those_of_all_files_that_can_be_read(reader: Host) -> None:
    aside = put_aside(reader.files, 20, 1000)
    put_aside(reader.files, 21, 1000)
    spoiled = next(iter(kid for kid, _ in reader.files.keys_put_aside(0) if kid != aside))
    (Path(reader.files.public).parent / f"public-{spoiled}.pem").write_text("no key")
    assert set(reader.files.public_keys()) == {aside, reader.pair.kid}
    Path(reader.files.private).write_text("no key")
    own = next(iter(set(reader.files.public_keys()) - {aside}))
    Path(reader.files.public).write_text("no key")
    assert own not in reader.files.public_keys()


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was brought to the disk: the name of a file without its random end, and its size by then; or a folder's."""
    calls: list[tuple[str, int]] = []

    def sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append((path.name if is_folder else path.name.rpartition(".")[0], 0 if is_folder else path.stat().st_size))

    monkeypatch.setattr(pair.os, "fsync", sync)
    return calls


def test_new_files_are_on_the_disk_before_they_take_their_place_and_their_names_after(
    reader: Host, clock: Clock, synced: list[tuple[str, int]]
) -> None:
    folder = Path(reader.files.private).parent
    with reader.files.next_pair(2048) as following:
        written = [*synced]
        reader.files.put_aside(reader.pair, clock())
        following.take_over()
    sizes = {name: (folder / name).stat().st_size for name in ("private.pem", "public.pem")}
    kid = next(kid for kid, _ in reader.files.keys_put_aside(0))
    aside = f"public-{kid}.pem"
    assert written == [(f".{name}", size) for name, size in sizes.items()]
    assert synced[2:] == [(f".{aside}", (folder / aside).stat().st_size), *[(folder.name, 0)] * 3]


def test_both_files_of_a_new_pair_are_on_the_disk_in_a_folder_that_is_made(tmp_path: Path, synced: list[tuple[str, int]]) -> None:
    folder = tmp_path / "config" / "jwt"
    write_key_pair(folder / "private.pem", folder / "public.pem", b"private", b"public")
    assert synced == [(".private.pem", 7), (".public.pem", 6), ("jwt", 0)]
    assert sorted(file.name for file in folder.iterdir()) == ["private.pem", "public.pem"]


@pytest.mark.parametrize("fault", ["utime", "chmod", *(["chown"] if os.geteuid() == 0 else [])])
def test_file_whose_owner_mode_or_time_cannot_be_set_is_not_left(
    reader: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    public = Path(reader.files.public)
    if fault == "chown":
        os.chown(public, 1234, 2345)
    before = sorted(public.parent.iterdir())

    def fail(*_arguments: object, **_options: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(Path if fault == "chmod" else files_module.os, fault, fail)
    with pytest.raises(PermissionError):
        reader.files.put_aside(reader.pair, clock())
    assert sorted(public.parent.iterdir()) == before


def test_content_is_whole_when_its_file_is_synced_and_the_mode_is_set_before(tmp_path: Path) -> None:
    path = write_beside(tmp_path / "x.pem", b"content", 0o640)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), path.name.startswith(".x.pem.")) == (b"content", 0o640, True)


def test_user_without_a_name_is_told_by_the_number(reader: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_number: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    folder = Path(reader.files.private).parent
    with pytest.raises(UnusableKey, match=rf"cannot be read by uid {os.geteuid()}: Is a directory\."):
        pair.read_private_key(str(folder), "")
