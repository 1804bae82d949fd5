# SPDX-License-Identifier: GPL-2.0-or-later
"""Which hosts inside attack others, judged by what goes out and by what comes back. Pure.

Rates are packets a second. A packet that goes out may still be divided into several by the card, so
its rate is a lower bound.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import ANSWERS, FlowState, Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.flood.attack import Attack, Does
from xdpctl.flood.grouped import Group, groups
from xdpctl.flood.sampled import (
    HEADS,
    ByHost,
    as_words,
    have,
    is_less,
    octets_of,
    widened,
    with_several_macs,
)
from xdpctl.flood.settings import FLOORS
from xdpctl.model.match.arrays import within
from xdpctl.model.match.components import ICMP, ICMPV6, UDP
from xdpctl.model.services import SERVICES, SHORT, is_never_asked
from xdpctl.traffic.packets import PacketArray, destination, joined
from xdpctl.traffic.window import Seen

_SECONDS_LEAST = 8.0  # of both directions
_ONE_WAY = 0.002  # packets that come back for each that goes out, of a flood at most
_FORGED = 32  # addresses that are not in use, and send to one destination
_SCANS, _MANY = 10.0, 50  # packets a second to so many addresses, or ports of one, are a scan
_GOES_ON = 0.5  # further packets for each SYN, of a scan at most: a connection has two or more
_ANSWERED = 0.2  # answers for each question, of a scan at most
_REFLECTED = 100.0  # answers a second of a service that nobody asks across the Internet
_AMPLIFIED = 10.0  # times the bytes of the questions
_CARPETS = ({4: 24, 6: 48}, {4: 0, 6: 0})  # bits by family: who floods many, each with little
_CARPET = 8  # addresses at least
_ANSWERS = ANSWERS | {Traffic.ICMP, Traffic.FRAGMENT}  # what an outsider may cause
_ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}  # the types of a request and its answer


def attacks(out: Seen, came: Sequence[Seen]) -> list[Attack]:
    """What hosts inside do to others, the highest rate first.

    `out` has what went out, `came` what came in meanwhile, in parts of some seconds. Nothing is
    said of a family of which no packet of a known flow came in one of them: its link was down, or
    answers take another way.
    """
    came_seconds = sum(part.seconds for part in came)
    if min(out.seconds, came_seconds) < _SECONDS_LEAST:
        return []
    serving = [family for family in (4, 6) if all(_is_known(part, family) for part in came)]
    packets = out.packets[np.isin(out.packets["family"], serving)]
    packets = packets[~_is_for_many(packets)]
    judged = _Judged(packets, joined(part.packets for part in came), out.seconds, came_seconds)
    every = [*judged.floods(), *judged.forged(), *judged.scans(), *judged.reflections()]
    for bits in _CARPETS:
        told = {(attack.who, attack.kind) for attack in every}
        wide = judged.by_network(bits)
        found = [*wide.floods(), *wide.forged()]
        every += [attack for attack in found if (attack.who, attack.kind) not in told]
    return sorted(every, key=lambda attack: -attack.rate)


def _is_known(part: Seen, family: int) -> bool:
    known = (part.packets["flow"] == FlowState.KNOWN) & (part.packets["family"] == family)
    return bool(known.any())


def _is_for_many(packets: PacketArray) -> NDArray[np.bool_]:
    """Whether the destination is multicast or broadcast, so that nobody answers."""
    first = np.ascontiguousarray(packets["destination"]).view(np.uint8).reshape(-1, 16)[:, 0]
    return np.asarray(np.where(packets["family"] == 4, first >= 224, first == 255))


class _Judged:
    """Packets that went out and came in, with the seconds of each.

    With `bits` by family, outside addresses are judged by their networks of so many bits.

    What an outsider causes by forged packets, such as SYN-ACKs and answers, is not a flood: these
    packets came in from the same address.
    """

    def __init__(
        self,
        out: PacketArray,
        came: PacketArray,
        seconds: float,
        came_seconds: float,
        bits: Mapping[int, int] | None = None,
    ) -> None:
        self._to_hosts, self._bits = out["destination"], bits
        if bits:
            out, came = widened(out, "destination", bits), widened(came, "source", bits)
        self._out, self._came = out, came
        self._seconds, self._came_seconds = seconds, came_seconds
        self._by_ours = ByHost(came, "destination")
        self._in_use = np.unique(came["destination"][came["flow"] == FlowState.KNOWN])
        self._certain = np.setdiff1d(self._in_use, with_several_macs(out))
        # no SYN, SYN-ACK or RST
        self._goes_on = ByHost(out[out["traffic"] == Traffic.TCP], "source")

    def by_network(self, bits: Mapping[int, int]) -> "_Judged":
        """The same by networks outside, without the packets of hosts that send too few to flood."""
        hosts, places = np.unique(self._out["source"], return_inverse=True)
        places = places.reshape(-1)
        loud = np.bincount(places, self._out["weight"]) >= min(FLOORS.values()) * self._seconds
        out = self._out[(loud | ~np.isin(hosts, self._in_use))[places]]
        came = self._came if len(out) >= HEADS else self._came[:0]
        return _Judged(out, came, self._seconds, self._came_seconds, bits)

    def _few_came(self, most: float, **columns: Any) -> bool:
        """Whether less than `most` packets a second came in that have these values, for sure."""
        weights = self._came["weight"]
        return is_less(self._by_ours, weights, most * self._came_seconds, columns)

    def _few_go_on(self, syns: float, **columns: Any) -> bool:
        """Whether connections that begin with so many SYNs a second do not go on, for sure."""
        weights = self._out["weight"][self._out["flow"] != FlowState.UNKNOWN]
        return is_less(self._goes_on, weights, _GOES_ON * syns * self._seconds, columns)

    def _few_come_back(self, group: Group, **columns: Any) -> bool:
        return self._few_came(_ONE_WAY * group.rate, **columns)

    def floods(self) -> Iterator[Attack]:
        """Hosts that send much to one, or a network, that sends nearly nothing back."""
        for group in self._groups(self._out, ("source", "destination", "traffic")):
            ours, to = group.first["source"], group.first["destination"]
            if group.rate < FLOORS[group.kind]:
                continue
            # a flooded server answers SYNs, and a host may answer from another of its addresses
            if group.kind is Traffic.SYN:
                one_way = self._few_go_on(group.rate, source=ours, destination=to)
            elif group.kind in _ANSWERS:
                one_way = self._few_come_back(group, source=to)
            else:
                one_way = self._few_come_back(group, source=to, destination=ours)
            seen = len(np.unique(self._to_hosts[group.rows])) if self._bits else 0
            if one_way and not 0 < seen < _CARPET:
                port = self._common_port(group) if group.kind is Traffic.SYN else None
                yield group.attack(Does.FLOODS, destination=self._to(group), port=port, seen=seen)

    def _to(self, group: Group) -> Prefix | None:
        """The host that all packets go to, or its network; None if that is any."""
        host = destination(group.first)
        bits = self._bits[host.family] if self._bits else host.length
        return Prefix(host.address, bits) if bits else None

    def _common_port(self, group: Group) -> int | None:
        """The destination port that all packets have."""
        ports = np.unique(self._out["destination_port"][group.rows])
        return int(ports[0]) if len(ports) == 1 else None

    def forged(self) -> Iterator[Attack]:
        """Hosts that send much to one from many addresses, to which nothing comes in."""
        unused = self._out[~np.isin(self._out["source"], self._in_use)]
        for group in self._groups(unused, ("destination", "traffic")):
            distinct = len(np.unique(unused["source"][group.rows]))
            if group.rate < FLOORS[group.kind] or distinct < _FORGED:
                continue
            to = group.first["destination"]
            if group.kind is Traffic.SYN:
                one_way = self._few_go_on(group.rate, destination=to)
            else:
                one_way = self._few_come_back(group, source=to)
            if one_way:
                attack = group.attack(Does.FLOODS, destination=self._to(group), seen=distinct)
                macs = len(np.unique(as_words(unused["mac"][group.rows])))
                yield replace(attack, source=None, mac=attack.mac if macs == 1 else "")

    def scans(self) -> Iterator[Attack]:
        """Hosts that try many addresses on one port, or many ports of one."""
        syns = self._out[self._out["traffic"] == Traffic.SYN]
        for group, port, seen in self._spread(syns, "destination_port"):
            if self._few_go_on(group.rate, source=group.first["source"], destination_port=port):
                yield group.attack(Does.SCANS, port=port, seen=seen)
        begins = self._out[self._out["flow"] == FlowState.UNKNOWN]
        udp = begins[begins["protocol"] == UDP]
        udp = udp[~within(SERVICES, udp["source_port"])]
        for group, port, seen in self._spread(udp, "destination_port"):
            answers = {"protocol": UDP, "source_port": port}
            if self._are_unanswered(group, **answers):
                yield group.attack(Does.SCANS, port=port, seen=seen)
        for protocol, (request, reply) in _ECHO.items():
            asked = begins[(begins["protocol"] == protocol) & (begins["icmp_type"] == request)]
            for group, _, seen in self._spread(asked, "protocol"):
                if self._are_unanswered(group, protocol=protocol, icmp_type=reply):
                    yield group.attack(Does.SCANS, seen=seen)
        for group in self._groups(syns, ("source", "destination")):
            ports = len(np.unique(syns["destination_port"][group.rows]))
            ours, to = group.first["source"], group.first["destination"]
            if group.rate < _SCANS or ports < _MANY:
                continue
            if self._few_go_on(group.rate, source=ours, destination=to):
                yield group.attack(
                    Does.TRIES_PORTS, destination=destination(group.first), seen=ports
                )

    def _are_unanswered(self, group: Group, **answers: Any) -> bool:
        most = _ANSWERED * group.rate
        return self._few_came(most, destination=group.first["source"], **answers)

    def _spread(self, packets: PacketArray, common: str) -> Iterator[tuple[Group, int, int]]:
        """Packets of one host to many addresses, with the value that they have in common."""
        for group in self._groups(packets, ("source", common)):
            if group.rate < _SCANS:
                continue
            distinct = len(np.unique(packets["destination"][group.rows]))
            if distinct >= _MANY and int(group.first[common]) >= 0:  # not seen: behind many headers
                yield group, int(group.first[common]), distinct

    def reflections(self) -> Iterator[Attack]:
        """Hosts whose services answer forged requests."""
        answers = self._out[self._out["traffic"] == Traffic.UDP_SERVICE]
        answers = answers[~within(SERVICES, answers["destination_port"])]
        for group in self._groups(answers, ("source", "source_port")):
            port = int(group.first["source_port"])
            if is_never_asked(port) and group.rate >= _REFLECTED:
                yield from self._reflection(answers, group)
        for group in self._groups(answers, ("source", "destination", "source_port")):
            least = FLOORS[Traffic.UDP_SERVICE]
            if int(group.first["source_port"]) in SHORT and group.rate >= least:
                yield from self._reflection(answers, group)

    def _reflection(self, answers: PacketArray, group: Group) -> Iterator[Attack]:
        packets, port = answers[group.rows], int(group.first["source_port"])
        hosts, places = np.unique(packets["destination"], return_inverse=True)
        columns = {
            "protocol": UDP,
            "destination": group.first["source"],
            "destination_port": port,
        }
        packets_in = self._by_ours.of(columns)
        chosen = packets_in[have(packets_in, columns)]
        asked = octets_of(chosen[np.isin(chosen["source"], hosts)]) / self._came_seconds
        if octets_of(packets) / self._seconds >= _AMPLIFIED * asked > 0:
            most = np.bincount(places, packets["weight"]).argmax()
            to = destination(packets[places == most][0])
            yield group.attack(Does.REFLECTS, destination=to, port=port, seen=len(hosts))

    def _groups(self, packets: PacketArray, columns: Sequence[str]) -> Iterator[Group]:
        return groups(packets, columns, self._seconds, self._certain)
