"""The fair queue: turns go round by network, then by user; the network with most tickets gives way."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.fair_queue import FairQueue, Requester

Tickets = list[tuple[str, str]]


def queue_of(*tickets: str) -> FairQueue[str]:
    """Make a queue of tickets such as `a:bob:1`: a network, a user, a number."""
    queue: FairQueue[str] = FairQueue()
    for ticket in tickets:
        queue.add(requester(ticket), ticket)
    return queue


def requester(ticket: str) -> Requester:
    network, username, *_ = ticket.split(":")
    return Requester(network, username)


def drained(queue: FairQueue[str]) -> list[str]:
    taken = []
    while (ticket := queue.take()) is not None:
        taken.append(ticket)
    return taken


def test_networks_take_turns_however_many_tickets_one_has() -> None:
    queue = queue_of("a:x:1", "a:x:2", "a:x:3", "b:y:1", "c:z:1")
    assert drained(queue) == ["a:x:1", "b:y:1", "c:z:1", "a:x:2", "a:x:3"]


def test_users_of_a_network_take_turns() -> None:
    queue = queue_of("a:x:1", "a:x:2", "a:x:3", "a:y:1", "a:y:2")
    assert drained(queue) == ["a:x:1", "a:y:1", "a:x:2", "a:y:2", "a:x:3"]


def test_second_ticket_of_a_user_waits_behind_others_who_come_later() -> None:
    queue = queue_of("a:x:1")
    assert queue.take() == "a:x:1"
    for ticket in ("a:x:2", "a:y:1"):
        queue.add(requester(ticket), ticket)
    assert drained(queue) == ["a:y:1", "a:x:2"]


def test_second_ticket_of_a_network_waits_behind_others_that_come_later() -> None:
    queue = queue_of("a:x:1")
    assert queue.take() == "a:x:1"
    for ticket in ("a:y:1", "b:z:1"):
        queue.add(requester(ticket), ticket)
    assert drained(queue) == ["b:z:1", "a:y:1"]


def test_discarded_ticket_is_gone() -> None:
    queue = queue_of("a:x:1", "a:x:2", "b:y:1")
    assert [queue.discard(Requester("a", "x"), "a:x:1"), queue.discard(Requester("a", "x"), "a:x:1")] == [True, False]
    assert [queue.discard(Requester("b", "y"), "b:y:1"), queue.discard(Requester("q", "q"), "q")] == [True, False]
    assert drained(queue) == ["a:x:2"]


@pytest.mark.parametrize(
    ("waiting", "newcomer", "loser"),
    [
        ([], "a:x", None),
        (["a:x:1"], "b:y", None),
        (["a:x:1", "a:x:2"], "b:y", "a:x:2"),
        (["a:x:1", "a:x:2", "b:y:1"], "b:y", None),
        (["a:x:1", "a:x:2", "a:z:1", "a:z:2", "a:z:3"], "b:y", "a:z:3"),
        (["a:x:1", "a:x:2"], "a:y", "a:x:2"),
        (["a:x:1", "a:x:2"], "a:x", None),
        (["a:x:1", "a:y:1"], "a:z", None),
        (["a:x:1", "a:x:2", "b:y:1", "b:z:1"], "a:y", "a:x:2"),
    ],
    ids=[
        "nobody waits",
        "no more than one",
        "of the busy network",
        "the newcomer's network has as many, but for one",
        "of the busy network's busy user",
        "of the same network's busy user",
        "not the user's own",
        "one each",
        "the networks have as many",
    ],
)
def test_ticket_gives_way_to_a_newcomer_with_fewer(waiting: list[str], newcomer: str, loser: str | None) -> None:
    queue = queue_of(*waiting)
    assert (queue.displaceable(requester(newcomer)) is not None) == (loser is not None)
    assert queue.displace_for(requester(newcomer)) == loser
    assert Counter(drained(queue)) == Counter(waiting) - Counter([loser] if loser else [])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=30))
def test_every_ticket_has_its_turn_once_and_no_network_two_while_another_waits(tickets: Tickets) -> None:
    named = [f"{network}:{username}:{number}" for number, (network, username) in enumerate(tickets)]
    taken = drained(queue_of(*named))
    assert sorted(taken) == sorted(named)
    for position in range(1, len(taken)):
        if taken[position - 1][0] == taken[position][0]:
            assert {ticket[0] for ticket in taken[position:]} == {taken[position][0]}
