# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel slots of an incident's live rules, as far as its record lists them."""

from xdpctl.control.rule_hits import slot_of
from xdpctl.control.state.state import State
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import key_named


def slots(state: State, incident: Incident) -> dict[int, str]:
    """The ids of the rules by their slots in the kernel."""
    found = {}
    for record in incident.rules:
        if record.ended_at:
            continue
        rule = state.record(key_named(record.id))
        slot = slot_of(state, rule) if rule else 0
        if slot:
            found[slot] = record.id
    return found
