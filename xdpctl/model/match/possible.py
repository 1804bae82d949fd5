# SPDX-License-Identifier: GPL-2.0-or-later
"""Refuses a match that no packet can have, since its rule would hit nothing. Pure."""

from collections.abc import Mapping, Set
from typing import Any, cast

from xdpctl.base.net.packet_fields import EXTENSIONS, IP_HEADER, TCP_HEADER, UDP_HEADER
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.model.match import bits
from xdpctl.model.match.components import FRAGMENT, ICMP, ICMPV6, NEEDS, TCP, UDP
from xdpctl.model.match.ranges import Ranges

_OF_FAMILY = {ICMP: 4, ICMPV6: 6}
_PROTOCOLS_BY = frozenset((*NEEDS, "protocol"))  # components that say which protocols there are
_OF_FAMILIES = {
    family: frozenset(n for n in range(256) if _OF_FAMILY.get(n, family) == family or not family)
    for family in (None, 4, 6)
}
_READ = {TCP: 14, UDP: 4, ICMP: 4, ICMPV6: 4}  # bytes up to the last field that is matched
_BEFORE_PAYLOAD = {TCP: TCP_HEADER, UDP: UDP_HEADER}
_DONT, _LATER, _FIRST, _LAST = (FRAGMENT[name] for name in ("dont", "later", "first", "last"))
# whole, first, in the middle, last; IPv4 with and without DF
_FRAGMENTS = {
    6: (0, _FIRST, _LATER, _LATER | _LAST),
    4: tuple(kind | dont for kind in (0, _FIRST, _LATER, _LATER | _LAST) for dont in (0, _DONT)),
}


def check(components: Mapping[str, Any]) -> None:
    """RuleError, which names a component to change, if no packet has all of these components."""
    family = _family(components)
    protocols = _protocols(components, family)
    _check_fragments(components, family)
    _check_length(components, family, protocols)


def _family(components: Mapping[str, Any]) -> int | None:
    families = {
        name: value.family for name, value in components.items() if isinstance(value, Prefix)
    } | ({"flow_label": 6} if "flow_label" in components else {})
    if len(set(families.values())) > 1:
        listed = ", ".join(f"{name} is IPv{family}" for name, family in families.items())
        first = next(iter(families))
        fix = "use one address family"
        raise RuleError(f"no packet has both: {listed}", f"match.{first}", fix)
    return next(iter(families.values()), None)


def _protocols(components: Mapping[str, Any], family: int | None) -> Set[int]:
    """The protocols that these components allow."""
    if components.keys().isdisjoint(_PROTOCOLS_BY):
        return _OF_FAMILIES[family]
    ranges = cast(Ranges, components.get("protocol", ((0, 255),)))
    protocols = {n for low, high in ranges for n in range(low, high + 1)}
    for name in NEEDS:
        if name in components:
            protocols &= NEEDS[name]
        if not protocols:
            fix = "leave the protocol out, or write one that has it"
            if "protocol" not in components:
                fix = "leave one of the components out"
            raise RuleError(f"no packet of this protocol has a {name}", f"match.{name}", fix)
    of_family = protocols & _OF_FAMILIES[family]
    if not of_family:
        wanted = "icmp" if family == 4 else "icmpv6"
        raise RuleError(f"IPv{family} carries {wanted}", "match.protocol", f"write {wanted}")
    if family == 6 and not of_family - EXTENSIONS:
        fix = "write the protocol behind the extension headers, such as udp"
        what = "these are IPv6 extension headers, and the protocol is the one behind them"
        raise RuleError(what, "match.protocol", fix)
    return of_family


def _check_fragments(components: Mapping[str, Any], family: int | None) -> None:
    fragment = components.get("fragment")
    if fragment is None:
        return
    # without a family, IPv4 has all that IPv6 has
    kinds = [kind for kind in _FRAGMENTS[family or 4] if bits.holds(fragment, kind)]
    if not kinds:
        fix = "a packet is whole, or a first, later, or later and last fragment; IPv6 has no dont"
        raise RuleError("no packet is such a fragment", "match.fragment", fix)
    headed = next((name for name in NEEDS if name in components), None)
    if headed and all(kind & _LATER for kind in kinds):
        fix = "leave it out; a later fragment is matched by addresses, protocol and length"
        raise RuleError(f"a later fragment has no {headed}", f"match.{headed}", fix)


def _check_length(components: Mapping[str, Any], family: int | None, protocols: Set[int]) -> None:
    lengths = components.get("packet_length")
    if not lengths:
        return
    least = IP_HEADER[family or (6 if protocols <= {ICMPV6} else 4)]
    if "payload" in components:
        least += min(_BEFORE_PAYLOAD[protocol] for protocol in protocols)
        least += max(window.end for window in components["payload"])
    elif not components.keys().isdisjoint(NEEDS):
        least += min(_READ[protocol] for protocol in protocols)
    if lengths[-1][1] < least:
        fix = f"give {least} or more; it is the length of the IP packet with its header"
        raise RuleError("no IP packet with this match is that short", "match.packet_length", fix)
