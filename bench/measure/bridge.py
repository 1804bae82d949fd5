# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets that one core forwards through a bridge, with and without a filter on its outer card.

They are sent, bridged and received on the same CPU; the filter drops none of them.
"""

import os
from contextlib import ExitStack
from typing import NamedTuple

from bench import sources
from bench.core import flood, frames_received
from bench.errors import BenchError
from bench.filters import ours
from bench.measure.veth import attach
from bench.report.results import Bar, Case, Results
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.lab.flood import Generator, interface, udp_frame
from xdpctl.lab.namespaces import Lab

PART = "bridge"
BARE = "a bridge without a filter"
_LISTED, _SENDERS, _WARM_UP = 10_000, 1_000, 20_000


class _Lane(NamedTuple):
    case: Case
    near: str
    far: str


def measure(
    results: Results, compiled: Compiled, generator: Generator, rounds: int, packets: int
) -> None:
    """Measure both bridges in turn; the ratio is computed for each round."""
    cpu = max(os.sched_getaffinity(0))
    listed = sources.exact(_LISTED + _SENDERS)
    senders = sources.packed(listed[_LISTED:])
    share = results.declare(
        Case(PART, "of it, with xdpctl on the outer card", "%", bars=(Bar(95, at_least=True),))
    )
    with Lab("bench") as lab, ExitStack() as stack:
        sender, box, server = (lab.host(name) for name in ("sender", "box", "server"))
        filtered = ours(compiled, listed[:_LISTED])
        stack.callback(os.close, filtered)

        def lane(number: int, name: str, program: int | None) -> _Lane:
            outer, inner, bridge = f"outer{number}", f"inner{number}", f"br{number}"
            lab.cable(sender, f"near{number}", box, outer)
            lab.cable(box, inner, server, f"far{number}")
            box.ip(f"link add {bridge} up type bridge stp_state 0")
            for card in (outer, inner):
                box.ip(f"link set {card} master {bridge}")
                box.sh("ethtool", "-K", card, "gro", "on")  # needed to receive XDP frames
            server.call(lambda: attach(f"far{number}", generator.bare_fd))
            if program is not None:
                box.call(lambda: attach(outer, program))
            case = results.declare(Case(PART, name, "Mpps", BARE))
            return _Lane(case, f"near{number}", f"far{number}")

        def take(lane: _Lane) -> float:
            """Million packets per second of the CPU's time."""
            index, _ = interface(sender, lane.near)
            _, mac = interface(server, lane.far)
            generator.aim(udp_frame(mac, "192.0.2.1", 53), senders, index)
            sender.call(lambda: flood(generator, _WARM_UP, cpu))
            before = frames_received(server, lane.far)
            seconds = sender.call(lambda: flood(generator, packets, cpu))
            arrived = frames_received(server, lane.far) - before
            if arrived < packets / 2:
                raise BenchError(
                    f"{lane.case.name}: only {arrived} of {packets} packets sent arrived"
                )
            lane.case.rounds.append(arrived / seconds / 1e6)
            return lane.case.rounds[-1]

        bare = lane(0, BARE, None)
        ours_too = lane(1, "with xdpctl, 10,000 addresses", filtered)
        for _ in range(rounds):
            share.rounds.append(100 / take(bare) * take(ours_too))
