# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what nodes have of the fleet's intents; a node that differs takes them from the engine.

A digest is the sum of the hashes of all intents that stand: the key, and the engine's revision. The
content of an intent has a checksum of its own. So nodes that have followed equally far have the
same digest, whatever each of them refuses or is not meant for.
"""

import hashlib
import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from msgspec import structs

from xdpctl.control.state.draft import Draft
from xdpctl.fleet import keys
from xdpctl.fleet.agent.follower import POSITION, Follower
from xdpctl.fleet.agent.intake import Incoming
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.engine.calls import text_of
from xdpctl.fleet.intent import VERSION, Intent
from xdpctl.fleet.node import Digest, Seen
from xdpctl.model.shared import Position, Shared

_SECONDS = 5.0  # between two digests
_LASTS_SECONDS = 20.0  # for which digests differ until it counts: an end reaches nodes one by one
_AGAIN_SECONDS = 60.0  # between two comparisons with the engine
_NAMED, _REPAIRED = 20, 10_000  # intents that a record names, and that are taken at once
_MASK = (1 << 64) - 1
log = logging.getLogger("xdpctl.fleet")


def digest_of(revisions: Mapping[str, int], position: int) -> Digest:
    """The digest of intents, by key with their revisions, of a node that has followed so far."""
    total = 0
    for key, revision in revisions.items():
        hashed = hashlib.blake2b(f"{revision} {key}".encode(), digest_size=8).digest()
        total += int.from_bytes(hashed)
    newest = max(revisions.values(), default=0)
    return Digest(f"{total & _MASK:016x}", newest, position)


def differing(nodes: Iterable[Seen], now: float) -> list[str]:
    """The live nodes that have something else than most; all, if no two of them have the same.

    Nodes are compared if each has followed at least as far as the newest intent of any of them.
    """
    digests = {node.name: node.report.digest for node in nodes if node.report and node.live(now)}
    newest = max((digest.newest for digest in digests.values()), default=0)
    sums = {name: d.sum for name, d in digests.items() if d.sum and d.position >= newest}
    counted = Counter(sums.values()).most_common(2)
    if len(counted) < 2:
        return []
    (usual, most), (_, second) = counted
    return sorted(name for name, sum_ in sums.items() if sum_ != usual or most == second)


def _different(
    engine: Mapping[str, int], shared: Mapping[str, Shared], position: int
) -> tuple[list[str], set[str]]:
    """The keys that a node has older or not at all, and those that the engine lacks."""
    older = [
        key
        for key, revision in engine.items()
        if revision <= position and (key not in shared or shared[key].revision < revision)
    ]
    lacking = {
        key
        for key, intent in shared.items()
        if intent.stands and key not in engine and intent.revision <= position
    }
    return older, lacking


class Comparison:
    """Makes this node's digest, and compares it with those of other nodes; call `step` often.

    `differ` are the nodes whose digests have differed for a while. No node is believed to be right
    because others say so: each compares what it has with the engine.
    """

    def __init__(self, member: Member, follower: Follower) -> None:
        self._member, self._follower = member, follower
        self.own, self.differ = Digest(), list[str]()
        self.repairs = deque[str](maxlen=10)  # what was wrong, for people
        self._made_at, self._since, self._compared_at = 0.0, dict[str, float](), -_AGAIN_SECONDS
        self._lacking = set[str]()  # what the engine lacked at the last comparison
        self._made_of: tuple[Position | None, int] = None, 0

    def step(self, nodes: Iterable[Seen], looked: float) -> None:
        """Compare with the other nodes; if digests differ, with the engine."""
        now = time.monotonic()
        if now - self._made_at >= _SECONDS:
            self._made_at = now
            self._make()
        found = differing(nodes, looked)
        self._since = {name: self._since.get(name, now) for name in found}
        self.differ = [n for n, since in self._since.items() if now - since >= _LASTS_SECONDS]
        if self._member.name in self.differ and now - self._compared_at >= _AGAIN_SECONDS:
            self._compared_at = now
            self._compare()

    def begin(self) -> None:
        """Take from the fleet what cannot be read of this node's records, at its start."""
        state = self._member.controller.state
        unreadable = list(state.unreadable)
        keys_ = {key.removeprefix("shared/").replace("entries/", "sets/") for key in unreadable}

        def operation(draft: Draft) -> None:
            for key in keys_:
                known = draft.state.shared.get(key)
                lost = f"shared/{key}" in unreadable
                if known is not None or lost:  # what the fleet knows replaces what is here
                    draft.shared[key] = structs.replace(known or Shared(0), revision=0)
            draft.note("fleet", "fleet.repair", "", unreadable=unreadable[:_NAMED])

        if unreadable:
            self._member.do(operation)
            self._follower.read_anew()
            self._say(f"{len(unreadable):,} records here are damaged, such as {unreadable[0]}")

    def _compare(self) -> None:
        """Compare with the engine, key by key, and take over what differs.

        What the engine lacks ends here only if that is so twice, in one history: an engine that was
        restored, or goes on with a member that was behind, must end nothing.
        """
        member, state = self._member, self._member.controller.state
        known = state.followed.get(POSITION)
        found = member.engine.snapshot(keys.INTENTS, keys_only=True)
        epoch = member.engine.get(keys.EPOCH)
        now = f"{found.cluster:x}", text_of(epoch.value) if epoch else ""
        if known is None or now != (known.cluster, known.epoch) or found.revision < known.revision:
            return
        engine = {kv.key.removeprefix(keys.INTENTS): kv.revision for kv in found.held}
        older, lacking = _different(engine, dict(state.shared), known.revision)
        gone, self._lacking = lacking & self._lacking, lacking
        if older or gone:
            self._take(older, sorted(gone), known.revision)

    def _take(self, older: Sequence[str], gone: Sequence[str], position: int) -> None:
        member, named = self._member, [*older, *gone][:_NAMED]
        member.do(lambda draft: draft.note("fleet", "fleet.repair", "", intents=named))
        found = (member.engine.get(keys.intent(key)) for key in older[:_REPAIRED])
        self._follower.take([kv for kv in found if kv is not None])
        removed = Intent(VERSION, "fleet", "", member.controller.clock.read().unix, removed=True)
        self._follower.incoming([Incoming(key, position, removed) for key in gone[:_REPAIRED]])
        self._say(f"{len(older) + len(gone):,} intents differ from the engine, such as {named[0]}")

    def _say(self, why: str) -> None:
        log.error("this node takes intents from the fleet anew: %s", why)
        self.repairs.append(why)

    def _make(self) -> None:
        state = self._member.controller.state
        position, shared = state.followed.get(POSITION), dict(state.shared)
        same = self._made_of == (position, len(shared))
        if position is not None and not same and state.followed.get(POSITION) == position:
            revisions = {key: one.revision for key, one in shared.items() if one.stands}
            self._made_of = position, len(shared)
            self.own = digest_of(revisions, position.revision)
