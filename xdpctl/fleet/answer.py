# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a change is in force: the answer to whoever made it. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from xdpctl.base.durations import show_duration
from xdpctl.fleet.intent import in_scope
from xdpctl.fleet.node import Seen
from xdpctl.fleet.settings import FleetSettings


@dataclass(frozen=True, slots=True)
class Where:
    """Where a change is in force, by the names of nodes; `silent` in seconds.

    `unclear`: nodes that refuse more changes than they can list, so this change may be among those.
    `revision` is the engine's; 0 while the engine does not have the change. `first`: the seconds
    for which the one node tries it alone.
    """

    revision: int
    applied: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()
    silent: dict[str, float] = field(default_factory=dict)
    first: float = 0.0

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        named = (self.applied, self.behind, self.refused, self.unclear, self.silent)
        return sum(map(len, named))

    def __str__(self) -> str:
        if self.first:
            lasts = show_duration(self.first)
            return f"{self.applied[0]} alone for {lasts}, then on all unless people are hit there"
        parts = [f"{len(self.applied)} of {self.nodes}"]
        parts += [f"{name} refuses it: {why}" for name, why in self.refused.items()]
        parts += [f"{name} may refuse it: see xdpctl fleet status {name}" for name in self.unclear]
        parts += [f"{name} does not have it yet" for name in self.behind]
        parts += [f"{name} {_silent(seconds)}" for name, seconds in self.silent.items()]
        if not self.revision:
            parts.append("the engine does not have it yet: the other nodes get it when it answers")
        return ", ".join(parts)


def where(
    revision: int,
    keys: Collection[str],
    nodes: Iterable[Seen],
    me: FleetSettings,
    now: float,
    scope: str = "",
) -> Where:
    """On which nodes the intents `keys`, which the engine has at `revision`, are in force.

    `me` is this node, which has applied them. `now` is the monotonic time at which the reports of
    the nodes were last read. Nodes outside the `scope` are left out.
    """
    answer = Where(revision)
    done, behind, unclear = [], [], []
    if in_scope(scope, me.name, me.groups):
        done.append(me.name)
    for node in sorted(nodes, key=lambda node: node.name):
        report = node.report
        if node.name == me.name or not in_scope(scope, node.name, node.card.groups):
            continue
        if report is None or not node.live(now):
            answer.silent[node.name] = node.silent(now)
        elif not report.has(revision, alone=len(keys) == 1):
            behind.append(node.name)
        elif why := next((report.refused[key] for key in keys if key in report.refused), ""):
            answer.refused[node.name] = why
        elif report.refusals > len(report.refused):
            unclear.append(node.name)
        else:
            done.append(node.name)
    return Where(
        revision, tuple(done), tuple(behind), answer.refused, tuple(unclear), answer.silent
    )


def _silent(seconds: float) -> str:
    return "was not heard of yet" if seconds == float("inf") else f"silent for {seconds:.0f} s"
