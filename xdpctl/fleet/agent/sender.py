# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends the intents of this node to the engine, each with compare-and-swap.

Unsent intents are in the node's store, so none is lost by a crash or while the engine is away. If
another node has written a key meanwhile, `intake` decides which of the two intents wins.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any

from msgspec import Raw, structs

from xdpctl.base.clock import Now
from xdpctl.errors import ConflictError, EngineError, XdpctlError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.backlog import urgent
from xdpctl.fleet.agent.follower import TOMBSTONE_SECONDS, Follower
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.records import current, drop_sent, of_detector
from xdpctl.fleet.agent.sending_sets import SetSender
from xdpctl.fleet.engine.values import Held, Swap
from xdpctl.fleet.intent import (
    VERSION,
    Intent,
    Unreadable,
    content,
    decode,
    encode,
    kind_named,
)
from xdpctl.model.shared import Unsent

_TOGETHER, _TOGETHER_LEAST = 1_000, 60  # intents of a transaction; any etcd allows the smaller
_BYTES, _REMEMBERED = 1_000_000, 1_000  # of a transaction; intents that are not confirmed
_WAIT_SECONDS, _AGAIN_SECONDS, _ANSWER_SECONDS, _URGENT_SECONDS = 1.0, 0.3, 0.1, 0.03
log = logging.getLogger("xdpctl.fleet")


class Sender:
    """Sends from `run` until the member is stopping."""

    def __init__(self, member: Member, follower: Follower) -> None:
        self._member, self._follower = member, follower
        self._sets = SetSender(member)
        self._sent: dict[str, Unsent] = {}  # written, but not seen by the follower yet
        self._bases: dict[str, int] = {}  # later revisions of our own intents
        self._waiting: dict[int, Future[int]] = {}
        self._together = _TOGETHER
        self._kept, self._answer_at, self._urgent_at = _REMEMBERED, 0.0, 0.0
        self._lock = threading.Lock()

    def when_sent(self, change: int) -> "Future[int]":
        """The engine's revision that has all of a change; ConflictError if it gave way to others.

        Call this only after the change was made.
        """
        with self._lock:
            future = self._waiting.setdefault(change, Future())
        self._member.stated.set()
        return future

    def run(self) -> None:
        """Send intents; after an error, note it and try again."""
        member, last_problem = self._member, ""
        while not member.stopping.is_set():
            member.stated.clear()
            more = False
            try:
                more = self._step()
                last_problem = ""
            except EngineError as error:
                member.hear(error)
                if "too many operations" in str(error):
                    self._together = _TOGETHER_LEAST
                member.stopping.wait(_AGAIN_SECONDS)
            except XdpctlError as error:
                if str(error) != last_problem:
                    log.warning("an intent is not sent yet: %s", error)
                last_problem = str(error)
                member.stopping.wait(_AGAIN_SECONDS)
            except Exception:
                log.exception("internal error while sending to the fleet; it is tried again")
                member.stopping.wait(_AGAIN_SECONDS)
            now = time.monotonic()
            if not more or now >= self._answer_at:  # during a long import, now and then
                self._answer()
                self._answer_at = now + _ANSWER_SECONDS
            if not more:
                member.stated.wait(_WAIT_SECONDS)

    def _step(self) -> bool:
        """Send one transaction of unsent intents; return whether more may wait."""
        unsent = self._member.controller.state.unsent
        if len(self._sent) > self._kept:  # forget confirmed intents
            self._sent = {k: sent for k, sent in self._sent.items() if unsent.get(k) == sent}
            self._kept = max(_REMEMBERED, 2 * len(self._sent))
        waits = self._first(list(unsent.items()))
        fresh = ((k, v) for k, v in waits if self._sent.get(k) != v)
        batch = dict(islice(fresh, self._together))
        if not batch:  # somebody may ask for the same again after its confirmation
            self._sent = {k: sent for k, sent in self._sent.items() if k in unsent}
        if not batch or not self._member.applied:
            return False  # the follower must have read the engine before anything is sent
        lists = {key: entry for key, entry in batch.items() if self._is_list(key, entry)}
        for key, entry in lists.items():
            self._send_set(key, entry)
        self._send({key: entry for key, entry in batch.items() if key not in lists})
        return True

    def _first(self, unsent: list[tuple[str, Unsent]]) -> list[tuple[str, Unsent]]:
        """The urgent ones alone, if an import waits; that is looked at now and then."""
        now = time.monotonic()
        if len(unsent) <= self._together or now < self._urgent_at:
            return unsent
        found = [(key, entry) for key, entry in urgent(unsent) if self._sent.get(key) != entry]
        self._urgent_at, self._answer_at = now + _URGENT_SECONDS, 0.0 if found else self._answer_at
        return found or unsent

    def _is_list(self, key: str, unsent: Unsent) -> bool:
        return kind_named(key)[0] == "sets" and not unsent.removed

    def _send(self, batch: Mapping[str, Unsent]) -> None:
        swaps: list[Swap] = []
        size, now = 0, self._member.controller.clock.read()
        values = self._member.do(lambda draft: {key: current(draft, key) for key in batch})
        dropped = []
        for key, unsent in batch.items():
            value = values[key]
            if not unsent.removed and not unsent.data and (value is None or of_detector(value)):
                dropped.append((key, unsent))  # the record ran out, or a detector has the match now
                continue
            swap = self._swap(key, unsent, value, now)
            size += len(swap.value or b"")
            if swaps and size > _BYTES:
                break
            swaps.append(swap)
        if dropped:
            self._member.do(lambda draft: drop_sent(draft, dropped))
        if swaps:
            self._write(swaps, batch)

    def _swap(self, key: str, unsent: Unsent, value: Any, now: Now) -> Swap:
        base = self._bases.get(key, unsent.base)
        intent = self._intent(unsent, now)
        if unsent.removed:
            lease = self._member.leases.until(TOMBSTONE_SECONDS)
        else:
            kind, _ = kind_named(key)
            data = Raw(unsent.data) if unsent.data else content(kind, value, now)
            intent = structs.replace(intent, data=data)
            ends = getattr(value, "expires_ns", 0)
            lease = self._member.leases.until(max(1.0, (ends - now.ns) / 1e9)) if ends else 0
        return Swap(keys.intent(key), encode(intent), base, lease)

    def _intent(self, unsent: Unsent, now: Now) -> Intent:
        return Intent(
            v=VERSION,
            by=unsent.by,
            node=self._member.name,
            at=unsent.at,
            clock=now.error is not None,
            scope=unsent.scope,
            removed=unsent.removed,
            change=unsent.change,
        )

    def _write(self, swaps: Sequence[Swap], batch: Mapping[str, Unsent]) -> None:
        """Write a transaction; if the engine has newer intents, take these over instead."""
        swapped = self._member.engine.swap(swaps)
        self._member.contact.made()
        if swapped.done:
            for swap in swaps:
                key = swap.key.removeprefix(keys.INTENTS)
                self._sent[key] = batch[key]
                self._bases.pop(key, None)
                self._member.reach(batch[key].change, swapped.revision)
                kind, name = kind_named(key)
                if kind == "sets":
                    self._sets.removed(name)
            return
        conflicting: list[Held] = []
        for swap in swaps:
            kv = swapped.found.get(swap.key) or Held(swap.key, None, swapped.revision)
            revision = kv.revision if kv.value is not None else 0
            if revision != swap.base:
                conflicting.append(kv)
        self._rebase(conflicting)

    def _rebase(self, kvs: Sequence[Held]) -> None:
        """Continue from the engine's intents: ours are the new base; take over other nodes'."""
        foreign = []
        for kv in kvs:
            key = kv.key.removeprefix(keys.INTENTS)
            if kv.value is None:
                self._bases[key] = 0
            elif self._is_ours(kv):
                self._bases[key] = kv.revision
            else:
                self._bases.pop(key, None)
                foreign.append(kv)
        if foreign:
            self._follower.take(foreign)

    def _is_ours(self, kv: Held) -> bool:
        """Whether this node wrote the value, so that no other node has published a newer one."""
        try:
            return decode(kv.value or b"").node == self._member.name
        except Unreadable:
            return False

    def _send_set(self, key: str, unsent: Unsent) -> None:
        """Send a set; its pieces go first."""
        member, (_, name) = self._member, kind_named(key)
        base = self._bases.get(key, unsent.base)
        intent = self._intent(unsent, member.controller.clock.read())
        swapped = self._sets.send(name, base, intent)
        if swapped is None:
            member.do(lambda draft: drop_sent(draft, [(key, unsent)]))
        elif not swapped.done:
            kv = swapped.found.get(keys.intent(key))
            self._rebase([kv or Held(keys.intent(key), None, swapped.revision)])
        else:
            self._sent[key] = unsent
            self._bases.pop(key, None)
            member.reach(unsent.change, swapped.revision)

    def _answer(self) -> None:
        """Give those who wait the revision that has their change, or a ConflictError."""
        if not self._waiting:
            return
        unsent = self._member.controller.state.unsent
        open_changes = {
            entry.change for key, entry in list(unsent.items()) if self._sent.get(key) != entry
        }
        with self._lock:
            for change in list(self._waiting):
                why = self._member.conflicts.pop(change, "")
                if change in open_changes and not why:
                    continue
                future = self._waiting.pop(change)
                if not future.set_running_or_notify_cancel():
                    continue
                if why:
                    fix = "look at what stands, and state it again if you mean it"
                    future.set_exception(ConflictError(why, "", fix))
                else:
                    future.set_result(self._member.reached.get(change, 0))
