# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets that one core can drop: a flood over veth pairs, sent and dropped on one CPU."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import sources
from bench.cases import EXACT, PREFIXES
from bench.core import flood, frames_received
from bench.errors import BenchError
from bench.filters import XDP_FILTER_MAX, ours, xdp_filter
from bench.peers import nft
from bench.report.results import Bar, Case, Results
from xdpctl.base.net.prefix_arrays import Keys
from xdpctl.datapath.loader import netlink
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.errors import XdpctlError
from xdpctl.lab.flood import Generator, interface, udp_frame
from xdpctl.lab.namespaces import Host, Lab

PART = "veth"
BARE = "bare XDP_DROP"
_LEAKED_MOST = 0.0005  # share of the packets; the lab's hosts send some packets themselves
_WARM_UP = 50_000
_SOME = 1_000


@dataclass(frozen=True, slots=True)
class Lane:
    """A veth pair whose far end drops every packet from the sources in `listed`."""

    case: Case
    near: str
    far: str
    listed: bytes


class Street:
    """Two hosts with a veth pair for each case, so that cases can be measured in turn."""

    def __init__(self, lab: Lab, results: Results, generator: Generator) -> None:
        self.sender, self.receiver = lab.host("sender"), lab.host("receiver")
        self.lanes: list[Lane] = []
        self._lab, self._results, self._generator = lab, results, generator
        self._cpu = max(os.sched_getaffinity(0))

    def pair(self) -> tuple[str, str]:
        """Create the pair for the next lane; the names of its near and its far end."""
        near, far = f"out{len(self.lanes)}", f"in{len(self.lanes)}"
        self._lab.cable(self.sender, near, self.receiver, far)
        return near, far

    def lane(self, name: str, prefixes: Keys, guard: Callable[[str], object]) -> Case:
        """Add a case that floods from all these prefixes; `guard` sets up the drop."""
        near, far = self.pair()
        guard(far)
        case = self._results.declare(Case(PART, name, "Mpps", BARE))
        walked = sources.packed(sources.listed(prefixes, len(prefixes)))
        self.lanes.append(Lane(case, near, far, walked))
        return case

    def attached(self, program_fd: int) -> Callable[[str], None]:
        """A guard that attaches a program in native mode."""
        return lambda device: self.receiver.call(lambda: attach(device, program_fd))

    def filled(self, prefixes: Keys, interval: bool) -> Callable[[str], float]:
        """A guard that loads an nft set at the ingress hook."""
        elements = sources.texts(prefixes)
        return lambda device: nft.load(self.receiver, device, elements, interval)

    def take(self, lane: Lane, packets: int) -> None:
        """Flood one lane, and record the million packets dropped per second of CPU time."""
        index, _ = interface(self.sender, lane.near)
        _, mac = interface(self.receiver, lane.far)
        self._generator.aim(udp_frame(mac, "192.0.2.1", 53), lane.listed, index)
        self.sender.call(lambda: flood(self._generator, _WARM_UP, self._cpu))
        before, passed_before = frames_received(self.receiver, lane.far), _passed(self.receiver)
        seconds = self.sender.call(lambda: flood(self._generator, packets, self._cpu))
        arrived = frames_received(self.receiver, lane.far) - before
        passed = _passed(self.receiver) - passed_before
        if arrived < packets / 2 or passed > packets * _LEAKED_MOST:
            raise BenchError(
                f"{lane.case.name}: of {packets} packets sent, {arrived} arrived and {passed} "
                "passed"
            )
        lane.case.rounds.append(arrived / seconds / 1e6)


def attach(device: str, program_fd: int) -> None:
    """Attach a program in native mode, in the calling thread's namespace."""
    link = next(link for link in netlink.links() if link.name == device)
    netlink.attach(link, program_fd, "native")


def _passed(host: Host) -> int:
    """The number of packets that reached the IP layer (InReceives, RFC 4293)."""
    text = host.call(lambda: Path("/proc/thread-self/net/snmp").read_text())
    names, values = (line.split() for line in text.splitlines() if line.startswith("Ip:"))
    return int(values[names.index("InReceives")])


def _build(street: Street, compiled: Compiled, bare_fd: int, stack: ExitStack) -> None:
    street.lane(BARE, sources.exact(EXACT[-1]), street.attached(bare_fd))
    for kind, counts, make in (
        ("address", EXACT, sources.exact),
        ("prefix", PREFIXES, sources.mixed),
    ):
        for count in counts:
            listed = make(count)
            fd = ours(compiled, listed)
            stack.callback(os.close, fd)
            street.lane(f"xdpctl, {sources.label(count, kind)}", listed, street.attached(fd))
        some = listed[:: len(listed) // _SOME]  # of every length
        what = f"xdpctl, {sources.label(counts[-1], kind)}, from {_SOME:,} of them"
        street.lane(what, some, street.attached(fd))
    for count in EXACT[1:]:
        listed = sources.exact(count)
        street.lane(f"nft, set of {count:,} addresses", listed, street.filled(listed, False))
    for count in PREFIXES:
        listed = sources.mixed(count)
        name = f"nft, interval set of {count:,} prefixes"
        street.lane(name, listed, street.filled(listed, True))


def _peer(street: Street, results: Results, stack: ExitStack) -> None:
    """Add xdp-filter with its largest number of addresses."""
    listed = sources.exact(XDP_FILTER_MAX)

    def guard(device: str) -> None:
        peer = stack.enter_context(xdp_filter(street.receiver, device, listed[:1]))
        peer.list(listed)

    try:
        street.lane("xdp-filter, 10,000 addresses", listed, guard)
    except XdpctlError as error:
        results.notes.append(f"no xdp-filter: {error}")


def _set_bars(results: Results) -> None:
    peers = {
        "xdpctl, 10,000 addresses": "xdp-filter, 10,000 addresses",
        "xdpctl, 100,000 addresses": "nft, set of 100,000 addresses",
        "xdpctl, 10,000 prefixes": "nft, interval set of 10,000 prefixes",
    }
    for name, peer in peers.items():
        results.cases[PART, name].bars = (Bar(case=peer, at_least=True),)
    for name, mpps in (("xdpctl, 1,000,000 addresses", 2.4), ("xdpctl, 100,000 prefixes", 4.0)):
        results.cases[PART, name].bars = (Bar(mpps, at_least=True),)


def measure(
    results: Results, compiled: Compiled, generator: Generator, rounds: int, packets: int
) -> None:
    """Measure every lane, including the bare drop, in every round."""
    with Lab("bench") as lab, ExitStack() as stack:
        street = Street(lab, results, generator)
        _build(street, compiled, generator.bare_fd, stack)
        _peer(street, results, stack)
        _set_bars(results)
        for _ in range(rounds):
            for lane in street.lanes:
                street.take(lane, packets)
