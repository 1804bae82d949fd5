# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what nodes have of the fleet's intents; a node that has something else takes all anew.

A digest is the sum of the hashes of all intents that stand: the key, and the engine's revision. The
content of an intent has a checksum of its own. So nodes that have followed equally far have the
same digest, whatever each of them refuses or is not meant for.
"""

import hashlib
import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping

from xdpctl.control.state.draft import Draft
from xdpctl.fleet.agent.follower import POSITION, Follower
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.records import forget_known
from xdpctl.fleet.node import Digest, Seen

_SECONDS = 5.0  # between two digests
_LASTS_SECONDS = 20.0  # for which digests differ until it counts: an end reaches nodes one by one
_AGAIN_SECONDS = 600.0  # between two attempts to take all anew
_MASK = (1 << 64) - 1
log = logging.getLogger("xdpctl.fleet")


def digest_of(revisions: Mapping[str, int], position: int) -> Digest:
    """The digest of intents, by key with their revisions, of a node that has followed so far."""
    total = 0
    for key, revision in revisions.items():
        hashed = hashlib.blake2b(f"{revision} {key}".encode(), digest_size=8).digest()
        total += int.from_bytes(hashed)
    newest = max(revisions.values(), default=0)
    return Digest(f"{total & _MASK:016x}", newest, max(position, newest))


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


class Comparison:
    """Makes this node's digest, and compares it with those of other nodes; call `step` often.

    `differ` are the nodes whose digests have differed for a while.
    """

    def __init__(self, member: Member, follower: Follower) -> None:
        self._member, self._follower = member, follower
        self.own, self.differ = Digest(), list[str]()
        self.repairs = deque[str](maxlen=10)  # why, for people
        self._made_at, self._since, self._repaired_at = 0.0, dict[str, float](), -_AGAIN_SECONDS

    def step(self, nodes: Iterable[Seen], looked: float) -> None:
        """Compare; if this node differs, take all intents anew, from another member."""
        now = time.monotonic()
        if now - self._made_at >= _SECONDS:
            self._made_at = now
            self._make()
        found = differing(nodes, looked)
        self._since = {name: self._since.get(name, now) for name in found}
        self.differ = [n for n, since in self._since.items() if now - since >= _LASTS_SECONDS]
        if self._member.name in self.differ and now - self._repaired_at >= _AGAIN_SECONDS:
            self._repaired_at = now
            self._repair("it has other intents than the other nodes")

    def begin(self) -> None:
        """Take all anew at the start if records of this node cannot be read."""
        unreadable = list(self._member.controller.state.unreadable)
        if unreadable:
            self._repair(f"{len(unreadable):,} of its records are damaged, such as {unreadable[0]}")

    def _repair(self, why: str) -> None:
        log.error("this node takes all intents of the fleet anew: %s", why)

        def operation(draft: Draft) -> None:
            forget_known(draft)
            draft.note("fleet", "fleet.repair", "", why=why)

        self._member.do(operation)
        self._follower.read_anew()
        self.repairs.append(why)

    def _make(self) -> None:
        state = self._member.controller.state
        position = state.followed.get(POSITION)
        shared = list(state.shared.items())
        if position is not None and state.followed.get(POSITION) == position:
            revisions = {key: intent.revision for key, intent in shared if intent.stands}
            self.own = digest_of(revisions, position.revision)
