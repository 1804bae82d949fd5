# SPDX-License-Identifier: GPL-2.0-or-later
"""The smallest set of FlowSpec matches that takes an attack on a link, and spares people. Pure.

Each is a box (`xdpctl/traffic/boxes.py`) in a form that routers take, with the sources where there
are few. It is made from bytes, because bytes fill a link.
"""

from collections.abc import Collection, Iterator

import numpy as np

from xdpctl.base.net.packet_fields import FIRST, LATER
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.match.match import Match, Value, join
from xdpctl.traffic.boxes import common, grow
from xdpctl.traffic.candidates import CHOICES
from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.packets import joined
from xdpctl.traffic.select import takes
from xdpctl.traffic.split import Side, Split
from xdpctl.upstream.costs import CLEAN
from xdpctl.upstream.filling import Filling
from xdpctl.upstream.forms import simple

ENOUGH = 0.9  # of an attack's bytes: a set of routes that takes as much is complete
LITTLE = 0.03  # of an attack's bytes: what takes less is not worth a route
_SHARED = 0.97  # of a box's bytes: a protocol that has as much narrows it
_PART = 0.2  # of an attack's bytes: a box of single values takes as much
_FEW = 8  # sampled packets
_SOURCES = 4  # so few sources always stand in the routes
_NARROWING = (
    *("protocol", "tcp_flags", "icmp_type", "icmp_code", "source_port", "destination_port"),
)


def smallest(found: Filling, victim: Prefix, components: Collection[str], most: int) -> list[Match]:
    """At most `most` matches of these components, those first that take most of the attack.

    Empty if nothing attacks the victim, or nothing separates that from people.
    """
    rest = found.towards(victim)
    whole, matches = rest.attack, list[Match]()
    while len(matches) < most and rest.attack > (1 - ENOUGH) * whole:
        made = [
            match
            for match in _next(rest, victim, components, most - len(matches))
            if _mass(match, rest.others) >= LITTLE * whole
        ]
        if not made:
            break
        matches += made
        rest = rest.without(made)
    return matches


def _next(rest: Filling, victim: Prefix, components: Collection[str], room: int) -> Iterator[Match]:
    """One box, or one match for each of the few sources in it."""
    box = _box(rest, victim, components)
    attack = rest.others if box is None else _of(box, rest.others)
    if len(attack.packets) < _FEW:
        return
    values = dict(box.components) if box else _protocol(attack, victim, components)
    clean = box is not None and _share(box, _normal(rest)) <= CLEAN
    sources = _sources(attack, _SOURCES if clean else room) if "source" in components else []
    if 0 < len(sources) <= room:
        plain = {name: value for name, value in values.items() if _single(value)}
        for source in sources:
            narrowed = [_match(parts | {"source": source}) for parts in (plain, values)]
            spares = (one for one in narrowed if one and _share(one, _normal(rest)) <= CLEAN)
            if best := next(spares, narrowed[-1]):
                yield best
    elif box is not None:
        yield box


def _box(rest: Filling, victim: Prefix, components: Collection[str]) -> Match | None:
    """A box towards the victim; None if nothing separates the attack from people.

    A few single values are preferred, because they also spare people who are not seen now. A
    protocol alone says little, so it only completes a box.
    """
    normal, whole = _normal(rest), rest.others.total or 1.0
    own = np.concatenate([np.zeros(len(rest.people.mass)), rest.before.mass / whole])
    split = Split(Side(rest.others.packets, rest.others.mass / whole), normal, own)
    left_out = () if _of_fragments(rest.others) else ("fragment",)  # DF alone tells little
    any_name = [name for name in CHOICES if name in components and name not in left_out]
    telling = [name for name in any_name if name != "protocol"]
    narrowing = [name for name in _NARROWING if name in components]

    def is_clean(left: Split) -> bool:
        return left is not split and left.normal.total <= CLEAN / 2

    for ranges, names in ((False, telling), (True, any_name)):
        box = grow(split, {"destination": victim}, is_clean, ranges, narrowing, names)
        made = _routable(box, rest, normal, components) if box else None
        if made is None:
            continue
        if ranges or (
            made.narrowing - {"destination", "protocol"}
            and _mass(made, rest.others) >= _PART * rest.others.total
            and _share(made, normal) <= CLEAN
        ):
            return made
    return None


def _of_fragments(attack: Side) -> bool:
    """Whether much of an attack are fragments."""
    fragments = attack.packets["fragment"] & (LATER | FIRST) != 0
    known = fragments & (attack.packets["fragment"] >= 0)
    return float(attack.mass[known].sum()) >= _PART * attack.total


def _routable(box: Match, rest: Filling, normal: Side, components: Collection[str]) -> Match | None:
    """The box in forms that routers take; None if only its destination is left."""
    victim, inside = box.get("destination"), _of(box, rest.others)
    given = _protocol(inside, victim, components)
    alike = _of(_match(given) or box, normal)
    values = given | dict(box.components)
    simpler = {name: simple(name, value, inside, alike) for name, value in values.items()}
    made = _match({name: value for name, value in simpler.items() if value is not None})
    return made if made and made.narrowing - {"destination"} else None


def _single(value: Value) -> bool:
    """Whether a value is one number, one prefix, or bits: besides a source, more means little."""
    return not isinstance(value, tuple) or isinstance(value, Prefix) or len(value) == 1


def _protocol(inside: Side, victim: Prefix, components: Collection[str]) -> dict[str, Value]:
    """The victim, and the protocol if nearly all of the attack has one."""
    given: dict[str, Value] = {"destination": victim}
    names = [name for name in ("protocol",) if name in components]
    return given | common(inside, given, _SHARED, names)


def _normal(found: Filling) -> Side:
    """The normal traffic, as shares: what known flows send and what came earlier count alike."""
    sides = (found.people, found.before)
    parts = sum(side.total > 0 for side in sides) or 1
    mass = [side.mass / (side.total or 1.0) / parts for side in sides]
    return Side(joined(side.packets for side in sides), np.concatenate(mass))


def _sources(attack: Side, most: int) -> list[Prefix]:
    """The sources that send nearly all of an attack, or their networks; empty if more than that."""
    for name in ("source", "source_network"):
        by = DIMENSIONS[name]
        values, places = np.unique(by.keys(attack.packets), return_inverse=True)
        masses = np.bincount(places, attack.mass, len(values))
        order = np.argsort(-masses)[:most]
        needed = int(np.searchsorted(np.cumsum(masses[order]), ENOUGH * attack.total)) + 1
        if needed <= len(order):
            found = [by.components(values[place].item()) for place in order[:needed]]
            return [one["source"] for one in found if one]  # type: ignore[misc]
    return []


def _share(match: Match, side: Side) -> float:
    """The share of a side's mass that a match takes."""
    return _mass(match, side) / side.total if side.total else 0.0


def _mass(match: Match, side: Side) -> float:
    return float(side.mass[takes(match, side.packets)].sum())


def _of(match: Match, side: Side) -> Side:
    return side.of(takes(match, side.packets))


def _match(values: dict[str, Value]) -> Match | None:
    """The match of these components; None if no packet can have them all."""
    try:
        return join(values)
    except RuleError:  # a hostile sender's heads may have such values
        return None
