"""A queue that deals turns round: first by network, within a network by user, and to each user in order of arrival."""

from collections import deque
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

Ticket = TypeVar("Ticket")


class Requester(NamedTuple):
    """Who asks for a turn: the network of the client (security/client_address.py), and the canonical user name."""

    network: str = ""
    username: str = ""


class FairQueue(Generic[Ticket]):
    """Waiting tickets. Nothing here locks: the caller does."""

    def __init__(self) -> None:
        """Begin with none."""
        # Dictionaries keep their order: whoever was served goes to the end.
        self._networks: dict[str, dict[str, deque[Ticket]]] = {}
        self._served = Requester()

    def add(self, requester: Requester, ticket: Ticket) -> None:
        """Add a ticket behind those of the same user."""
        self._networks.setdefault(requester.network, {}).setdefault(requester.username, deque()).append(ticket)

    def take(self) -> Ticket | None:
        """Remove and return the ticket whose turn it is; None if nobody waits.

        It is never the turn of the network that was served last, nor of its user, while others wait.
        """
        if not self._networks:
            return None
        network = _other_than(self._served.network, self._networks)
        users = self._networks.pop(network)
        username = _other_than(self._served.username, users)
        tickets = users.pop(username)
        ticket = tickets.popleft()
        if tickets:
            users[username] = tickets
        if users:
            self._networks[network] = users
        self._served = Requester(network, username)
        return ticket

    def discard(self, requester: Requester, ticket: Ticket) -> bool:
        """Remove a ticket, and tell whether it still waited."""
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
        """Return whose newest ticket gives way to one of `requester` where the queue is full; None if nobody's does.

        It is a user's with the most tickets, of the network with the most. They give way only to a network, or to a user of
        the same network, that has fewer by two or more: else the two would displace each other in turn.
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
        """Remove and return the ticket that gives way to one of `requester`, if any does."""
        loser = self.displaceable(requester)
        if loser is None:
            return None
        ticket = self._networks[loser.network][loser.username][-1]
        self.discard(loser, ticket)
        return ticket

    def _busiest(self, network: str) -> str:
        users = self._networks.get(network, {})
        return max(users, key=lambda name: len(users[name]), default="")


def _other_than(served: str, names: Iterable[str]) -> str:
    """Return the first name that is not the served one, unless there is no other."""
    return next((name for name in names if name != served), served)
