"""Failovers of PostgreSQL under load: a primary that is killed, one that changes places, and one that vanishes."""

import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from benchmarks.ground import Ground
from benchmarks.ha.network import Network
from benchmarks.ha.postgresql_pair import Pair, start_pair
from benchmarks.ha.proof import Proof, run_command, serving, start_another
from benchmarks.services import NotInstalled

TITLE = "PostgreSQL, a primary and a synchronous standby"
STEADY_SECONDS = 3
#: What a failover manager needs to notice that the primary is gone.
NOTICE_SECONDS = 2
#: How long the load goes on after the promotion.
AFTER_SECONDS = 4
#: A start, or a command, when the first host is a black hole.
MOST_SECONDS_TO_START = 15


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
        with serving(folder / "ground", pair.url, proof) as (ground, _):
            time.sleep(STEADY_SECONDS)
            _kill(pair, proof)
            pair.add_standby()
            time.sleep(STEADY_SECONDS)
            _change_places(pair, proof)
            time.sleep(STEADY_SECONDS)
            if network:
                _vanish(pair, network, ground, proof)
        if not network:
            proof.check("a vanished primary", "not run: this machine has no network namespaces", held=True)
        else:
            network.return_()  # the database could not be stopped otherwise
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


def _vanish(pair: Pair, network: Network, ground: Ground, proof: Proof) -> None:
    with proof.failover("the primary's network is gone", AFTER_SECONDS) as event:
        network.vanish()
        time.sleep(NOTICE_SECONDS)
        pair.fail_over()
        event.ready_at = time.monotonic()
        seconds, said = run_command(ground, "db", "check")
        proof.check(f"`poort db check` without the first host: {MOST_SECONDS_TO_START} s at most", f"{seconds:.1f} s {said[-100:].strip()}", held=seconds < MOST_SECONDS_TO_START and not said.startswith("status"))
        seconds = start_another(ground)
        proof.check(f"start without the first host: {MOST_SECONDS_TO_START} s at most", f"{seconds:.1f} s", held=seconds < MOST_SECONDS_TO_START)
