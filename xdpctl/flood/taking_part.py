# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the flow memory is taught, and which hosts take part in TCP. Pure."""

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.counts import Chunk
from xdpctl.model.match.components import TCP
from xdpctl.traffic.packets import destination

_TAUGHT, _TAUGHT_SECONDS = 20, 300.0  # packets of known flows: then the memory is taught
_ACCEPTED_MAX, _ACCEPTED_SECONDS = 10_000, 60.0


class TakingPart:
    """Counts packets of known flows."""

    def __init__(self) -> None:
        self._taught, self._taught_at = [0, 0], 0.0  # packets, by parts of time
        self._accepted: dict[Prefix, float] = {}  # hosts, and when they took part in TCP

    def note(self, now: float, known: Chunk) -> None:
        """Take packets of known flows.

        They count for some minutes: a memory may be emptied, or its teacher be gone.
        """
        if now >= self._taught_at + _TAUGHT_SECONDS:
            self._taught, self._taught_at = [0, self._taught[0]], now
        self._taught[0] += len(known.packets)
        packets = known.packets[known.packets["protocol"] == TCP]
        for place in np.unique(packets["destination"], return_index=True)[1].tolist():
            self._accepted[destination(packets[place])] = now
        while len(self._accepted) > _ACCEPTED_MAX:
            del self._accepted[next(iter(self._accepted))]

    @property
    def taught(self) -> bool:
        """Whether packets of known flows were seen: else every flow is unknown."""
        return sum(self._taught) >= _TAUGHT

    def accepts(self, now: float, victim: Prefix) -> bool:
        """Whether a victim, or a host in it, has taken part in TCP within a minute."""
        if victim.exact:
            return self._accepted.get(victim, -1e9) > now - _ACCEPTED_SECONDS
        return any(
            victim.covers(host) and at > now - _ACCEPTED_SECONDS
            for host, at in self._accepted.items()
        )
