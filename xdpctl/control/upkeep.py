# SPDX-License-Identifier: GPL-2.0-or-later
"""Periodic maintenance of the controller, in short steps between requests."""

import logging
import time
from collections.abc import Iterator

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.committer import Committer
from xdpctl.control.expiry import Expiry
from xdpctl.control.guards import shelter
from xdpctl.control.guards.cuts import Cut
from xdpctl.control.sides import bring
from xdpctl.control.state.coverage import covering
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.audit import CHECKPOINT, Event, Sign, checkpoint
from xdpctl.control.store.records import INCIDENTS
from xdpctl.control.store.rule_records import encode, rule_key
from xdpctl.control.table_check import check_rest, check_rules, check_sets
from xdpctl.model.effect import Action
from xdpctl.model.incident import encode as encode_incident

_STEP = 512
_TRIM_NS = 60_000_000_000  # between two checks of the audit log's size
_SHELTER_NS = 10_000_000_000  # how long before an accept ends the drop behind it is suspended
_PAUSE_NS = 2_000_000_000  # between two rounds
_LEAST_NS = 20_000_000  # between two steps
_SHARE = 20  # steps take at most this part of the time, 1/20
_STALE_MIN = 64  # removed entries after which a repaint is worth its time
_PROBE = "upkeep/probe"
BEGUN = "upkeep/begun"  # a record that tells a lost store from one that has no rules yet
_CLOCK_STEP = 1.0  # seconds by which the wall clock must have jumped
log = logging.getLogger("xdpctl.controller")
# Limits of what can be undone. Beyond either, the oldest changes are dropped.
_CHANGES, _CHANGES_BYTES = 1_000, 64 << 20
# Limits of the audit log. Beyond either, the oldest records are replaced by a signed checkpoint,
# and this share of the log is kept.
_AUDIT_RECORDS, _AUDIT_BYTES, _AUDIT_KEPT = 500_000, 256 << 20, 0.8


class Upkeep:
    """Rounds of maintenance: remove what expired, check the tables, repaint, follow the clock.

    `probe` asks for a test write at the end of the next round, to see whether the store works.
    """

    def __init__(self, committer: Committer, expiry: Expiry, sign: Sign) -> None:
        self._committer, self._expiry, self._sign = committer, expiry, sign
        self._trim_at_ns = 0
        self.probe = False
        self._offset: float | None = None
        self._steps = self._rounds()
        self._not_before = self._shelter_at_ns = 0
        self._due: dict[Prefix, Cut] = {}  # addresses that an accept lets in until it ends

    def rest(self) -> float:
        """The seconds until a step is due; there is a little rest between any two."""
        due = min(self._not_before, self._shelter_at_ns)
        return max(_LEAST_NS, due - time.monotonic_ns()) / 1e9

    def step(self) -> bool:
        """Do one short step of at most a few milliseconds; return whether it ended a round."""
        began = time.monotonic_ns()
        if began >= self._shelter_at_ns:  # by time, since a round may take too long
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
            self._expiry.matches()
            if self._committer.unsettled:
                self._repair()
            for part in (self._expiry.steps(), self._check(), self._repaint()):
                for _ in part:
                    yield False
            self._trim()
            if self.probe:
                # one row, since an empty write does not reach the disk; raises if the store fails
                self._committer.store.write({_PROBE: b""})
                self.probe = False
            yield True

    def _trim(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns >= self._trim_at_ns:
            self._trim_at_ns = now_ns + _TRIM_NS
            trim(self._committer, self._sign)

    def _shelter(self) -> None:
        """Suspend drops that would hit a logged-in user when the accept that covers them ends.

        The kernel ends an accept automatically, so upkeep suspends the drops some rounds before.
        """
        committer = self._committer
        draft = Draft(committer.state, committer.clock.read())
        until, due = draft.now.ns + _SHELTER_NS, self._due
        people = draft.state.people(draft.now.ns)
        candidates = [
            address for address in people if address in due or _accepted_for_a_while(draft, address)
        ]
        at = {address: cut for address in candidates if (cut := shelter.cut_off(draft, address))}
        # also addresses whose accept has ended already, if this check came late
        late = [address for address, cut in at.items() if cut.kept or address in due]
        self._due = {address: cut for address, cut in at.items() if cut.kept}
        shelter.keep_in(draft, late, until, "an accept has ended")
        committer.commit(draft)

    def _check(self) -> Iterator[None]:
        """Compare the kernel's tables with what they should hold; another program may change them.

        Tables and image agree between two steps, so every step compares what it has just read.
        """
        committer, wrong = self._committer, 0
        state = committer.state
        for part in (check_rules(committer), check_sets(committer), check_rest(committer)):
            for bad in part:
                wrong += bad
                yield
        words = self._committer.datapath.source.words
        for first in range(0, len(state.image.slots), _STEP):
            expected = state.image.slots[first : first + _STEP]
            wrong += words[first : first + len(expected)].tobytes() != b"".join(expected)
            yield
        if wrong or not self._committer.match_sync.agrees():
            self._repair()
        if self._committer.datapath.source.note_outgoing():
            self._repaired(["the word that says whether there is an out set"])
        if bring(self._committer.datapath, state.sides):
            self._repaired(["sides of outside interfaces"])

    def _repair(self) -> None:
        """Read all tables and correct what differs."""
        dropped = self._committer.resync()
        differing = dropped + self._committer.reconcile(self._committer.clock.read())
        if differing:
            self._repaired(differing)

    def _repaired(self, differing: list[str]) -> None:
        detail = {"entries": len(differing), "first": differing[:10]}
        log.warning("repaired %d kernel entries that another program changed: %s", *detail.values())
        self._committer.record(Event("xdpctl", "kernel.repair", "", detail))

    def _repaint(self) -> Iterator[None]:
        """Clear stale filter bits once there are many, and set those that were lost."""
        committer, source = self._committer, self._committer.datapath.source
        used = sum(table.used for table in source.tables.values())
        clear = committer.stale >= max(_STALE_MIN, used // 100)
        if clear:
            committer.stale = 0
        if clear or used:
            yield from source.repaint(clear)
        if lacking := source.take_lacking():
            self._repaired([f"filter bits of {lacking} tables"])

    def _follow_clock(self) -> None:
        """After a step of the wall clock, rewrite the wall-clock copies of the deadlines.

        The deadlines themselves are kernel time and do not move.
        """
        committer = self._committer
        now = committer.clock.read()
        offset = now.unix - now.ns / 1e9
        if self._offset is None:
            self._offset = offset
        if abs(offset - self._offset) < _CLOCK_STEP:
            return
        state = committer.state
        timed = [rule for rule in state.all_rules() if rule.kernel_expires_ns]
        moved = offset - self._offset
        log.warning("the wall clock was stepped by %.1f s; deadlines do not change", moved)
        committer.store.write(
            {rule_key(rule.match.key): encode(rule, now) for rule in timed}
            | {
                INCIDENTS + i.id: encode_incident(i.replace(ends_at=i.ends_at + moved))
                for i in committer.state.incidents.values()
                if i.open
            }
        )
        self._offset = offset
        committer.follow()


def _accepted_for_a_while(draft: Draft, address: Prefix) -> bool:
    """Whether an accept that ends covers an address."""
    return any(
        entry.rule and entry.rule.kernel_expires_ns and entry.action is Action.ACCEPT
        for entry in covering(draft, address)
    )


def trim(committer: Committer, sign: Sign) -> None:
    """Drop the oldest changes that can be undone, and the start of a long audit log."""
    store = committer.store
    store.trim_changes(_CHANGES, _CHANGES_BYTES)
    records, size = store.audit_size()
    share = max(records / _AUDIT_RECORDS, size / _AUDIT_BYTES)
    if share <= 1:
        return
    keep = int(records / share * _AUDIT_KEPT)
    newest = committer.chain.sequence
    (last,) = store.audit(newest - keep - 1, 1)
    mark = checkpoint(last, records - keep, committer.clock.read().unix, sign)
    store.forget_audit(newest - keep, {CHECKPOINT: mark})
    committer.state.checkpoint = mark
    committer.record(Event("xdpctl", "audit.trim", "", {"records": records - keep}))
