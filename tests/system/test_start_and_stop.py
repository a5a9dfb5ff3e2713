"""gunicorn with its configuration: what stops a start, and what signals do.

Most starts are forks (forked.py); those of `fresh` are new Pythons.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable

import pytest
from system.serving import GUNICORN, HEALTHY, WAIT_SECONDS, Home, Server, clean_environment

pytest_plugins = ("system.fixtures",)


@pytest.fixture
def fresh(home: Home) -> Home:
    home.in_new_python = True
    return home


PRIVATE, PUBLIC = "config/jwt/private.pem", "config/jwt/public.pem"


def spoil(home: Home, name: str, *command: str) -> None:
    subprocess.run([*command, "-out", name], check=True, capture_output=True, cwd=home.folder)


FAULTS: dict[str, tuple[Callable[[Home], object], str]] = {
    "missing": (lambda home: (home.folder / PRIVATE).unlink(), "There is no private key at "),
    "wrong passphrase": (lambda home: home.write_env(JWT_PASSPHRASE="other"), "JWT_PASSPHRASE does not open the private key "),
    "not a key": (lambda home: (home.folder / PRIVATE).write_text("garbage"), " is not a private key in PEM form, or was cut off."),
    "short": (lambda home: spoil(home, PRIVATE, "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"), "has 1024 bits"),
    "other pair": (lambda home: spoil(home, PRIVATE, "openssl", "genpkey", "-algorithm", "RSA"), " does not belong to the private key "),
    "open to everyone": (lambda home: (home.folder / PRIVATE).chmod(0o644), "Everyone on this machine may read the private key "),
    "empty passphrase": (lambda home: home.write_env(), "JWT_PASSPHRASE is empty, which is not safe in production."),
    "Chamilo's passphrase": (
        lambda home: home.write_env(JWT_PASSPHRASE="your_secret_passphrase"),
        "JWT_PASSPHRASE is the one that Chamilo ships, which is not safe in production.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), FAULTS.values(), ids=FAULTS)
def test_a_key_that_cannot_be_used_stops_the_start(home: Home, make: Callable[[Home], object], sentence: str) -> None:
    home.set_up()
    make(home)
    said = home.fails_to_serve()
    assert said.startswith(("gunicorn: ", "__main__.py: "))
    assert sentence in said
    assert said.count("\n") == 1


def test_debugging_stops_the_start_in_production(home: Home) -> None:
    home.set_up()
    sentence = "FLASK_DEBUG must be 0 where APP_ENV is prod"
    assert sentence in home.fails_to_serve(FLASK_DEBUG="1")
    stopped = home.flask("run", "--port", "0", APP_ENV="prod", FLASK_DEBUG="1")
    assert (stopped.returncode, sentence in stopped.stderr, "Traceback" in stopped.stderr) == (1, True, False)
    assert home.flask("routes", FLASK_DEBUG="1").returncode == 0, "it may where APP_ENV is dev"


def test_flask_run_is_stopped_by_the_same_check_and_other_commands_are_not(fresh: Home) -> None:
    stopped = fresh.flask("run", "--port", "0")
    assert stopped.returncode == 1
    assert "There is no private key at " in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert fresh.flask("routes").returncode == 0


@pytest.mark.parametrize(("passphrase", "form"), [("", "-nocrypt"), ("your_secret_passphrase", "-v2")])
def test_a_weak_passphrase_is_a_decision(home: Home, passphrase: str, form: str) -> None:
    home.write_env(JWT_PASSPHRASE=passphrase, PASSWORD_HASH_COST="4")
    home.set_up()
    assert ("ENCRYPTED" in (home.folder / PRIVATE).read_text()) == (form == "-v2")
    assert "JWT_ALLOW_WEAK_PASSPHRASE=1" in home.fails_to_serve()
    for variables in ({"JWT_ALLOW_WEAK_PASSPHRASE": "1"}, {"APP_ENV": "dev"}):
        assert home.serve(**variables).stop() == 0


def test_a_port_that_is_taken_stops_the_start(fresh: Home, server: Server) -> None:
    fresh.set_up()
    sentence = f"PORT {server.port} cannot be used on 127.0.0.1: Address already in use.\n"
    assert fresh.fails_to_serve(PORT=str(server.port)).endswith(sentence)


def test_readyz_follows_the_keys(home: Home) -> None:
    home.set_up()
    server = home.serve()
    try:
        (home.folder / PRIVATE).rename(home.folder / "away")
        status, _, body = server.request("GET", "/readyz")
        assert (status, body) == (503, {"status": "failing", "failing": ["keys"], "degraded": []})
        (home.folder / "away").rename(home.folder / PRIVATE)
        assert server.request("GET", "/readyz")[2]["status"] == "ok"
    finally:
        server.stop()


def test_term_ends_it_and_lets_what_is_under_way_finish(fresh: Home) -> None:
    fresh.set_up()
    server = fresh.serve()
    body = b'{"username":"admin","password":"wrong"}'
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS) as connection:
        head = (
            b"POST /api/authentication_token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        connection.sendall(head % len(body) + body[:9])
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[9:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
    assert server.process.wait(WAIT_SECONDS) == 0
    with pytest.raises(ConnectionRefusedError):
        server.request("GET", "/healthz")
    assert server.log_lines, "the log is JSON"
    assert all(line.startswith('{"time":"') for line in server.log.splitlines())
    assert {tuple(line)[:5] for line in server.log_lines} == {("time", "level", "process", "logger", "message")}


def test_where_it_listens_is_in_gunicorns_own_line(home: Home) -> None:
    home.set_up()
    server = home.serve()
    server.stop()
    (line,) = [line["message"] for line in server.log_lines if line["message"].startswith("Listening at: ")]
    assert line.startswith(f"Listening at: http://127.0.0.1:{server.port} (")


def test_hup_reads_the_settings_anew_without_a_gap(home: Home) -> None:
    password = home.set_up()
    server = home.serve()
    try:
        before = {line["process"] for line in server.log_lines if "Booting worker" in line["message"]}
        (home.folder / ".env.local").write_text("LOGIN_THROTTLING_MAX_ATTEMPTS=1\n")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT_SECONDS
        while any(running(process) for process in before):
            assert server.request("GET", "/healthz")[2] == HEALTHY
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert list(server.sign_in("admin", password)[2]) == ["token"]
        assert [server.sign_in("admin", "wrong")[2]["message"][:7] for _ in range(2)] == ["Invalid", "Too man"]
    finally:
        assert server.stop() == 0


def running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_folder_elsewhere_is_no_hindrance(home: Home) -> None:
    """The other tests start gunicorn in the folder of a test; `--check-config` proves that / works too."""
    environment = clean_environment(POORT_ENV_FILE=str(home.folder / ".env"))
    done = subprocess.run([*GUNICORN, "--check-config"], check=False, capture_output=True, text=True, cwd="/", env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_server_writes_is_for_its_owner_alone(home: Home) -> None:
    password = home.set_up()
    (home.folder / "var" / "poort.db").chmod(0o600)
    server = home.serve()
    server.sign_in("admin", password)
    modes = {file.name: file.stat().st_mode & 0o077 for file in (home.folder / "var").iterdir()}
    server.stop()
    assert set(modes.values()) == {0}, modes


SLOW_SECOND_WORKER = """
import runpy, time
globals().update(runpy.run_path({configuration!r}))
from gunicorn import sock

forked = []

def pre_fork(server, worker):
    forked[:] = [server, worker]

def hold_the_second():
    server, worker = forked
    if worker.age == 2:
        server.log.info("held")
        time.sleep(60)
"""

# Gunicorn creates a worker's sockets right after the fork, then calls `post_fork`.
HELD = {
    "when its sockets are made": """
given = sock.create_sockets

def create_sockets(*arguments, **options):
    if forked:
        hold_the_second()
    return given(*arguments, **options)

sock.create_sockets = create_sockets
""",
    "after that": """
def post_fork(server, worker):
    hold_the_second()
""",
}


@pytest.mark.parametrize("when", HELD)
def test_a_worker_that_is_not_ready_does_not_hold_up_the_end(home: Home, when: str) -> None:
    home.set_up()
    configuration = home.folder / "slow.conf.py"
    configuration.write_text(SLOW_SECOND_WORKER.format(configuration=GUNICORN[-2]) + HELD[when])
    server = Server((*GUNICORN[:-2], str(configuration), GUNICORN[-1]), home.folder, home.environment(WEB_CONCURRENCY="2"))
    server.start()
    while '"held"' not in server.log:
        assert server.process.poll() is None
        time.sleep(0.01)
    assert server.stop() == 0
