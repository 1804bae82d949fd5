# SPDX-License-Identifier: GPL-2.0-or-later
"""Kinds of packets: the classes of the program, divided where one class has two uses. Pure."""

from enum import IntEnum


class Kind(IntEnum):
    """A kind of packets, of which each packet has one; its name is that of a setting."""

    SYN = 0
    SYN_ACK = 1
    RST = 2
    TCP = 3  # other TCP
    UDP_SERVICE = 4  # from a service's port, as an answer or an amplifier's
    UDP = 5
    ICMP = 6
    FRAGMENT = 7  # later ones: they have no ports
    QUIC_INITIAL = 8  # UDP to port 443, as long as a client's first packet has to be
    DNS_QUERY = 9  # UDP to port 53
    GRE = 10
    ESP = 11
    OTHER = 12

    @property
    def setting(self) -> str:
        """Its name in the configuration and in reports."""
        return self.name.lower()


FLOORS = {
    Kind.SYN: 1_000.0,
    Kind.SYN_ACK: 500.0,
    Kind.RST: 1_000.0,
    Kind.TCP: 20_000.0,
    Kind.UDP_SERVICE: 2_000.0,
    Kind.UDP: 5_000.0,
    Kind.ICMP: 500.0,
    Kind.FRAGMENT: 500.0,
    Kind.QUIC_INITIAL: 3_000.0,
    Kind.DNS_QUERY: 3_000.0,
    Kind.GRE: 1_000.0,
    Kind.ESP: 1_000.0,
    Kind.OTHER: 1_000.0,
}  # packets a second to one destination; fewer are never an attack
