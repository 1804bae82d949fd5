# SPDX-License-Identifier: GPL-2.0-or-later
"""Rehearsals: recordings are run through a separate filter with the current rules, or others.

Live traffic is not affected: a rehearsal has its own maps, programs and pins, which are removed
when it ends. Packets are judged as by `explain`. Time is not simulated: every packet that matches a
limit counts as exceeding it, so the result shows which packets the limit would apply to.
"""

import os
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from xdpctl.abi.constants import Reason
from xdpctl.abi.explanation import PackedVerdict
from xdpctl.base.clock import Clock
from xdpctl.base.net.pcap_reader import Skipped
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.controller import Controller
from xdpctl.control.operations.bulk_import import Imported, add_many
from xdpctl.control.operations.bulk_parser import Format, Parser
from xdpctl.control.signature_sync import rate_record
from xdpctl.control.state.state import State
from xdpctl.control.store.sqlite import SqliteStore
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.loader import Loader, compile_filter
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.signatures.table import own_bucket
from xdpctl.errors import ConfigError, StoreError
from xdpctl.lab.replay.run import judge
from xdpctl.model.identity import Caller, Role
from xdpctl.model.protection import CONFIGURED, Protection
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import OPERATOR, Action, Mode
from xdpctl.model.signature import Rate
from xdpctl.service.settings import Settings

_CALLER = Caller("replay", Role.ADMIN, OPERATOR)
_DEFAULTS = RuleRequest(Prefix(bytes(4), 0), Action.DROP, Mode.ENFORCE)
_NEVER = struct.pack("<Q", 1 << 62)  # a bucket time so late that every packet exceeds the limit


@dataclass(slots=True)
class Tally:
    """The result for one recording: packets in total, by reason, and by the deciding rule."""

    packets: int
    bytes: int
    skipped: Skipped
    short: int  # frames of less than an Ethernet header
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


class Rehearsal:
    """Runs recordings through the filter, one after the other."""

    def __init__(self, datapath: PinnedDatapath, state: State, pins: Pins) -> None:
        self._state = state
        self._explain = maps.open_pin(pins.explain)
        buckets = maps.open_map(pins.map("buckets"))
        for signature in state.signatures.values():
            if signature.limit:
                datapath.signatures.put_rate(signature.slot, rate_record(Rate(pps=1)))
                buckets.put(struct.pack("<I", own_bucket(signature.slot)), _NEVER)

    def run(self, path: Path) -> Tally:
        """Judge every packet of a recording; RecordingError if the file is not a recording."""
        judged = judge(self._explain, path)
        tally = Tally(judged.packets, judged.bytes, judged.skipped, judged.short)
        if tally.short:
            tally.reasons[Reason.TRUNCATED] = tally.short
        for value, count in judged.values.items():
            verdict = PackedVerdict.of(value)
            tally.reasons[verdict.reason] += count
            if verdict.reason in _BY_RULES:
                tally.rules[verdict.reason, *self._named(verdict.slot)] += count
        return tally

    def _named(self, slot: int) -> tuple[str, str]:
        """The id and a description of the signature, set or rule with this slot."""
        signature, source_set = self._state.signature_of(slot), self._state.set_of(slot)
        if signature:
            return signature.id, str(signature.match)
        if source_set:
            return source_set.name, f"the set {source_set.name}"
        prefixes = self._state.image.entries
        source = next((p for p, number in prefixes.items() if number == slot), None)
        return (str(source).replace("/", "_"), f"src {source}") if source else ("", "protected")


_BY_RULES = (
    *(Reason.ACCEPTED, Reason.DROPPED, Reason.SIGNATURE, Reason.LIMITED, Reason.ESTABLISHED),
)


@contextmanager
def rehearsing(settings: Settings, rules: Path | None) -> Iterator[tuple[Rehearsal, Imported]]:
    """A rehearsal with a copy of the store's rules and sets, or with the rules of a file.

    ConfigError without root, or if there is nothing to read the rules from.
    """
    if os.geteuid() != 0:
        raise ConfigError("a rehearsal loads programs into the kernel, which needs root: use sudo")
    with TemporaryDirectory(prefix="xdpctl-replay-") as directory:
        place = Path(directory)
        pins = Pins(place / "bpf")
        if rules is None:
            _copy(settings.database, place / "rules.sqlite")
        try:
            compiled = compile_filter(settings.capacities, settings.compiled)
            with closing(Loader(pins, compiled)) as loader, closing(PinnedDatapath(pins)) as opened:
                loader.add_explain()
                with closing(SqliteStore(place / "rules.sqlite")) as store:
                    state, imported = _state(settings, store, opened, rules)
                yield Rehearsal(opened, state, pins), imported
        finally:
            take_down(pins)


_COPY = """
import sqlite3, sys
live = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
whole = sqlite3.connect(":memory:")
live.backup(whole)
sys.stdout.buffer.write(whole.serialize())
"""
_STORE_MAX, _COPY_SECONDS = 1 << 30, 60


def _copy(database: Path, to: Path) -> None:
    """Copy the store consistently, even while it is written to.

    The store belongs to an unprivileged user, so a child process of that user reads it, not root.
    """
    if not database.parent.is_dir() or not os.path.lexists(database):
        raise ConfigError(f"there is no store at {database}; give --rules FILE, or --state-dir")
    owner = database.parent.stat()
    try:
        done = subprocess.run(  # noqa: S603  # no shell; the script is a constant
            [sys.executable, "-I", "-c", _COPY, str(database.absolute())],
            capture_output=True,
            user=owner.st_uid,
            group=owner.st_gid,
            extra_groups=[],
            cwd="/",
            timeout=_COPY_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"{database} cannot be copied within {_COPY_SECONDS} s") from error
    if done.returncode or len(done.stdout) > _STORE_MAX:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["too large"]
        raise StoreError(f"{database} cannot be copied: {reason[0][:200]}")
    to.write_bytes(done.stdout)


def _state(
    settings: Settings, store: SqliteStore, datapath: PinnedDatapath, rules: Path | None
) -> tuple[State, Imported]:
    """Fill the maps as the control plane would; no controller is running when this returns."""
    protected = Protection(dict.fromkeys(settings.protected, CONFIGURED))
    controller = Controller(
        store, datapath, settings.quotas(), protected, Clock(), settings.capacities.entries
    )
    controller.start()
    try:
        return controller.state, _import(controller, rules)
    finally:
        controller.stop()


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
