"""What the filter costs one packet: BPF_PROG_TEST_RUN in the same rounds as a bare drop."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from bench import sources
from bench.errors import BenchError
from bench.filters import XDP_DROP, XDP_FILTER_MAX, XDP_PASS, XdpFilter, check, ours, xdp_filter
from bench.results import Bar, Case, Results
from xdpctl import frames, programs
from xdpctl.compiler import Compiled
from xdpctl.errors import XdpctlError
from xdpctl.lab.flood import Generator, udp_frame
from xdpctl.lab.namespaces import Lab
from xdpctl.prefix import Prefix, parse_prefix

PART = "packet"
BARE, BARE_WALK = "bare XDP_DROP, fixed", "bare XDP_DROP, walk"
WALKED = 500_000
_MINE6 = parse_prefix("2001:db8::1")
_FRAME = udp_frame("020000000001", "192.0.2.1", 53)
_CHECKED = 1_000


@dataclass(frozen=True, slots=True)
class Run:
    """One case: a program, a frame, and the sources to walk over, if any."""

    case: Case
    program_fd: int
    verdict: int
    frame: bytes
    walked: bytes = b""
    prepare: Callable[[], None] | None = None


def _from(source: bytes) -> bytes:
    """The frame from one IPv4 source, or its IPv6 cousin."""
    if len(source) == 4:
        return _FRAME[:26] + source + _FRAME[30:]
    return frames.build(Prefix(source, 128), _MINE6, 17, 1024, 53)


def _fixed(name: str, fd: int, verdict: int, source: bytes, bar: str = "") -> Run:
    peer = Bar(case=bar) if bar else None
    return Run(Case(PART, name, "ns", BARE, peer), fd, verdict, _from(source))


def _walk(name: str, fd: int, verdict: int, walked: bytes) -> Run:
    return Run(Case(PART, name, "ns", BARE_WALK), fd, verdict, _FRAME, walked)


def _of_ours(compiled: Compiled, kind: str, prefixes: list[Prefix]) -> list[Run]:
    """Drop and pass, fixed and walking, for one set of rules."""
    what, fd = sources.label(len(prefixes), kind), ours(compiled, prefixes)
    inside = sources.listed(prefixes, len(prefixes) if kind == "address" else WALKED)
    outside = sources.unlisted(prefixes, WALKED)
    bars = {}
    if kind == "address" and len(prefixes) in (1, XDP_FILTER_MAX):
        bars = {verdict: _peer_name(len(prefixes), verdict) for verdict in ("drop", "pass")}
    runs = [
        _fixed(f"{what}, drop, fixed", fd, XDP_DROP, inside[:4], bars.get("drop", "")),
        _fixed(f"{what}, pass, fixed", fd, XDP_PASS, outside[:4], bars.get("pass", "")),
        _walk(f"{what}, drop, walk", fd, XDP_DROP, inside),
        _walk(f"{what}, pass, walk", fd, XDP_PASS, outside),
    ]
    if kind == "address":
        beside = sources.neighbour(prefixes[0])
        runs.insert(2, _fixed(f"{what}, pass, fixed, beside a listed", fd, XDP_PASS, beside))
    return runs


def _of_ours6(compiled: Compiled, count: int) -> list[Run]:
    prefixes = sources.exact6(count)
    fd, what = ours(compiled, prefixes), f"{count:,} IPv6 addresses"
    outside = b"\x26\x00" + prefixes[0].address[2:]
    beside = sources.neighbour(prefixes[0])
    return [
        _fixed(f"{what}, drop, fixed", fd, XDP_DROP, prefixes[0].address),
        _fixed(f"{what}, pass, fixed", fd, XDP_PASS, outside),
        _fixed(f"{what}, pass, fixed, beside a listed", fd, XDP_PASS, beside),
    ]


def _peer_name(count: int, verdict: str) -> str:
    return f"xdp-filter, {sources.label(count, 'address')}, {verdict}, fixed"


def _of_peer(peer: XdpFilter) -> list[Run]:
    runs = []
    for count in (1, XDP_FILTER_MAX):
        prefixes = sources.exact(count)
        for verdict, value in (("drop", XDP_DROP), ("pass", XDP_PASS)):
            source = prefixes[0].address
            frame = _from(source if value == XDP_DROP else sources.neighbour(prefixes[0]))
            case = Case(PART, _peer_name(count, verdict), "ns", BARE)
            fill = _filler(peer, prefixes)
            runs.append(Run(case, peer.program_fd, value, frame, prepare=fill))
    return runs


def _filler(peer: XdpFilter, prefixes: list[Prefix]) -> Callable[[], None]:
    return lambda: peer.list(prefixes)


class Bench:
    """Takes each run in turn, round by round."""

    def __init__(self, generator: Generator, repeat: int) -> None:
        self._generator = generator
        self._repeat = repeat

    def _aim(self, run: Run) -> int:
        """Set up one run; the program to start."""
        if run.prepare:
            run.prepare()
        if not run.walked:
            return run.program_fd
        self._generator.aim(run.frame, run.walked)
        self._generator.maps["tested"].put(bytes(4), run.program_fd.to_bytes(4, "little"))
        return self._generator.walk_fd

    def check(self, run: Run) -> None:
        fd = self._aim(run)
        times = _CHECKED if run.walked else 1
        check(fd, run.frame, run.verdict, run.case.name, times)

    def take(self, run: Run) -> None:
        """CPU time, because duration_ns is in whole nanoseconds and counts other work."""
        fd = self._aim(run)
        programs.run(fd, run.frame, self._repeat // 10)
        start = time.thread_time_ns()
        result = programs.run(fd, run.frame, self._repeat)
        run.case.rounds.append((time.thread_time_ns() - start) / self._repeat)
        if result.value != run.verdict:
            raise BenchError(f"{run.case.name}: the program answered {result.value}")


def measure(
    results: Results, compiled: Compiled, generator: Generator, rounds: int, repeat: int
) -> None:
    """Every case in every round, the floors among them."""
    bare = Run(Case(PART, BARE, "ns"), generator.bare_fd, XDP_DROP, _FRAME)
    anything = sources.unlisted([], WALKED)
    runs = [bare, Run(Case(PART, BARE_WALK, "ns"), generator.bare_fd, XDP_DROP, _FRAME, anything)]
    for count in (1, 10_000, 100_000):
        runs += _of_ours(compiled, "address", sources.exact(count))
    for count in (10_000, 100_000):
        runs += _of_ours(compiled, "prefix", sources.mixed(count))
    runs += _of_ours6(compiled, 10_000)
    with ExitStack() as stack, Lab("bench") as lab:
        host, far = lab.host("packet"), lab.host("far")
        lab.cable(host, "isp0", far, "far0")
        try:
            peer = stack.enter_context(xdp_filter(host, "isp0", sources.exact(1)[0]))
            runs += _of_peer(peer)
        except XdpctlError as error:
            results.notes.append(f"no xdp-filter: {error}")
        bench = Bench(generator, repeat)
        for run in runs:
            results.declare(run.case)
            bench.check(run)
        for _ in range(rounds):
            for run in runs:
                bench.take(run)
        stack.close()
    for fd in {run.program_fd for run in runs} - {generator.bare_fd}:
        os.close(fd)
