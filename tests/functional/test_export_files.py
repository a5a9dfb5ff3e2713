"""`bin/poort users export`: where it writes, who may read the file, and what happens to an existing file."""

import errno
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from factories import Database
from flask.testing import FlaskCliRunner
from sqlalchemy.exc import OperationalError

from models import User

pytestmark = pytest.mark.usefixtures("zoe")


def run(runner: FlaskCliRunner, *words: str, given: str | None = None) -> Any:
    return runner.invoke(args=["users", *words], input=given)


def names_in(text: str) -> list[str]:
    return [user["username"] for user in json.loads(text)]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def zoe(database: Database) -> User:
    return database.make_user("zoe")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def standard_output(descriptor: int) -> Iterator[None]:
    """Redirect the standard output of this process, as a shell does with `>`."""
    before = os.dup(1)
    os.dup2(descriptor, 1)
    try:
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)


def test_file_that_is_there_is_replaced_by_force_alone_and_is_its_owners(runner: FlaskCliRunner, tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    file.write_text("old")
    file.chmod(0o644)
    old = file.open()
    done = run(runner, "export", str(file))
    assert (done.exit_code, "--force" in done.output, file.read_text()) == (1, True, "old")
    assert run(runner, "export", "--force", str(file)).exit_code == 0
    assert (mode(file), "zoe" in file.read_text(), old.read()) == (0o600, True, "old")
    old.close()
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("answer", "replaced"), [("y\n", True), ("n\n", False), ("", False)])
def test_person_is_asked(
    runner: FlaskCliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, replaced: bool
) -> None:
    monkeypatch.setattr("commands.terminal.is_terminal", lambda: True)
    file = tmp_path / "users.csv"
    file.write_text("old")
    run(runner, "export", str(file), given=answer)
    assert ("zoe" in file.read_text()) == replaced


def test_new_file_is_its_owners_whatever_the_umask(runner: FlaskCliRunner, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run(runner, "export", str(tmp_path / "users.CSV"))
    finally:
        os.umask(before)
    assert (mode(tmp_path / "users.CSV"), "zoe" in (tmp_path / "users.CSV").read_text()) == (0o600, True)


def test_link_is_replaced_and_its_target_left_alone(runner: FlaskCliRunner, tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "users.json"
    target.write_text("old")
    link.symlink_to(target)
    assert run(runner, "export", "--force", str(link)).exit_code == 0
    assert (link.is_symlink(), target.read_text(), mode(link)) == (False, "old", 0o600)


def test_pipe_is_written_to(runner: FlaskCliRunner, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        assert run(runner, "export", str(pipe)).exit_code == 0
        assert [user["username"] for user in json.loads(read.result(30))] == ["zoe"]
    assert pipe.is_fifo()


def test_device_is_written_to(runner: FlaskCliRunner) -> None:
    assert run(runner, "export", "--format", "csv", "/dev/null").exit_code == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["users.txt", "users", "users.json.gz", ".csv"])
def test_ending_that_is_not_known_is_refused(runner: FlaskCliRunner, tmp_path: Path, name: str) -> None:
    done = run(runner, "export", str(tmp_path / name))
    assert (done.exit_code, "--format" in done.output, list(tmp_path.iterdir())) == (1, True, [])
    assert run(runner, "export", "--format", "csv", str(tmp_path / name)).exit_code == 0
    assert (tmp_path / name).read_text().startswith("id,")
    refused = run(runner, "import", str(tmp_path / name))
    assert (refused.exit_code, "--format" in refused.output) == (1, True)


def test_folder_that_is_not_there_is_one_sentence(runner: FlaskCliRunner, tmp_path: Path) -> None:
    done = run(runner, "export", str(tmp_path / "no" / "users.json"))
    assert (done.exit_code, "cannot be written: No such file or directory" in done.output) == (1, True)


FAILURES = {
    "full disk": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "Ctrl-C": KeyboardInterrupt(),
    "lost database": OperationalError("SELECT 1", {}, Exception("gone\x1b[31m")),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_failure_in_the_middle_leaves_the_old_file_and_no_other(
    runner: FlaskCliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    file = tmp_path / "users.json"
    file.write_text("old")

    def fail(_rows: object, out: Any, **_options: object) -> None:
        out.write("[" * 100_000)
        raise failure

    monkeypatch.setattr("commands.users_export.write_file", fail)
    done = run(runner, "export", "--force", str(file))
    assert (done.exit_code, isinstance(done.exception, SystemExit), "\x1b" in done.output) == (1, True, False)
    assert (file.read_text(), list(tmp_path.iterdir())) == ("old", [file])


@pytest.mark.parametrize("mask", [0, 0o077])
def test_file_in_shared_memory_is_its_owners(runner: FlaskCliRunner, mask: int) -> None:
    """A file below /dev that is not a device."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        with umask(mask):
            assert run(runner, "export", str(folder / "users.json")).exit_code == 0
            assert run(runner, "export", str(folder / "users.json")).exit_code == 1
        assert (mode(folder / "users.json"), names_in((folder / "users.json").read_text())) == (0o600, ["zoe"])
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link.json"])
def test_standard_output_is_written_to_and_keeps_what_it_has(runner: FlaskCliRunner, tmp_path: Path, path: str) -> None:
    """As in `bin/poort users export /dev/stdout >> file`."""
    file = tmp_path / "file"
    file.write_text("before\n")
    (tmp_path / "link.json").symlink_to("/dev/stdout")
    with file.open("a") as out, standard_output(out.fileno()):
        done = run(runner, "export", str(tmp_path / path))
    assert (done.exit_code, done.stdout, "Users written" in done.stderr) == (0, "", True)
    assert (file.read_text()[:7], names_in(file.read_text()[7:]), Path("/dev/stdout").is_symlink()) == ("before\n", ["zoe"], True)


def test_standard_output_that_is_a_socket_is_written_to(runner: FlaskCliRunner) -> None:
    """As systemd gives it to a service."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with standard_output(theirs.fileno()):
            assert run(runner, "export", "/dev/stdout").exit_code == 0
        theirs.shutdown(socket.SHUT_WR)
        assert names_in(ours.makefile().read()) == ["zoe"]


def test_pipe_whose_reader_has_gone_is_one_sentence(runner: FlaskCliRunner) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run(runner, "export", f"/dev/fd/{writing}")
    os.close(writing)
    assert (done.exit_code, "cannot be written: Broken pipe" in done.output) == (1, True)


def test_full_device_is_one_sentence(runner: FlaskCliRunner) -> None:
    done = run(runner, "export", "/dev/full")
    assert (done.exit_code, "cannot be written: No space left" in done.output) == (1, True)


def test_name_as_long_as_names_may_be_is_taken(runner: FlaskCliRunner, tmp_path: Path) -> None:
    assert run(runner, "export", str(tmp_path / f"{'n' * 250}.json")).exit_code == 0


@pytest.mark.parametrize("target", ["loop.json", "gone.json"])
def test_link_to_nothing_is_replaced(runner: FlaskCliRunner, tmp_path: Path, target: str) -> None:
    link = tmp_path / "loop.json"
    link.symlink_to(target)
    assert run(runner, "export", str(link)).exit_code == 1
    assert run(runner, "export", "--force", str(link)).exit_code == 0
    assert (link.is_symlink(), mode(link), list(tmp_path.iterdir())) == (False, 0o600, [link])


def test_export_of_a_pipe_is_imported_from_a_pipe(runner: FlaskCliRunner, database: Database, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        run(runner, "export", "--format", "csv", str(pipe))
        text = read.result(30)
        database.clean()
        written = pool.submit(pipe.write_text, text)
        assert run(runner, "import", "--format", "csv", str(pipe)).exit_code == 0
        written.result(30)
    assert [user.username for user in database.rows(User)] == ["zoe"]


def test_pipes_of_another_user_are_written_to_and_read(
    runner: FlaskCliRunner, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `sudo -u poort bin/poort users export /dev/stdout | …`: the pipe is open, and its path is the other user's."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    reading, writing = os.pipe()
    try:
        assert run(runner, "export", "--format", "csv", f"/dev/fd/{writing}").exit_code == 0
        os.close(writing)
        database.clean()
        monkeypatch.setattr(Path, "open", refuse_to_open)
        assert run(runner, "import", "--format", "csv", f"/dev/fd/{reading}").exit_code == 0
    finally:
        os.close(reading)
    assert [user.username for user in database.rows(User)] == ["zoe"]


def refuse_to_open(*_arguments: object, **_options: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_question_shows_no_name_as_it_is(runner: FlaskCliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.terminal.is_terminal", lambda: True)
    file = tmp_path / "\x1b[31m\u202e.json"
    file.write_text("old")
    for answer in ("n\n", "y\n"):
        done = run(runner, "export", str(file), given=answer)
        assert all(line.isprintable() for line in done.output.split("\n")), done.output
