"""A stranger sends unknown refresh tokens, and signs in with a user name that is already throttled."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import MetaData, create_engine, func, select

from benchmarks.attack.line import Line
from benchmarks.attack.victim import ask_all, failures, serving
from benchmarks.ground import lay
from benchmarks.soak_load import request_bytes
from config import parse_settings

COST, CLIENTS = 4, 16
REFRESHES, SIGN_INS = 10_000, 1_000
#: The throttle's limit for a name, and a window longer than the attack.
LIMIT, INTERVAL_SECONDS = 10, 3600
#: The audit has one event per window for a throttled name.
MOST_ROWS_OF_A_WINDOW = 1


def write_rows(folder: Path) -> Iterator[Line]:
    """Count the rows of all tables before and after the requests."""
    ground = lay(folder / "ground", cost=COST)
    settings = {
        "REFRESH_TOKEN_TTL": "1000",
        "LOGIN_THROTTLING_MAX_ATTEMPTS": str(LIMIT),
        "LOGIN_THROTTLING_INTERVAL": str(INTERVAL_SECONDS),
    }
    sign_in = request_bytes("POST", "/api/authentication_token", "", {"username": "admin", "password": "not the password"})
    with serving(ground, **settings) as server:
        rows = [count_rows(ground.database_url)]
        statuses = asyncio.run(ask_all(server.port, _refreshes(), CLIENTS))
        rows.append(count_rows(ground.database_url))
        statuses += asyncio.run(ask_all(server.port, [sign_in] * LIMIT, 1))
        rows.append(count_rows(ground.database_url))
        statuses += asyncio.run(ask_all(server.port, [sign_in] * SIGN_INS, CLIENTS))
        rows.append(count_rows(ground.database_url))
    yield Line(f"rows after {REFRESHES:,} bad refresh tokens", rows[1] - rows[0], 0)
    yield Line(f"rows after {SIGN_INS:,} sign-ins at a throttled name", rows[3] - rows[2], MOST_ROWS_OF_A_WINDOW)
    yield Line("requests without an answer or with a 5xx", failures(statuses), 0)


def _refreshes() -> Iterator[bytes]:
    for number in range(REFRESHES):
        document = ({"refresh_token": secrets.token_urlsafe(32)}, {"refresh_token": ""}, {})[number % 3]
        yield request_bytes("POST", "/api/token/refresh", "", document)


def count_rows(database_url: str) -> int:
    """Count the rows of all tables."""
    engine, tables = create_engine(parse_settings({"DATABASE_URL": database_url}).database_url), MetaData()
    try:
        with engine.connect() as connection:
            tables.reflect(connection)
            return sum(connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables.tables.values())
    finally:
        engine.dispose()
