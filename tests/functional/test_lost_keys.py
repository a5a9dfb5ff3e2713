"""Keys that were lost or damaged: whoever does what the message says, in its order, has a server that works."""

import re
import shlex
import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
from answers import signed_in_as
from factories import CONTRACT, Database
from flask import Flask

from security.keys.pair import MINIMUM_BITS, make_key_pair, write_key_pair

PASSPHRASE = "long enough"

Spoil = Callable[[Path, Path], object]


def cut(size: int) -> Spoil:
    return lambda private, _public: private.write_bytes(private.read_bytes()[:size])


FAULTS: dict[str, Spoil] = {
    "private key lost": lambda private, _public: private.unlink(),
    "public key lost": lambda _private, public: public.unlink(),
    "both lost": lambda private, public: (private.unlink(), public.unlink()),
    **{f"private key cut off after {size} bytes": cut(size) for size in (0, 20, 900, 1800)},
    "public key cut off": lambda _private, public: public.write_bytes(public.read_bytes()[:200]),
    "public key of another pair": lambda _private, public: public.write_bytes((CONTRACT / "jwt" / "public.pem").read_bytes()),
    "private key of another pair": lambda private, _public: private.write_bytes(another()),
    "passphrase of another key": lambda private, _public: private.write_bytes((CONTRACT / "jwt" / "private.pem").read_bytes()),
}


@lru_cache(maxsize=1)
def made_pair() -> tuple[bytes, bytes]:
    """Make the pair that all tests begin with, as `generate-keypair` does."""
    return make_key_pair(PASSPHRASE, MINIMUM_BITS)


@lru_cache(maxsize=1)
def another() -> bytes:
    words = ("openssl", "genpkey", "-algorithm", "RSA", "-aes256", "-pass", f"pass:{PASSPHRASE}")
    return subprocess.run(words, check=True, capture_output=True).stdout


class KeysOfServer:
    """A server with key files of its own."""

    def __init__(self, make_app: Callable[..., Flask], folder: Path) -> None:
        self.private, self.public = folder / "jwt" / "private.pem", folder / "jwt" / "public.pem"
        self._make = make_app
        write_key_pair(self.private, self.public, *made_pair())
        self.backup = {path: path.read_bytes() for path in (self.private, self.public)}

    def app(self) -> Flask:
        return self._make(JWT_SECRET_KEY=str(self.private), JWT_PUBLIC_KEY=str(self.public), JWT_PASSPHRASE=PASSPHRASE)

    def flask(self, *arguments: str) -> str:
        result = self.app().test_cli_runner().invoke(args=["jwt", *arguments], input="yes\n")
        return result.output if result.exit_code else result.stdout

    def said(self) -> str:
        return self.flask("check-config")

    def works(self) -> bool:
        answer = self.app().test_client().post("/api/authentication_token", json={"username": "alice", "password": "secret"})
        return signed_in_as(answer) == "alice" and self.said() == "The configuration seems correct.\n"


@pytest.fixture
def server(make_app: Callable[..., Flask], database: Database, tmp_path: Path) -> KeysOfServer:
    database.make_user("alice", password="secret")
    return KeysOfServer(make_app, tmp_path)


on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
each_fault = pytest.mark.parametrize("spoil", FAULTS.values(), ids=FAULTS)


@on_sqlite
@each_fault
def test_each_command_that_the_message_names_makes_a_server_that_works(server: KeysOfServer, spoil: Spoil) -> None:
    spoil(server.private, server.public)
    spoilt = {path: path.read_bytes() if path.exists() else None for path in server.backup}
    commands = re.findall(r"`([^`]+)`", server.said())
    assert commands
    for command in commands:
        for path, content in spoilt.items():
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)
                path.chmod(0o600)
        follow(server, command)
        assert server.works(), command


def follow(server: KeysOfServer, command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "bin/poort":
        server.flask(*arguments[1:])
    else:  # it asks for the passphrase at a terminal
        subprocess.run([program, *arguments, "-passin", f"pass:{PASSPHRASE}"], check=True, capture_output=True)


@on_sqlite
@each_fault
def test_what_ends_all_tokens_is_named_after_what_does_not_and_with_its_price(server: KeysOfServer, spoil: Spoil) -> None:
    spoil(server.private, server.public)
    gentle, ends_all, price = server.said().partition("`bin/poort jwt generate-keypair --overwrite`")
    assert "from your backup" in gentle or "`openssl pkey -in " in gentle
    assert not ends_all or "all users must sign in again" in price


@on_sqlite
@each_fault
def test_backup_that_is_restored_makes_a_server_that_works(server: KeysOfServer, spoil: Spoil) -> None:
    spoil(server.private, server.public)
    for path, content in server.backup.items():
        path.write_bytes(content)
        path.chmod(0o600)
    assert server.works()
