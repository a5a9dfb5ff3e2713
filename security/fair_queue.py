"""A round-robin queue: networks take turns, and so do the user names in a network. One name's tickets are served in order."""

from collections import deque
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

Ticket = TypeVar("Ticket")


class Requester(NamedTuple):
    """The client that wants a turn: its network (`client_address.network_of`) and its canonical user name."""

    network: str = ""
    username: str = ""


class FairQueue(Generic[Ticket]):
    """Waiting tickets. Not thread-safe: the caller must hold a lock."""

    def __init__(self) -> None:
        # Ordered dictionaries: the network and user just served move to the end.
        self._networks: dict[str, dict[str, deque[Ticket]]] = {}
        self._served = Requester()

    def add(self, requester: Requester, ticket: Ticket) -> None:
        """Add a ticket behind the other tickets of the same user."""
        self._networks.setdefault(requester.network, {}).setdefault(requester.username, deque()).append(ticket)

    def take(self) -> Ticket | None:
        """Remove and return the next ticket; None if the queue is empty.

        While others wait, the network that was served last is not next, and neither is the user served last in a network.
        """
        if not self._networks:
            return None
        network = _first_other(self._networks, self._served.network)
        users = self._networks[network] = self._networks.pop(network)
        username = _first_other(users, self._served.username)
        tickets = users[username] = users.pop(username)
        ticket, self._served = tickets[0], Requester(network, username)
        self.discard(self._served, ticket)
        return ticket

    def discard(self, requester: Requester, ticket: Ticket) -> bool:
        """Remove a ticket, and tell whether it was still in the queue."""
        users = self._networks.get(requester.network, {})
        tickets = users.get(requester.username, deque())
        if ticket not in tickets:
            return False
        tickets.remove(ticket)
        if not tickets:
            del users[requester.username]
        if not users:
            del self._networks[requester.network]
        return True

    def displaceable(self, requester: Requester) -> Requester | None:
        """Return the client that must give up its newest ticket to `requester` if the queue is full, or None.

        That is the busiest user of the busiest network, if that network has at least two tickets more than `requester`'s. Else
        it is the busiest user of `requester`'s network, if that user has at least two more than `requester`. With a difference
        of one, the two would displace each other in turn.
        """
        waiting = {network: sum(map(len, users.values())) for network, users in self._networks.items()}
        network = max(waiting, key=lambda name: waiting[name], default=requester.network)
        if waiting.get(network, 0) >= waiting.get(requester.network, 0) + 2:
            return Requester(network, self._busiest(network))
        users = self._networks.get(requester.network, {})
        busiest = self._busiest(requester.network)
        if len(users.get(busiest, ())) >= len(users.get(requester.username, ())) + 2:
            return Requester(requester.network, busiest)
        return None

    def displace_for(self, requester: Requester) -> Ticket | None:
        """Remove and return the ticket that is displaced for `requester`, or None."""
        loser = self.displaceable(requester)
        if loser is None:
            return None
        ticket = self._networks[loser.network][loser.username][-1]
        self.discard(loser, ticket)
        return ticket

    def _busiest(self, network: str) -> str:
        users = self._networks.get(network, {})
        return max(users, key=lambda name: len(users[name]), default="")


def _first_other(names: Iterable[str], served: str) -> str:
    """Return the first of the names that is not `served`, or `served` if there is no other."""
    return next((name for name in names if name != served), served)
