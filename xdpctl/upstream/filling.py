# SPDX-License-Identifier: GPL-2.0-or-later
"""What fills a link now, and towards whom: the packets of the last seconds, by bytes. Pure.

Known flows are people, whatever they send, and so is what an operator accepts. All other packets
are an attack as far as there is more of them than earlier. Nothing is taken from what rules have
hit, because that may be long ago.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState, Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match.match import Match
from xdpctl.traffic.baseline import Before
from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.packets import PACKET, PacketArray
from xdpctl.traffic.select import covers, takes_any
from xdpctl.traffic.split import Side
from xdpctl.traffic.window import Seen
from xdpctl.upstream.link import FRAME_BYTES

SECONDS = 5.0  # long enough for a pause between pulses, short enough for what comes now
LEAST_SHARE = 0.1  # of a link's rate: what takes less does not fill it
_NETWORKS = {4: 24, 6: 64}
_MUCH = 0.25  # of the attack on a prefix: so much to a part of it is an attack on that part
_FEW = 20  # sampled packets: fewer allow no conclusion
_VICTIMS_MAX = 8


@dataclass(frozen=True, slots=True)
class Filling:
    """What came through a link; masses are bits a second on the wire.

    `others` belong to no known flow, `people` to known flows; `before` came earlier without one.
    `usual`: the earlier traffic is known. `judged`: the memory of flows was asked, so it is known
    who people are.
    """

    others: Side
    people: Side
    before: Side
    seconds: float
    usual: bool
    judged: bool

    def towards(self, prefix: Prefix) -> "Filling":
        """The part that goes to a prefix."""
        return self.of(
            *(_to(prefix, side.packets) for side in (self.others, self.people, self.before))
        )

    def of(
        self, others: NDArray[np.bool_], people: NDArray[np.bool_], before: NDArray[np.bool_]
    ) -> "Filling":
        """The chosen packets of each side."""
        return Filling(
            self.others.of(others),
            self.people.of(people),
            self.before.of(before),
            self.seconds,
            self.usual,
            self.judged,
        )

    def without(self, matches: Sequence[Match]) -> "Filling":
        """The part that none of these matches takes."""
        sides = (self.others, self.people, self.before)
        return self.of(*(~takes_any(matches, side.packets) for side in sides))

    @property
    def attack(self) -> float:
        """The bits a second that belong to no known flow, and are more than earlier."""
        return max(self.others.total - self.before.total, 0.0)


def filling(seen: Seen, before: Before, interface: int) -> Filling:
    """What came through an interface (its number) in the time of these packets."""
    now = seen.packets[_through(seen.packets, interface)]
    accepted = now["reason"] == Reason.ACCEPTED
    known = (now["flow"] == FlowState.KNOWN) | accepted
    earlier = before.packets[_through(before.packets, interface)]
    earlier = earlier[earlier["flow"] != FlowState.KNOWN]
    all_of_now = _side(now, seen.seconds)
    return Filling(
        all_of_now.of(~known),
        all_of_now.of(known),
        _side(earlier, before.seconds),
        seen.seconds,
        before.seconds > 0,
        bool((now["flow"] != FlowState.NOT_ASKED).any()),
    )


def victims(found: Filling, own: Sequence[Prefix], bits_in: float) -> list[Prefix]:
    """The addresses of `own` that an attack makes fill a link, or a prefix if it hits many.

    The largest come first.
    """
    left, named = found, list[tuple[float, Prefix]]()
    while len(named) < _VICTIMS_MAX:
        best = max(_candidates(left, own), default=None)
        if best is None or best[0] < LEAST_SHARE * bits_in or len(left.others.packets) < _FEW:
            break
        prefix = best[1]
        named.append((left.towards(prefix).attack, prefix))
        left = left.of(
            *(~_to(prefix, side.packets) for side in (left.others, left.people, left.before))
        )
    return [prefix for _, prefix in sorted(named, key=lambda pair: -pair[0])]


def _candidates(found: Filling, own: Sequence[Prefix]) -> Iterator[tuple[float, Prefix]]:
    """Each prefix of `own` with an attack on it: narrowed to where most of that goes."""
    for prefix in own:
        inside = found.towards(prefix)
        if not inside.attack:
            continue
        narrow = prefix
        for name, lengths in (("destination_network", _NETWORKS), ("destination", None)):
            largest = _largest(inside, name)
            wide = lengths is not None and narrow.length >= lengths[narrow.family]
            if largest is None or wide:
                continue
            if inside.towards(largest).attack < _MUCH * inside.attack:
                break
            narrow = largest
            inside = inside.towards(narrow)
        yield inside.attack, narrow


def _largest(found: Filling, name: str) -> Prefix | None:
    """The address or network to which the largest part goes; None if nothing goes anywhere."""
    by = DIMENSIONS[name]
    values, masses = _sums(by.keys(found.others.packets), found.others.mass)
    earlier, before = _sums(by.keys(found.before.packets), found.before.mass)
    if not len(values):
        return None
    usual = dict(zip(earlier.tolist(), before.tolist(), strict=True))
    more = masses - np.array([usual.get(value, 0.0) for value in values.tolist()])
    components = by.components(values[int(np.argmax(more))].item())
    return components["destination"] if components else None  # type: ignore[return-value]


def _sums(keys: NDArray[Any], masses: NDArray[np.float64]) -> tuple[Any, NDArray[np.float64]]:
    values, places = np.unique(keys, return_inverse=True)
    return values, np.bincount(places, masses, len(values))


def _through(packets: PacketArray, interface: int) -> NDArray[np.bool_]:
    return np.asarray((packets["interface"] == interface) & (packets["family"] != 0))


def _to(prefix: Prefix, packets: PacketArray) -> NDArray[np.bool_]:
    return covers(prefix, packets["family"], packets["destination"])


def _side(packets: PacketArray, seconds: float) -> Side:
    bits = 8.0 * packets["weight"] * (packets["length"].astype(np.float64) + FRAME_BYTES)
    return Side(packets, bits / seconds if seconds else np.zeros(len(packets)))


NOTHING = filling(
    Seen(np.empty(0, PACKET), 0.0, 0.0, 0), Before(np.empty(0, PACKET), 0.0), 0
)  # if nothing is observed
