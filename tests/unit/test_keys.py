"""The key pair: every form that PHP and OpenSSL write can be opened, and every fault is named. `openssl` makes the keys."""

import base64
import os
import pwd
import signal
import stat
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from config.settings import ROOT
from security.keys import pair as keys
from security.keys.pair import UnusableKey, check_keys, load_key_pair, make_key_pair, read_private_key, write_key_pair

PASSPHRASE = "correct horse"


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def check(private: Path | str, public: Path | str, passphrase: str = PASSPHRASE) -> None:
    check_keys(str(private), str(public), passphrase, weak_passphrase_is_fine=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plain key, its public key, and unusable keys."""
    folder = tmp_path_factory.mktemp("keys")
    openssl("genrsa", "-out", folder / "plain.pem", "2048")
    openssl("rsa", "-in", folder / "plain.pem", "-pubout", "-out", folder / "public.pem")
    openssl("genrsa", "-out", folder / "other.pem", "2048")
    openssl("rsa", "-in", folder / "other.pem", "-pubout", "-out", folder / "other-public.pem")
    openssl("genrsa", "-out", folder / "short.pem", "1024")
    openssl("rsa", "-in", folder / "short.pem", "-pubout", "-out", folder / "short-public.pem")
    openssl("genrsa", "-3", "-out", folder / "three.pem", "2048")
    openssl("rsa", "-in", folder / "three.pem", "-pubout", "-out", folder / "three-public.pem")
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "ec.pem")
    openssl("ec", "-in", folder / "ec.pem", "-pubout", "-out", folder / "ec-public.pem")
    openssl("req", "-x509", "-key", folder / "plain.pem", "-subj", "/CN=x", "-days", "1", "-out", folder / "certificate.pem")
    openssl("rand", "-base64", "-out", folder / "garbage.pem", "600")
    encrypt(folder, "encrypted.pem", ["pkcs8", "-topk8", "-v2", "aes-256-cbc"], PASSPHRASE)
    text = (folder / "encrypted.pem").read_text()
    (folder / "damaged.pem").write_text(text[:300] + text[-300:])
    encrypt(folder, "camellia.pem", ["pkcs8", "-topk8", "-v2", "camellia-256-cbc"], PASSPHRASE)
    return folder


def encrypt(folder: Path, name: str, form: list[str], passphrase: str) -> None:
    openssl(*form, "-in", folder / "plain.pem", "-out", folder / name, "-passout", f"pass:{passphrase}")


FORMS = {
    "as PHP writes it: PKCS#8, PBES2, 3DES": ["pkcs8", "-topk8", "-v2", "des3", "-v2prf", "hmacWithSHA256"],
    "PKCS#8, PBES2, AES-256": ["pkcs8", "-topk8", "-v2", "aes-256-cbc"],
    "PKCS#8, PBES2, AES-256, SHA-1": ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"],
    "PKCS#8, PBES2, AES-128": ["pkcs8", "-topk8", "-v2", "aes-128-cbc"],
    "PKCS#8, scrypt": ["pkcs8", "-topk8", "-scrypt"],
    "PKCS#8, PBES1, 3DES": ["pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"],
    "PKCS#1, DEK-Info, AES-256": ["rsa", "-aes256", "-traditional"],
    "PKCS#1, DEK-Info, 3DES": ["rsa", "-des3", "-traditional"],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_encrypted_key_opens_in_every_form(made: Path, tmp_path: Path, form: list[str]) -> None:
    openssl(*form, "-in", made / "plain.pem", "-out", tmp_path / "key.pem", "-passout", f"pass:{PASSPHRASE}")
    check(tmp_path / "key.pem", made / "public.pem")
    with pytest.raises(UnusableKey, match="JWT_PASSPHRASE does not open the private key"):
        check(tmp_path / "key.pem", made / "public.pem", "wrong")
    with pytest.raises(UnusableKey, match="JWT_PASSPHRASE does not open the private key"):
        check(tmp_path / "key.pem", made / "public.pem", "")


@pytest.mark.parametrize("form", [["pkcs8", "-topk8", "-nocrypt"], ["rsa", "-traditional"]], ids=["PKCS#8", "PKCS#1"])
@pytest.mark.parametrize("passphrase", ["", "needless"])
def test_a_plain_key_opens_with_and_without_a_needless_passphrase(
    made: Path, tmp_path: Path, form: list[str], passphrase: str
) -> None:
    openssl(*form, "-in", made / "plain.pem", "-out", tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    check(tmp_path / "key.pem", made / "public.pem", passphrase)


@pytest.mark.parametrize(
    "form", [FORMS["as PHP writes it: PKCS#8, PBES2, 3DES"], FORMS["PKCS#8, PBES1, 3DES"]], ids=["PBES2", "PBES1"]
)
def test_a_key_that_is_encrypted_with_the_empty_passphrase_opens(made: Path, tmp_path: Path, form: list[str]) -> None:
    openssl(*form, "-in", made / "plain.pem", "-out", tmp_path / "key.pem", "-passout", "pass:")
    assert "ENCRYPTED" in (tmp_path / "key.pem").read_text()
    check(tmp_path / "key.pem", made / "public.pem", "")


def test_the_contracts_own_pair_opens() -> None:
    folder = Path(__file__).parent.parent / "contract" / "jwt"
    load_key_pair(str(folder / "private.pem"), str(folder / "public.pem"), (folder / "PASSPHRASE").read_text().strip())


def test_keys_may_be_given_as_text(made: Path) -> None:
    check((made / "encrypted.pem").read_text(), (made / "public.pem").read_text())


FAULTS = {
    "missing private key": ("nothing.pem", "public.pem", "There is no private key at .*nothing.pem. Restore it from your backup"),
    "missing public key": (
        "encrypted.pem",
        "nothing.pem",
        "There is no public key at .*nothing.pem. Extract it from the private key with `openssl pkey -in .*encrypted.pem",
    ),
    "wrong pair": ("encrypted.pem", "other-public.pem", "The public key .* does not belong to the private key .*encrypted.pem"),
    "short private key": ("short.pem", "short-public.pem", r"short.pem has 1024 bits, and RS256 needs 2048 \(RFC 7518\)"),
    "short public key": ("encrypted.pem", "short-public.pem", "public key .*short-public.pem has 1024 bits"),
    "exponent": ("three.pem", "three-public.pem", "three.pem has the public exponent 3 instead of 65537"),
    "garbage": ("garbage.pem", "public.pem", "garbage.pem is not a private key in PEM form"),
    "certificate": ("certificate.pem", "public.pem", "certificate.pem is not a private key in PEM form"),
    "public for private": ("public.pem", "public.pem", "public.pem is not a private key in PEM form"),
    "damaged": ("damaged.pem", "public.pem", "damaged.pem is not a private key in PEM form"),
    "elliptic curve": ("ec.pem", "ec-public.pem", "private key .*ec.pem is not an RSA key, which RS256 needs"),
    "certificate for public": ("encrypted.pem", "certificate.pem", "certificate.pem is not a public key in PEM form"),
    "private for public": ("encrypted.pem", "plain.pem", "plain.pem is not a public key in PEM form"),
    "elliptic curve public": ("encrypted.pem", "ec-public.pem", "public key .*ec-public.pem is not an RSA key"),
    "unknown encryption": ("camellia.pem", "public.pem", "camellia.pem is encrypted in a way that is not supported"),
    "a folder": (".", "public.pem", r"cannot be read by \w+ \(uid \d+\): Is a directory"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_each_fault_is_named_with_its_cure(made: Path, fault: tuple[str, str, str]) -> None:
    private, public, message = fault
    with pytest.raises(UnusableKey, match=message) as caught:
        check(made / private, made / public)
    assert str(caught.value).count(". ") == 1, "one sentence on the fault, one on the cure"
    assert PASSPHRASE not in str(caught.value)
    assert "BEGIN" not in str(caught.value)


def test_encryption_that_this_openssl_leaves_out_is_not_taken_for_a_wrong_passphrase(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: bytes, password: bytes | None) -> None:
        raise UnsupportedAlgorithm("RC2 is not supported by this version of OpenSSL.") if password else TypeError

    monkeypatch.setattr("security.keys.pair.load_pem_private_key", load)
    with pytest.raises(UnusableKey, match=r"encrypted\.pem is encrypted in a way that is not supported"):
        read_private_key(str(made / "encrypted.pem"), PASSPHRASE)


def test_an_unreadable_key_names_the_user(made: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes((made / "encrypted.pem").read_bytes())
    key.chmod(0)
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    before = os.geteuid()
    os.seteuid(user.pw_uid)
    try:
        with pytest.raises(UnusableKey) as caught:
            check(key, made / "public.pem")
    finally:
        os.seteuid(before)
    assert f"cannot be read by {user.pw_name} (uid {user.pw_uid}): Permission denied. Give that user the right" in str(
        caught.value
    )


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_private_key_that_everyone_may_read_is_refused(made: Path, tmp_path: Path, mode: int) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes((made / "encrypted.pem").read_bytes())
    key.chmod(mode)
    with pytest.raises(UnusableKey, match=f"Everyone on this machine may read the private key {key}. Run `chmod 600 {key}`."):
        check(key, made / "public.pem")
    key.chmod(0o640)
    check(key, made / "public.pem")


@pytest.mark.parametrize(("passphrase", "fault"), [("", "is empty"), ("your_secret_passphrase", "is the one that Chamilo ships")])
def test_a_weak_passphrase_is_refused_with_the_cure(made: Path, passphrase: str, fault: str) -> None:
    with pytest.raises(UnusableKey, match=f"JWT_PASSPHRASE {fault}.*JWT_ALLOW_WEAK_PASSPHRASE=1"):
        check_keys(str(made / "plain.pem"), str(made / "public.pem"), passphrase, weak_passphrase_is_fine=False)


def test_openssl_opens_what_is_written(tmp_path: Path) -> None:
    private, public = tmp_path / "jwt" / "private.pem", tmp_path / "jwt" / "public.pem"
    write_key_pair(private, public, *make_key_pair(PASSPHRASE, 2048))
    assert private.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert public.read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    openssl("pkey", "-in", private, "-passin", f"pass:{PASSPHRASE}", "-check", "-noout")
    shown = subprocess.run(["openssl", "asn1parse", "-in", private], check=True, capture_output=True, text=True).stdout
    assert "aes-256-cbc" in shown
    derived = ["openssl", "pkey", "-in", private, "-passin", f"pass:{PASSPHRASE}", "-pubout"]
    assert subprocess.run(derived, check=True, capture_output=True, text=True).stdout == public.read_text()
    assert (stat.S_IMODE(private.stat().st_mode), stat.S_IMODE(public.stat().st_mode)) == (0o600, 0o644)
    assert sorted(file.name for file in private.parent.iterdir()) == ["private.pem", "public.pem"]


def test_without_a_passphrase_a_plain_key_is_written(tmp_path: Path) -> None:
    write_key_pair(tmp_path / "private.pem", tmp_path / "public.pem", *make_key_pair("", 2048))
    assert (tmp_path / "private.pem").read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    check(tmp_path / "private.pem", tmp_path / "public.pem", "")


@pytest.mark.parametrize("broken_off_at", ["fsync", "fchmod"])
def test_what_is_broken_off_leaves_both_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_off_at: str
) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    write_key_pair(private, public, b"old private", b"old public")

    def fail(*_arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(keys.os, broken_off_at, fail)
    with pytest.raises(OSError, match="No space left"):
        write_key_pair(private, public, b"new private", b"new public")
    assert (private.read_bytes(), public.read_bytes()) == (b"old private", b"old public")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["private.pem", "public.pem"]


KILLED = """
import os, pathlib, signal, sys
from config.settings import ROOT
from security.keys import pair as keys
keys.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
folder = pathlib.Path(sys.argv[1])
keys.write_key_pair(folder / "private.pem", folder / "public.pem", b"new private", b"new public")
"""


def test_what_is_killed_in_the_middle_leaves_no_half_written_file(tmp_path: Path) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    write_key_pair(private, public, b"old private", b"old public")
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert (private.read_bytes(), public.read_bytes()) == (b"old private", b"old public")
    for left in tmp_path.glob(".*"):
        assert stat.S_IMODE(left.stat().st_mode) == 0o600


def test_a_token_is_verified_by_openssl_and_by_pyjwt(made: Path, tmp_path: Path) -> None:
    pair = load_key_pair(str(made / "encrypted.pem"), str(made / "public.pem"), PASSPHRASE)
    token = jwt.encode({"username": "alice"}, pair.signing_key, "RS256")
    signed, _, signature = token.rpartition(".")
    (tmp_path / "signed").write_text(signed)
    (tmp_path / "signature").write_bytes(base64.urlsafe_b64decode(signature + "=="))
    openssl("dgst", "-sha256", "-verify", made / "public.pem", "-signature", tmp_path / "signature", tmp_path / "signed")
    assert jwt.decode(token, (made / "public.pem").read_text(), algorithms=["RS256"]) == {"username": "alice"}


def test_what_openssl_signs_is_verified(made: Path, tmp_path: Path) -> None:
    (tmp_path / "signed").write_bytes(b"header.claims")
    openssl("dgst", "-sha256", "-sign", made / "plain.pem", "-out", tmp_path / "signature", tmp_path / "signed")
    pair = load_key_pair(str(made / "encrypted.pem"), str(made / "public.pem"), PASSPHRASE)
    pair.verification_key.verify((tmp_path / "signature").read_bytes(), b"header.claims", PKCS1v15(), SHA256())


def test_a_passphrase_that_is_no_utf8_is_taken_as_bytes(tmp_path: Path) -> None:
    os_text = b"caf\xe9 au lait".decode(errors="surrogateescape")  # as os.environ gives it
    write_key_pair(tmp_path / "private.pem", tmp_path / "public.pem", *make_key_pair(os_text, 2048))
    check(tmp_path / "private.pem", tmp_path / "public.pem", os_text)
