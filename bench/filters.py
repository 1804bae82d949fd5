# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs under test: xdpctl's filter with real maps and rules, and xdp-filter."""

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.errors import BenchError
from bench.sources import family_of, packed, texts
from xdpctl.abi.constants import Action, Mode, SlotNumber
from xdpctl.base.net.prefix_arrays import FAMILIES, V4, Keys
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.bpffs import ensure
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.image import Image, Listing, Plan, own_slot
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.interface import AttachedInterface
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import replace_set, transition
from xdpctl.lab.namespaces import Host

XDP_DROP, XDP_PASS = 1, 2
XDP_FILTER_MAX = 10_000
_SLOT = SlotNumber.FIRST - 1  # a set that drops
_TTL_NS = 86_400 * 10**9
_PEER_PINS = Path("/sys/fs/bpf/xdp-filter")
_BATCH = 4096


@contextmanager
def own_pins() -> Iterator[Pins]:
    """A temporary bpffs, which is unmounted afterwards with all its pins."""
    with TemporaryDirectory(prefix="xdpctl-bench-") as directory:
        pins = Pins(Path(directory) / "bpf")
        try:
            yield pins
        finally:
            take_down(pins)


@contextmanager
def loaded(
    compiled: Compiled, outside: bool = False
) -> Iterator[tuple[AttachedInterface, PinnedDatapath]]:
    """Load a separate filter; with `outside`, the program for an outside interface.

    Afterwards its pins are removed and the maps' descriptors closed. The descriptors of the program
    and of its stages stay open and keep the maps alive.
    """
    with own_pins() as pins, closing(Loader(pins, compiled)) as loader:
        port = loader.add_port("bench", outside)
        with closing(PinnedDatapath(pins)) as datapath:
            yield port, datapath
        del loader.ports[port.name]


def ours(compiled: Compiled, listed: Keys, rules: Keys | None = None, outside: bool = False) -> int:
    """The program of a separate filter: a set drops `listed`, and rules with a ttl drop `rules`.

    The entries are written by real plans through the real datapath.
    """
    with loaded(compiled, outside) as (port, datapath):
        image = Image(datapath.capacity)
        for plan in _plans(image, listed, V4.empty if rules is None else rules):
            datapath.apply(plan)
            image.commit(plan)
    return port.program_fd


def _plans(image: Image, listed: Keys, rules: Keys) -> Iterator[Plan]:
    now = time.monotonic_ns()
    if len(listed):
        keys = {n: listed if f is family_of(listed) else f.empty for n, f in FAMILIES.items()}
        keys = {number: np.sort(of_family) for number, of_family in keys.items()}
        yield replace_set(image, _SLOT, Listing(own_slot(Action.DROP, Mode.ENFORCE, 0).value, keys))
    target = own_slot(Action.DROP, Mode.ENFORCE, now + _TTL_NS)
    yield transition(image, dict.fromkeys(family_of(rules).prefixes(rules), target), now)


class XdpFilter:
    """xdp-filter's program and its table of addresses, which its interfaces share."""

    def __init__(self, program_fd: int, table: maps.Map) -> None:
        self.program_fd = program_fd
        self._table = table
        self._listed: list[bytes] = []
        self._value = b""

    def learn(self, address: bytes) -> None:
        """Learn the map value that the command line wrote for its only address."""
        self._value = self._table.get(address) or b""
        self._listed = [address]

    def list(self, addresses: Keys) -> None:
        """List exactly these addresses, with the map value that the command line writes."""
        whole = packed(addresses)
        wanted = [whole[at : at + 4] for at in range(0, len(whole), 4)]
        current = set(self._listed)
        gone, new = current.difference(wanted), [a for a in wanted if a not in current]
        self._table.delete_many(b"".join(gone), len(gone)) if gone else None
        for at in range(0, len(new), _BATCH):
            part = new[at : at + _BATCH]
            if self._table.put_many(b"".join(part), self._value * len(part), len(part)) < len(part):
                raise BenchError("the addresses did not fit into xdp-filter's table")
        self._listed = wanted


@contextmanager
def xdp_filter(host: Host, device: str, first: Keys) -> Iterator[XdpFilter]:
    """xdp-filter on `device` with its default features and one address; LabError without it."""
    if _PEER_PINS.exists():
        raise BenchError(f"xdp-filter is already in use on this machine ({_PEER_PINS} exists)")
    ensure(_PEER_PINS.parent)  # its tools expect pins there; systemd mounts a bpffs there
    host.sh("xdp-filter", "load", "-m", "native", device)
    try:
        host.sh("xdp-filter", "ip", "-m", "src", *texts(first))
        # it is listed by its own name, whether libxdp's dispatcher is attached or not
        status = host.sh("xdp-loader", "status", device)
        program = re.search(r"xdpfilt_\w+\s+(?:\w+\s+)?(\d+)\s+[0-9a-f]{16}", status)
        if program is None:
            raise BenchError(f"xdp-filter's program is not on {device}:\n{status}")
        fd = maps.open_pin(_PEER_PINS / "filter_ipv4")
        # maps.Map knows the value size of per-CPU arrays; that of a per-CPU hash is the same
        shape = replace(maps.map_shape(fd), type=maps.PERCPU_ARRAY)
        peer = XdpFilter(programs.open_by_id(int(program[1])), maps.Map(fd, "filter_ipv4", shape))
        peer.learn(packed(first))
        yield peer
    finally:
        host.sh("xdp-filter", "unload", device)


def check(fd: int, frame: bytes, verdict: int, what: str, times: int = 1) -> None:
    """BenchError unless the program returns `verdict` every time."""
    for _ in range(times):
        value = programs.run(fd, frame).value
        if value != verdict:
            raise BenchError(f"{what}: the program returned {value}, not {verdict}")
