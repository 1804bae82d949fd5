# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits the connections of a listener, in total and per peer, and ends idle ones to make room.

No I/O; used only from the event loop.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

_A_SECOND, _AT_ONCE = 10.0, 60.0  # enough for a page, which loads a dozen files
_PEERS_MAX = 4_096  # of more peers, the one that has been silent longest is forgotten


@dataclass(frozen=True, slots=True)
class Caps:
    """Maximum connections in total and per peer; `reserved` of them are for privileged peers."""

    total: int
    each: int
    reserved: int = 0


def _nothing_under_way() -> bool:
    return True


def _nothing_to_end() -> None:
    pass


@dataclass(slots=True, eq=False)
class Ticket:
    """The place of one connection.

    `idle` returns whether no request is being answered on it, `abort` closes the connection, and
    `leave` frees the place.
    """

    peer: Hashable
    idle: Callable[[], bool] = _nothing_under_way
    abort: Callable[[], None] = _nothing_to_end
    leave: Callable[[], None] = field(default=lambda: None)


class Admission:
    """Admits connections: `enter` returns a ticket, whose `leave` may be called more than once.

    If all places are taken, the oldest idle connection is ended for a new one, so that a peer that
    only holds connections open does not block other peers.
    """

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self._tickets: dict[Ticket, None] = {}
        self._of_peer: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._tickets)

    def enter(self, peer: Hashable, privileged: bool = False) -> Ticket | None:
        """A place for a new connection; None if there is none, and no idle connection to end."""
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
        """End the oldest idle connection, of `peer` if it is given; False if none is idle."""
        for ticket in self._tickets:
            if (peer is None or ticket.peer == peer) and ticket.idle():
                abort = ticket.abort
                self._leave(ticket)
                abort()
                return True
        return False

    def _leave(self, ticket: Ticket) -> None:
        # break the reference cycle between ticket and connection, so that both are freed at once
        ticket.idle, ticket.abort = _nothing_under_way, _nothing_to_end
        if ticket in self._tickets:
            del self._tickets[ticket]
            self._of_peer[ticket.peer] -= 1
            if not self._of_peer[ticket.peer]:
                del self._of_peer[ticket.peer]


class Pace:
    """Token buckets by peer; used from one thread. Times are monotonic seconds."""

    def __init__(self, a_second: float = _A_SECOND, at_once: float = _AT_ONCE) -> None:
        self._a_second, self._at_once = a_second, at_once
        self._held: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def allows(self, peer: Hashable, now: float, cost: int = 1) -> bool:
        """Whether a peer may ask once more; if so, it pays `cost` tokens."""
        tokens, at = self._held.pop(peer, (self._at_once, now))
        tokens = min(self._at_once, tokens + (now - at) * self._a_second)
        allowed = tokens >= 1
        self._held[peer] = (tokens - cost if allowed else tokens), now
        while len(self._held) > _PEERS_MAX:
            self._held.popitem(last=False)
        return allowed
