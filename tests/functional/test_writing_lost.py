"""A database that can be read and not written: /readyz, the metric and `flask poort doctor` say so, and busy is no fault."""

import json
from collections.abc import Callable, Iterator

import pytest
from databases import Databases
from factories import Database
from flask import Flask
from functional.test_database_faults import READ_ONLY, REFUSED, locked, set_for_each_connection
from functional.test_metrics import Counted
from installed import needed
from sqlalchemy import text

from benchmarks.database_servers import STARTERS
from blueprints.health import routes as health
from models.write_probe import WriteProbe

LOST = {"status": "degraded", "failing": [], "degraded": ["writing"]}
FINE = {"status": "ok", "failing": [], "degraded": []}


#: For tests with a server of their own.
once = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.write_probe.PAUSE_SECONDS", 0)
    monkeypatch.setattr(health, "_check_keys", lambda: True)  # the file mode of the key does not matter here


def readiness(app: Flask) -> object:
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 200, "reads go on, so a load balancer keeps this host"
    return answer.json


def finding(app: Flask) -> tuple[str, str, str]:
    """Return what the doctor finds about the database."""
    said = json.loads(app.test_cli_runner().invoke(args=["poort", "doctor", "--json"]).output)
    (found,) = [found for found in said["findings"] if found["part"] == "database"]
    return found["state"], found["says"], found["cure"]


def test_lost_writing_is_named_counted_and_found_again(
    make_app: Callable[..., Flask], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted(make_app())
    app = counted.app
    assert (readiness(app), counted("poort_writing_lost")) == (FINE, 0)
    end = set_for_each_connection(app, READ_ONLY, database)
    assert (readiness(app), counted("poort_writing_lost")) == (LOST, 1)
    assert {record.code for record in caplog.records if record.message.startswith("degraded: ")} == {REFUSED[database.kind]}
    state, says, cure = finding(app)
    assert (state, "cannot be written" in says) == ("error", True)
    assert ("chown" if database.kind == "sqlite" else "Promote it") in cure
    end()
    assert (readiness(app), counted("poort_writing_lost")) == (FINE, 0)
    assert finding(app)[0] == "ok"


def test_sign_in_without_a_database_has_an_outcome_of_its_own_and_looks_for_the_reason(
    make_app: Callable[..., Flask], database: Database
) -> None:
    database.make_user(password="secret")
    counted = Counted(make_app())
    end = set_for_each_connection(counted.app, READ_ONLY, database)
    assert counted.sign_in() == 503
    assert counted.labels("poort_sign_ins_total") == [{"outcome": "without_database"}]
    assert counted("poort_writing_lost") == 1, "nobody asked /readyz"
    end()
    assert (counted.sign_in(), counted("poort_writing_lost")) == (200, 0)


def test_database_that_is_busy_is_fine(make_app: Callable[..., Flask], database: Database) -> None:
    app = make_app()
    statement = {"sqlite": "", "postgresql": "LOCK TABLE poort_throttled_login IN ACCESS EXCLUSIVE MODE"}
    statement["mariadb"] = statement["mysql"] = "LOCK TABLES poort_throttled_login WRITE"
    with app.app_context(), locked(database), database.engine.connect() as connection:
        if database.kind != "sqlite":
            connection.execute(text(statement[database.kind]))
        assert app.extensions["poort"].write_probe.refusal() == ""
        if database.kind in {"mariadb", "mysql"}:
            connection.execute(text("UNLOCK TABLES"))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_doctor_calls_a_lock_a_lock(make_app: Callable[..., Flask], database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.database.LOCK_TIMEOUT_SECONDS", 0.1)
    app = make_app()
    with locked(database):
        state, says, cure = finding(app)
    assert (state, "is locked by someone else" in says, "fuser" in cure) == ("warning", True, True)


def test_probe_leaves_nothing_behind(app: Flask, database: Database) -> None:
    probe: WriteProbe = app.extensions["poort"].write_probe
    before = tables_and_rows(database)
    with app.app_context():
        assert [probe.try_now() for _ in range(3)] == [""] * 3
    assert tables_and_rows(database) == before


def tables_and_rows(database: Database) -> object:
    with database.engine.connect() as connection:
        tables = database.engine.dialect.get_table_names(connection)
        return sorted(tables), connection.execute(text("SELECT count(*) FROM poort_throttled_login")).scalar()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_finding_is_remembered_for_ten_seconds(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    seconds, findings = [0.0], []
    probe = WriteProbe(lambda: database.engine, writes_rows=True, timer=lambda: seconds[0])
    probe.watch(findings.append)
    for seconds[0] in (0, 1, 9.9, 10, 19.9, 21):
        assert probe.refusal() == ""
    assert findings == [False] * 3
    probe.doubt()
    assert probe.refusal() == ""
    assert findings == [False] * 4, "a refused write makes it look again"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_server_that_never_writes_has_nothing_to_lose(make_app: Callable[..., Flask], database: Database) -> None:
    app = make_app(READ_ONLY="1")
    end = set_for_each_connection(app, READ_ONLY, database)
    assert readiness(app) == FINE
    end()


@pytest.mark.services
@once
def test_postgresql_that_was_set_read_only_after_a_failover_is_noticed(
    databases: Databases, make_app: Callable[..., Flask]
) -> None:
    database = databases.fresh("postgresql")
    app, name = make_app(DATABASE_URL=database.url), database.engine.url.database
    assert readiness(app) == FINE
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        with app.app_context():
            app.extensions["sqlalchemy"].engine.dispose()  # as a failover ends all connections
        assert readiness(app) == LOST
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))


#: By database: rights that let a user write all the same.
STRONGER = {"mariadb": "SUPER, READ_ONLY ADMIN", "mysql": "SUPER, CONNECTION_ADMIN"}


@pytest.fixture(params=[kind for kind in STARTERS if kind in STRONGER])
def ordinary_user(request: pytest.FixtureRequest) -> Iterator[tuple[Database, str]]:
    """A database as root sees it, and its URL for a user who may not write where `read_only` is on."""
    server = needed(STARTERS[request.param])
    url = server.create_database()
    database = Database(request.param, url)
    try:
        database.migrate()
        with database.engine.connect() as connection:
            connection.execute(text("FLUSH PRIVILEGES"))  # ends MariaDB's --skip-grant-tables
            connection.execute(text("CREATE USER poort@'127.0.0.1' IDENTIFIED BY 'x'"))
            connection.execute(text("GRANT ALL ON *.* TO poort@'127.0.0.1'"))
            connection.execute(text(f"REVOKE {STRONGER[database.kind]} ON *.* FROM poort@'127.0.0.1'"))
            yield database, url.replace("root@", "poort:x@")
    finally:
        database.engine.dispose()
        server.stop()


@pytest.mark.services
@once
def test_server_that_became_a_replica_is_noticed(ordinary_user: tuple[Database, str], make_app: Callable[..., Flask]) -> None:
    database, url = ordinary_user
    app = make_app(DATABASE_URL=url)
    assert readiness(app) == FINE
    with database.engine.connect() as connection:
        connection.execute(text("SET GLOBAL read_only = ON"))
        assert readiness(app) == LOST
        assert "Promote it" in finding(app)[2]
        connection.execute(text("SET GLOBAL read_only = OFF"))
    assert readiness(app) == FINE
