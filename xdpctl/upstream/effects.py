# SPDX-License-Identifier: GPL-2.0-or-later
"""How much each announcement has reduced the inbound traffic. Pure."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field

_LESS, _SECONDS = 0.2, 15.0  # a fifth less has to arrive within this time
_SETTLES_SECONDS = 2.0  # from that reduction until it is reported


@dataclass(slots=True)
class Effect:
    """Shares of the link's rate: before a route was sent at `sent_at` (monotonic), and since.

    `helped_after`: the seconds until a fifth less arrived; None if it has not yet. `said`: the
    result was reported.
    """

    before: float
    sent_at: float
    lowest: float = math.inf
    helped_after: float | None = None
    said: bool = False

    @property
    def fell_by(self) -> float:
        """The share of the earlier traffic that does not arrive any more."""
        return 1 - self.lowest / self.before if self.before > 0 else math.nan


@dataclass(slots=True)
class Effects:
    of: dict[str, Effect] = field(default_factory=dict)

    def begin(self, number: str, share: float, now: float) -> None:
        """Begin to measure an announcement that is sent now, while that share arrives."""
        if number not in self.of:
            self.of[number] = Effect(share, now)

    def look(self, share: float, now: float, standing: Collection[str]) -> dict[str, bool]:
        """Add a second; return, by id, whether an announcement helped, once that is settled."""
        self.of = {number: effect for number, effect in self.of.items() if number in standing}
        settled = {}
        for number, effect in self.of.items():
            if effect.said or not effect.before > 0:
                continue
            if not math.isnan(share):
                effect.lowest = min(effect.lowest, share)
            fell = effect.lowest <= effect.before * (1 - _LESS)
            if fell and effect.helped_after is None:
                effect.helped_after = now - effect.sent_at
            if effect.helped_after is not None:
                if now >= effect.sent_at + effect.helped_after + _SETTLES_SECONDS:
                    effect.said = settled[number] = True
            elif now >= effect.sent_at + _SECONDS:
                effect.said, settled[number] = True, False
        return settled
