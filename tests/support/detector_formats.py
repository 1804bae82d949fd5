# SPDX-License-Identifier: GPL-2.0-or-later
"""Sample events of detectors, and reading them with the adapters."""

import json
from typing import Any

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors.registry import adapter
from xdpctl.model.event import Event

VICTIM = parse_prefix("198.51.100.2")


def read(name: str, body: Any) -> list[Event]:
    return adapter(name)(body if isinstance(body, bytes) else json.dumps(body).encode())


def called(*argv: str, stdin: str = "") -> dict[str, Any]:
    return {"argv": [*argv], "stdin": stdin}


ADVANCED = {
    "action": "ban",
    "alert_scope": "host",
    "ip": "198.51.100.2",
    "attack_details": {"attack_uuid": "c9c3", "total_incoming_pps": 2866},
    "packet_dump_detailed": [
        {"source_ip": "1.2.3.4", "destination_ip": to, "source_port": port, "protocol": "udp"}
        for to, port in [("198.51.100.2", 123)] * 10 + [("9.9.9.9", 53)] * 20
    ],
}


def alert(status: str = "firing", **labels: str) -> dict[str, Any]:
    return {"status": status, "fingerprint": "c3b1", "labels": {"alertname": "Flood", **labels}}


def eve(**more: Any) -> dict[str, Any]:
    alert = {"signature_id": 9, "signature": "LAB flood", "category": "x", **more.pop("alert", {})}
    ends = {"src_ip": "203.0.113.7", "dest_ip": "198.51.100.2", "proto": "UDP", "src_port": 53}
    return {"event_type": "alert", "alert": alert, **ends, **more}
