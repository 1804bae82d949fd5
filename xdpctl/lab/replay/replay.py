# SPDX-License-Identifier: GPL-2.0-or-later
"""Rehearsals: recordings run through a separate filter, with the current rules or with others.

Live traffic is not affected: a rehearsal has its own maps, programs and pins, which are removed
when it ends. Packets are judged as by `explain`, in a build whose limits go by the recording's
clock. Rules do not expire during a rehearsal.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from xdpctl.abi.constants import BY_A_RULE, Reason
from xdpctl.abi.explanation import PackedVerdict
from xdpctl.base.clock import Clock
from xdpctl.base.net.pcap_reader import Skipped
from xdpctl.base.net.prefix import Prefix
from xdpctl.config.settings import Settings
from xdpctl.control.controller import Controller
from xdpctl.control.match_sync import rate_record
from xdpctl.control.operations.bulk import Imported, add_many
from xdpctl.control.operations.bulk_parser import Format, Parser
from xdpctl.control.state.state import State
from xdpctl.control.store.sqlite import SqliteStore
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.filter_program import compile_filter
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.matches.table import own_bucket
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.errors import ConfigError
from xdpctl.lab.replay.protection import Protecting
from xdpctl.lab.replay.run import RecordedClock, judge, judge_by_clock
from xdpctl.lab.replay.store_copy import copy_store
from xdpctl.model.effect import Action, Mode
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import OPERATOR

_CALLER = Caller("replay", Role.ADMIN, OPERATOR)
_DEFAULTS = RuleRequest(Match(Prefix(bytes(4), 0)), Action.DROP, Mode.ENFORCE)
_NEVER = 1 << 62  # a bucket's time that is so late that every packet exceeds the limit


class Clocked(StrEnum):
    """How limits are rehearsed."""

    NO_LIMITS = "none"
    RECORDING = "recording"  # limits go by the recording's clock
    ALL = "all"  # limits treat every packet that they match as too fast


@dataclass(slots=True)
class Tally:
    """The result for one recording: packets in total, by reason, and by the deciding rule."""

    packets: int
    bytes: int
    skipped: Skipped
    short: int  # frames of less than an Ethernet header
    clock: RecordedClock  # the clock for limits, if they went by the recording's clock
    reasons: Counter[Reason] = field(default_factory=Counter)
    rules: Counter[tuple[Reason, str, str]] = field(default_factory=Counter)  # reason, id, text

    @property
    def dropped(self) -> int:
        """The number of packets that the rules would drop."""
        return sum(n for reason, n in self.reasons.items() if reason.verdict == "drop")

    @property
    def share(self) -> float:
        """The share of packets dropped, 0 to 1: the coverage of an attack, or collateral damage."""
        return self.dropped / self.packets if self.packets else 0.0


def _words(pins: Pins, name: str) -> memoryview:
    """The 64-bit words of a map, writable."""
    with closing(maps.open_map(pins.map(name))) as opened:
        return opened.memory().cast("Q")


class Rehearsal:
    """Runs recordings through the filter, one after the other."""

    def __init__(
        self, datapath: PinnedDatapath, state: State, pins: Pins, outside: bool, by_clock: bool
    ) -> None:
        self._state = state
        self._explain = maps.open_pin(pins.explain_of(outside))
        self._buckets, self._recorded = _words(pins, "buckets"), _words(pins, "recorded")
        limits = [rule.slot for rule in state.matches.values() if rule.limit]
        self.limits = Clocked.NO_LIMITS
        if limits:
            self.limits = Clocked.RECORDING if by_clock else Clocked.ALL
        if self.limits is Clocked.ALL:
            for slot in limits:
                datapath.matches.put_rate(slot, rate_record(Rate(pps=1)))
                self._buckets[own_bucket(slot)] = _NEVER

    def run(self, path: Path) -> Tally:
        """Judge every packet of a recording; RecordingError if the file is not a recording.

        Each recording begins with empty buckets.
        """
        if self.limits is Clocked.RECORDING:
            self._buckets[:] = memoryview(bytes(self._buckets.nbytes)).cast("Q")
            judged = judge_by_clock(self._explain, path, self._recorded)
        else:
            judged = judge(self._explain, path)
        tally = Tally(judged.packets, judged.bytes, judged.skipped, judged.short, judged.clock)
        if tally.short:
            tally.reasons[Reason.TRUNCATED] = tally.short
        for value, count in judged.values.items():
            verdict = PackedVerdict.of(value)
            tally.reasons[verdict.reason] += count
            if verdict.reason in BY_A_RULE:
                tally.rules[verdict.reason, *self._named(verdict.slot)] += count
        return tally

    def _named(self, slot: int) -> tuple[str, str]:
        """The id and a description of the rule or set with this slot."""
        rule, source_set = self._state.match_of(slot), self._state.set_of(slot)
        if rule:
            return rule.id, str(rule.match)
        if source_set:
            return source_set.name, f"the set {source_set.name}"
        prefixes = self._state.image.entries
        source = next((p for p, number in prefixes.items() if number == slot), None)
        return (str(source).replace("/", "_"), f"src {source}") if source else ("", "protected")


@contextmanager
def rehearsing(
    settings: Settings,
    rules: Path | None,
    protecting: Protecting | None = None,
    *,
    by_clock: bool = True,
) -> Iterator[tuple[Rehearsal, Imported]]:
    """A rehearsal with a copy of the store's rules and sets, or with the rules of a file.

    Without `protecting` nothing is protected. `by_clock`: limits go by a recording's clock, else
    every packet that they match is too fast.
    ConfigError without root, or if there is nothing to read the rules from.
    """
    if os.geteuid() != 0:
        raise ConfigError("a rehearsal loads programs into the kernel, which needs root: use sudo")
    with TemporaryDirectory(prefix="xdpctl-replay-") as directory:
        place = Path(directory)
        pins = Pins(place / "bpf")
        if rules is None:
            copy_store(settings.database, place / "rules.sqlite")
        try:
            compiled = compile_filter(settings.capacities, settings.rehearsal, rehearsal=True)
            with closing(Loader(pins, compiled)) as loader, closing(PinnedDatapath(pins)) as opened:
                around = protecting or Protecting()
                loader.explain.add(around.outside)
                with closing(SqliteStore(place / "rules.sqlite")) as store:
                    state, imported = _state(settings, store, opened, rules, around)
                yield Rehearsal(opened, state, pins, around.outside, by_clock), imported
        finally:
            take_down(pins)


def _state(
    settings: Settings,
    store: SqliteStore,
    datapath: PinnedDatapath,
    rules: Path | None,
    protecting: Protecting,
) -> tuple[State, Imported]:
    """Fill the maps with a controller, as the control plane would, and stop it before returning."""
    controller = Controller(
        store,
        datapath,
        settings.quotas(),
        protecting.protection,
        Clock(),
        settings.capacities.entries,
    )
    controller.set_logins(protecting.logins)
    controller.start()
    try:
        controller.set_sides(protecting.sides).result()
        return controller.state, _import(controller, rules)
    finally:
        controller.stop()
        datapath.matches.wait_for_packets()  # no thread of ours may run when judge() forks


def _import(controller: Controller, rules: Path | None) -> Imported:
    if rules is None:
        return Imported()
    try:
        lines = rules.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{rules}: {error.strerror}") from error
    kind = Format.CSV if rules.suffix == ".csv" else Format.PLAIN  # PLAIN also reads NDJSON
    parser = Parser(kind, _DEFAULTS)
    imported = controller.submit(
        lambda draft: add_many(draft, parser.feed(lines), _CALLER, str(rules))
    )
    return imported.result()
