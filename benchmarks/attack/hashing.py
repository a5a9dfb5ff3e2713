"""One caller asks for password hashes on 30 connections without pause, while another user signs in."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.attack.line import Line
from benchmarks.attack.victim import Signer, ask_for, serving
from benchmarks.ground import Ground, lay
from benchmarks.serving import Server
from benchmarks.sign_ins import start_clients
from benchmarks.soak_load import request_bytes

USERS, COST = 200, 10
CONNECTIONS, SECONDS = 30, 20
#: The attack begins this long before the sign-ins, and ends this long after them.
MARGIN_SECONDS = 1
LEAST_PERCENT = 95
ATTACKER, ATTACKER_ID = "user3", 3
#: The first of the users who get new passwords from an administrator.
FIRST_OTHER_ID = 100


def hash_without_end(folder: Path) -> Iterator[Line]:
    """Attack with three kinds of requests, one after another."""
    ground = lay(folder / "ground", cost=COST)
    ground.fill(USERS)
    signer = Signer(ground)
    own, admin, others = signer.token(ATTACKER), signer.token("admin"), itertools.cycle(range(FIRST_OTHER_ID, USERS + 1))
    attacks: dict[str, Callable[[], bytes]] = {
        "with a false If-Match": lambda: _set_password(ATTACKER_ID, own, If_Match='"false"'),
        # A new password ends all tokens, so the client signs in again.
        "for the own password": lambda: _set_password(ATTACKER_ID, signer.token(ATTACKER, age_seconds=0)),
        "for others' passwords": lambda: _set_password(next(others), admin),
    }
    with serving(ground) as server:
        for kind, make_request in attacks.items():
            yield asyncio.run(_attack(server, ground, kind, make_request))


def _set_password(user_id: int, token: str, **fields: str) -> bytes:
    """Return a request that closes its connection, so that the next one may reach another worker, whose queue has room."""
    document = {"plainPassword": "a new password"}
    return request_bytes("PATCH", f"/api/users/{user_id}", token, document, Connection="close", **fields)


async def _attack(server: Server, ground: Ground, kind: str, make_request: Callable[[], bytes]) -> Line:
    attack = asyncio.create_task(ask_for(SECONDS + 2 * MARGIN_SECONDS, server.port, make_request, CONNECTIONS))
    await asyncio.sleep(MARGIN_SECONDS)
    signing_in = start_clients(server, ground, 1, SECONDS, obeys=False)
    answered = ", ".join(f"{number:,} x {status}" for status, number in sorted((await attack).items()))
    found = await asyncio.to_thread(signing_in.result)
    good, bad = len(found["good"]), sum(found["others"].values())
    what = f"sign-ins of another user that are good, of {good + bad}, beside hashes {kind} (answered {answered})"
    return Line(what, 100 * good / max(1, good + bad), LEAST_PERCENT, " %", is_least=True)
