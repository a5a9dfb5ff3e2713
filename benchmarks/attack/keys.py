"""A thief of the private key sends tokens without pause while the key is replaced and withdrawn, and afterwards."""

import asyncio
import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.attack.line import Line
from benchmarks.attack.victim import Signer, ask_all, serving
from benchmarks.commands import ROOT
from benchmarks.ground import Ground, lay
from benchmarks.serving import clean_environment
from benchmarks.soak_load import request_bytes

ROUNDS, TOKENS, CLIENTS = 5, 10_000, 16
#: This long after `prune` has returned, every worker must refuse the key.
GRACE_SECONDS = 2
BEFORE_SECONDS = 0.5


def use_withdrawn_keys(folder: Path) -> Iterator[Line]:
    """Withdraw a leaked key five times while its tokens are sent."""
    ground = lay(folder / "ground")
    before, after = Counter[int](), Counter[int]()
    with serving(ground) as server:
        for _ in range(ROUNDS):
            asyncio.run(_withdraw_one(ground, server.port, before, after))
    yield Line("requests with a good token, sent before and during the withdrawals", before[200], ROUNDS, is_least=True)
    sent = sum(after.values())
    yield Line(f"withdrawn tokens that were not refused, of {sent:,}", sent - after[401], 0)


async def _withdraw_one(ground: Ground, port: int, before: Counter[int], after: Counter[int]) -> None:
    signer, is_withdrawn = Signer(ground), False
    requests = [request_bytes("GET", "/api/users/1", signer.token("admin")) for _ in range(TOKENS)]
    flood = asyncio.create_task(
        ask_all(port, itertools.takewhile(lambda _: not is_withdrawn, itertools.cycle(requests)), CLIENTS),
    )
    await asyncio.sleep(BEFORE_SECONDS)
    await asyncio.to_thread(_run_flask, ground, "rotate-key", "--wait", "1")
    await asyncio.to_thread(_run_flask, ground, "prune", "--kid", signer.kid)
    await asyncio.sleep(GRACE_SECONDS / 2)
    is_withdrawn = True
    before += await flood
    await asyncio.sleep(GRACE_SECONDS / 2)
    after += await ask_all(port, requests, CLIENTS)


def _run_flask(ground: Ground, *words: str) -> None:
    """Run a command of `flask jwt` on the keys of a ground. Exits if it fails."""
    command = (sys.executable, "-m", "flask", "--app", "wsgi", "jwt", *words)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, env=clean_environment(**ground.settings)
    )
    if done.returncode:
        sys.exit(f"flask jwt {words[0]}: {done.stderr}")
