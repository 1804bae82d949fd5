# SPDX-License-Identifier: GPL-2.0-or-later
"""The enums and constants of bpf/abi.h.

tests/unit/abi/test_structs.py compares every value with the host's C compiler.
"""

from enum import IntEnum
from typing import Literal


class Action(IntEnum):
    """What a slot does with a packet; LIMIT drops packets beyond a rule's rate."""

    NONE = 0
    ACCEPT = 1
    DROP = 2
    LIMIT = 3
    CHALLENGE = 4
    COOKIES = 5
    CHALLENGE_UDP = 6
    OUT = 7


class Spare(IntEnum):
    """Which packets pass although a slot would drop them."""

    NONE = 0
    ESTABLISHED = 1
    KNOWN = 2
    TRIAL = 3


class Mode(IntEnum):
    """Whether a slot acts on a packet, or only counts it."""

    ENFORCE = 0
    MONITOR = 1


class Reason(IntEnum):
    """Why a packet was passed or dropped; DROPPED and all later members are drops."""

    NONE = 0
    NO_RULE = 1
    ACCEPTED = 2
    PROTECTED = 3
    LINK = 4
    NEIGHBOUR = 5
    NEVER_ROUTED = 6
    DHCP = 7
    CONTROL = 8
    BYPASS = 9
    FAULT = 10
    ESTABLISHED = 11
    KNOWN = 12
    TRIAL = 13
    DROPPED = 14
    MATCHED = 15
    LIMITED = 16
    TRUNCATED = 17
    MALFORMED = 18
    VLAN_DEPTH = 19
    EXTENSION_DEPTH = 20
    TINY_FRAGMENT = 21
    SPOOFED = 22
    CHALLENGED = 23
    ANSWERED = 24

    @property
    def verdict(self) -> Literal["drop", "pass"]:
        """The packet's verdict: `drop` or `pass`."""
        return "drop" if self >= Reason.DROPPED else "pass"


KEPT_OUT = (Reason.DROPPED, Reason.MATCHED, Reason.LIMITED, Reason.CHALLENGED)  # by a rule
BY_A_RULE = (Reason.ACCEPTED, Reason.ESTABLISHED, Reason.KNOWN, Reason.TRIAL, *KEPT_OUT)


class Side(IntEnum):
    """On which side of an outside interface a source is, if that is known."""

    UNKNOWN = 0
    INSIDE = 1
    OUTSIDE = 2
    MEMBER = 3
    IN_USE = 4  # packets come in for it, so it is inside, too, though nobody said so


class Constants(IntEnum):
    """Limits that the program was compiled with, by their names in bpf/abi.h."""

    VLAN_DEPTH_MAX = 4
    EXTENSION_DEPTH_MAX = 8
    EXPLANATION_SLOTS_MAX = 16
    SETS_MAX = 64
    SEARCH4_MAX = 112
    SEARCH6_MAX = 195
    SIGNATURES_MAX = 1024
    SIGNATURE_STEPS_MAX = 64


class SlotNumber(IntEnum):
    """Slots with a fixed meaning.

    Accepting sets take slots from SETS upwards, dropping sets from FIRST - 1 downwards.
    """

    NONE = 0
    PROTECTED = 1
    NEIGHBOUR = 2
    SIGNATURES = 3
    SETS = SIGNATURES + Constants.SIGNATURES_MAX
    FIRST = SETS + Constants.SETS_MAX


class Word(IntEnum):
    """Masks of the low bits of a slot's 64-bit word."""

    ACTION = 7
    MONITOR = 8
    SPARE = 16
    KNOWS = 32
    TRIAL = 64
    FLAGS = 127


class Value(IntEnum):
    """A table entry's value is a slot number, or with the LIST bit a node number."""

    LIST = 1 << 25


class Field(IntEnum):
    """The fields that matches name; an address is split into 16-bit words, highest first."""

    PROTOCOL = 0
    SOURCE_PORT = 1
    DESTINATION_PORT = 2
    ICMP_TYPE = 3
    ICMP_CODE = 4
    TCP_FLAGS = 5
    PACKET_LENGTH = 6
    DSCP = 7
    FRAGMENT = 8
    FLOW_LABEL = 9
    TTL = 10
    VLAN = 11
    SOURCE = 16
    DESTINATION = 24


class Traffic(IntEnum):
    """The kind of a packet. Each packet has exactly one; attacks and floors are given by kind."""

    SYN = 0
    SYN_ACK = 1
    RST = 2
    TCP = 3  # other TCP
    UDP_SERVICE = 4  # from a service's port: an answer, or an amplifier's packet
    UDP = 5
    ICMP = 6
    FRAGMENT = 7  # later fragments, which have no ports
    QUIC_INITIAL = 8  # UDP to port 443, at least as long as a client's first packet must be
    DNS_QUERY = 9  # UDP to port 53
    GRE = 10
    ESP = 11
    OTHER = 12

    @property
    def setting(self) -> str:
        """The kind's name in the configuration, in reports and in series."""
        return self.name.lower()


# The kinds that only come as answers.
ANSWERS = frozenset((Traffic.UDP_SERVICE, Traffic.SYN_ACK, Traffic.RST))


class Stage(IntEnum):
    """The programs that the first one tail-calls."""

    NEXT = 0  # another tool's program; the first, since other versions look for it there
    SIGNATURES = 1
    CONNECTION = 2
    OBSERVE = 3
    MONITOR = 4
    ANSWER = 5
    QUIC = 6


class OutClass(IntEnum):
    """Whether a packet that goes out begins a flow that is not known."""

    GOES_ON = 0
    BEGINS = 1


class Leaving(IntEnum):
    """The programs that the one at TC egress tail-calls."""

    LOOK_UP = 0
    TELL = 1
    LET_OUT = 2
    OBSERVE = 3
    POLICE = 4
    VALIDATE = 5


class Validation(IntEnum):
    """What is done about sources of packets that go out which cannot be inside (RFC 2827)."""

    NOT = 0
    MONITOR = 1
    ENFORCE = 2


class Police(IntEnum):
    """Which packets of its protocol a policer meets."""

    ALL = 0
    SYN = 1  # those that ask for a TCP connection
    UNKNOWN = 2  # those that begin a flow, or belong to one that is not known


class ModuleVerdict(IntEnum):
    """What a module says of a packet."""

    PASS = 1
    DROP = 2
    CHALLENGE = 3


class MemoryNumber(IntEnum):
    """The memories, which are pairs of Bloom filters."""

    FLOWS = 0
    ANSWERED = 1
    FRAGMENTS = 2


class FlowState(IntEnum):
    """What the flow memory says of a packet."""

    NOT_ASKED = 0
    UNKNOWN = 1
    KNOWN = 2
    SHAKEN = 3  # the packet acknowledges a SYN-ACK of the inside, so its flow is known from now on


class Chosen(IntEnum):
    """Why a flow passes a rule that is on trial."""

    NOT = 0
    BY_SHARE = 1
    AGAIN = 2


class Filled(IntEnum):
    """Whether the maps have all rules, so that they may take the place of an earlier filter's.

    UNCHECKED: they will be, even if a sample of packets is decided differently.
    """

    NOT = 0
    ALL = 1
    UNCHECKED = 2


class Asking(IntEnum):
    """Whether packets of an interface are looked up in the flow memory."""

    ASKS_NOT = 0
    ASKS = 1
    ASKS_NOT_ASYMMETRIC = 2
