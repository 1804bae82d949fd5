# SPDX-License-Identifier: GPL-2.0-or-later
"""Drafts of messages about an incident, which a person completes and sends."""

from typing import Any

from xdpctl.incidents.report import FORGED, facts


def to_provider(incident: dict[str, Any]) -> str:
    """A draft of a letter to the provider's NOC."""
    evidence = incident["evidence"]
    hit = [] if evidence["received"] else evidence["top_services"][:5]
    services = ", ".join(name for name, _ in hit) or "see the timeline"
    fact = facts(incident)
    return (
        f"Subject: DDoS against {incident['subject']}, {fact['began']}\n\n"
        "Hello,\n\n"
        f"{incident['subject']} {_when(incident, fact)}.\n"
        f"Type: {fact['attack']}. Peak as measured here: {fact['peak']}.\n"
        f"Most of it: {services}. We dropped {fact['they hit']}.\n\n"
        "Could you please\n"
        "- tell us what you saw of it on your side of our link, and where it entered,\n"
        "- filter or rate-limit it upstream if it comes back,\n"
        "- keep your flow records of that time.\n\n"
        "Attached are the timeline, a list of sources and sampled packets. "
        f"{FORGED}\n"
    )


def _when(incident: dict[str, Any], fact: dict[str, str]) -> str:
    if incident["open"]:
        return f"has been under attack since {fact['began']}"
    return f"was attacked from {fact['began']} to {fact['ended']}"


def to_ic3(incident: dict[str, Any]) -> str:
    """The entries for the complaint form of the FBI's IC3, as far as this host knows them."""
    fact = facts(incident)
    return (
        "For a complaint at the Internet Crime Complaint Center. Fill in what is in brackets.\n\n"
        "Complainant: [name, address, telephone, e-mail]\n"
        "Business: [name of the organisation, contact for technical questions]\n"
        "Type: denial of service (DoS/DDoS)\n"
        f"Target: {incident['subject']} [name of the service]\n"
        f"Began: {fact['began']}\nEnded: {fact['ended']}\n"
        f"Attack: {fact['attack']}\nPeak: {fact['peak']}\n"
        f"Dropped by us: {fact['they hit']}\n"
        "Financial loss: [amount, or none]\n"
        "Ransom or threat: [text and headers of the message, or none]\n"
        f"Addresses that took part: sources.csv. {FORGED}\n"
        "Evidence kept: incident.json, packets.pcapng, with SHA-256 in manifest.json\n"
    )
