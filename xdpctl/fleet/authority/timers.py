# SPDX-License-Identifier: GPL-2.0-or-later
"""etcd's timers, which follow the round-trip times between its members.

A leader says every heartbeat that it is alive, and after ten without one the others elect anew.
etcd's documentation asks for a heartbeat of about the longest round trip.
"""

import socket
import time
from collections.abc import Iterable
from contextlib import suppress

from xdpctl.fleet.settings import PEERS

_HEARTBEATS = (100, 300, 600, 1_200)  # milliseconds; few, so that a member hardly ever changes
_MARGIN = 1.1  # heartbeats in a round trip, at least
_TRIES, _SECONDS = 5, 3.0
ELECTION = 10  # heartbeats


def heartbeat(round_trip: float, now: int = _HEARTBEATS[0]) -> int:
    """Milliseconds between heartbeats for a round trip in seconds; `now` is what they are.

    They get shorter only if even twice the round trip allows it.
    """
    needed = _fitting(round_trip)
    return needed if needed > now else min(now, _fitting(2 * round_trip))


def _fitting(round_trip: float) -> int:
    least = round_trip * 1000 * _MARGIN
    return next((each for each in _HEARTBEATS if each >= least), _HEARTBEATS[-1])


def round_trips(addresses: Iterable[str]) -> dict[str, float]:
    """The round trips to members in seconds, by address; those that do not answer are left out."""
    found = {address: _shortest(address) for address in addresses}
    return {address: seconds for address, seconds in found.items() if seconds is not None}


def _shortest(address: str) -> float | None:
    """The shortest of some round trips to a member, by the handshake of TCP."""
    found = []
    for _ in range(_TRIES):
        began = time.monotonic()
        with suppress(OSError), socket.create_connection((address, PEERS), _SECONDS):
            found.append(time.monotonic() - began)
    return min(found, default=None)
