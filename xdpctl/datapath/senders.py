# SPDX-License-Identifier: GPL-2.0-or-later
"""Who inside sends to the prefixes of out sets, and who forges sources.

As bpf/outgoing.bpf.h and bpf/validate.bpf.h count it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from xdpctl.abi.arrays import SENDER, SENDER_KEY
from xdpctl.base.net.prefix import Prefix, text_of

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


@dataclass(frozen=True, slots=True)
class Forger:
    """Packets with forged sources that frames of one MAC address brought, so far.

    `mac` is that of the host, or of the router before it; "" where frames have none. The last one
    was sent at `last_ns` (CLOCK_MONOTONIC), and had this source.
    """

    mac: str
    source: Prefix
    packets: int
    bytes: int
    last_ns: int

    def __str__(self) -> str:
        who = f"MAC {self.mac}" if self.mac else "a host inside"
        return f"{who} sends with sources that are not yours, last with {text_of(self.source)}"


Items = Iterable[tuple[bytes, bytes]]


def read(items: Items) -> Iterator[Sender]:
    """The senders from the keys and values of the map; those it forgets first may be missing."""
    for key, value in _records(items):
        size = 4 if key["family"] == 4 else 16
        yield Sender(
            slot=int(key["slot"]),
            address=Prefix(key["address"].tobytes()[:size], 8 * size),
            packets=int(value["packets"]),
            bytes=int(value["bytes"]),
            last_ns=int(value["last_ns"]),
            destination=_address(key, value),
            mac=_mac(value),
        )


def read_forgers(items: Items) -> Iterator[Forger]:
    """Who forges sources, by family, from the keys and values of the other map."""
    for key, value in _records(items):
        yield Forger(
            mac=_mac(value),
            source=_address(key, value),
            packets=int(value["packets"]),
            bytes=int(value["bytes"]),
            last_ns=int(value["last_ns"]),
        )


def _records(items: Items) -> Iterator[tuple[np.void, np.void]]:
    for key, value in items:
        yield np.frombuffer(key, SENDER_KEY)[0], np.frombuffer(value, SENDER)[0]


def _address(key: np.void, value: np.void) -> Prefix:
    size = 4 if key["family"] == 4 else 16
    return Prefix(value["destination"].tobytes()[:size], 8 * size)


def _mac(value: np.void) -> str:
    mac = value["mac"].tobytes()
    return mac.hex(":") if any(mac) else ""
