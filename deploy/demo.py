"""`make demo`: a server with 50 made-up users whose password anybody can read, in a folder of its own, for a laptop."""

import os
import secrets
import sqlite3
from contextlib import closing

from config.settings import DATABASE_PARTS, ROOT, VARIABLES

USERS = ROOT / "examples" / "demo" / "users.csv"

#: The password of the made-up users, and one of them, an administrator.
PASSWORD = "a long enough secret"  # noqa: S105 - documented
ADMINISTRATOR = "ada"

#: What the block at the end of the start says of the demo.
REMARKS = (
    ("Made up", f"50 users, such as {ADMINISTRATOR} (administrator), tom (teacher) and carol (student)"),
    ("", f'The password of each is "{PASSWORD}", which anybody can read here:'),
    ("", "keep this server on your own computer. All it stores is in var/demo/."),
)

_HOME = ROOT / "var" / "demo"

# Each demo has secrets and keys of its own: the real server must not accept a token that a published password has bought. A
# low cost hashes 50 passwords in a second.
SETTINGS = {"APP_ENABLE_API_ENTRYPOINT": "1", "REFRESH_TOKEN_TTL": "604800", "PASSWORD_HASH_COST": "8"}
_SECRETS = ("JWT_PASSPHRASE", "APP_SECRET")

# What a person may still choose; everything else would lead the demo to the real server's database or keys.
_LEFT_TO_CHOOSE = {"PORT", "WEB_CONCURRENCY", "LOG_LEVEL", "LOG_FORMAT"}


def enter_demo() -> None:
    """Point the environment of this process at the settings of the demo, and write them if there are none."""
    env_file = _HOME / ".env"
    _HOME.mkdir(parents=True, exist_ok=True)
    if not env_file.exists():
        unfinished = env_file.with_name(f".env.{os.getpid()}")
        unfinished.touch(mode=0o600)
        variables = {name: secrets.token_hex(32) for name in _SECRETS} | SETTINGS
        unfinished.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        unfinished.rename(env_file)
    # GUNICORN_CMD_ARGS could bind to more than the loopback address.
    for name in {variable.name for variable in VARIABLES.values()} - _LEFT_TO_CHOOSE | {*DATABASE_PARTS, "GUNICORN_CMD_ARGS"}:
        os.environ.pop(name, None)
    os.environ["POORT_ENV_FILE"] = str(env_file)


def lacks_users() -> bool:
    """Tell whether the database of the demo holds only the first user."""
    with closing(sqlite3.connect(_HOME / "var" / "poort.db")) as database:
        return int(database.execute("SELECT count(*) FROM user").fetchone()[0]) <= 1
