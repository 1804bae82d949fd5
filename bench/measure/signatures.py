# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost per packet of signatures, over the same filter without signatures."""

from collections.abc import Iterator

from bench import sources
from bench.cases import BARE, BARE_WALK, WALKED, Run, frame_from
from bench.filters import XDP_DROP, XDP_PASS, loaded
from bench.measure.packet import take_all
from bench.report.results import Bar, Case, Results
from xdpctl.abi.constants import SlotNumber
from xdpctl.control.match_sync import rate_record, word_of
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.matches.compile import compile_tables
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.lab.flood import Generator
from xdpctl.model.effect import Action, Spare
from xdpctl.model.match.match import Match, build
from xdpctl.model.match.precedence import precedence
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule

PART = "signature"
NONE, NONE_WALK = "no signatures, pass", "no signatures, pass, walk"
COUNTS = (1, 64, 256, 1000)
_EASY = dict(zip(COUNTS, (45, 50, 60, 80), strict=True))  # bars: ns over no signatures
_HARD = dict(zip(COUNTS, (110, 130, 150, 200), strict=True))
_LIMIT, _LIMIT_SPOOFED = 60, 170
_FRAME = frame_from(bytes((198, 51, 100, 7)))
_ALL_BUT_TTL = {
    "destination": "192.0.0.0/8",
    "source": "0.0.0.0/0",
    "protocol": "udp",
    "source_port": ">=1",
    "packet_length": "20-1500",
    "dscp": "0-62",
    "fragment": "!later",
}


def _easy(count: int) -> list[Match]:
    """Matches with sources and ports that the packet does not have."""
    return [
        build({"source": f"10.1.{n // 250}.{n % 250}", "destination_port": str(1 + n)})
        for n in range(count)
    ]


def _hard(count: int) -> list[Match]:
    """Matches of which every component but the ttl matches the packet."""
    return [
        build({**_ALL_BUT_TTL, "destination_port": f"1-{65535 - n}", "ttl": "1"})
        for n in range(count)
    ]


def _with_hit(others: list[Match], at: int) -> list[Match]:
    """Insert one match for the packet among others that do not match it."""
    hit = build({"protocol": "udp", "destination_port": "53", "ttl": "64"})
    return [*others[:at], hit, *others[at:]]


def armed(
    compiled: Compiled, matches: list[Match], action: Action, limit: Rate | None = None
) -> int:
    """The program of a separate filter with these signatures in force, in this order."""
    with loaded(compiled) as (port, datapath):
        arm(datapath, matches, action, limit)
    return port.program_fd


def arm(
    datapath: PinnedDatapath, matches: list[Match], action: Action, limit: Rate | None = None
) -> None:
    """Put these signatures in force, in this order."""
    for slot, match in enumerate(matches, SlotNumber.SIGNATURES):
        signature = Rule(match=match, slot=slot, action=action, limit=limit, spare=Spare.NONE)
        datapath.source.words[slot] = int.from_bytes(word_of(signature), "little")
        if limit:
            datapath.matches.put_rate(slot, rate_record(limit))
    slots = enumerate(matches, SlotNumber.SIGNATURES)
    datapath.matches.install(compile_tables([(match, slot) for slot, match in slots]))


def _runs(compiled: Compiled) -> Iterator[Run]:
    def run(name: str, verdict: int, matches: list[Match], *bars: Bar) -> Run:
        case = Case(PART, name, "ns", NONE, bars)
        return Run(case, armed(compiled, matches, Action.DROP), verdict, _FRAME)

    yield Run(Case(PART, NONE, "ns", BARE), armed(compiled, [], Action.DROP), XDP_PASS, _FRAME)
    for count in COUNTS:
        easy = sorted(_easy(count), key=precedence)
        what = f"{count:,} signature{'s' if count > 1 else ''}"
        yield run(f"{what}, easy", XDP_PASS, easy, Bar(_EASY[count], over=True))
        yield run(f"{what}, hardest", XDP_PASS, _hard(count), Bar(_HARD[count], over=True))
        for where, at in (("first", 0), ("last", count - 1)):
            yield run(f"{what}, match at the {where}", XDP_DROP, _with_hit(easy[1:], at))
    for name, limit in (("for all", Rate(pps=1e9)), ("per source", Rate(pps=1e9, per_ipv4=32))):
        fd = armed(compiled, [build({"protocol": "udp"})], Action.LIMIT, limit)
        case = Case(PART, f"a limit {name}, within", "ns", NONE, (Bar(_LIMIT, over=True),))
        yield Run(case, fd, XDP_PASS, _FRAME)
    yield from _spoofed(compiled)


def _spoofed(compiled: Compiled) -> Iterator[Run]:
    """Packets from 500,000 different sources, about as many as there are buckets."""
    walked = sources.packed(sources.exact(WALKED))
    none, match_all_udp = list[Match](), [build({"protocol": "udp"})]
    case = Case(PART, NONE_WALK, "ns", BARE_WALK)
    yield Run(case, armed(compiled, none, Action.DROP), XDP_PASS, _FRAME, walked)
    bar = Bar(_LIMIT_SPOOFED, over=True)
    fd = armed(compiled, match_all_udp, Action.LIMIT, Rate(pps=1e9, per_ipv4=32))
    case = Case(PART, "a limit per source, walk", "ns", NONE_WALK, (bar,))
    yield Run(case, fd, XDP_PASS, _FRAME, walked)


def measure(
    results: Results, compiled: Compiled, generator: Generator, rounds: int, repeat: int
) -> None:
    """Measure every case, including the floors, in every round."""
    bare = generator.bare_fd
    walked = sources.packed(sources.exact(WALKED))
    runs = [
        Run(Case(PART, BARE, "ns"), bare, XDP_DROP, _FRAME),
        Run(Case(PART, BARE_WALK, "ns"), bare, XDP_DROP, _FRAME, walked),
        *_runs(compiled),
    ]
    take_all(results, runs, generator, rounds, repeat)
