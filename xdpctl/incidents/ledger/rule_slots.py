# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules that stand because of an incident, as far as it lists them."""

from xdpctl.control.state.state import State
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import ID_MARK
from xdpctl.model.rule import parse_rule_id


def slots(state: State, held: Incident) -> dict[int, str]:
    """Slots in the kernel, and whose they are."""
    found = {}
    for done in held.rules:
        if done.ended_at:
            continue
        if done.id.startswith(ID_MARK):
            signature = state.signatures.get(done.id)
            slot = signature.slot if signature else None
        else:
            slot = state.image.entries.get(parse_rule_id(done.id))
        if slot is not None:
            found[slot] = done.id
    return found
