# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel slots of an incident's live rules, as far as its record lists them."""

from xdpctl.control.state.state import State
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import ID_MARK
from xdpctl.model.rule import parse_rule_id


def slots(state: State, incident: Incident) -> dict[int, str]:
    """The ids of the rules by their slots in the kernel."""
    found = {}
    for record in incident.rules:
        if record.ended_at:
            continue
        if record.id.startswith(ID_MARK):
            signature = state.signatures.get(record.id)
            slot = signature.slot if signature else None
        else:
            slot = state.image.entries.get(parse_rule_id(record.id))
        if slot is not None:
            found[slot] = record.id
    return found
