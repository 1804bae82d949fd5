"""The ports without a kernel: tables as dicts of packed bytes, a clock that is set by hand."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import starmap
from pathlib import Path

from xdpctl import model
from xdpctl.asks import Ask
from xdpctl.clock import Clock, Now
from xdpctl.controller import Controller
from xdpctl.errors import DatapathError, StoreError
from xdpctl.front import FRONT_BYTES, FrontArray
from xdpctl.model import OPERATOR
from xdpctl.plan import PROTECTED, Plan, Write, entry_key
from xdpctl.policy import Protection, Quota
from xdpctl.prefix import Prefix, parse_prefix
from xdpctl.rules import Added, add
from xdpctl.store import SqliteStore
from xdpctl.tokens import Caller, Role
from xdpctl.wire import (
    Action,
    Covering,
    Explanation,
    Hits,
    Mode,
    Prefix4,
    Prefix6,
    Reason,
    Slot,
    SlotNumber,
)

TABLES = ("exact4", "prefixes4", "exact6", "prefixes6")
ROOT = Caller("root", Role.ADMIN, OPERATOR)
DETECTOR = Caller("token fastnetmon", Role.OPERATOR, "fastnetmon")
HOUR = 3600.0
_SCAN_BATCH = 3


class FakeClock(Clock):
    """Stands still until it is told otherwise."""

    def __init__(self, ns: int = 1_000_000_000_000, unix: float = 1.7e9, boot: str = "a") -> None:
        self.ns, self.unix, self.boot = ns, unix, boot

    def read(self) -> Now:
        return Now(self.ns, self.unix, self.boot)

    def advance(self, seconds: float) -> None:
        """Time passes: both clocks move."""
        self.ns += round(seconds * 1e9)
        self.unix += seconds

    def reboot(self, seconds_down: float) -> None:
        """Another boot: kernel time starts again, wall time went on."""
        self.ns, self.unix, self.boot = 5_000_000_000, self.unix + seconds_down, self.boot + "'"


class FakeDatapath:
    """The pinned maps as dicts; `fail_after` lets so many writes pass and refuses the next."""

    def __init__(self, capacity: int = 16) -> None:
        self.capacity = capacity
        self.tables: dict[str, dict[bytes, bytes]] = {name: {} for name in TABLES}
        self.slot_values = [bytes(Slot.SIZE)] * (capacity + SlotNumber.FIRST)
        self.slot_values[SlotNumber.PROTECTED] = PROTECTED.value
        self.hit_values: dict[int, bytes] = {}
        self.fronts = {f: FrontArray(f, bytearray(size)) for f, size in FRONT_BYTES.items()}
        self.fail_after: int | None = None
        self.stays_broken = False
        self.by_port: dict[str, dict[Reason, Hits]] = {}
        self.explanation = Explanation(Reason.NO_RULE, ())
        self.explained: list[bytes] = []
        self.repaints = 0
        self._bypass = False

    def scan(self) -> Iterator[list[tuple[Prefix, int]]]:
        for name, table in self.tables.items():
            keys = list(table)
            for at in range(0, len(keys), _SCAN_BATCH):
                batch = keys[at : at + _SCAN_BATCH]
                yield [_entry(name, key, table[key]) for key in batch if key in table]

    def slot_of(self, prefix: Prefix) -> int | None:
        name, key = entry_key(prefix)
        value = self.tables[name].get(key)
        return _entry(name, key, value)[1] if value else None

    def slots(self, first: int, count: int) -> list[bytes]:
        return self.slot_values[first : first + count]

    def apply(self, plan: Plan) -> None:
        self.mark(plan.marks)
        for write in plan.writes:
            self._may_fail(write)
            self.write(write)

    def mark(self, prefixes: Iterable[Prefix]) -> None:
        """Set the front bits that let packets from these prefixes reach the tables."""
        for prefix in prefixes:
            self.fronts[prefix.family].mark([prefix])

    def write(self, write: Write) -> None:
        """One map write, as the kernel would make it."""
        number = int.from_bytes(write.key, "little")
        match write.table, write.value:
            case "slots", bytes(value):
                self.slot_values[number] = value
            case "hits", bytes(value):
                self.hit_values[number] = value
            case table, None:
                self.tables[table].pop(write.key, None)
            case table, value:
                self.tables[table][write.key] = value

    def _may_fail(self, write: Write) -> None:
        if self.fail_after is None:
            return
        if self.fail_after == 0:
            self.fail_after = 0 if self.stays_broken else None
            raise DatapathError(f"the kernel refused to write {write.table}: fake")
        self.fail_after -= 1

    def repaint(self, prefixes: Iterable[Prefix]) -> Iterator[None]:
        fresh = {f: FrontArray(f, bytearray(size)) for f, size in FRONT_BYTES.items()}
        for prefix in prefixes:
            fresh[prefix.family].mark([prefix])
            yield
        self.fronts = fresh
        self.repaints += 1

    def hits(self, slots: Iterable[int]) -> list[Hits]:
        return [Hits.unpack(self.hit_values.get(number, bytes(Hits.size()))) for number in slots]

    def counters(self) -> Mapping[str, Mapping[Reason, Hits]]:
        return self.by_port

    def explain(self, frame: bytes) -> Explanation:
        self.explained.append(frame)
        return self.explanation

    def bypass(self) -> bool:
        return self._bypass

    def set_bypass(self, on: bool) -> None:
        self._bypass = on

    def hit(self, prefix: Prefix, hits: Hits) -> None:
        """Pretend that traffic met this prefix's slot."""
        self.hit_values[self.slot_of(prefix) or 0] = hits.pack()

    def decide(self, address: bytes, now_ns: int) -> Reason:
        """A source's verdict by bpf/xdpctl.c's search over these tables."""
        bits = self.fronts[4 if len(address) == 4 else 6].bits(address)
        exact, prefixes = TABLES[:2] if len(address) == 4 else TABLES[2:]
        if bits & 1 and address in self.tables[exact]:
            reason = self._judge(int.from_bytes(self.tables[exact][address], "little"), now_ns)
            if reason:
                return reason
        covering = [
            (prefix.length, slot)
            for prefix, slot in starmap(partial(_entry, prefixes), self.tables[prefixes].items())
            if bits & 2 and prefix.covers(Prefix(address, len(address) * 8))
        ]
        for _, slot in sorted(covering, reverse=True):
            reason = self._judge(slot, now_ns)
            if reason:
                return reason
        return Reason.NO_RULE

    def _judge(self, number: int, now_ns: int) -> Reason:
        slot = Slot.unpack(self.slot_values[number])
        if slot.action == Action.NONE or slot.mode == Mode.MONITOR:
            return Reason.NONE
        if slot.expires_ns and slot.expires_ns <= now_ns:
            return Reason.NONE
        if number == SlotNumber.PROTECTED:
            return Reason.PROTECTED
        return Reason.DROPPED if slot.action == Action.DROP else Reason.ACCEPTED

    def held(self) -> dict[str, Slot]:
        """Every entry with what its slot says."""
        entries = (pair for batch in self.scan() for pair in batch)
        return {str(prefix): Slot.unpack(self.slot_values[slot]) for prefix, slot in entries}


def _entry(table: str, key: bytes, value: bytes) -> tuple[Prefix, int]:
    if table.startswith("exact"):
        return Prefix(key, len(key) * 8), int.from_bytes(value, "little")
    wire = (Prefix4 if table == "prefixes4" else Prefix6).unpack(key)
    led = Covering.unpack(value)
    assert led.length == wire.length
    return Prefix(wire.address, wire.length), led.slot


class BreakableStore(SqliteStore):
    """The real store with a switch that refuses writes."""

    broken = False

    def write(self, changes: Mapping[str, bytes | None], audit: Sequence[bytes] = ()) -> int:
        if self.broken:
            raise StoreError("the store refuses: fake")
        return super().write(changes, audit)


@contextmanager
def controller(
    tmp_path: Path,
    datapath: FakeDatapath,
    clock: FakeClock,
    protection: Mapping[str, str] | None = None,
    quotas: Mapping[str, Quota] | None = None,
) -> Iterator[Controller]:
    """A started controller on a real store under `tmp_path`, stopped again at the end."""
    store = BreakableStore(tmp_path / "rules.sqlite")
    quotas = quotas or {OPERATOR: Quota(max_rules=1_000_000)}
    control = Controller(store, datapath, quotas, protect(protection or {}), clock)
    try:
        control.start()
        yield control
    finally:
        control.stop()
        store.close()


def protect(why: Mapping[str, str]) -> Protection:
    return Protection({parse_prefix(text): reason for text, reason in why.items()})


def ask(source: str, action: str = "drop", **more: object) -> Ask:
    """An Ask from texts."""
    kept = model.Mode(str(more.pop("mode", "enforce")))
    return Ask(parse_prefix(source), model.Action(action), kept, **more)  # type: ignore[arg-type]


def place(control: Controller, wanted: Ask, caller: Caller = ROOT) -> Added:
    return control.submit(lambda draft: add(draft, wanted, caller)).result(10)


def upkeep(control: Controller, clock: FakeClock, seconds: float = 2.1, steps: int = 60) -> None:
    """End the round that is under way, let time pass, and have a whole round made.

    After each batch of jobs the controller makes one step.
    """
    for wait in (0.0, seconds):
        clock.advance(wait)
        for _ in range(steps):
            control.submit(lambda draft: None).result(10)
