# SPDX-License-Identifier: GPL-2.0-or-later
"""The components of a match: FlowSpec's (RFC 8955 section 4.2.2, RFC 8956), and four more."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from xdpctl.base.net.packets import PROTOCOLS


class Kind(Enum):
    """The kind of a component's value, which decides how its text is parsed."""

    PREFIX = "prefix"
    NUMBER = "number"
    BITS = "bits"
    PAYLOAD = "payload"
    MODULE = "module"


@dataclass(frozen=True, slots=True)
class Component:
    """A component. `type` is FlowSpec's number, by which matches are ordered; `most` the maximum.

    `words` are its names in the short text; the first one is used for output. `names` are the names
    of its values or bits.
    """

    name: str
    type: int
    kind: Kind
    words: tuple[str, ...]
    most: int = 0
    names: Mapping[str, int] = field(default_factory=dict)

    @property
    def of_flowspec(self) -> bool:
        """Whether FlowSpec has this component."""
        return self.type < _OURS


_OURS = 250  # types from this number on
TCP_FLAGS = {
    name: 1 << bit
    for bit, name in enumerate(("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ae"))
}
FRAGMENT = {"dont": 1, "later": 2, "first": 4, "last": 8}
_LISTED = (
    Component("destination", 1, Kind.PREFIX, ("dst", "to")),
    Component("source", 2, Kind.PREFIX, ("src", "from")),
    Component("protocol", 3, Kind.NUMBER, ("proto",), 255, PROTOCOLS),
    Component("port", 4, Kind.NUMBER, ("port",), 65535),
    Component("destination_port", 5, Kind.NUMBER, ("dst-port", "dport"), 65535),
    Component("source_port", 6, Kind.NUMBER, ("src-port", "sport"), 65535),
    Component("icmp_type", 7, Kind.NUMBER, ("icmp-type",), 255),
    Component("icmp_code", 8, Kind.NUMBER, ("icmp-code",), 255),
    Component("tcp_flags", 9, Kind.BITS, ("flags", "tcp-flags"), 4095, TCP_FLAGS),
    Component("packet_length", 10, Kind.NUMBER, ("length",), 65535),
    Component("dscp", 11, Kind.NUMBER, ("dscp",), 63),
    Component("fragment", 12, Kind.BITS, ("fragment",), 15, FRAGMENT),
    Component("flow_label", 13, Kind.NUMBER, ("flow-label",), (1 << 20) - 1),
    Component("ttl", _OURS, Kind.NUMBER, ("ttl", "hop-limit"), 255),
    Component("vlan", _OURS + 1, Kind.NUMBER, ("vlan",), 4095),
    Component("payload", _OURS + 2, Kind.PAYLOAD, ("payload",)),
    Component("module", _OURS + 3, Kind.MODULE, ("module",)),
)
TCP, UDP, ICMP, ICMPV6 = (PROTOCOLS[name] for name in ("tcp", "udp", "icmp", "icmpv6"))
NEEDS = {  # the protocols whose header has the field of a component
    "port": {TCP, UDP},
    "source_port": {TCP, UDP},
    "destination_port": {TCP, UDP},
    "tcp_flags": {TCP},
    "icmp_type": {ICMP, ICMPV6},
    "icmp_code": {ICMP, ICMPV6},
    "payload": {TCP, UDP},
}
COMPONENTS = {component.name: component for component in _LISTED}
BY_WORD = {
    word: component
    for component in _LISTED
    for word in (*component.words, component.name, component.name.replace("_", "-"))
}
