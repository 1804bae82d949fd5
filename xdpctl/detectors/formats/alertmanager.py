# SPDX-License-Identifier: GPL-2.0-or-later
"""Prometheus Alertmanager's webhook, version 4: each alert is an event; its id is the fingerprint.

The labels `dst` or `victim`, `src`, `attack`, `proto`, `sport` and `dport` describe the attack.
"""

from typing import Any

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors import checked
from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase, plain
from xdpctl.model.match.match import Match, build

_VICTIM, _SOURCE = ("dst", "victim", "destination"), ("src", "source", "source_ip")
_PARTS = {"proto": "protocol", "sport": "source_port", "dport": "destination_port"}


def read(body: bytes) -> list[Event]:
    """An event for each alert; RuleError if the version is not 4, or an alert is not valid."""
    data = checked.table(checked.document(body), "the body")
    if data.get("version") != "4":
        raise RuleError(
            f"version is {plain(data.get('version'))[:20]!r}", "version", "send version 4"
        )
    alerts = checked.listed(data.get("alerts"), "alerts")
    return [_event(checked.table(alert, f"alerts[{n}]")) for n, alert in enumerate(alerts)]


def _label(labels: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((checked.text(labels, name) for name in names if labels.get(name)), "")


def _event(alert: dict[str, Any]) -> Event:
    status = checked.text(alert, "status")
    if status not in ("firing", "resolved"):
        raise RuleError(f"status is {plain(status)[:40]!r}", "status", "send firing or resolved")
    phase = Phase.BEGAN if status == "firing" else Phase.ENDED
    labels = checked.table(alert.get("labels", {}), "labels")
    identity = checked.text(alert, "fingerprint")
    victim, source = _label(labels, _VICTIM), _label(labels, _SOURCE)
    note = plain(labels.get("alertname", ""))
    if not victim and not source:
        why = f"{note or 'the alert'} has neither of the labels dst and src"
        return Event(phase=phase, id=identity, note=note, ignored=why)
    about = parse_prefix(victim, "labels.dst") if victim else None
    return Event(
        phase=phase,
        id=identity,
        victim=about,
        sources=(parse_prefix(source, "labels.src"),) if source else (),
        match=_match(labels, victim) if victim and not source else None,
        attack=checked.attack_named(str(labels.get("attack", ""))),
        note=note,
    )


def _match(labels: dict[str, Any], victim: str) -> Match | None:
    """A match of ports and protocol; None if the labels have no source port."""
    if "sport" not in labels:
        return None
    names = [name for name in _PARTS if name in labels]
    parts = {_PARTS[name]: checked.text(labels, name) for name in names}
    return build({"destination": victim, **parts})
