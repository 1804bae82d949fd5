# SPDX-License-Identifier: GPL-2.0-or-later
"""The filters whose cost per packet is measured, and the packets that are sent to each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from bench import sources
from bench.filters import XDP_DROP, XDP_FILTER_MAX, XDP_PASS, XdpFilter, ours
from bench.report.results import Bar, Case
from xdpctl.base.net.prefix_arrays import V6, Keys
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.lab.flood import udp_frame

PART = "packet"
BARE, BARE_WALK, BARE6_WALK = "bare, fixed", "bare, walk", "bare, walk IPv6"
WALKED = 500_000
EXACT = (1, 10_000, 100_000, 1_000_000)
PREFIXES = (10_000, 100_000)
RULES = 100_000
FRAME = udp_frame("020000000001", "192.0.2.1", 53)
FRAME6 = udp_frame("020000000001", "2001:db8::1", 53)

Limits = Mapping[str, float]
Spread = Callable[[Keys, int], Keys]
# the bars: nanoseconds over the floor
_FIXED_DROP = 50
_SIDE = 2  # for the check of the source's side
_DROP_WALKS = {"1,000,000 addresses": 300, "100,000 prefixes": 130, "100,000 IPv6 prefixes": 300}
_PASS_WALKS = {"1,000,000 addresses": 25, "100,000 prefixes": 25, "100,000 IPv6 prefixes": 60}
_PASS_NEAR = {"100,000 prefixes": 100}


@dataclass(frozen=True, slots=True)
class Run:
    """One case: a program, a frame, and the source addresses to use in turn, if any."""

    case: Case
    program_fd: int
    verdict: int
    frame: bytes
    walked: bytes = b""
    prepare: Callable[[], None] | None = None


def floors(bare_fd: int, part: str = PART) -> list[Run]:
    """A bare drop on the same frames, and with the same number of sources."""
    walked, walked6 = sources.packed(sources.exact(WALKED)), sources.packed(sources.exact6(WALKED))
    return [
        Run(Case(part, BARE, "ns"), bare_fd, XDP_DROP, FRAME),
        Run(Case(part, BARE_WALK, "ns"), bare_fd, XDP_DROP, FRAME, walked),
        Run(Case(part, BARE6_WALK, "ns"), bare_fd, XDP_DROP, FRAME6, walked6),
    ]


def frame_from(source: bytes) -> bytes:
    """A UDP frame from this address."""
    if len(source) == 4:
        return FRAME[:26] + source + FRAME[30:]
    return FRAME6[:22] + source + FRAME6[38:]


@dataclass(frozen=True, slots=True)
class Filter:
    """A program, the keys that it lists, and the cases to measure with it."""

    what: str
    program_fd: int
    listed: Keys

    def fixed(self, how: str, verdict: int, source: Keys, *bars: Bar) -> Run:
        case = Case(PART, f"{self.what}, {how}, fixed", "ns", BARE, bars)
        return Run(case, self.program_fd, verdict, frame_from(sources.packed(source)))

    def walk(self, how: str, verdict: int, walked: Keys, limits: Limits) -> Run:
        six = sources.family_of(walked) is V6
        bars = (Bar(limits[self.what], over=True),) if self.what in limits else ()
        floor, frame = (BARE6_WALK, FRAME6) if six else (BARE_WALK, FRAME)
        case = Case(PART, f"{self.what}, {how}", "ns", floor, bars)
        return Run(case, self.program_fd, verdict, frame, sources.packed(walked))

    def listed_ones(self) -> Iterator[Run]:
        inside = sources.listed(self.listed, WALKED)
        bars = (Bar(_FIXED_DROP, over=True), *self._peer("drop"))
        yield self.fixed("drop", XDP_DROP, inside[:1], *bars)
        yield self.walk("drop, walk", XDP_DROP, inside, _DROP_WALKS)

    def others(self, spread: Spread = sources.unlisted) -> Iterator[Run]:
        """Sources that are not listed: those of `spread`, and neighbours of listed ones."""
        outside = spread(self.listed, WALKED)
        yield self.fixed("pass", XDP_PASS, outside[:1], *self._peer("pass"))
        yield self.walk("pass, walk", XDP_PASS, outside, _PASS_WALKS)
        near = sources.near(self.listed, WALKED)
        yield self.walk("pass, walk near", XDP_PASS, near, _PASS_NEAR)

    def _peer(self, verdict: str) -> tuple[Bar, ...]:
        peers = [sources.label(count, "address") for count in (1, XDP_FILTER_MAX)]
        if self.what not in peers:
            return ()
        return (Bar(case=f"xdp-filter, {self.what}, {verdict}, fixed"),)


def of_outside(compiled: Compiled) -> Iterator[Run]:
    """Packets that pass on an outside interface, compared with an ordinary interface."""
    for listed in (sources.exact(1), sources.exact6(10_000)):
        what = sources.label(len(listed), "address" if len(listed) == 1 else "IPv6 address")
        filter = Filter(f"{what}, outside", ours(compiled, listed, outside=True), listed)
        for run in filter.others():
            floor = run.case.name.replace(", outside", "")
            bars = (Bar(_SIDE, over=True),) if not floor.endswith("near") else ()
            yield replace(run, case=replace(run.case, floor=floor, bars=bars))


def of_ours(compiled: Compiled) -> Iterator[Run]:
    """Sets of each kind and size, each with one rule; and rules without a set."""
    rule = sources.exact(EXACT[-1] + 1)[-1:]
    for kind, counts, make in (
        ("address", EXACT, sources.exact),
        ("prefix", PREFIXES, sources.mixed),
    ):
        for count in counts:
            listed = make(count)
            filter = Filter(sources.label(count, kind), ours(compiled, listed, rule), listed)
            yield from filter.listed_ones()
            bar = Bar(_FIXED_DROP, over=True)
            yield filter.fixed("a rule with a ttl, drop", XDP_DROP, rule, bar)
            # no address is far from all of a million random addresses
            yield from filter.others(sources.far if kind == "prefix" else sources.unlisted)
    rules = sources.exact(RULES)
    filter = Filter(f"{RULES:,} rules with a ttl", ours(compiled, rules[:0], rules), rules)
    yield filter.walk("drop, walk", XDP_DROP, sources.listed(rules, WALKED), {})
    for listed, kind in ((sources.exact6(10_000), "address"), (sources.mixed6(100_000), "prefix")):
        what = sources.label(len(listed), f"IPv6 {kind}")
        filter = Filter(what, ours(compiled, listed), listed)
        yield from filter.listed_ones()
        yield from filter.others()
    yield from of_outside(compiled)


def of_peer(peer: XdpFilter) -> Iterator[Run]:
    """xdp-filter with one address, and with its largest number of addresses."""
    for count in (1, XDP_FILTER_MAX):
        listed = sources.exact(count)
        name = f"xdp-filter, {sources.label(count, 'address')}"
        filter = Filter(name, peer.program_fd, listed)
        for run in (*filter.listed_ones(), *filter.others()):
            run.case.bars = ()
            yield replace(run, prepare=partial(peer.list, listed))
