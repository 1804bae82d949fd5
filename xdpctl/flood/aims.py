# SPDX-License-Identifier: GPL-2.0-or-later
"""What an attack is aimed at: one address, or a prefix whose addresses get a little each. Pure."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.traffic.packets import PacketArray

_MOST_OF_IT = 0.9  # of the packets, which go to the prefix
_WIDEST = {4: 20, 6: 48}
_NARROWEST = {4: 30, 6: 124}
_SWEEP = 4  # addresses of a prefix that are attacked one after the other
_SWEEP_SECONDS = 60.0
_HEADS_MIN = 96


def narrowest(packets: PacketArray, around: Prefix) -> Prefix | None:
    """The narrowest prefix to which most of the packets to `around` go.

    None if there are too few packets, or most go to one address or two, which are looked at by
    themselves. It is `around` if no prefix of /20 or longer (IPv6: /48) has most of them.
    """
    if len(packets) < _HEADS_MIN:
        return None
    family, size = around.family, len(around.address)
    raw = np.ascontiguousarray(packets["destination"]).view(np.uint8).reshape(-1, 16)[:, :size]
    bits = np.unpackbits(raw, axis=1)
    weights = packets["weight"].astype(np.float64)
    length, chosen = 0, np.ones(len(packets), bool)
    for place in range(size * 8):  # follow the heavier half of each prefix
        ones = chosen & (bits[:, place] == 1)
        heavy = weights[ones].sum() >= weights[chosen].sum() / 2
        half = ones if heavy else chosen & ~ones
        if weights[half].sum() < _MOST_OF_IT * weights.sum():
            break
        chosen, length = half, place + 1
    if length > _NARROWEST[family]:
        return None
    if length < max(_WIDEST[family], around.length):
        return around
    return Prefix(raw[int(np.argmax(chosen))].tobytes(), size * 8).widened(length)


class Aims:
    """Remembers what was attacked in the last minute."""

    def __init__(self) -> None:
        self._held: deque[tuple[float, Prefix, Traffic]] = deque(maxlen=256)

    def held(self, now: float, victim: Prefix, kind: Traffic) -> None:
        """A mitigation for a victim began."""
        self._held.append((now, victim, kind))

    def aim(self, now: float, victim: Prefix, kind: Traffic, ours: Iterable[Prefix]) -> Prefix:
        """The victim; or the prefix over which an attack moves from one address to the next."""
        others = {
            each
            for at, each, of_kind in self._held
            if at > now - _SWEEP_SECONDS
            and of_kind is kind
            and each.family == victim.family
            and each != victim
        }
        inside = [p for p in ours if p.covers(victim)]
        if not inside:
            return victim
        around = max(inside, key=lambda each: each.length)
        others = {each for each in others if around.covers(each)}
        wide = next((each for each in others if not each.exact and each.covers(victim)), None)
        if wide is not None:
            return wide
        if len({each for each in others if each.exact}) < _SWEEP - 1:
            return victim
        length = victim.length
        while not all(victim.widened(length).covers(each) for each in others):
            length -= 1
        return around if length < _WIDEST[victim.family] else victim.widened(length)
