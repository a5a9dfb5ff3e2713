"""Check that neither time nor text of a refused sign-in reveals whether a user exists (`make bench-timing`).

Starts the server as `make serve` does, in a temporary folder, and signs in with a wrong password for several kinds of users in
turn. Exits with 1 if the medians of unknown, inactive and known users differ by 10 % or more, or if answers differ.
"""

import hashlib
import json
import os
import random
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

import argon2
import bcrypt

ROOT = Path(__file__).resolve().parent.parent

ROUNDS = 30
WARM_UP_ROUNDS = 2
COST = 13  # the default of PASSWORD_HASH_COST
LIMIT = 0.10
WAIT_SECONDS = 60

#: The kinds that the limit applies to. The others are only shown.
MUST_NOT_DIFFER = ("known", "inactive", "unknown")

#: Header fields that differ between any two answers.
OF_ONE_REQUEST = {"date", "x-request-id"}


def write_users(file: Path) -> dict[str, str]:
    """Write a user of each kind to a file for `flask users import`. Returns the user name of each kind."""
    password, salt = secrets.token_urlsafe(), secrets.token_hex(20)
    known = "$2y$" + bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode().removeprefix("$2b$")
    # The parameters of Symfony's hasher.
    old_argon2 = argon2.PasswordHasher(time_cost=4, memory_cost=65_536, parallelism=1).hash(password)
    old_sha1 = hashlib.sha1(f"{password}{{{salt}}}".encode(), usedforsecurity=False).hexdigest()
    users = [
        {"username": "known", "password_hash": known, "active": 1},
        {"username": "inactive", "password_hash": known, "active": 0},
        {"username": "old_sha1", "password_hash": old_sha1, "salt": salt, "active": 1},
        {"username": "old_argon2", "password_hash": old_argon2, "active": 1},
    ]
    file.write_text(json.dumps([user | {"email": f"{user['username']}@example.com"} for user in users]))
    return {str(user["username"]): str(user["username"]) for user in users} | {"unknown": "nobody-of-that-name"}


def free_port() -> int:
    """Return a free port of the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepare(folder: Path, port: int) -> dict[str, str]:
    """Write settings, and return the server's environment, without other settings."""
    (folder / ".env").write_text(
        f"JWT_PASSPHRASE={secrets.token_hex(32)}\nAPP_SECRET={secrets.token_hex(32)}\n"
        f"PASSWORD_HASH_COST={COST}\nLOGIN_THROTTLING_MAX_ATTEMPTS=0\nPORT={port}\n"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"POORT_ENV_FILE": str(folder / ".env")}


def run(*command: str, environment: dict[str, str]) -> None:
    """Run a command in the project. Exits with its message if it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")


def wait_until_ready(server: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the server is ready. Exits if it does not start."""
    begun = time.monotonic()
    while server.poll() is None and time.monotonic() - begun < WAIT_SECONDS:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:  # noqa: PLR2004
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    sys.exit("the server does not answer; its log is above")


def sign_in(port: int, username: str) -> tuple[float, str]:
    """Sign in with a wrong password. Returns the milliseconds and the answer, without fields that always differ."""
    body = json.dumps({"username": username, "password": "not the password"})
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    begun = time.perf_counter()
    connection.request("POST", "/api/authentication_token", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    milliseconds = (time.perf_counter() - begun) * 1000
    connection.close()
    headers = sorted((name.lower(), value) for name, value in response.getheaders() if name.lower() not in OF_ONE_REQUEST)
    return milliseconds, json.dumps([response.status, response.reason, headers, text.decode()])


def measure(port: int, names: dict[str, str]) -> tuple[dict[str, list[float]], set[str]]:
    """Time each kind once per round, in random order, so that other load of the machine affects all alike."""
    times: dict[str, list[float]] = {kind: [] for kind in names}
    answers, order = set(), list(names)
    for turn in range(WARM_UP_ROUNDS + ROUNDS):
        random.shuffle(order)
        for kind in order:
            milliseconds, answer = sign_in(port, names[kind])
            answers.add(answer)
            if turn >= WARM_UP_ROUNDS:
                times[kind].append(milliseconds)
    return times, answers


def report(times: dict[str, list[float]], answers: set[str]) -> bool:
    """Print the table, and return whether it reveals nothing."""
    medians = {kind: statistics.median(measured) for kind, measured in times.items()}
    print(f"{ROUNDS} refused sign-ins of each kind, in turns; bcrypt cost {COST}\n")
    print("| user | median ms | quartiles ms | to known |\n|---|---|---|---|")
    for kind in sorted(times, key=lambda kind: (kind not in MUST_NOT_DIFFER, kind)):
        low, _, high = statistics.quantiles(times[kind], n=4)
        print(f"| {kind} | {medians[kind]:.1f} | {low:.1f} to {high:.1f} | {medians[kind] / medians['known']:.3f} |")
    judged = [medians[kind] for kind in MUST_NOT_DIFFER]
    spread = max(judged) / min(judged) - 1
    print(f"\nUnknown, inactive and known differ by {spread:.1%}; the limit is {LIMIT:.0%}.")
    if len(answers) == 1:
        print(f"Status, body and headers are the same for all, except Date and X-Request-Id: {answers.copy().pop()}")
    else:
        print("Answers differ:", *sorted(answers), sep="\n  ")
    return spread < LIMIT and len(answers) == 1


def main() -> None:
    """Serve, measure and report."""
    with tempfile.TemporaryDirectory(prefix="poort-timing-") as made:
        folder, port = Path(made), free_port()
        environment = prepare(folder, port)
        names = write_users(folder / "users.json")
        run(sys.executable, "bin/poort", "setup", environment=environment)
        flask = (sys.executable, "-m", "flask", "--app", "wsgi")
        run(*flask, "users", "import", str(folder / "users.json"), environment=environment)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                (sys.executable, "bin/poort", "serve"),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                wait_until_ready(server, port)
                times, answers = measure(port, names)
            finally:
                server.terminate()
                server.wait()
                if sys.exc_info()[0]:
                    print((folder / "log").read_text(), file=sys.stderr)
    sys.exit(not report(times, answers))


if __name__ == "__main__":
    main()
