# SPDX-License-Identifier: GPL-2.0-or-later
"""What each announcement did to what arrives. Pure."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field

_LESS, _SECONDS = 0.2, 15.0  # so much less has to arrive, within this time
_SETTLES_SECONDS = 2.0  # after that, until it is said how much less


@dataclass(slots=True)
class Effect:
    """Shares of the link's rate: before a route was sent at `sent_at` (monotonic), and since.

    `helped_after`: the seconds until a fifth less arrived; None: not yet. `said`: that is settled.
    """

    before: float
    sent_at: float
    lowest: float = math.inf
    helped_after: float | None = None
    said: bool = False

    @property
    def fell_by(self) -> float:
        """The part of what arrived before that does not arrive any more."""
        return 1 - self.lowest / self.before if self.before > 0 else math.nan


@dataclass(slots=True)
class Effects:
    of: dict[str, Effect] = field(default_factory=dict)

    def begin(self, number: str, share: float, now: float) -> None:
        """An announcement is sent now, while that share arrives."""
        if number not in self.of:
            self.of[number] = Effect(share, now)

    def look(self, share: float, now: float, standing: Collection[str]) -> dict[str, bool]:
        """Take a second into account; what is settled by it: whether the announcement helped."""
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
