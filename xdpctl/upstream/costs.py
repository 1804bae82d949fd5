# SPDX-License-Identifier: GPL-2.0-or-later
"""What routes take of an attack, and of people: measured from the packets that fill a link. Pure.

Known flows are known here only. So a provider hits those that match, although they pass here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.units import si3
from xdpctl.model.match.match import Match, matching
from xdpctl.traffic.select import takes_any
from xdpctl.traffic.split import Side
from xdpctl.traffic.top import effective, most
from xdpctl.upstream.filling import Filling

_LEAST = 20  # packets of people: fewer allow no conclusion
_HIT, _HITS = 0.05, 3  # of a service's bytes: such services are named, so many at most
_SURE = 0.05  # of people's bytes, with 95 % confidence: a route that may take more is not sure
CLEAN = 0.01  # of people's bytes: a route that takes less spares them
_FREQUENT = 0.01  # of people's bytes: a service that has less is not named


@dataclass(frozen=True, slots=True)
class Cost:
    """What routes take of what goes to a victim; rates are bits a second on the wire.

    `attack` is taken of `of`. `people` is the share of what known flows send, with 95 % confidence
    not more than `at_most`; None if it was not measured, from `packets` in `seconds`. `hit` has the
    services that lose most, with the share that each loses.
    """

    attack: float
    of: float
    people: float | None
    at_most: float
    packets: int
    seconds: float
    hit: tuple[tuple[str, float], ...] = ()

    @property
    def share(self) -> float:
        """The share of the attack that is taken."""
        return min(1.0, self.attack / self.of) if self.of else 0.0

    def __str__(self) -> str:
        taken = f"takes {si3(self.attack)} of {si3(self.of)}bit/s of the attack"
        if not self.of:
            taken = "takes nothing of an attack now"
        if self.people is None:
            return f"{taken}; whom else it hits was not measured"
        looked = f"{self.packets:,} packets in {self.seconds:.0f} s"
        text = (
            f"{taken}, and {percent(self.people)} (at most {percent(self.at_most)}) of what known "
            f"flows send, which pass here ({looked})"
        )
        named = ", ".join(f"{percent(share)} of {service}" for service, share in self.hit)
        return f"{text}; it hits {named}" if named else text


def weigh(found: Filling, victim: Prefix, matches: Sequence[Match]) -> Cost:
    """What these matches take together of what goes to a victim."""
    inside = found.towards(victim)
    people = inside.people
    hit = takes_any(matches, people.packets)
    measured = inside.judged and len(people.packets) >= _LEAST and people.total > 0
    share = float(people.mass[hit].sum()) / people.total if measured else None
    return Cost(
        attack=float(inside.others.mass[takes_any(matches, inside.others.packets)].sum()),
        of=inside.others.total,
        people=share,
        at_most=1.0 if share is None else most(share, effective(people.mass)),
        packets=len(people.packets),
        seconds=inside.seconds,
        hit=_services(people, hit) if measured else (),
    )


def _services(people: Side, hit: NDArray[np.bool_]) -> tuple[tuple[str, float], ...]:
    """The services that lose a noticeable part of their bytes, the largest part first."""
    ports = np.maximum(people.packets["destination_port"].astype(np.int64), 0)
    keys = people.packets["protocol"].astype(np.int64) << 16 | ports
    values, places = np.unique(keys, return_inverse=True)
    whole = np.bincount(places, people.mass, len(values))
    lost = np.bincount(places, people.mass * hit, len(values)) / np.maximum(whole, 1e-9)
    order = [
        place
        for place in np.argsort(-lost).tolist()
        if lost[place] >= _HIT and whole[place] >= _FREQUENT * people.total
    ]
    return tuple((_service(int(values[place])), float(lost[place])) for place in order[:_HITS])


def _service(key: int) -> str:
    """A service as the text of a match."""
    protocol, port = key >> 16, key & 65535
    ports = (("destination_port", ((port, port),)),) if port else ()
    return str(matching((("protocol", ((protocol, protocol),)), *ports)))


def percent(share: float) -> str:
    """A share for people; a very small one is not shown as none."""
    if not share:
        return "0%"
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


def spares(cost: Cost) -> bool:
    """Whether it was measured that a route spares people."""
    return cost.people is not None and cost.people <= CLEAN


def hits_nobody(cost: Cost) -> bool:
    """Whether not one packet of people was among so many that it takes a few percent at most."""
    return cost.people == 0 and cost.at_most <= _SURE
