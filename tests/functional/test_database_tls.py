"""TLS to the database: each option of DATABASE_URL has its effect, on servers with certificates of an authority of their own."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from databases import Databases
from factories import settings_for
from installed import needed
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from benchmarks.services import Server, start_mariadb, start_postgresql
from models.connecting import default_mode
from models.database import engine_options
from models.outages import reason_of, setting_at_fault

pytestmark = pytest.mark.services


class Authority:
    """A certificate authority that writes what it issues into a folder: `ca.pem`, `NAME.pem`, `NAME.key`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = name_of(f"the authority {folder.name}")
        self.write("ca", self.sign(self.name, self.key, x509.BasicConstraints(ca=True, path_length=None)), self.key)

    def issue(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.write(name, self.sign(name_of(name), key, x509.SubjectAlternativeName([x509.DNSName(name)])), key)

    def sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        return builder.add_extension(extension, critical=True).sign(self.key, hashes.SHA256())

    def write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        pem, form, none = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
        (self.folder / f"{name}.key").write_bytes(key.private_bytes(pem, form, none))
        (self.folder / f"{name}.key").chmod(0o600)


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the authority that both servers have their certificates from, and of a client's certificate."""
    authority = Authority(tmp_path_factory.mktemp("authorities") / "ours")
    for name in ("localhost", "poort"):
        authority.issue(name)
    Authority(authority.folder.parent / "other")
    return authority.folder


@pytest.fixture(scope="module")
def postgresql(ours: Path) -> Iterator[Server]:
    server = needed(start_postgresql)
    for name in ("ca.pem", "localhost.pem", "localhost.key"):
        copy = server.folder / name
        copy.write_bytes((ours / name).read_bytes())
        copy.chmod(0o600)
        os.chown(copy, server.folder.stat().st_uid, -1)
    files = {"ssl_ca_file": "ca.pem", "ssl_cert_file": "localhost.pem", "ssl_key_file": "localhost.key"}
    run(server, *(f"ALTER SYSTEM SET {name} = '{server.folder}/{file}'" for name, file in files.items()))
    run(server, "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def mariadb(ours: Path) -> Iterator[Server]:
    files = {"ca": "ca.pem", "cert": "localhost.pem", "key": "localhost.key"}
    server = needed(
        lambda: start_mariadb(*(f"--ssl-{name}={ours / file}" for name, file in files.items()), "--skip-grant-tables=0")
    )
    run(server, "CREATE USER certified REQUIRE X509")
    yield server
    server.stop()


def run(server: Server, *statements: str) -> None:
    engine = create_engine(server.driver_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def ask(address: str, options: str, ours: Path, statement: str) -> str:
    """Ask a database with a DATABASE_URL whose options name files in the folders of `ours` and `other`."""
    options = options.replace("OURS", str(ours)).replace("OTHER", str(ours.parent / "other"))
    url = settings_for(DATABASE_URL=f"{address}?{options}").database_url
    engine = create_engine(url, **engine_options(url))
    try:
        with engine.connect() as connection:
            return str(connection.execute(text(statement)).scalar())
    finally:
        engine.dispose()


def at_localhost(server: Server, database: str) -> str:
    return f"{server.address}/{database}".replace("127.0.0.1", "localhost")


OF_POSTGRESQL = "SELECT CASE WHEN ssl THEN coalesce(client_dn, 'encrypted') ELSE 'plain' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()"  # fmt: skip

POSTGRESQL = {
    "": "encrypted",
    "sslmode=disable": "plain",
    "sslmode=require": "encrypted",
    "sslmode=verify-full&sslrootcert=OURS/ca.pem": "encrypted",
    "sslmode=verify-full&sslrootcert=OTHER/ca.pem": "certificate verify failed",
    "sslmode=require&sslrootcert=OTHER/ca.pem": "certificate verify failed",
    "sslmode=require&sslcert=OURS/poort.pem&sslkey=OURS/poort.key": "/CN=poort",
    "target_session_attrs=read-write": "encrypted",
    "target_session_attrs=standby": "server is not in hot standby mode",
}


@pytest.mark.parametrize("options", POSTGRESQL)
def test_options_of_postgresql_have_their_effect(postgresql: Server, ours: Path, options: str) -> None:
    assert says(at_localhost(postgresql, "postgres"), options, ours, OF_POSTGRESQL) == POSTGRESQL[options]


def test_name_of_the_host_counts_where_it_is_to_be_checked(postgresql: Server, mariadb: Server, ours: Path) -> None:
    """The certificates are for `localhost`, and this is 127.0.0.1."""
    address, root = f"{postgresql.address}/postgres", "sslrootcert=OURS/ca.pem"
    assert ask(address, f"sslmode=verify-ca&{root}", ours, OF_POSTGRESQL) == "encrypted"
    with pytest.raises(OperationalError, match="does not match host name"):
        ask(address, f"sslmode=verify-full&{root}", ours, OF_POSTGRESQL)
    address = f"{mariadb.address}/mysql"
    assert ask(address, "ssl-mode=VERIFY_CA&ssl-ca=OURS/ca.pem", ours, OF_MARIADB) == "encrypted"
    for options in ("ssl-mode=VERIFY_IDENTITY&ssl-ca=OURS/ca.pem", "ssl_ca=OURS/ca.pem"):
        with pytest.raises(OperationalError, match="IP address mismatch"):
            ask(address, options, ours, OF_MARIADB)


def test_of_several_hosts_of_postgresql_one_that_answers_is_taken(postgresql: Server, ours: Path) -> None:
    port = postgresql.address.rpartition(":")[2]
    options = f"host=127.0.0.1:1&host=localhost:{port}&target_session_attrs=read-write&sslmode=require"
    assert ask("postgresql://postgres@/postgres", options, ours, OF_POSTGRESQL) == "encrypted"


OF_MARIADB = "SELECT IF(VARIABLE_VALUE = '', 'plain', 'encrypted') FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'"  # fmt: skip

MARIADB = {
    "": "plain",  # on the same machine
    "ssl-mode=DISABLED": "plain",
    "ssl-mode=PREFERRED": "encrypted",
    "ssl-mode=REQUIRED": "encrypted",
    "sslmode=required&sslca=OURS/ca.pem": "encrypted",
    "ssl-mode=VERIFY_IDENTITY&ssl-ca=OURS/ca.pem": "encrypted",
    "ssl_ca=OURS/ca.pem": "encrypted",
    "ssl-mode=REQUIRED&ssl-ca=OTHER/ca.pem": "certificate verify failed",
    "ssl-mode=VERIFY_CA": "certificate verify failed",  # the system's authorities do not know ours
    "ssl-mode=VERIFY_CA&ssl-capath=OTHER": "certificate verify failed",
    "ssl-mode=REQUIRED&ssl-cipher=ECDHE-ECDSA-AES256-GCM-SHA384": "encrypted",
}


@pytest.mark.parametrize(("host", "mode"), [("db.example", "preferred"), ("localhost", "disabled"), ("127.0.0.1", "disabled")])
def test_mariadb_on_another_machine_is_talked_to_in_tls_if_it_offers_it(host: str, mode: str) -> None:
    assert default_mode({}, {"host": host}) == mode
    assert default_mode({"ca": "ca.pem"}, {"host": host}) == "verify_identity"


@pytest.mark.parametrize("options", MARIADB)
def test_options_of_mariadb_have_their_effect(mariadb: Server, ours: Path, options: str) -> None:
    assert says(at_localhost(mariadb, "mysql"), options, ours, OF_MARIADB) == MARIADB[options]


def test_certificate_of_the_client_reaches_mariadb(mariadb: Server, ours: Path) -> None:
    address = f"{mariadb.address}/".replace("root@", "certified@") + "information_schema"
    with pytest.raises(OperationalError, match="Access denied"):
        ask(address, "ssl-mode=REQUIRED", ours, OF_MARIADB)
    assert ask(address, "ssl-cert=OURS/poort.pem&ssl-key=OURS/poort.key", ours, OF_MARIADB) == "encrypted"


def test_server_without_tls_is_not_talked_to_in_the_clear(databases: Databases, ours: Path) -> None:
    for kind, options in (("postgresql", "sslmode=require"), ("mariadb", "ssl-mode=REQUIRED")):
        with pytest.raises(OperationalError, match=r"does not support SSL|server doesn't support it"):
            ask(databases.empty_url(kind), options, ours, "SELECT 1")


def test_broken_certificate_is_said_in_one_sentence(mariadb: Server, ours: Path) -> None:
    (ours / "broken.pem").write_text("no certificate")
    with pytest.raises(OperationalError) as failure:
        ask(f"{mariadb.address}/mysql", "ssl-ca=OURS/broken.pem", ours, OF_MARIADB)
    sentence = setting_at_fault(failure.value) or ""
    assert sentence.startswith("DATABASE_URL names certificates that cannot be used: ")


def says(address: str, options: str, ours: Path, statement: str) -> str:
    """Return what the database says, or of a failure the part that the tables above expect."""
    try:
        return ask(address, options, ours, statement)
    except OperationalError as failure:
        reason = reason_of(failure)
        expected = (*POSTGRESQL.values(), *MARIADB.values())
        return next((part for part in expected if part in reason), reason)
