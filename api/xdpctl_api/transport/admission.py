# SPDX-License-Identifier: GPL-2.0-or-later
"""How many connections a door holds, from whom, and which one goes when there are too many.

Pure but for what it holds; used from the event loop alone.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caps:
    """The most connections in all and of one peer; `reserved` of all are for privileged peers."""

    total: int
    each: int
    reserved: int = 0


def _nothing_under_way() -> bool:
    return True


def _nothing_to_end() -> None:
    pass


@dataclass(slots=True, eq=False)
class Ticket:
    """One connection's place. `idle` says that no request is being answered on it."""

    peer: Hashable
    idle: Callable[[], bool] = _nothing_under_way
    abort: Callable[[], None] = _nothing_to_end
    leave: Callable[[], None] = field(default=lambda: None)


class Admission:
    """`enter` a connection; its ticket's `leave` gives the place back, once however often called.

    A connection on which nothing is under way makes room for a new one, the oldest first: whoever
    only holds connections open keeps nobody out.
    """

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self._tickets: dict[Ticket, None] = {}
        self._of_peer: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._tickets)

    def enter(self, peer: Hashable, privileged: bool = False) -> Ticket | None:
        """A place for a new connection; None if there is none, and none can be made."""
        caps = self.caps
        total = caps.total if privileged else caps.total - caps.reserved
        crowded = not privileged and self._of_peer[peer] >= caps.each
        if (crowded or len(self._tickets) >= total) and not self._make_room(
            peer if crowded else None
        ):
            return None
        ticket = Ticket(peer)
        ticket.leave = lambda: self._leave(ticket)
        self._tickets[ticket] = None
        self._of_peer[peer] += 1
        return ticket

    def _make_room(self, peer: Hashable | None) -> bool:
        """End the oldest idle connection, of that peer if one is given."""
        for ticket in self._tickets:
            if (peer is None or ticket.peer == peer) and ticket.idle():
                abort = ticket.abort
                self._leave(ticket)
                abort()
                return True
        return False

    def _leave(self, ticket: Ticket) -> None:
        # or each would hold its connection, and that its ticket, until a collector comes by
        ticket.idle, ticket.abort = _nothing_under_way, _nothing_to_end
        if ticket in self._tickets:
            del self._tickets[ticket]
            self._of_peer[ticket.peer] -= 1
            if not self._of_peer[ticket.peer]:
                del self._of_peer[ticket.peer]
