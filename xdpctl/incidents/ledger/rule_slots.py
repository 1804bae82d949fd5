# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel slots of an incident's live rules, as far as its record lists them."""

from xdpctl.control.state.state import State
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import source_named


def slots(state: State, incident: Incident) -> dict[int, str]:
    """The ids of the rules by their slots in the kernel."""
    found = {}
    for record in incident.rules:
        if record.ended_at:
            continue
        rule = state.matches.get(record.id)
        source = None if rule else source_named(record.id)
        slot = rule.slot if rule else state.image.entries.get(source) if source else None
        if slot is not None:
            found[slot] = record.id
    return found
