"""Databases, clocks, users and tokens for tests."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import Engine, create_engine, delete, exists, inspect, literal, select
from sqlalchemy.orm import Session

from app import create_app
from config import Settings, parse_settings
from models import (
    ACCESS_URL_OF_EVERYONE,
    AccessUrl,
    AccessUrlRelUser,
    ApiKey,
    AuditRecord,
    BackupCode,
    ExtraField,
    RefreshToken,
    RevokedToken,
    SecondFactor,
    SignInSession,
    ThrottledLogin,
    TokensValidAfter,
    TrackELogin,
    TrackELoginRecord,
    User,
    UserAuthSource,
    UserRelUser,
    VerificationKey,
)
from models.campus import enrol
from models.database import engine_options
from models.passwords import hash_password
from models.user_table import UserTable

CONTRACT = Path(__file__).parent / "contract"

#: The lowest bcrypt cost.
COST = 4

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)

#: In the order in which rows can be deleted. The default portal stays.
TABLES = (
    *(UserRelUser, UserAuthSource, AccessUrlRelUser, TrackELogin, TrackELoginRecord, ThrottledLogin, User, ExtraField),
    *(
        ApiKey,
        AuditRecord,
        BackupCode,
        SecondFactor,
        RefreshToken,
        SignInSession,
        RevokedToken,
        TokensValidAfter,
        VerificationKey,
    ),
)

HAVE_ROWS = select(*(exists(select(literal(1)).select_from(table)) for table in TABLES))


@cache
def _hash_of(password: str) -> str:
    """Hash the password of a test's user once: even the cheapest hash takes a third of an insert."""
    return hash_password(password, COST)


class Clock:
    """A clock that stands still until a test advances it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass. Applications use it as `sleep` too, so that tests need not wait."""
        self.now += timedelta(seconds=seconds)


def settings_for(**variables: str) -> Settings:
    """Return settings for tests: the cheapest hash, a long hashing queue, the contract's keys, API documents on."""
    return parse_settings(
        {
            "APP_ENV": "test",
            "APP_ENABLE_API_ENTRYPOINT": "1",
            "JWT_SECRET_KEY": str(CONTRACT / "jwt" / "private.pem"),
            "JWT_PUBLIC_KEY": str(CONTRACT / "jwt" / "public.pem"),
            "JWT_PASSPHRASE": (CONTRACT / "jwt" / "PASSPHRASE").read_text().strip(),
            "PASSWORD_HASH_COST": str(COST),
            "PASSWORD_HASH_QUEUE": "100",
            "PASSWORD_HASH_WAIT": "60",
            **variables,
        }
    )


@dataclass
class Database:
    """A migrated database: its kind (sqlite, postgresql, mariadb), its URL, and an engine of the test's own."""

    kind: str
    url: str
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        url = settings_for(DATABASE_URL=self.url).database_url
        self.engine = create_engine(url, **engine_options(url))

    def migrate(self) -> None:
        """Bring the database to the newest revisions, as `bin/poort db upgrade` does."""
        app = create_app(settings_for(DATABASE_URL=self.url))
        with app.app_context():
            try:
                upgrade(revision="heads")
            finally:
                dispose(app)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Begin a transaction that commits at the end; loaded rows stay readable."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    def clean(self) -> None:
        """Delete all rows of earlier tests. One statement finds the few tables that have any."""
        with self.session() as session:
            for table, has_rows in zip(TABLES, session.execute(HAVE_ROWS).one(), strict=True):
                if has_rows:
                    session.execute(delete(table))
            session.execute(delete(AccessUrl).where(AccessUrl.id != ACCESS_URL_OF_EVERYONE))

    def user(self, user_id: int) -> User:
        """Return the row of a user as it is now."""
        with self.session() as session:
            return session.get_one(User, user_id)

    def rows(self, table: type[Any]) -> list[Any]:
        """Return all rows of a table, in the order of their key."""
        with self.session() as session:
            return list(session.scalars(select(table).order_by(*inspect(table).primary_key)))

    def make_user(
        self, username: str = "alice", roles: Sequence[str] = (), *, password: str = "", password_hash: str = "", **columns: Any
    ) -> User:
        """Insert a user who may sign in: with a password or its hash, and the given columns."""
        columns = {"email": f"{username}@example.com", "expires_at": START, "created_at": START, "updated_at": START} | columns
        hashed = _hash_of(password) if password else password_hash
        values = {"username": username, "roles": list(roles), "password": hashed} | columns
        with self.session() as session:
            user_id = UserTable(is_campus=False).insert(session, values, START)
            enrol(session, [user_id], ACCESS_URL_OF_EVERYONE)
            return session.get_one(User, user_id)

    def link(self, user: User, friend: User, relation_type: int) -> None:
        """Insert a link between two users."""
        with self.session() as session:
            session.add(
                UserRelUser(
                    user_id=user.id, friend_user_id=friend.id, relation_type=relation_type, created_at=START, updated_at=START
                )
            )

    def load_contract_users(self) -> None:
        """Insert the fixture users: ids, hashes and salts as given."""
        given = json.loads((CONTRACT / "users.json").read_text())
        rows = [user | {"expires_at": datetime.fromisoformat(user["expires_at"])} for user in given]
        for row in rows:
            row["password"] = row.pop("password_hash")
        self.make_users(rows)

    def make_users(self, rows: Sequence[dict[str, Any]]) -> None:
        """Insert users with their ids, who may sign in to the portal of everyone. For many, this is faster than `make_user`."""
        users, times = UserTable(is_campus=False), {"expires_at": START, "created_at": START, "updated_at": START}
        rows = [times | row for row in rows]
        with self.session() as session:
            users.insert_many(session, rows, START)
            enrol(session, [row["id"] for row in rows], ACCESS_URL_OF_EVERYONE)
            users.recount(session)


def dispose(app: Flask) -> None:
    """Close the connections of an application."""
    app.extensions["poort"].reader.close()
    with app.app_context():
        for engine in app.extensions["sqlalchemy"].engines.values():
            engine.dispose()


def bearer(app: Flask, user: User, **headers: str) -> dict[str, str]:
    """Return the headers of a request of a user, with a token that is good at the clock's time."""
    token = app.extensions["poort"].tokens.issue(user.username, user.roles)
    return {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
