# SPDX-License-Identifier: GPL-2.0-or-later
"""UDP services that answer anybody: one list for the program and for what judges packets. Pure.

A packet that comes from such a port is an answer, or an amplifier's. A packet that goes out from
such a port proves nothing, since anybody can cause it with a forged request.
"""

from typing import NamedTuple

from xdpctl.model.match.ranges import Ranges

DNS, HTTPS = 53, 443
# RFC 9000 section 14.1: 1,200 bytes of QUIC, behind UDP and the shortest IP header
QUIC_INITIAL_LEAST = 1228
# Valve, Server queries: a packet of no connection, as of other games; then a byte says which it is
GAME_START = b"\xff\xff\xff\xff"
DNS_QUERY_LEAST = 40  # RFC 1035 section 4.1.1: a header, behind UDP and the shortest IP header
SERVICES_BELOW = 1024  # all ports below are those of services
CLIENTS_FROM = 32768  # the source ports of Linux clients begin here


class UdpService(NamedTuple):
    """A UDP service. `amplifies`: its answers are larger than the requests.

    `short`: its answers are short, so many bytes from it are no download.

    `asked`: hosts use it across the Internet. Answers of a service that is not `asked` are always
    an attack.
    """

    port: int
    name: str
    amplifies: bool = True
    asked: bool = True
    short: bool = False


KNOWN = (
    UdpService(17, "QOTD", asked=False),
    UdpService(19, "chargen", asked=False),
    UdpService(53, "DNS", short=True),
    UdpService(69, "TFTP", asked=False),
    UdpService(111, "portmapper", asked=False),
    UdpService(123, "NTP", short=True),
    UdpService(137, "NetBIOS name service", asked=False),
    UdpService(161, "SNMP", short=True),
    UdpService(389, "CLDAP", asked=False),
    UdpService(427, "SLP", short=True),
    UdpService(500, "IKE"),
    UdpService(520, "RIP"),
    UdpService(1194, "OpenVPN", amplifies=False),
    UdpService(1434, "SQL Server Browser", asked=False),
    UdpService(1900, "SSDP", asked=False),
    UdpService(3283, "Apple Remote Desktop", asked=False),
    UdpService(3389, "Remote Desktop"),
    UdpService(3478, "STUN"),
    UdpService(3702, "WS-Discovery", asked=False),
    UdpService(4500, "IKE and ESP in UDP"),
    UdpService(5060, "SIP", amplifies=False),
    UdpService(5353, "mDNS", asked=False),
    UdpService(5683, "CoAP", short=True),
    UdpService(10001, "Ubiquiti discovery", asked=False),
    UdpService(11211, "memcached", asked=False),
    UdpService(27015, "Source engine", short=True),
    UdpService(37810, "DHCPDiscover of recorders", asked=False),
    UdpService(47808, "BACnet"),
)
# a port that clients use, too, is listed only if nobody uses its service
LISTED = tuple(
    sorted(
        service.port
        for service in KNOWN
        if service.port >= SERVICES_BELOW and (service.port < CLIENTS_FROM or not service.asked)
    )
)
SERVICES: Ranges = ((0, SERVICES_BELOW - 1), *((port, port) for port in LISTED))
AMPLIFIERS = frozenset(service.port for service in KNOWN if service.amplifies)
NEVER_ASKED = frozenset(service.port for service in KNOWN if not service.asked)
SHORT = frozenset(service.port for service in KNOWN if service.short)


def is_never_asked(port: int) -> bool:
    """Whether nobody uses the service of a port across the Internet, and no client the port."""
    return port in NEVER_ASKED and port < CLIENTS_FROM
