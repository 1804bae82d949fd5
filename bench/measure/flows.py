# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost per packet of the flow memory and of challenges."""

import os
import struct
import time
from collections.abc import Iterator
from contextlib import closing

from bench import sources
from bench.cases import WALKED, Run, frame_from
from bench.filters import XDP_DROP, XDP_PASS, own_pins
from bench.measure.packet import take_all
from bench.measure.signatures import PART
from bench.report.results import Bar, Case, Results
from xdpctl.abi.constants import SlotNumber
from xdpctl.control.match_sync import word_of
from xdpctl.control.wire import action_of
from xdpctl.datapath.bpf import programs
from xdpctl.datapath.loader.filter_program import compile_filter, compile_teacher
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.matches.compile import compile_tables
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.lab.flood import Generator, syn_frame, udp_frame
from xdpctl.model.capacity import Capacity, FlowSettings
from xdpctl.model.effect import CHALLENGES, Action, Spare
from xdpctl.model.match.match import Match, build
from xdpctl.model.rule import Rule

XDP_TX = 3
_FLOWS = FlowSettings(new_per_source=0)
_KNOWN = 100_000  # flows that are known, for a walk
_ASKED, _ASKED_FLOOD, _TAUGHT = 20, 40, 15  # bars: ns
_CONNECTIONS, _CONNECTIONS_WALK = "a drop that spares connections", "the same, walk"
_SYN = syn_frame("020000000001", "192.0.2.1", 80)
_ALL, _QUERIES = build({"ttl": ">=0"}), build({"protocol": "udp", "destination_port": "53"})
_NAME = b"\3www\6school\7example\0\0\1\0\1"
_MESSAGE = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + _NAME
_QUERY = udp_frame("020000000001", "192.0.2.1", 53, len(_MESSAGE))[: -len(_MESSAGE)] + _MESSAGE
_FRAME = frame_from(bytes((198, 51, 100, 7)))


class _Filter:
    """A filter of an outside interface with one signature on everything, and its teacher."""

    def __init__(self, action: Action, spare: Spare, match: Match = _ALL) -> None:
        compiled = compile_filter(Capacity(2_000, 4_096, 4_096), flows=_FLOWS)
        teach = compile_teacher(_FLOWS)
        with own_pins() as pins, closing(Loader(pins, compiled, -1, teach, _FLOWS)) as loader:
            port = loader.add_port("bench", True)
            with closing(PinnedDatapath(pins)) as datapath:
                slot = SlotNumber.SIGNATURES
                signature = Rule(match=match, slot=slot, action=action, spare=spare)
                datapath.source.words[slot] = int.from_bytes(word_of(signature), "little")
                datapath.matches.install(compile_tables([(match, slot)]))
                datapath.matches.challenge([action_of(signature)] * (action in CHALLENGES))
            teacher = loader.programs.teacher()
            assert teacher is not None
            self.program_fd, self.teach_fd = (
                port.program_fd,
                os.dup(teacher),
            )
            del loader.ports[port.name]

    def teach(self, walked: bytes) -> None:
        """Send out packets to these sources, so that their flows are known."""
        runner = programs.Runner(self.teach_fd)
        for at in range(0, len(walked), 4):
            frame = bytearray(_FRAME)
            frame[26:30], frame[30:34] = _FRAME[30:34], walked[at : at + 4]
            frame[34:38] = _FRAME[36:38] + _FRAME[34:36]
            frame[34:36] = (4000).to_bytes(2)  # what a client sends
            runner.run(bytes(frame))


def runs() -> Iterator[Run]:
    """Measure the look-up of a flow for a packet that would be dropped, and a challenge."""
    walked = sources.packed(sources.exact(WALKED))
    fixed = Case(PART, _CONNECTIONS, "ns")
    walk = Case(PART, _CONNECTIONS_WALK, "ns")
    connections = _Filter(Action.DROP, Spare.ESTABLISHED)
    yield Run(fixed, connections.program_fd, XDP_DROP, _FRAME)
    yield Run(walk, connections.program_fd, XDP_DROP, _FRAME, walked)
    known_flows = _Filter(Action.DROP, Spare.KNOWN)
    known_flows.teach(bytes((198, 51, 100, 7)) + sources.packed(sources.exact(_KNOWN)))
    case = Case(PART, "a known flow", "ns", _CONNECTIONS, (Bar(_ASKED, over=True),))
    yield Run(case, known_flows.program_fd, XDP_PASS, _known())
    case = Case(
        PART, "unknown flows, walk", "ns", _CONNECTIONS_WALK, (Bar(_ASKED_FLOOD, over=True),)
    )
    yield Run(case, known_flows.program_fd, XDP_DROP, _FRAME, walked)
    challenge = _Filter(Action.CHALLENGE, Spare.NONE)
    case = Case(PART, "SYNs that are challenged, walk", "ns", _CONNECTIONS_WALK)
    yield Run(case, challenge.program_fd, XDP_TX, _SYN, walked)
    names = _Filter(Action.CHALLENGE, Spare.NONE, _QUERIES)
    case = Case(PART, "DNS queries that are challenged, walk", "ns", _CONNECTIONS_WALK)
    yield Run(case, names.program_fd, XDP_TX, _QUERY, walked)


def _known() -> bytes:
    """A packet of the known flow of the fixed source."""
    frame = bytearray(_FRAME)
    frame[34:36], frame[36:38] = _FRAME[34:36], (4000).to_bytes(2)
    return bytes(frame)


def measure(results: Results, generator: Generator, rounds: int, repeat: int) -> None:
    """Measure every case in every round."""
    take_all(results, list(runs()), generator, rounds, repeat)
    taught(results, rounds, repeat)


def taught(results: Results, rounds: int, repeat: int) -> None:
    """Measure teaching by an outgoing packet, over one that is not examined (ARP)."""
    filter = _Filter(Action.DROP, Spare.KNOWN)
    outgoing = bytearray(_FRAME)
    outgoing[34:36] = (40_000).to_bytes(2)
    arp = _FRAME[:12] + b"\x08\x06" + _FRAME[14:]
    floor = results.declare(Case(PART, "a frame that teaches nothing, out", "ns"))
    bar = Bar(_TAUGHT, over=True)
    case = results.declare(Case(PART, "a known flow, out", "ns", floor.name, (bar,)))
    for _ in range(rounds):
        for measured, frame in ((floor, arp), (case, bytes(outgoing))):
            programs.run(filter.teach_fd, frame, repeat // 10)
            start = time.thread_time_ns()
            programs.run(filter.teach_fd, frame, repeat)
            measured.rounds.append((time.thread_time_ns() - start) / repeat)
