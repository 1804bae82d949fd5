# SPDX-License-Identifier: GPL-2.0-or-later
"""Who inside sends to the prefixes of out sets, as bpf/outgoing.bpf.h counts it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from xdpctl.abi.arrays import SENDER, SENDER_KEY
from xdpctl.base.net.prefix import Prefix

SLOT_AT = 20  # offset of the slot in the key


@dataclass(frozen=True, slots=True)
class Sender:
    """An address inside, and the packets that met the set with this slot, so far.

    The last one was sent at `last_ns` (CLOCK_MONOTONIC), to `destination`. `mac` is where its frame
    came from inside: the sender, or the router before it; "" where frames have no such address.
    """

    slot: int
    address: Prefix
    packets: int
    bytes: int
    last_ns: int
    destination: Prefix
    mac: str


def read(items: Iterable[tuple[bytes, bytes]]) -> Iterator[Sender]:
    """The senders from the keys and values of the map; those it forgets first may be missing."""
    for key_bytes, value_bytes in items:
        key = np.frombuffer(key_bytes, SENDER_KEY)[0]
        value = np.frombuffer(value_bytes, SENDER)[0]
        size = 4 if key["family"] == 4 else 16
        mac = value["mac"].tobytes()
        yield Sender(
            slot=int(key["slot"]),
            address=Prefix(key["address"].tobytes()[:size], 8 * size),
            packets=int(value["packets"]),
            bytes=int(value["bytes"]),
            last_ns=int(value["last_ns"]),
            destination=Prefix(value["destination"].tobytes()[:size], 8 * size),
            mac=mac.hex(":") if any(mac) else "",
        )
