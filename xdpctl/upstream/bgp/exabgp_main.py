# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs ExaBGP with sockets of the class CS6, so that routers do not lose its messages first.

RFC 4271 appendix E and RFC 4594 section 3.2: routing protocols are of that class. ExaBGP has no
setting for it.
"""

import socket
import sys
from typing import Any

from exabgp.application.main import main
from exabgp.reactor.network import outgoing

_CS6 = 48 << 2  # the DSCP is in the upper six bits
_create = outgoing.create


def _marked(afi: Any, interface: Any = None) -> socket.socket:
    made: socket.socket = _create(afi, interface)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _CS6)
    else:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _CS6)
    return made


if __name__ == "__main__":
    outgoing.create = _marked
    sys.exit(main())
