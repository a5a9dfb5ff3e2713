"""`bin/poort serve --demo`, `make demo`: a server for your own computer, in a folder of its own.

It has 50 made-up users and a published password.
"""

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from config.home import ROOT, shown
from config.settings import DATABASE_PARTS, VARIABLES
from deploy.new_env import SECRETS

USERS = ROOT / "examples" / "demo" / "users.csv"

#: The password of all made-up users, and the name of one who is an administrator.
PASSWORD = "a long enough secret"  # noqa: S105 - documented
ADMINISTRATOR = "ada"

# Each demo has secrets and keys of its own: the real server must not accept tokens that anybody can get with a published
# password. At this low cost, 50 passwords are hashed in a second.
SETTINGS = {"APP_ENABLE_API_ENTRYPOINT": "1", "REFRESH_TOKEN_TTL": "604800", "PASSWORD_HASH_COST": "8"}

# The environment may still set these. Other variables could lead the demo to the real server's database or keys.
_LEFT_TO_CHOOSE = {"PORT", "WEB_CONCURRENCY", "LOG_LEVEL", "LOG_FORMAT"}


def enter_demo(home: Path) -> None:
    """Point the environment of this process at the settings of the demo. Write the settings first if there are none."""
    env_file = home / "var" / "demo" / ".env"
    env_file.parent.mkdir(parents=True, exist_ok=True)
    if not env_file.exists():
        unfinished = env_file.with_name(f".env.{os.getpid()}")
        unfinished.touch(mode=0o600)
        variables = {name: secrets.token_hex(32) for name in SECRETS} | SETTINGS
        unfinished.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        unfinished.rename(env_file)
    # GUNICORN_CMD_ARGS could bind to more than the loopback address.
    for name in {variable.name for variable in VARIABLES.values()} - _LEFT_TO_CHOOSE | {*DATABASE_PARTS, "GUNICORN_CMD_ARGS"}:
        os.environ.pop(name, None)
    os.environ["POORT_ENV_FILE"] = str(env_file)


def remarks() -> tuple[tuple[str, str], ...]:
    """Return the lines about the demo for the text that a server shows once it runs (deploy/first_screen.py)."""
    return (
        ("Made up", f"50 users, such as {ADMINISTRATOR} (administrator), tom (teacher) and carol (student)"),
        ("", f'The password of each is "{PASSWORD}", which anybody can read here:'),
        ("", f"keep this server on your own computer. All it stores is in {shown(_folder())}/."),
    )


def lacks_users() -> bool:
    """Tell whether the database of the demo holds only the first user."""
    with closing(sqlite3.connect(_folder() / "var" / "poort.db")) as database:
        return int(database.execute("SELECT count(*) FROM user").fetchone()[0]) <= 1


def _folder() -> Path:
    return Path(os.environ["POORT_ENV_FILE"]).parent
