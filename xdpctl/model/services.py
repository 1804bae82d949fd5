# SPDX-License-Identifier: GPL-2.0-or-later
"""UDP services that answer whoever asks: the one list, for the program and for what judges packets.

What comes from such a port is an answer or an amplifier's, and what goes out of it proves nothing:
anybody can cause it with a forged packet. Pure.
"""

from typing import NamedTuple

from xdpctl.model.match.ranges import Ranges

DNS, HTTPS = 53, 443
# RFC 9000 section 14.1: 1,200 bytes of QUIC, behind UDP and the shortest IP header
QUIC_INITIAL_LEAST = 1228
SERVICES_BELOW = 1024  # all ports below are those of services
_CLIENTS_FROM = 32768  # of Linux: what asks others has a port from here on


class Service(NamedTuple):
    """A UDP service. `amplifies`: its answers are larger than the requests.

    `asked`: hosts do ask it across the Internet; what comes from others is always an attack.
    """

    port: int
    name: str
    amplifies: bool = True
    asked: bool = True


KNOWN = (
    Service(17, "QOTD", asked=False),
    Service(19, "chargen", asked=False),
    Service(53, "DNS"),
    Service(69, "TFTP", asked=False),
    Service(111, "portmapper", asked=False),
    Service(123, "NTP"),
    Service(137, "NetBIOS name service", asked=False),
    Service(161, "SNMP"),
    Service(389, "CLDAP", asked=False),
    Service(427, "SLP"),
    Service(500, "IKE"),
    Service(520, "RIP"),
    Service(1194, "OpenVPN", amplifies=False),
    Service(1434, "SQL Server Browser", asked=False),
    Service(1900, "SSDP", asked=False),
    Service(3283, "Apple Remote Desktop", asked=False),
    Service(3389, "Remote Desktop"),
    Service(3478, "STUN"),
    Service(3702, "WS-Discovery", asked=False),
    Service(4500, "IKE and ESP in UDP"),
    Service(5060, "SIP", amplifies=False),
    Service(5353, "mDNS", asked=False),
    Service(5683, "CoAP"),
    Service(10001, "Ubiquiti discovery", asked=False),
    Service(11211, "memcached", asked=False),
    Service(27015, "Source engine"),
    Service(37810, "DHCPDiscover of recorders", asked=False),
    Service(47808, "BACnet"),
)
LISTED = tuple(
    sorted(
        each.port
        for each in KNOWN
        if each.port >= SERVICES_BELOW and (each.port < _CLIENTS_FROM or not each.asked)
    )
)  # of a port that clients have, too, only what nobody asks for
SERVICES: Ranges = ((0, SERVICES_BELOW - 1), *((port, port) for port in LISTED))
AMPLIFIERS = frozenset(each.port for each in KNOWN if each.amplifies)
NEVER_ASKED = frozenset(each.port for each in KNOWN if not each.asked)
