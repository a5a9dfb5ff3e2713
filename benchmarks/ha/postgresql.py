"""Failovers of PostgreSQL under load: a primary that is killed, one that changes places, and one that vanishes."""

import os
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from benchmarks.ground import Ground
from benchmarks.ha.network import Network
from benchmarks.ha.postgresql_pair import Pair, start_pair
from benchmarks.ha.proof import Proof, run_command, say, serving, start_another
from benchmarks.services import NotInstalled

TITLE = "PostgreSQL, a primary and a synchronous standby"
STEADY_SECONDS = 3
#: What a failover manager needs to notice that the primary is gone.
NOTICE_SECONDS = 2
#: How long the load goes on after the promotion.
AFTER_SECONDS = 4
AFTER_VANISHING_SECONDS = 10
#: A start, or a command, when the first host is a black hole.
MOST_SECONDS_TO_START = 30


def prove() -> Proof:
    """Run all failovers. Raises NotInstalled."""
    proof = Proof()
    with ExitStack() as stack:
        network = None
        with suppress(NotInstalled):
            network = Network()
            stack.callback(network.remove)
        pair = start_pair(network)
        stack.callback(pair.stop)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="poort-ha-")))
        afterwards = partial(_start_without_the_first_host, proof) if network else lambda _: None
        with serving(folder / "ground", pair.url, proof, afterwards):
            time.sleep(STEADY_SECONDS)
            _kill(pair, proof)
            say("a new standby")
            pair.add_standby()
            time.sleep(STEADY_SECONDS)
            _change_places(pair, proof)
            if network:
                time.sleep(STEADY_SECONDS)
                _vanish(pair, network, proof)
        if not network:
            proof.check(
                "the failure of the primary's network",
                "not run: no network namespaces here",
                held=os.environ.get("REQUIRE_SERVICES") != "1",
            )
    return proof


def _kill(pair: Pair, proof: Proof) -> None:
    with proof.failover("kill -9 of the primary", AFTER_SECONDS) as event:
        pair.primary.kill()
        time.sleep(NOTICE_SECONDS)
        pair.fail_over()
        event.ready_at = time.monotonic()


def _change_places(pair: Pair, proof: Proof) -> None:
    with proof.failover("switchover, both alive", AFTER_SECONDS) as event:
        pair.primary.stop()
        pair.fail_over()
        event.ready_at = time.monotonic()
        pair.follow()
    left = pair.standby.clients()
    proof.check("connections to the server that is a standby now: 0", left, held=not left)


def _vanish(pair: Pair, network: Network, proof: Proof) -> None:
    with proof.failover("the primary's network is gone", AFTER_VANISHING_SECONDS) as event:
        network.vanish()
        time.sleep(NOTICE_SECONDS)
        pair.fail_over()
        event.ready_at = time.monotonic()


def _start_without_the_first_host(proof: Proof, ground: Ground) -> None:
    seconds, said = run_command(ground, "db", "check")
    name = f"`poort db check`, the first host being a black hole: {MOST_SECONDS_TO_START} s at most"
    is_fine = seconds < MOST_SECONDS_TO_START and not said.startswith("status")
    proof.check(name, f"{seconds:.1f} s: {said.strip()[-60:]}", held=is_fine)
    seconds = start_another(ground)
    name = f"start, the first host being a black hole: {MOST_SECONDS_TO_START} s at most"
    proof.check(name, f"{seconds:.1f} s", held=seconds < MOST_SECONDS_TO_START)
