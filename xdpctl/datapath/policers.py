# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of what single hosts inside send, as bpf/police.bpf.h keeps to them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xdpctl.abi.arrays import POLICED_HOST, POLICER
from xdpctl.abi.constants import Police
from xdpctl.abi.sizes import POLICERS
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import DatapathError

_SECOND = 1_000_000_000
_GOLDEN = 0x9E3779B1  # the multiplier of may_be_policed() in bpf/police.bpf.h


@dataclass(frozen=True, slots=True)
class Policer:
    """At most `pps` of these packets a second may go out, until `until_ns` (CLOCK_MONOTONIC).

    With `destination` None they may go anywhere; a port of 0 is any, and so is an empty `mac`.
    `dropped` is how many were beyond the rate so far.
    """

    protocol: int
    pps: int
    until_ns: int
    destination: Prefix | None = None
    source_port: int = 0
    destination_port: int = 0
    only: Police = Police.ALL
    mac: bytes = b""
    dropped: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        """Which packets it is about: two policers of a host that have this are the same limit."""
        ports = self.source_port, self.destination_port
        return self.protocol, self.destination, ports, self.only


class Policers(Protocol):
    """The policers of each host inside; each operation raises DatapathError."""

    def read(self) -> Mapping[Prefix, Sequence[Policer]]:
        """The policers by address, those that have ended among them."""
        ...

    def put(self, host: Prefix, policers: Sequence[Policer]) -> None:
        """Set all policers of a host, POLICERS at most; none removes it from the map.

        Counts are those given; each bucket begins empty.
        """
        ...

    def refresh(self) -> None:
        """Have the program ask for all hosts that are there. An earlier filter may share them."""
        ...


class _Map(Protocol):
    def items(self) -> Iterable[tuple[bytes, bytes]]: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> bool: ...


class PinnedPolicers:
    """The policers in the map; `control` says of whose packets the program asks it."""

    def __init__(self, control: Any, policed: _Map) -> None:
        self._control, self._map = control, policed

    def read(self) -> dict[Prefix, list[Policer]]:
        with _refusals():
            return dict(_read(key, value) for key, value in self._map.items())

    def put(self, host: Prefix, policers: Sequence[Policer]) -> None:
        key = _key(host)
        with _refusals():
            if policers:
                # the word first: if this process dies in between, it has a bit too many
                self._control["policing"] |= policing([key])
                self._map.put(key, _value(policers))
            else:
                self._map.delete(key)
        self.refresh()

    def refresh(self) -> None:
        with _refusals():
            self._control["policing"] = policing(key for key, _ in self._map.items())


def policing(keys: Iterable[bytes]) -> int:
    """The word by which the program leaves other hosts alone."""
    word = 0
    for key in keys:
        folded = int(np.bitwise_xor.reduce(np.frombuffer(key[:16], np.uint32)))
        word |= 1 << ((folded * _GOLDEN & 0xFFFFFFFF) >> 26)
    return word


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatapathError(
            f"the kernel refused an operation on limits of hosts inside: {error.strerror}"
        ) from error


def _key(host: Prefix) -> bytes:
    key = np.zeros(1, POLICED_HOST)
    key["address"] = np.frombuffer(host.address.ljust(16, b"\0"), np.uint8)
    key["family"] = host.family
    return key.tobytes()


def _read(key: bytes, value: bytes) -> tuple[Prefix, list[Policer]]:
    host = np.frombuffer(key, POLICED_HOST)[0]
    family = int(host["family"])
    records = np.frombuffer(value, POLICER)
    policers = [_policer(record, family) for record in records if record["until_ns"]]
    return _address(host["address"].tobytes(), family), policers


def _address(padded: bytes, family: int) -> Prefix:
    size = 4 if family == 4 else 16
    return Prefix(padded[:size], 8 * size)


def _value(policers: Sequence[Policer]) -> bytes:
    records = np.zeros(POLICERS, POLICER)
    for record, policer in zip(records[: len(policers)], policers, strict=True):
        to = policer.destination.address if policer.destination else b""
        cost = _SECOND // policer.pps
        record["destination"] = np.frombuffer(to.ljust(16, b"\0"), np.uint8)
        record["cost"], record["burst_ns"] = cost, _SECOND - cost  # a burst is one second's packets
        record["pps"] = policer.pps
        record["until_ns"], record["dropped"] = policer.until_ns, policer.dropped
        record["source_port"] = policer.source_port
        record["destination_port"] = policer.destination_port
        record["mac"] = np.frombuffer(policer.mac.ljust(6, b"\0"), np.uint8)
        record["protocol"], record["only"] = policer.protocol, policer.only
    return records.tobytes()


def _policer(record: Any, family: int) -> Policer:
    to, mac = record["destination"].tobytes(), record["mac"].tobytes()
    return Policer(
        protocol=int(record["protocol"]),
        pps=int(record["pps"]),
        until_ns=int(record["until_ns"]),
        destination=_address(to, family) if any(to) else None,
        source_port=int(record["source_port"]),
        destination_port=int(record["destination_port"]),
        only=Police(int(record["only"])),
        mac=mac if any(mac) else b"",
        dropped=int(record["dropped"]),
    )
