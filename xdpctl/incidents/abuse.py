# SPDX-License-Identifier: GPL-2.0-or-later
"""Abuse reports about verified sources, in the format XARF 4, for the operators of their networks.

A source is verified if it had completed a TCP handshake with this host. All other sources may be
forged, and are never reported. Nor is a source whose packets no rule dropped.
"""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta

from xdpctl.base.net.prefix import exact_address, text_of
from xdpctl.base.problems import Problems
from xdpctl.base.system.extras import need
from xdpctl.base.typed import Table
from xdpctl.model.incident import subject_in_words

_MOST = 100  # reports of one incident
log = logging.getLogger("xdpctl.incidents")
_Text = Annotated[str, Meta(max_length=200)]


class Reporter(Table, frozen=True):
    """`[reporter]`: the name, e-mail address and domain of the organisation that reports.

    `send`: reports are sent by the notifier when an incident is over.
    """

    organisation: _Text = ""
    contact: _Text = ""
    domain: _Text = ""
    send: bool = False

    def check(self, place: str, problems: Problems) -> None:
        """Refuse settings that are incomplete."""
        for name in ("organisation", "contact", "domain"):
            value = getattr(self, name)
            if self != Reporter() and not value.strip():
                problems.add(f"reporter.{name} is empty: an abuse report needs all three")
            elif value != value.strip():
                problems.add(f"reporter.{name} begins or ends with a blank")
        if self.contact.strip() and "@" not in self.contact:
            problems.add("reporter.contact must be an e-mail address")


def reports(incident: dict[str, Any], reporter: Reporter) -> Iterator[tuple[str, bytes]]:
    """The name and content of a file for each verified source outside of our own networks.

    SettingsError, with what to install, if the extra `xarf` is missing. A report that would not be
    valid is logged and left out.
    """
    need("xarf")
    import xarf  # late: it loads JSON schemas, and belongs to an extra

    evidence = incident["evidence"]
    if evidence["received"]:
        return  # legitimate senders are among them
    who = {
        "org": reporter.organisation,
        "contact": reporter.contact,
        "domain": reporter.domain,
    }
    for sender in filter(_verified, evidence["top_sources"][:_MOST]):
        result = xarf.create_report(
            category="connection",
            type="ddos",
            source_identifier=sender["address"],
            source_port=sender["port"],
            reporter=who,
            sender=who,
            **_facts(incident, sender),
        )
        if result.report is None or result.errors:
            log.warning("no abuse report about %s: %s", sender["address"], result.errors)
            continue
        text = result.report.model_dump_json(by_alias=True, exclude_none=True, indent=1)
        yield f"xarf-{sender['address'].replace(':', '_')}.json", text.encode()


def _verified(sender: dict[str, Any]) -> bool:
    """Whether a sender can be reported; XARF needs a port, since many may share an address."""
    return bool(sender["connected"] and not sender["inside"] and sender["port"])


def _facts(incident: dict[str, Any], sender: dict[str, Any]) -> dict[str, Any]:
    victim = exact_address(subject_in_words(incident["subject"]))
    # the subject may also be a network, or the sources that a detector named
    aim = {"destination_ip": text_of(victim)} if victim else {}
    peaks = {"peak_pps": int(incident["peak_pps"]), "peak_bps": int(incident["peak_bps"])}
    attack = ", ".join(incident["attacks"]) or "unknown"
    return {
        "evidence_source": "traffic_monitoring",
        **aim,
        "protocol": "tcp",  # only senders with a TCP connection can be verified
        "attack_vector": attack,
        "first_seen": _time(incident["opened_at"]),
        "last_seen": _time(incident["closed_at"] or incident["updated_at"]),
        "mitigation_applied": bool(incident["packets"]),
        "description": (
            f"{sender['packets']:,} sampled packets of this address belong to an attack of the "
            f"type {attack}. It had completed a TCP handshake with us, so it is not forged. The "
            "peaks are those of the whole attack."
        ),
        **{name: value for name, value in peaks.items() if value > 0},
    }


def _time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
