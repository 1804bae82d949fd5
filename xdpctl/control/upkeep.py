# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps the picture true while nobody asks: short steps between requests."""

import logging
import time
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

import numpy as np

from xdpctl.abi.structs import Hits, SlotNumber, Value
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.control.committer import Committer
from xdpctl.control.operations import lockout, signatures, source_rules
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import NEVER
from xdpctl.control.store.audit import Event, Sign
from xdpctl.control.store.records import INCIDENTS, encode, rule_key
from xdpctl.control.store.signature_records import SIGNATURES, encode_signature
from xdpctl.model.incident import encode as encode_incident
from xdpctl.model.rule import Mode, Rule
from xdpctl.model.signature import Signature

_STEP = 512
_TRIM_NS = 60_000_000_000  # between two looks at the audit log's size
_SHELTER_NS = 10_000_000_000  # before an accept ends
_KEYS = 8192  # of a set, looked at in one step
_PAUSE_NS = 2_000_000_000  # between two rounds
_SHARE = 20  # of the time, at most one part in so many goes into steps
_RAN_OUT = "its time was up"
_STALE_MIN = 64  # entries gone after which a repaint is worth its time
_PROBE = "upkeep/probe"
_CLOCK_STEP = 1.0  # seconds by which the wall clock must have jumped
log = logging.getLogger("xdpctl.controller")


class Ledger(Protocol):
    """Records what rules did once they have ended; incidents/ledger is the one that does."""

    def rule_ended(self, draft: Draft, rule: Rule | Signature, hits: Hits, why: str) -> None:
        """Record what a rule did that ends now, and `why` it ends."""
        ...

    def close_quiet(self, draft: Draft) -> None:
        """Close the incidents in which nothing happens any more."""
        ...


class NoLedger:
    """Where no incidents are kept, as in a replay."""

    def rule_ended(self, draft: Draft, rule: Rule | Signature, hits: Hits, why: str) -> None:
        """Nothing is recorded."""

    def close_quiet(self, draft: Draft) -> None:
        """Nothing is recorded."""


class Upkeep:
    """Rounds of: forget what expired, check the tables, repaint the front, follow the clock.

    `probe`: at the end of the next round, find out whether the store works again.
    """

    def __init__(self, committer: Committer, sign: Sign, ledger: Ledger) -> None:
        self._committer, self._sign, self._ledger = committer, sign, ledger
        self._trim_at_ns = 0
        self.probe = False
        self._offset: float | None = None
        self._steps = self._rounds()
        self._not_before = self._shelter_at_ns = 0

    def step(self) -> bool:
        """One short step, at most a few milliseconds; whether it ended a good round."""
        began = time.monotonic_ns()
        if began >= self._shelter_at_ns:  # not once a round, which may take longer than is left
            self._shelter_at_ns = began + _PAUSE_NS
            self._shelter()
        if began < self._not_before:
            return False
        pause = _PAUSE_NS
        try:
            ended = next(self._steps)
            if not ended:
                pause = (time.monotonic_ns() - began) * _SHARE
        except Exception:
            self._steps = self._rounds()
            raise
        finally:
            self._not_before = time.monotonic_ns() + pause
        return ended

    def _rounds(self) -> Iterator[bool]:
        while True:
            self._follow_clock()
            self._forget_signatures()
            if self._committer.unsettled:
                self._repair()
            for part in (self._sweep(), self._check(), self._repaint()):
                for _ in part:
                    yield False
            self._trim()
            if self.probe:
                # a row, since an empty write touches no disk; raises while the store is in trouble
                self._committer.store.write({_PROBE: b""})
                self.probe = False
            yield True

    def _sweep(self) -> Iterator[None]:
        everything = iter(list(self._committer.state.rules.values()))
        while batch := list(islice(everything, _STEP)):
            self._forget(batch)
            yield

    def _trim(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns >= self._trim_at_ns:
            self._trim_at_ns = now_ns + _TRIM_NS
            self._committer.trim_audit(self._sign)

    def _shelter(self) -> None:
        """What would drop somebody who is logged in, once what lets him in has ended, is suspended.

        The kernel ends an accept by itself, so this comes some rounds before.
        """
        committer = self._committer
        draft = Draft(committer.state, committer.clock.read())
        for address, accept, drop in lockout.about_to_be_dropped(draft, _SHELTER_NS):
            if drop.rule:
                draft.put(drop.rule.replace(mode=Mode.MONITOR))
            elif drop.set:
                draft.put_set(drop.set.replace(mode=Mode.MONITOR))
            why = f"{lockout.name(address)} is logged in, and {accept} that lets it in ends"
            log.warning("%s is suspended: %s", drop, why)
            draft.note("xdpctl", "rule.suspend", str(drop), why=why)
        committer.commit(draft)

    def _forget_signatures(self) -> None:
        committer = self._committer
        draft = Draft(committer.state, committer.clock.read())
        for held in list(committer.state.signatures.values()):
            if held.expired(draft.now.ns):
                (hits,) = committer.datapath.hits([held.slot])
                signatures.expire(draft, held, {"packets": hits.packets, "bytes": hits.bytes})
                self._ledger.rule_ended(draft, held, hits, _RAN_OUT)
        self._ledger.close_quiet(draft)
        committer.commit(draft)

    def sweep_now(self) -> None:
        """Forget everything expired at once, if anything can be."""
        state = self._committer.state
        if self._committer.clock.read().ns >= state.next_expiry:
            self._forget(list(state.rules.values()))
            ends = (rule.kernel_expires_ns or NEVER for rule in state.rules.values())
            state.next_expiry = min(ends, default=NEVER)

    def _forget(self, batch: list[Rule]) -> None:
        committer = self._committer
        draft = Draft(committer.state, committer.clock.read())
        for rule in batch:
            if rule.expired(draft.now.ns) and committer.state.rules.get(rule.source) == rule:
                hits = committer.hits(rule.source)
                source_rules.expire(draft, rule, {"packets": hits.packets, "bytes": hits.bytes})
                self._ledger.rule_ended(draft, rule, hits, _RAN_OUT)
        committer.commit(draft)

    def _check(self) -> Iterator[None]:
        """Compare the tables with what they should hold; somebody else may have changed them.

        Between two steps tables and image agree, so every step compares what it just read.
        """
        state, wrong = self._committer.state, 0
        for part in (self._check_rules(), self._check_sets(), self._check_rest()):
            for bad in part:
                wrong += bad
                yield
        words = self._committer.datapath.source.words
        for first in range(0, len(state.image.slots), _STEP):
            expected = state.image.slots[first : first + _STEP]
            wrong += words[first : first + len(expected)].tobytes() != b"".join(expected)
            yield
        if wrong or not self._committer.signature_sync.agrees():
            self._repair()
        if self._committer.datapath.sides.bring(state.sides):
            self._repaired(["sides of outside interfaces"])

    def _check_rules(self) -> Iterator[bool]:
        """Rules and protected prefixes lead to their slots."""
        image, source = self._committer.state.image, self._committer.datapath.source
        everything = iter(list(image.entries))
        while prefixes := [p for p in islice(everything, _STEP) if p in image.entries]:
            found = zip(prefixes, source.slots_of(prefixes), strict=True)
            yield any(image.entries[prefix] not in slots for prefix, slots in found)
            image = self._committer.state.image

    def _check_sets(self) -> Iterator[bool]:
        """The entries of sets lead to them."""
        source = self._committer.datapath.source
        for slot, by_family in list(self._committer.state.image.sets.items()):
            for family, keys in by_family.items():
                for first in range(0, len(keys), _KEYS):
                    held = self._committer.state.image.sets.get(slot, {}).get(family)
                    if held is not keys:  # it was replaced meanwhile
                        break
                    values = source.tables[family].values(keys[first : first + _KEYS])
                    kinds = np.unique(values).tolist()
                    yield any(slot not in source.nodes.slots(kind) for kind in kinds)

    def _check_rest(self) -> Iterator[bool]:
        """And nothing else is listed."""
        nodes = self._committer.datapath.source.nodes
        for family, keys, values in self._committer.datapath.source.scan():
            image = self._committer.state.image
            alone = (values >= SlotNumber.FIRST) & (values < Value.LIST)
            rules = zip(FAMILIES[family].prefixes(keys[alone]), values[alone].tolist(), strict=True)
            wrong = any(image.entries.get(prefix) != slot for prefix, slot in rules)
            for value in np.unique(values[~alone]).tolist():
                found, slots = keys[values == value], nodes.slots(value)
                wrong |= not slots
                for slot in slots:
                    if slot in image.sets:
                        wrong |= not within(image.sets[slot][family], found).all()
                    else:
                        prefixes = FAMILIES[family].prefixes(found)
                        wrong |= any(image.entries.get(prefix) != slot for prefix in prefixes)
            yield bool(wrong)

    def _repair(self) -> None:
        """A full read settles whether anything really differs, and puts it right."""
        dropped = self._committer.resync()
        differing = dropped + self._committer.reconcile(self._committer.clock.read())
        if differing:
            self._repaired(differing)

    def _repaired(self, differing: list[str]) -> None:
        detail = {"entries": len(differing), "first": differing[:10]}
        log.warning("repaired %d kernel entries that somebody changed: %s", *detail.values())
        self._committer.record(Event("xdpctl", "kernel.repair", "", detail))

    def _repaint(self) -> Iterator[None]:
        """Clear stale bits once there are many, and set those that somebody else cleared."""
        committer, source = self._committer, self._committer.datapath.source
        held = sum(table.used for table in source.tables.values())
        clear = committer.stale >= max(_STALE_MIN, held // 100)
        if clear:
            committer.stale = 0
        if clear or held:
            yield from source.repaint(clear)
        if lacking := source.take_lacking():
            self._repaired([f"bits in front of {lacking} tables"])

    def _follow_clock(self) -> None:
        """Deadlines are kernel time; after a step their wall-clock copies are written anew."""
        committer = self._committer
        now = committer.clock.read()
        offset = now.unix - now.ns / 1e9
        if self._offset is None:
            self._offset = offset
        if abs(offset - self._offset) < _CLOCK_STEP:
            return
        timed = [r for r in committer.state.rules.values() if r.kernel_expires_ns]
        moved = offset - self._offset
        log.warning("the wall clock moved by %.1f s; deadlines stay", moved)
        signed = [s for s in committer.state.signatures.values() if s.kernel_expires_ns]
        committer.store.write(
            {rule_key(r.source): encode(r, now) for r in timed}
            | {SIGNATURES + s.id: encode_signature(s, now) for s in signed}
            | {
                INCIDENTS + i.id: encode_incident(i.replace(ends_at=i.ends_at + moved))
                for i in committer.state.incidents.values()
                if i.open
            }
        )
        self._offset = offset
        committer.follow()
