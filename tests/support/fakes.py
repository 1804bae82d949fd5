# SPDX-License-Identifier: GPL-2.0-or-later
"""Fakes of the ports: the tables in plain memory, and a clock that tests set."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.support.walker import SMALL, plain_memory, search
from xdpctl.abi.arrays import CONTROL, HEAD
from xdpctl.abi.constants import Asking, MemoryNumber, Reason, Traffic
from xdpctl.abi.explanation import Explanation
from xdpctl.abi.structs import Capture, Hits, Sample, Slot
from xdpctl.base.clock import Clock, Now
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.control.controller import Controller
from xdpctl.control.operations.rules import Added, add
from xdpctl.control.state.changes import Change
from xdpctl.control.store.port import ChangeStep
from xdpctl.control.store.sqlite import SqliteStore
from xdpctl.datapath.flow_memory import ChallengeCounts, MemoryFigures
from xdpctl.datapath.heads import NEVER, HeadArray, Masks, Volumes, no_masks, nothing_out
from xdpctl.datapath.image import SHARED, Plan
from xdpctl.datapath.matches.table import MatchTable
from xdpctl.datapath.monitor_statistics import NOTHING, MonitorStatistics, read
from xdpctl.datapath.policers import PinnedPolicers
from xdpctl.datapath.port import Datapath
from xdpctl.datapath.senders import Forger, Sender
from xdpctl.datapath.served import Counts, CountsOf, Service
from xdpctl.datapath.tables.cells import SMALLEST_LOG2
from xdpctl.datapath.tables.sides import SideTable
from xdpctl.datapath.tables.source import SourceTable
from xdpctl.datapath.trials import Trial, Tried
from xdpctl.datapath.validation import ValidationWord
from xdpctl.datapath.writes import PointAt, Write, make
from xdpctl.errors import DatapathError, StoreError
from xdpctl.incidents.ledger import rule_notes
from xdpctl.model.capacity import Capacity
from xdpctl.model.effect import Action, Mode
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match.match import Match
from xdpctl.model.protection import Protection
from xdpctl.model.quota import Quota
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import OPERATOR

SEEDS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
ROOT = Caller("root", Role.ADMIN, OPERATOR)
DETECTOR = Caller("token fastnetmon", Role.OPERATOR, "fastnetmon")
HOUR = 3600.0


class FakeClock(Clock):
    """A clock that stands still until a test advances it."""

    def __init__(self, ns: int = 1_000_000_000_000, unix: float = 1.7e9, boot: str = "a") -> None:
        self.ns, self.unix, self.boot = ns, unix, boot
        self.error: float | None = None

    def read(self) -> Now:
        return Now(self.ns, self.unix, self.boot, self.error)

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        self.ns += round(seconds * 1e9)
        self.unix += seconds

    def reboot(self, seconds_down: float) -> None:
        """Simulate a reboot: kernel time starts again, and wall time has advanced."""
        self.ns, self.unix, self.boot = 5_000_000_000, self.unix + seconds_down, self.boot + "'"


class FakeMap(dict[bytes, bytes]):
    """A hash, or a trie in which tests look up only exact keys."""

    put = dict.__setitem__

    def delete(self, key: bytes) -> bool:
        return self.pop(key, None) is not None


class FakeOutHeads:
    """Heads of what goes out that a test puts into `waiting`."""

    def __init__(self) -> None:
        self.waiting: list[HeadArray] = []
        self.masks, self.missing = nothing_out(), 0

    def observe(self, masks: Masks) -> None:
        self.masks = masks.copy()

    def read(self) -> HeadArray:
        heads = np.concatenate([np.empty(0, HEAD), *self.waiting])
        self.waiting.clear()
        return heads

    def lost(self) -> int:
        return self.missing


class FakeHeads(FakeOutHeads):
    """Heads of what comes in that a test puts into `waiting`."""

    def __init__(self) -> None:
        super().__init__()
        self.masks, self.out = no_masks(), FakeOutHeads()
        self.of_classes = np.zeros((len(Traffic), 2))

    def volumes(self) -> Volumes:
        return self.of_classes.copy()


class FakeFlows:
    """A flow memory that a test sets."""

    def __init__(self) -> None:
        self.of: dict[MemoryNumber, MemoryFigures] = {}
        self.counts, self.ports = ChallengeCounts(), dict[str, Asking]()

    def figures(self, number: MemoryNumber = MemoryNumber.FLOWS) -> MemoryFigures:
        return self.of.get(number, NO_FIGURES)

    def challenges(self) -> ChallengeCounts:
        return self.counts

    def asking(self) -> dict[str, Asking]:
        return dict(self.ports)

    def ask(self, interface: str, asking: Asking) -> None:
        self.ports[interface] = asking


class FakeTrials:
    """Trials whose flows a test adds."""

    def __init__(self) -> None:
        self.held: dict[int, Trial] = {}
        self.chosen: list[Tried] = []
        self.let_pass: dict[int, int] = {}

    def put(self, trials: Mapping[int, Trial]) -> None:
        self.held = dict(trials)

    def tried(self) -> list[Tried]:
        return list(self.chosen)

    def passed(self) -> Mapping[int, int]:
        return {slot: self.let_pass.get(slot, 0) for slot in self.held}


class FakeServed:
    """Counts of served requests that a test sets."""

    def __init__(self) -> None:
        self.counts: dict[Service, Counts] = {}

    def __call__(self) -> CountsOf:
        return lambda service: self.counts.get(service, Counts())


NO_FIGURES = MemoryFigures(0, 0, 1_000, 128, 0.0, 0, 0, 0, 1800.0, 0, "")


class FakeDatapath:
    """The real tables in plain memory; after `fail_after` writes, the next write fails."""

    def __init__(self, capacity: int = 16, tables: Capacity = SMALL) -> None:
        self.capacity = capacity
        self.memory_of = plain_memory(capacity, tables)
        control = np.zeros(1, CONTROL)
        control["seeds"], control["buckets_log2"] = SEEDS, SMALLEST_LOG2
        self.control = control[0]
        self.source = SourceTable(self.memory_of, self.control, lambda: None)
        self.matches = MatchTable(self.memory_of, self.control, lambda: None)
        self.numbers: dict[str, int] = {}  # of modules
        self.heads = FakeHeads()
        self.flows = FakeFlows()
        self.trials = FakeTrials()
        self.policers = PinnedPolicers(self.control, FakeMap())
        self.served = FakeServed()
        self.sides = SideTable(self.memory_of, {4: FakeMap(), 6: FakeMap()})
        for shared in SHARED:
            self.source.words[shared.shared] = int.from_bytes(shared.value, "little")
        self.hit_values: dict[int, bytes] = {}
        self.sent: list[Sender] = []
        self.forged: list[Forger] = []
        self.validation = ValidationWord(self.control)
        self.statistics_values: dict[int, bytes] = {}
        self.connections: dict[int, list[tuple[bytes, int]]] = {}
        self.fail_after: int | None = None
        self.stays_broken = False
        self.by_port: dict[str, dict[Reason, Hits]] = {}
        self.explanation = Explanation(Reason.NO_RULE, ())
        self.explained: list[bytes] = []
        self.taken: list[Sample] = []
        self.to_capture: list[Capture] = []
        self.capturing, self.lost_captures = (0, 0, 0), 0
        self.when_capturing: Callable[[], None] = lambda: None
        self._bypass = False

    def apply(self, plan: Plan) -> None:
        if self.fail_after is None:
            make(self.source, plan.writes, self._zero)
            return
        for write in plan.writes:
            self._may_fail(write)
            self.write(write)

    def write(self, write: Write) -> None:
        """Make one write."""
        make(self.source, [write], self._zero)

    def _zero(self, slots: list[int]) -> None:
        for slot in slots:
            self.hit_values.pop(slot, None)

    def _may_fail(self, write: Write) -> None:
        if self.fail_after is None:
            return
        if self.fail_after == 0:
            self.fail_after = 0 if self.stays_broken else None
            raise DatapathError(f"the kernel refused to write {write}: fake")
        self.fail_after -= 1

    def senders(self) -> list[Sender]:
        return self.sent

    def forgers(self) -> list[Forger]:
        return self.forged

    def hits(self, slots: Iterable[int]) -> list[Hits]:
        return [Hits.unpack(self.hit_values.get(number, bytes(Hits.size()))) for number in slots]

    def memory(self) -> Mapping[str, int]:
        return {name: len(buffer) for name, buffer in self.memory_of.items()}

    def watch(self, slot: int, mask: int) -> None:
        self.control["sampled"], self.control["mask"] = slot, mask

    def samples(self) -> Iterator[Sample]:
        while self.taken:
            yield self.taken.pop(0)

    def capture(self, masks: Masks, slot: int) -> None:
        reasons = np.flatnonzero(masks != NEVER).tolist()
        mask = int(masks.min()) if reasons else 0
        self.capturing = sum(1 << reason for reason in reasons), slot, mask
        if reasons:
            self.when_capturing()

    def captures(self) -> Iterator[Capture]:
        while self.to_capture:
            yield self.to_capture.pop(0)

    def monitored(self) -> list[int]:
        return list(self.statistics_values)

    def begin_statistics(self, slot: int) -> None:
        self.statistics_values[slot] = NOTHING

    def end_statistics(self, slot: int) -> None:
        self.statistics_values.pop(slot, None)

    def statistics(self, slot: int) -> MonitorStatistics | None:
        value = self.statistics_values.get(slot)
        return read(value, self.connections.get(slot, ())) if value else None

    def lost(self) -> int:
        return self.lost_captures

    def counters(self) -> Mapping[str, Mapping[Reason, Hits]]:
        return self.by_port

    def modules(self) -> dict[str, int]:
        return self.numbers

    def explain(self, frame: bytes, outside: bool = False) -> Explanation:
        self.explained.append(frame)
        return self.explanation

    def bypass(self) -> bool:
        return self._bypass

    def set_bypass(self, on: bool) -> None:
        self._bypass = on

    def hit(self, prefix: Prefix, hits: Hits) -> None:
        """Set the hits of this prefix's first slot."""
        ((first, *_),) = self.source.slots_of([prefix])
        self.hit_values[first] = hits.pack()

    def decide(self, address: bytes, now_ns: int) -> Reason:
        """The verdict for a source, by the same search in these tables as bpf/table.bpf.h."""
        return search(self.source, self.control, address, now_ns)[0]

    def held(self) -> dict[str, Slot]:
        """Every entry with the content of its first slot."""
        return {
            str(prefix): Slot.unpack(self.source.words[slots[0]].tobytes())
            for prefix, slots in self.listed().items()
        }

    def listed(self) -> dict[Prefix, tuple[int, ...]]:
        """Every entry with its slots."""
        return {
            prefix: self.source.nodes.slots(value)
            for family, keys, values in self.source.scan()
            for prefix, value in zip(FAMILIES[family].prefixes(keys), values.tolist(), strict=True)
        }

    def mislead(self, prefix: Prefix, slot: int = 4_000_000) -> None:
        """Simulate another writer: an entry leads to a slot, by default one that does not exist."""
        ((old, *_),) = self.source.slots_of([prefix]) or ((0,),)
        self.write(PointAt(prefix, old, slot))

    def drop(self, prefix: Prefix) -> None:
        """Simulate another writer, who removes an entry."""
        family = FAMILIES[prefix.family]
        self.source.tables[prefix.family].drop(family.keys([prefix]))


class BreakableStore(SqliteStore):
    """The real store, with a switch that makes writes fail."""

    broken = False

    def write(
        self,
        changes: Mapping[str, bytes | None],
        audit: Sequence[bytes] = (),
        steps: Sequence[ChangeStep] = (),
    ) -> int:
        if self.broken:
            raise StoreError("the store refuses: fake")
        return super().write(changes, audit, steps)


@contextmanager
def controller(
    tmp_path: Path,
    datapath: Datapath,
    clock: Clock,
    protection: Mapping[str, str] | None = None,
    quotas: Mapping[str, Quota] | None = None,
) -> Iterator[Controller]:
    """A started controller with a real store in `tmp_path`; it is stopped at the end."""
    store = BreakableStore(tmp_path / "rules.sqlite")
    quotas = quotas or {OPERATOR: Quota(max_rules=1_000_000)}
    control = Controller(
        store, datapath, quotas, protect(protection or {}), clock, ledger=rule_notes
    )
    try:
        control.start()
        yield control
    finally:
        control.stop()
        store.close()


def protect(why: Mapping[str, str]) -> Protection:
    return Protection({parse_prefix(text): reason for text, reason in why.items()})


def ask(source: str, action: str = "drop", **more: object) -> RuleRequest:
    """A RuleRequest from texts."""
    mode = Mode(str(more.pop("mode", "enforce")))
    return RuleRequest(Match(parse_prefix(source)), Action(action), mode, **more)  # type: ignore[arg-type]


def place(control: Controller, wanted: RuleRequest, caller: Caller = ROOT) -> Added:
    return control.submit(lambda draft: add(draft, wanted, caller), by(caller)).result()


def by(caller: Caller) -> Change:
    """An operation of a caller that is not recorded in the history."""
    return Change(0, caller, meant=True)


def upkeep(control: Controller, clock: FakeClock, seconds: float = 2.1, steps: int = 60) -> None:
    """Finish the current round of upkeep, advance the clock, and run a whole round.

    The controller makes one step of upkeep after each batch of jobs.
    """
    for wait in (0.0, seconds):
        clock.advance(wait)
        for _ in range(steps):
            control.submit(lambda draft: None).result()
