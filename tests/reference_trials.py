# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference model of a trial: which packets pass that the rule would drop.

It remembers exactly and for ever, and shares no code with the product. Which flows are in the share
is not predicted, as their hash has a secret key: whoever asks says it.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

_PACKETS, _PLACE_SECONDS, _BURST = 6, 8.0, 25
_PAUSE = (0.150, 6.0)


@dataclass
class Bucket:
    """A limit of `a_second`, and 25 at once (GCRA); 0 lets nothing pass."""

    a_second: float
    _at: float = 0.0

    def takes(self, now: float) -> bool:
        if not self.a_second or self._at > now + _BURST / self.a_second:
            return False
        self._at = max(self._at, now) + 1 / self.a_second
        return True


@dataclass
class Trial:
    """One rule's trial; times are seconds."""

    share: Bucket
    again: Bucket
    members: dict[Hashable, tuple[float, int]] = field(default_factory=dict)
    dropped: dict[Hashable, float] = field(default_factory=dict)

    def passes(self, flow: Hashable, now: float, in_share: bool) -> bool:
        since, packets = self.members.get(flow, (-_PLACE_SECONDS, 0))
        if now < since + _PLACE_SECONDS:
            self.members[flow] = since, packets + 1
            return packets < _PACKETS
        if in_share:
            chosen = self.share.takes(now)
        else:
            before = self.dropped.get(flow)
            self.dropped[flow] = now
            pauses = before is not None and _PAUSE[0] <= now - before <= _PAUSE[1]
            chosen = pauses and self.again.takes(now)
        if chosen:
            self.members[flow] = now, 1
        return chosen
