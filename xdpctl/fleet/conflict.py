# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of two intents stands that were stated without knowledge of each other. Pure.

1. What a person asks for is above what a detector asks for: they have different keys, and a node
   places a detector's rule only where no person's stands.
2. What is stated for one node alone (`--local`) stays there, whatever the fleet says.
3. If both do the same, the one stands that the engine has; if the other ends later, its end counts.
4. Otherwise the one stands that the engine had first. The other is taken back on its node, with a
   record in that node's audit log; whoever waits for it is told.
"""

from typing import Any

from xdpctl.model.rule import Rule


def prevails(ours: Any, theirs: Any) -> bool:
    """Whether our value, which the engine does not have yet, replaces theirs, which it has.

    Values are rules, sets, tokens or settings; None: it is taken away.
    """
    if isinstance(ours, Rule) and isinstance(theirs, Rule):
        return ours.same_effect(theirs) and _later(ours, theirs)
    return False


def agree(ours: Any, theirs: Any) -> bool:
    """Whether both ask for the same, so that nobody has to be told of a conflict."""
    if isinstance(ours, Rule) and isinstance(theirs, Rule):
        return ours.same_effect(theirs)
    return bool(ours == theirs)


def _later(ours: Rule, theirs: Rule) -> bool:
    """Whether ours ends later; 0 stands for no end."""
    return bool(theirs.expires_ns) and (not ours.expires_ns or ours.expires_ns > theirs.expires_ns)
