# SPDX-License-Identifier: GPL-2.0-or-later
"""How services inside serve, as bpf/served.bpf.h counts it: connections, answers, and waits."""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xdpctl.abi.arrays import CONTROL, SERVED
from xdpctl.abi.sizes import WAIT_LOG2, WAITS
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.errors import DatapathError

_MASK = (1 << 64) - 1
_TAG_BITS = 32


class Service(NamedTuple):
    """An address inside (a prefix of one address), a protocol, and a port."""

    host: Prefix
    protocol: int
    port: int


@dataclass(frozen=True, slots=True)
class Counts:
    """A service's accepted TCP connections, or UDP answers, so far; they may restart at 0.

    `syn_acks` counts the waits of clients for the SYN-ACK, and `data` those from the end of the
    handshake to the first data, both by class (see `wait_bound`). Only a sample of the waits is
    measured.
    """

    count: int = 0
    syn_acks: Sequence[int] = (0,) * WAITS
    data: Sequence[int] = (0,) * WAITS


CountsOf = Callable[[Service], Counts]


def wait_bound(number: int) -> float:
    """The longest wait of a class, in seconds; the last class also has all longer ones."""
    return float(1 << WAIT_LOG2 + 2 * number) / 1e9


class PinnedServed:
    """The pinned map `served` as of now; DatapathError if it cannot be opened.

    Nothing is counted where no interface is outside.
    """

    def __init__(self, pins: Pins) -> None:
        try:
            with (
                closing(maps.open_map(pins.map("controls"))) as controls,
                closing(maps.open_map(pins.map("served"))) as cells,
            ):
                control = np.frombuffer(controls.memory(), CONTROL)[0]
                self._cells = np.frombuffer(cells.memory(), SERVED)
        except OSError as error:
            raise DatapathError(
                f"the counts of services cannot be read: {error.strerror}"
            ) from error
        self._seeds = [int(seed) for seed in control["seeds"]]
        self._hashes: dict[Service, int] = {}

    def of(self, service: Service) -> Counts:
        """The counts of a service; zeros if none are held."""
        hashed = self._hashes.get(service)
        if hashed is None:
            hashed = self._hashes[service] = _flow_hash(self._seeds, service)
        cell = self._cells[hashed & (len(self._cells) - 1)]
        if cell["tag"] != hashed >> _TAG_BITS | 1:
            return Counts()
        return Counts(int(cell["count"]), cell["syn_acks"].tolist(), cell["data"].tolist())

    def count(self, service: Service) -> int:
        """A service's connections, or answers, so far.

        Consecutive packets over UDP to one client count as one answer.
        """
        return self.of(service).count


def _flow_hash(seeds: list[int], service: Service) -> int:
    """flow_hash() of bpf/flows.bpf.h, for a service, without an outside end."""
    inside = service.host.address
    words = [int.from_bytes(inside[at : at + 4], sys.byteorder) for at in range(0, len(inside), 4)]
    x = (words[0] << 32) * seeds[0] & _MASK
    for word, seed in zip(words[1:], (seeds[1], seeds[2], seeds[0]), strict=False):
        x = ((x ^ x >> 32) + (word << 32)) * seed & _MASK
    ports = int.from_bytes(service.port.to_bytes(2, "big"), sys.byteorder) << 16
    x = ((x ^ x >> 32) + (ports << 16 | service.protocol)) * seeds[1] & _MASK
    x = (x ^ x >> 29) * seeds[2] & _MASK
    return x ^ x >> 32
