# SPDX-License-Identifier: GPL-2.0-or-later
"""The target of an attack: one address, or a prefix whose addresses get a little each. Pure."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.traffic.packets import PacketArray

_MOST_OF_IT = 0.9  # least share of the packets that must go to the prefix
_WIDEST = {4: 20, 6: 48}
_NARROWEST = {4: 30, 6: 124}
_SWEEP = 4  # attacked addresses of a prefix that make a sweep of it
_SWEEP_SECONDS = 60.0
_HEADS_MIN = 96


def narrowest(packets: PacketArray, around: Prefix) -> Prefix | None:
    """The narrowest prefix to which most of the packets to `around` go.

    It is `around` if no prefix of /20 or longer (IPv6: /48) has most of them. None if there are too
    few packets, or if most packets go to one or two addresses, which are examined separately.
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
        """Note that a mitigation for a victim began."""
        self._held.append((now, victim, kind))

    def aim(self, now: float, victim: Prefix, kind: Traffic, ours: Iterable[Prefix]) -> Prefix:
        """The victim, or the prefix in which an attack moves from one address to the next."""
        others = {
            prefix
            for at, prefix, of_kind in self._held
            if at > now - _SWEEP_SECONDS
            and of_kind is kind
            and prefix.family == victim.family
            and prefix != victim
        }
        inside = [prefix for prefix in ours if prefix.covers(victim)]
        if not inside:
            return victim
        around = max(inside, key=lambda prefix: prefix.length)
        others = {prefix for prefix in others if around.covers(prefix)}
        wide = next((other for other in others if not other.exact and other.covers(victim)), None)
        if wide is not None:
            return wide
        if len({other for other in others if other.exact}) < _SWEEP - 1:
            return victim
        length = victim.length
        while not all(victim.widened(length).covers(other) for other in others):
            length -= 1
        return around if length < _WIDEST[victim.family] else victim.widened(length)
