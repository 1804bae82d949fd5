# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel calls the actions, modes and exceptions of the model."""

from xdpctl.abi.constants import Action as WireAction
from xdpctl.abi.constants import Mode as WireMode
from xdpctl.abi.constants import Spare as WireSpare
from xdpctl.abi.structs import Slot
from xdpctl.datapath.image import own_slot
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.rule import Rule, of_udp
from xdpctl.model.source_set import SourceSet

ACTIONS = {action: WireAction[action.name] for action in Action}
MODES = {mode: WireMode[mode.name] for mode in Mode}
SPARES = {
    Spare.NONE: WireSpare.NONE,
    Spare.ESTABLISHED: WireSpare.ESTABLISHED,
    Spare.KNOWN: WireSpare.KNOWN,
    Spare.TRIAL: WireSpare.KNOWN,  # and WireSpare.TRIAL while the rule is on trial, see match_sync
}


def action_of(rule: Rule) -> WireAction:
    """The action of a rule on a match; a challenge is chosen by the protocol."""
    if rule.action is Action.CHALLENGE and of_udp(rule.match):
        return WireAction.CHALLENGE_UDP
    return ACTIONS[rule.action]


def spares(spare: Spare, action: Action) -> WireSpare:
    """What a slot spares: an accept has nothing to spare."""
    return WireSpare.NONE if action is Action.ACCEPT else SPARES[spare]


def mode_of(word: Slot) -> Mode:
    """The mode of a slot that the kernel has."""
    return Mode.MONITOR if word.mode is WireMode.MONITOR else Mode.ENFORCE


def spare_of(word: Slot) -> Spare:
    """What a slot in the kernel spares, apart from the flows of a trial."""
    stored = WireSpare.KNOWN if word.spare is WireSpare.TRIAL else word.spare
    return next(spare for spare, wire_spare in SPARES.items() if wire_spare is stored)


def word(source_set: SourceSet) -> bytes:
    """The value of a set's slot, as the kernel reads it."""
    action = WireAction.OUT if source_set.out else ACTIONS[source_set.action]
    spare = spares(source_set.spare, source_set.action)
    return own_slot(action, MODES[source_set.mode], 0, spare).value
