# SPDX-License-Identifier: GPL-2.0-or-later
"""A filter of its own, with the rules that stand or others, that recordings are run through.

Live traffic is not touched: maps, programs and pins are the rehearsal's, gone when it ends. A
packet is judged as `explain` judges it. Time is not rehearsed: each packet of a limit counts as too
fast, so a limit tells what it would be applied to.
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

from xdpctl.abi.explanation import PackedVerdict
from xdpctl.abi.structs import Reason
from xdpctl.base.clock import Clock
from xdpctl.base.net.pcap_reader import Skipped
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.controller import Controller
from xdpctl.control.operations.bulk_import import Imported, add_many
from xdpctl.control.operations.bulk_parser import Format, Parser
from xdpctl.control.signature_sync import rate_record
from xdpctl.control.state.state import State
from xdpctl.control.store.store import SqliteStore
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.loader import Loader, compile_filter, take_down
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
_NEVER = struct.pack("<Q", 1 << 62)  # a bucket's time that does not come


@dataclass(slots=True)
class Tally:
    """What became of one recording: packets and bytes by reason, and by what decided."""

    packets: int
    bytes: int
    skipped: Skipped
    short: int  # frames of less than an Ethernet header
    reasons: Counter[Reason] = field(default_factory=Counter)
    rules: Counter[tuple[Reason, str, str]] = field(default_factory=Counter)  # with id and text

    @property
    def dropped(self) -> int:
        """How many packets the rules would drop."""
        return sum(n for reason, n in self.reasons.items() if reason.verdict == "drop")

    @property
    def share(self) -> float:
        """Of the packets, how much is dropped: coverage of an attack, collateral of all else."""
        return self.dropped / self.packets if self.packets else 0.0


class Rehearsal:
    """Ask it about recordings, one after the other."""

    def __init__(self, datapath: PinnedDatapath, state: State, pins: Pins) -> None:
        self._state = state
        self._explain = maps.open_pin(pins.explain)
        buckets = maps.open_map(pins.map("buckets"))
        for held in state.signatures.values():
            if held.limit:
                datapath.signatures.put_rate(held.slot, rate_record(Rate(pps=1)))
                buckets.put(struct.pack("<I", own_bucket(held.slot)), _NEVER)

    def run(self, path: Path) -> Tally:
        """Every packet of a recording; RecordingError if it is none."""
        judged = judge(self._explain, path)
        tally = Tally(judged.packets, judged.bytes, judged.skipped, judged.short)
        if tally.short:
            tally.reasons[Reason.TRUNCATED] = tally.short
        for value, count in judged.values.items():
            told = PackedVerdict.of(value)
            tally.reasons[told.reason] += count
            if told.reason in _BY_RULES:
                tally.rules[told.reason, *self._named(told.slot)] += count
        return tally

    def _named(self, slot: int) -> tuple[str, str]:
        """The id and the text of what a slot belongs to."""
        signature, held = self._state.signature_of(slot), self._state.set_of(slot)
        if signature:
            return signature.id, str(signature.match)
        if held:
            return held.name, f"the set {held.name}"
        prefixes = self._state.image.entries
        source = next((p for p, number in prefixes.items() if number == slot), None)
        return (str(source).replace("/", "_"), f"src {source}") if source else ("", "protected")


_BY_RULES = (
    *(Reason.ACCEPTED, Reason.DROPPED, Reason.SIGNATURE, Reason.LIMITED, Reason.ESTABLISHED),
)


@contextmanager
def rehearsing(settings: Settings, rules: Path | None) -> Iterator[tuple[Rehearsal, Imported]]:
    """With a copy of the store's rules and sets, or with those of a file; root only."""
    if os.geteuid() != 0:
        raise ConfigError("a rehearsal loads programs into the kernel, so it needs root: use sudo")
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
            if pins.directory.is_mount():
                command = ("umount", str(pins.directory))
                subprocess.run(command, check=True)  # noqa: S603  # no shell; a folder of ours


_COPY = """
import sqlite3, sys
live = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
whole = sqlite3.connect(":memory:")
live.backup(whole)
sys.stdout.buffer.write(whole.serialize())
"""
_STORE_MAX, _COPY_SECONDS = 1 << 30, 60


def _copy(database: Path, to: Path) -> None:
    """As it is now, whoever writes to it meanwhile.

    The store belongs to an unprivileged user, so a child of that user reads it, and not root.
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
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["too large"]
        raise StoreError(f"{database} cannot be copied: {said[0][:200]}")
    to.write_bytes(done.stdout)


def _state(
    settings: Settings, store: SqliteStore, datapath: PinnedDatapath, rules: Path | None
) -> tuple[State, Imported]:
    """The maps as the control plane would have them; it has ended when this returns."""
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
    kind = Format.CSV if rules.suffix == ".csv" else Format.PLAIN  # which takes NDJSON's lines too
    parser = Parser(kind, _DEFAULTS)
    imported = controller.submit(
        lambda draft: add_many(draft, parser.feed(lines), _CALLER, str(rules))
    )
    return imported.result()
