"""Send pairs of requests at once that must not both succeed, on three databases."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, create_engine, select, update

from benchmarks.attack.line import Line
from benchmarks.attack.victim import Signer, serving
from benchmarks.ground import lay
from benchmarks.soak import database
from benchmarks.soak_load import Connection, request_bytes
from config import parse_settings
from models import User
from models.token_validity import TokensValidAfter
from models.user import ACTIVE

DATABASES = ("sqlite", "postgresql", "mariadb")
ROUNDS, COST = 200, 4
#: The pairs of the first race, then the users of the second.
FIRST_ID = 2
USERS = FIRST_ID + 3 * ROUNDS
DEMOTION = {"roles": ["ROLE_STUDENT"]}
OK, UNAUTHORIZED = 200, 401
EXPECTED = frozenset((OK, 204, UNAUTHORIZED, 403))


@dataclass
class Duel:
    """A server, its database, a signer of tokens, and the statuses so far."""

    port: int
    engine: Engine
    signer: Signer
    statuses: Counter[int] = field(default_factory=Counter)

    async def ask(self, *requests: bytes) -> list[int]:
        """Send requests at once, each on its own connection, and return their statuses."""
        connections = [Connection(self.port) for _ in requests]
        answers = await asyncio.gather(*map(Connection.ask, connections, requests))
        for connection in connections:
            connection.close()
        found = [status for status, _, _ in answers]
        self.statuses.update(found)
        return found


def race(folder: Path) -> Iterator[Line]:
    """Run both races on each database."""
    for kind in DATABASES:
        with database(kind) as url:
            ground = lay(folder / kind, url, cost=COST)
            ground.fill(USERS)
            with serving(ground) as server:
                engine = create_engine(parse_settings({"DATABASE_URL": ground.database_url}).database_url)
                try:
                    yield from _race_on(kind, Duel(server.port, engine, Signer(ground)))
                finally:
                    engine.dispose()


def _race_on(kind: str, duel: Duel) -> Iterator[Line]:
    with duel.engine.begin() as connection:
        connection.execute(update(User).where(User.username == "admin").values(roles=["ROLE_STUDENT"]))
    wrong = sum(not asyncio.run(leaves_one_administrator(duel, number)) for number in range(ROUNDS))
    yield Line(f"{kind}: of {ROUNDS} pairs of administrators who remove each other, those that do not leave one", wrong, 0)
    wrong = sum(not asyncio.run(ends_in_an_order(duel, number)) for number in range(ROUNDS))
    yield Line(f"{kind}: of {ROUNDS} sign-outs beside a new password, those that leave the state of no order", wrong, 0)
    others = {status: number for status, number in duel.statuses.items() if status not in EXPECTED}
    found = f" ({others})" if others else ""
    yield Line(f"{kind}: answers to them that are none of 200, 204, 401 and 403{found}", sum(others.values()), 0)


async def leaves_one_administrator(duel: Duel, number: int) -> bool:
    """Let the only two administrators demote or delete each other at once, and tell whether one is left. Then demote both."""
    ids = FIRST_ID + 2 * number, FIRST_ID + 2 * number + 1
    _set_roles(duel, ids, ["ROLE_ADMIN"])
    tokens = [duel.signer.token(f"user{user_id}") for user_id in ids]
    # In turn: both demote, one deletes, both delete.
    deletes = number & 1, number & 2
    await duel.ask(*map(_removal, reversed(ids), tokens, deletes))
    with duel.engine.connect() as connection:
        rows = connection.execute(select(User.roles, User.active).where(User.id.in_(ids))).all()
    _set_roles(duel, ids, ["ROLE_STUDENT"])
    left = [row for row in rows if "ROLE_ADMIN" in row.roles and row.active == ACTIVE]
    return len(left) == 1


def _removal(user_id: int, token: str, deletes: int) -> bytes:
    path = f"/api/users/{user_id}"
    return request_bytes("DELETE", path, token) if deletes else request_bytes("PATCH", path, token, DEMOTION)


def _set_roles(duel: Duel, ids: tuple[int, int], roles: list[str]) -> None:
    with duel.engine.begin() as connection:
        connection.execute(update(User).where(User.id.in_(ids)).values(roles=roles))


async def ends_in_an_order(duel: Duel, number: int) -> bool:
    """End all tokens of a user and set a new password at once, with the same token, and tell whether only one succeeded.

    Either request ends the token, so the second must be refused, and the password changes only if that request was first. A
    third request must be refused as well.
    """
    user_id = FIRST_ID + 2 * ROUNDS + number
    token, before = duel.signer.token(f"user{user_id}"), _password_and_end(duel, user_id)
    ending, password = request_bytes("POST", "/api/token/invalidate-all", token), _new_password(user_id, token, number % 2)
    if number & 2:
        ended, was_set = await duel.ask(ending, password)
    else:
        was_set, ended = await duel.ask(password, ending)
    (later,) = await duel.ask(password)
    after = _password_and_end(duel, user_id)
    is_new, has_ended = after[0] != before[0], after[1] is not None
    is_an_order = (ended, was_set) in {(204, UNAUTHORIZED), (UNAUTHORIZED, OK)} and is_new == (was_set == OK)
    return is_an_order and has_ended and later == UNAUTHORIZED


def _new_password(user_id: int, token: str, on_own_path: int) -> bytes:
    path = f"/api/users/{user_id}"
    if on_own_path:
        return request_bytes("PATCH", f"{path}/password", token, {"password": "a new password"})
    return request_bytes("PATCH", path, token, {"plainPassword": "a new password"})


def _password_and_end(duel: Duel, user_id: int) -> tuple[str, int | None]:
    """Return the hash of a user, and the second from which tokens are valid, if any were ended."""
    ends = TokensValidAfter.username_canonical == User.username_canonical
    with duel.engine.connect() as connection:
        found = connection.execute(
            select(User.password, TokensValidAfter.valid_after).outerjoin(TokensValidAfter, ends).where(User.id == user_id)
        ).one()
    return found.password, found.valid_after
