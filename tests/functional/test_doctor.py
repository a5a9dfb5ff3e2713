"""`bin/poort doctor` reports what is in order, what is wrong, and the cure; never a secret."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from factories import START, Clock, Database, dispose
from flask import Flask
from mail_server import mail_server
from sqlalchemy import event, text

from app import create_app
from benchmarks.services import RedisServer, free_port
from blueprints import mail
from blueprints.parts import parts
from commands.doctor import host, packages
from config import load_settings, parse_settings
from models import db
from models.verification_key import publish_key

SECRET = "s3cret-of-nobody"
PARTS = {
    "settings",
    "packages",
    "keys",
    "passphrase",
    "files",
    "disk",
    "database",
    "schema",
    "clock",
    "store",
    "mail",
    "proxies",
    "workers",
    "hashing",
    "hashes",
    "cors",
}


OWN_ORIGIN = r"^https://campus\.example\.org$"


class Patient:
    """A server in its own folder, for the doctor to examine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.variables = folder, {"APP_ENV": "prod", "TRUSTED_PROXIES": "127.0.0.1", "CORS_ALLOW_ORIGIN": OWN_ORIGIN}
        self.clock: Clock | None = None
        self.env = folder / ".env"

    def set_up(self) -> None:
        self.env.write_text(f"JWT_PASSPHRASE={SECRET}\nAPP_SECRET={SECRET}\nPASSWORD_HASH_COST=4\n")
        self.env.chmod(0o600)
        self.run("poort", "setup")
        (self.folder / "var" / "poort.db").chmod(0o600)

    def run(self, *arguments: str, prepare: Callable[[Flask], object] | None = None, **variables: str) -> tuple[int, str]:
        settings = load_settings({"POORT_ENV_FILE": str(self.env)} | self.variables | variables)
        app = create_app(settings, self.clock) if self.clock else create_app(settings)
        try:
            if prepare:
                prepare(app)
            result = app.test_cli_runner().invoke(args=arguments)
        finally:
            dispose(app)
        return result.exit_code, result.output

    def findings(self, **options: Any) -> dict[str, tuple[str, str]]:
        """Return the state and sentence of each part; the worst if a part has several."""
        code, said = self.run("poort", "doctor", "--json", **options)
        document = json.loads(said)
        order = ["error", "warning", "ok"]
        found = document["findings"]
        worst = min((finding["state"] for finding in found), key=order.index)
        assert (document["status"], code) == (worst, int(worst == "error"))
        assert all(finding["cure"] for finding in found if finding["state"] != "ok")
        found.sort(key=lambda finding: order.index(finding["state"]), reverse=True)
        return {finding["part"]: (finding["state"], finding["says"]) for finding in found}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is set up once and then copied."""
    folder = tmp_path_factory.mktemp("patient")
    Patient(folder).set_up()
    return folder


@pytest.fixture
def patient(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    folder = tmp_path / "home"
    shutil.copytree(model, folder)
    monkeypatch.setenv("POORT_ENV_FILE", str(folder / ".env"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return Patient(folder)


def test_all_is_well(patient: Patient) -> None:
    found = patient.findings()
    assert {part: state for part, (state, _) in found.items() if state != "ok"} == {}
    assert set(found) == PARTS
    assert found["keys"][1].startswith("the pair fits: RSA, 2048 bits, kid ")
    assert found["keys"][1].endswith(", 0 days old")
    assert "sqlite 3." in found["database"][1]
    assert str(patient.env) in found["settings"][1]


def test_person_reads_a_line_a_finding_and_its_cure(patient: Patient) -> None:
    code, said = patient.run("poort", "doctor", TRUSTED_PROXIES="")
    lines = said.splitlines()
    assert code == 0, "a warning does not fail the command"
    assert all(line.startswith(("ok ", "warning ", "error ", " ")) for line in lines)
    (number,) = [number for number, line in enumerate(lines) if line.startswith("warning")]
    assert lines[number].startswith("warning  proxies    TRUSTED_PROXIES is empty")
    assert lines[number + 1].strip().startswith("Behind nginx on this machine: TRUSTED_PROXIES=127.0.0.1.")
    assert "\x1b" not in said


def test_nothing_secret_is_said(patient: Patient) -> None:
    for url in (f"mysql://u:{SECRET}@127.0.0.1:{free_port()}/x", f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/x", ""):
        variables = {"DATABASE_URL": url} if url else {"REDIS_URL": f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"}
        for arguments in ((), ("--json",)):
            code, said = patient.run("poort", "doctor", *arguments, **variables)
            assert code == 1
            assert SECRET not in said


def test_root_is_told_that_root_sees_no_faults(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert patient.findings()["user"][0] == "warning"


@pytest.mark.parametrize(("mode", "state"), [(0o750, "error"), (0o700, "error"), (0o755, "ok")])
def test_clone_that_only_root_can_read_is_an_error(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, mode: int, state: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with TemporaryDirectory() as made:  # pytest's own folders are closed to others
        clone = Path(made)
        (clone / "wsgi.py").touch(0o644)
        clone.chmod(mode)
        monkeypatch.setattr(host, "ROOT", clone)
        found, says = patient.findings()["files"]
    assert (found, says.startswith(f"only root can read {clone}")) == (state, state == "error")


@pytest.mark.parametrize("name", ["app.py", "rest/views.py", ".venv/lib/flask/app.py"])
def test_module_that_only_root_can_read_is_an_error(patient: Patient, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As after `git pull` or `pip install` under `umask 077`, in a clone that others can read."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with TemporaryDirectory() as made:
        clone = Path(made)
        clone.chmod(0o755)
        for private in ("config/jwt/private.py", "var/poort.py", ".git/hook.py", name):
            (clone / private).parent.mkdir(parents=True, exist_ok=True)
            (clone / private).touch(0o600)
        for folder in clone.rglob("*/"):
            folder.chmod(0o755)
        monkeypatch.setattr(host, "ROOT", clone)
        state, says = patient.findings()["files"]
    assert (state, says.startswith(f"only root can read {clone / name}, ")) == ("error", True)


@pytest.mark.parametrize(("url", "driver"), [("mysql://h/x", "pymysql"), ("sqlite:////tmp/x.db", "")])
def test_driver_that_an_upgrade_left_old_is_a_warning(url: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "version", lambda name: "0.9" if name == "pymysql" else version(name))
    ours = SimpleNamespace(settings=parse_settings({"DATABASE_URL": url}))
    (finding,) = packages.examine_packages(ours)
    assert (finding.state, f"{driver} 0.9 instead of" in finding.says) == (("warning", True) if driver else ("ok", False))
    assert ("-r requirements-mysql.txt" in finding.cure) == bool(driver)


def test_package_that_this_python_does_not_need_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements.txt").write_text('nobody-has-this==1.0 ; python_full_version < "3.11.3"\n')
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    (finding,) = packages.examine_packages(SimpleNamespace(settings=parse_settings({})))
    assert finding.state == "ok"


# --- Keys


def test_key_that_cannot_be_used_is_an_error_with_its_cure(patient: Patient) -> None:
    (patient.folder / "config" / "jwt" / "private.pem").unlink()
    state, says = patient.findings()["keys"]
    assert (state, says.startswith("There is no private key at ")) == ("error", True)


def test_old_key_is_a_warning(patient: Patient) -> None:
    old = time.time() - 400 * 86_400
    os.utime(patient.folder / "config" / "jwt" / "private.pem", (old, old))
    state, says = patient.findings()["keys"]
    assert (state, says.endswith(", 400 days old")) == ("warning", True)


@pytest.mark.parametrize(("variables", "words"), [({}, "is empty"), ({"JWT_ALLOW_WEAK_PASSPHRASE": "1"}, "allows it")])
def test_passphrase_that_production_refuses_is_a_warning_anywhere(
    patient: Patient, variables: dict[str, str], words: str
) -> None:
    state, says = patient.findings(APP_ENV="dev", JWT_PASSPHRASE="", **variables)["passphrase"]
    assert (state, words in says) == ("warning", True)


def test_missing_app_secret_is_a_warning(patient: Patient) -> None:
    patient.env.write_text(f"JWT_PASSPHRASE={SECRET}\n")
    assert patient.findings()["settings"][0] == "warning"


# --- Files


def opened(path: Path, mode: int) -> None:
    path.parent.chmod(0o755)
    path.chmod(mode)


FILES: dict[str, tuple[str, int, str]] = {
    "settings": (".env", 0o604, "may read"),
    "local settings": (".env.local", 0o604, "may read"),
    "database": ("var/poort.db", 0o604, "may read"),
    "public key": ("config/jwt/public.pem", 0o646, "may change"),
    "folder of the keys": ("config/jwt", 0o777, "may change"),
}


@pytest.mark.parametrize(("name", "mode", "words"), FILES.values(), ids=FILES)
def test_file_that_is_open_to_everyone_is_an_error(patient: Patient, name: str, mode: int, words: str) -> None:
    (patient.folder / ".env.local").write_text(f"REDIS_URL=redis://:{SECRET}@127.0.0.1\n")
    (patient.folder / ".env.local").chmod(0o600)
    assert patient.findings()["files"][0] == "ok"
    opened(patient.folder / name, mode)
    state, says = patient.findings()["files"]
    assert (state, f"everyone on this machine {words} {patient.folder / name}" in says) == ("error", True)


def test_file_without_secrets_and_one_in_a_folder_of_ones_own_are_fine(patient: Patient) -> None:
    patient.env.chmod(0o644)
    patient.folder.chmod(0o700)
    assert patient.findings()["files"][0] == "ok"
    opened(patient.env, 0o644)
    patient.env.write_text("JWT_TOKEN_TTL=60\nDATABASE_URL=sqlite:///%kernel.project_dir%/var/poort.db\n")
    assert patient.findings(JWT_PASSPHRASE=SECRET, APP_SECRET=SECRET)["files"][0] == "ok"


def test_folder_that_cannot_be_written_is_an_error(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != patient.folder / "var")
    assert patient.findings()["files"] == ("error", f"{patient.folder / 'var'} cannot be written, but SQLite creates files in it")


# --- Disks


@pytest.mark.parametrize(("mebibytes", "state"), [(300, "ok"), (200, "warning"), (10, "error")])
def test_disk_that_runs_full_is_named_with_what_will_stop(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, mebibytes: int, state: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Room(mebibytes * 1024 * 1024))
    found = patient.findings()["disk"]
    assert found == (state, f"{mebibytes} MiB are free at {patient.folder / 'var'}, where the database is")
    keys = patient.findings(DATABASE_URL=f"postgresql://u@127.0.0.1:{free_port()}/x")["disk"]
    assert keys == (state, f"{mebibytes} MiB are free at {patient.folder / 'config' / 'jwt'}, where the key pair is")


class Room(NamedTuple):
    free: int


# --- Database


def looked_over(app: Flask) -> dict[str, tuple[str, str]]:
    said = json.loads(app.test_cli_runner().invoke(args=["poort", "doctor", "--json"]).output)
    return {finding["part"]: (finding["state"], finding["says"]) for finding in said["findings"]}


def now() -> Clock:
    clock = Clock()
    clock.now = START.fromtimestamp(time.time(), START.tzinfo)
    return clock


def test_every_kind_of_database_is_looked_at(app: Flask, database: Database, clock: Clock) -> None:
    clock.now = now().now
    found = looked_over(app)
    kind = {"sqlite": "sqlite 3.", "postgresql": "postgresql 1", "mariadb": "mariadb 1", "mysql": "mysql "}[database.kind]
    assert found["database"][1].startswith(kind)
    assert found["database"][1].endswith("; can be written")
    assert {part: found[part][0] for part in ("database", "schema", "clock")} == dict.fromkeys(
        ("database", "schema", "clock"), "ok"
    )


@pytest.mark.parametrize(
    ("seconds", "skew", "state"), [(10, "0", "warning"), (-10, "0", "warning"), (10, "30", "ok"), (100, "300", "error")]
)
def test_clock_is_held_against_the_databases(patient: Patient, seconds: int, skew: str, state: str) -> None:
    patient.clock = now()
    patient.clock.advance(seconds)
    found, says = patient.findings(JWT_CLOCK_SKEW=skew)["clock"]
    assert (found, ("ahead of" if seconds > 0 else "behind") in says) == (state, True)


def test_database_that_is_down_is_one_error(patient: Patient) -> None:
    found = patient.findings(DATABASE_URL=f"postgresql://u@127.0.0.1:{free_port()}/x")
    assert found["database"][0] == "error"
    assert "cannot be reached: connection " in found["database"][1]
    assert not {"schema", "clock"} & set(found)


@pytest.fixture
def only_reading(app: Flask) -> Iterator[None]:
    """Make an application's database read-only."""
    with app.app_context():
        engine = db.engine
        if engine.dialect.name != "sqlite":
            pytest.skip("one kind is enough")
        engine.dispose()

    def forbid(connection: Any, *_rest: object) -> None:
        connection.execute("PRAGMA query_only = ON")

    event.listen(engine, "connect", forbid)
    yield
    event.remove(engine, "connect", forbid)
    engine.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_database_that_cannot_be_written_is_an_error(app: Flask, only_reading: None) -> None:  # noqa: ARG001 - it is set up
    state, says = looked_over(app)["database"]
    assert (state, "cannot be written: attempt to write a readonly database" in says) == ("error", True)


def test_database_without_tables_lacks_tables_and_no_right(app: Flask, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE poort_throttled_login RENAME TO elsewhere"))
    try:
        document = json.loads(app.test_cli_runner().invoke(args=["poort", "doctor", "--json"]).output)
    finally:
        with database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO poort_throttled_login"))
    (found,) = [finding for finding in document["findings"] if finding["part"] == "database"]
    assert (found["state"], found["cure"]) == ("error", "It lacks a table: the finding on the schema says what to do.")


def test_read_only_server_needs_no_right_to_write(patient: Patient) -> None:
    found = patient.findings(READ_ONLY="1")
    assert found["database"][1].endswith("READ_ONLY is on, so nothing is written")
    assert found["store"] == ("ok", "failed sign-ins are counted in the memory of each worker")


def test_read_only_host_whose_tokens_others_refuse_is_an_error(patient: Patient) -> None:
    def publish_another(app: Flask) -> None:
        with app.app_context():
            publish_key(db.session(), "k" * 43, "", 2**40)
            db.session.commit()

    state, says = patient.findings(prepare=publish_another, READ_ONLY="1")["keys"]
    assert (state, "the other hosts refuse its tokens" in says) == ("error", True)
    assert patient.findings()["keys"][0] == "ok", "a host that writes publishes its key"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE poort_revoked_token", "missing: table poort_revoked_token"),
        ("ALTER TABLE user DROP COLUMN salt", "missing: column user.salt"),
        ("ALTER TABLE poort_second_factor DROP COLUMN wrong_codes", "missing: column poort_second_factor.wrong_codes"),
        ("DELETE FROM poort_alembic_version", "of the database none"),
        ("UPDATE poort_alembic_version SET version_num = 'p999' WHERE version_num LIKE 'p%'", "p999"),
    ],
)
def test_schema_that_does_not_fit_is_an_error(patient: Patient, statement: str, words: str) -> None:
    def spoil(app: Flask) -> None:
        with app.app_context():
            db.session.execute(text(statement))
            db.session.commit()

    state, says = patient.findings(prepare=spoil)["schema"]
    assert (state, words in says) == ("error", True), says


# --- The throttle's store


def test_redis_that_is_down_is_an_error(patient: Patient) -> None:
    port = free_port()
    found = patient.findings(REDIS_URL=f"redis://:{SECRET}@127.0.0.1:{port}/3")["store"]
    assert found == ("error", f"redis://127.0.0.1:{port}/3 cannot be used: ConnectionError")


@pytest.mark.services
def test_redis_that_runs_is_named_without_its_password(patient: Patient, redis: RedisServer) -> None:
    assert patient.findings(REDIS_URL=redis.url)["store"] == (
        "ok",
        f"failed sign-ins are counted at redis://127.0.0.1:{redis.port}/0",
    )


def test_throttle_that_is_off_is_a_warning(patient: Patient) -> None:
    assert patient.findings(LOGIN_THROTTLING_MAX_ATTEMPTS="0", REDIS_URL="redis://127.0.0.1:1")["store"][0] == "warning"


# --- Proxies, workers


@pytest.mark.parametrize(
    ("given", "environment", "state"),
    [
        ("", "prod", "warning"),
        ("", "dev", "ok"),
        ("127.0.0.1", "prod", "ok"),
        ("private_ranges", "prod", "ok"),
        ("10.0.0.5", "prod", "warning"),
        ("0.0.0.0/0", "prod", "error"),
        ("127.0.0.1,::/0", "prod", "error"),
    ],
)
def test_proxies_are_weighed(patient: Patient, given: str, environment: str, state: str) -> None:
    assert patient.findings(TRUSTED_PROXIES=given, APP_ENV=environment)["proxies"][0] == state


def test_too_many_workers_and_a_queue_too_long_are_warnings(patient: Patient) -> None:
    found = patient.findings(WEB_CONCURRENCY="256", PASSWORD_HASH_COST="15", PASSWORD_HASH_QUEUE="50")
    assert (found["workers"][0], found["hashing"][0]) == ("warning", "warning")


# --- Stored hashes


def hashes(*stored: str) -> Callable[[Flask], object]:
    def store(app: Flask) -> None:
        with app.app_context():
            for number, password in enumerate(stored):
                values = {"username": f"user{number}", "email": "user@example.com", "password": password}
                parts().users.insert(db.session(), values, START)
            db.session.commit()

    return store


BCRYPT = "$2y${:02}$" + "a" * 53
ARGON2 = "$argon2id$v=19$m={},t=4,p=1$c2FsdHNhbHRzYWx0$" + "a" * 43


def test_dearer_hashes_are_counted_and_the_setting_that_levels_them_is_named(patient: Patient) -> None:
    stored = (BCRYPT.format(4), BCRYPT.format(5), BCRYPT.format(7).replace("$2y", "$2a"), ARGON2.format(65536), "")
    code, said = patient.run("poort", "doctor", prepare=hashes(*stored))
    assert code == 0
    assert "warning  hashes     2 stored hashes cost more than PASSWORD_HASH_COST=4" in said
    assert "Set PASSWORD_HASH_COST=7:" in said
    assert patient.findings(PASSWORD_HASH_COST="7")["hashes"] == ("ok", "no stored hash costs more than PASSWORD_HASH_COST=7")


def test_hashes_that_are_refused_are_counted_apart(patient: Patient) -> None:
    state, says = patient.findings(prepare=hashes(BCRYPT.format(17), BCRYPT.format(31), ARGON2.format(2**21)))["hashes"]
    assert (state, says) == ("warning", "3 stored hashes are too costly to check; their users cannot sign in")


# --- Web origins

DEFAULT_ORIGINS = r"^https?://(localhost|127\.0\.0\.1)(:[0-9]+)?$"


@pytest.mark.parametrize(
    ("origins", "environment", "state"),
    [
        (DEFAULT_ORIGINS, "prod", "warning"),
        (DEFAULT_ORIGINS, "dev", "ok"),
        (".*", "prod", "warning"),
        (r"127\.0\.0\.1", "prod", "warning"),
        ("localhost:3000", "prod", "warning"),
        (r"^https://.*\.example\.org$", "prod", "ok"),
        ("", "prod", "ok"),
    ],
)
def test_web_origins_of_a_developers_machine_are_a_warning_in_production(
    patient: Patient, origins: str, environment: str, state: str
) -> None:
    assert patient.findings(CORS_ALLOW_ORIGIN=origins, APP_ENV=environment)["cors"][0] == state


def test_default_rule_of_web_origins_is_a_warning_in_production(patient: Patient) -> None:
    del patient.variables["CORS_ALLOW_ORIGIN"]
    assert patient.findings()["cors"][0] == "warning"


def test_mail_server_that_would_take_mail_is_told_from_others(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert patient.findings()["mail"] == ("ok", "MAILER_DSN names no server: new users get no mail")
    with mail_server(credentials=("user", SECRET)) as box:
        where = f"127.0.0.1:{box.port}"
        assert patient.findings(MAILER_DSN=f"smtp://user:{SECRET}@{where}")["mail"] == ("ok", f"the mail server {where} answers")
        state, says = patient.findings(MAILER_DSN=f"smtp://user:wrong@{where}")["mail"]
    assert (state, says) == ("warning", f"the mail server {where} cannot be used: (535, b'no')")
    assert (box.recipients, box.messages) == ([], [])
    down = f"127.0.0.1:{free_port()}"
    state, says = patient.findings(MAILER_DSN=f"smtp://user:{SECRET}@{down}")["mail"]
    assert (state, says) == ("warning", f"the mail server {down} cannot be used: [Errno 111] Connection refused")
    monkeypatch.setattr(mail, "DELIVERY_SECONDS", 0.3)
    with mail_server(drips=True) as box:
        assert patient.findings(MAILER_DSN=box.dsn)["mail"][0] == "warning"
