# SPDX-License-Identifier: GPL-2.0-or-later
"""Small samples of what each detector sends."""

from typing import Any

_REPORT = (
    "IP: 198.51.100.2\nAttack type: udp_flood\n"
    "Peak attack power: 2043 packets per second\nAttack protocol: udp\n\n"
    "203.0.113.9:53 > 198.51.100.2:4000 protocol: udp size: 512\n"
)
_DETAILS = {
    "attack_uuid": "u1",
    "attack_detection_threshold_direction": "incoming",
    "attack_detection_threshold": "pps",
    "attack_type": "udp",
    "attack_protocol": "udp",
    "total_incoming_pps": 1000,
    "total_incoming_traffic_bits": 5e6,
}
_PACKET = {"protocol": "udp", "source_port": 53, "destination_ip": "198.51.100.2"}
_FLOW = {
    "uuid": "f1",
    "action_type": "rate-limit",
    "action": {"rate": 1000},
    "destination_prefix": "198.51.100.2/32",
    "source_prefix": "203.0.113.0/24",
    "protocols": ["udp"],
    "source_ports": [53],
    "packet_lengths": [512],
    "ttls": [1],
}
_PATH = {
    "withdrawal": False,
    "neighbor-ip": "192.0.2.9",
    "nlri": {
        "value": [
            {"type": 1, "value": {"prefix": "203.0.113.12/32"}},
            {"type": 3, "value": [{"op": 129, "value": 6}]},
            {"type": 6, "value": [{"op": 3, "value": 11000}, {"op": 197, "value": 11300}]},
            {"type": 9, "value": [{"op": 129, "value": 2}, {"op": 66, "value": 18}]},
        ]
    },
    "attrs": [{"type": 16, "value": [{"type": 128, "subtype": 6, "rate": 12500000}]}],
}
_ROUTE = {
    "destination-ipv4": ["203.0.113.12/32"],
    "protocol": ["=tcp"],
    "source-port": ["=123", ">=11000&<=11300"],
    "tcp-flags": ["=syn&!ack"],
    "fragment": ["!=is-fragment"],
    "string": "flow x",
}
_UPDATE = {
    "type": "update",
    "neighbor": {
        "address": {"local": "192.0.2.3", "peer": "192.0.2.9"},
        "message": {
            "update": {
                "attribute": {"extended-community": [{"value": 1, "string": "rate-limit:1250"}]},
                "announce": {"ipv4 flow": {"no-nexthop": [_ROUTE]}},
                "withdraw": {"ipv6 flow": [{"source-ipv6": ["2001:db8::/32/0"]}]},
            }
        },
    },
}
_DECISION = {
    "duration": "29m59.12s",
    "id": 4,
    "scenario": "lab",
    "scope": "Ip",
    "type": "ban",
    "value": "192.0.2.200",
}
_LABELS = {"alertname": "X", "dst": "198.51.100.2", "proto": "udp", "sport": "53", "attack": "udp"}
_ALERT = {"gid": 1, "signature_id": 9, "signature": "DNS amplification", "category": "Attempted "
          "Denial of Service", "metadata": {"mitigation": ["xdp_block_src"]}}  # fmt: skip
_EVENT = {"phase": "began", "id": "42", "victim": "198.51.100.7", "attack": "udp_flood", "pps": 1}
_PLACE = {"id": 1, "scope": "country", "type": "ban", "value": "DE"}
DETECTORS: dict[str, list[Any]] = {
    "alertmanager": [
        {"version": "4", "alerts": [{"status": "firing", "fingerprint": "f", "labels": _LABELS}]},
        {"version": "4", "alerts": [{"status": "resolved", "fingerprint": "f",
                                     "labels": {"src": "203.0.113.9"}}]},
    ],
    "crowdsec": [{"new": [_DECISION], "deleted": [_DECISION]}, [{"decisions": [_DECISION]}]],
    "event": [
        _EVENT,
        [{"phase": "began", "id": "4", "sources": ["203.0.113.7"], "ttl": 600}],
        {"phase": "began", "id": "4", "match": {"destination": "::1", "port": [53, "1-2"]}},
        {"phase": "began", "id": "4", "match": "udp src-port 53 dst 198.51.100.7", "bps": 5000},
        {**_EVENT, "attack": "amplification", "port": 53},
    ],
    "exabgp": [
        _UPDATE,
        {"type": "state", "neighbor": {"address": {"peer": "192.0.2.9"}, "state": "down"}},
        {"action": "mitigate", "attack_id": "a", "destination": "203.0.113.1", "port": 53},
    ],
    "fail2ban": [{"argv": ["ban", "sshd", "203.0.113.88", "600"]}, {"argv": ["flush", "sshd"]}],
    "fastnetmon": [
        {"argv": ["198.51.100.2", "incoming", "2043", "ban"], "stdin": _REPORT},
        {"action": "ban", "ip": "198.51.100.2", "attack_details": _DETAILS,
         "packet_dump_detailed": [_PACKET]},
        {"action": "ban", "alert_scope": "hostgroup", "hostgroup_networks": ["198.51.100.0/24"],
         "attack_details": _DETAILS},
        {"action": "partial_block", "flow_spec_rules": [
            {**_FLOW, "protocols": ["tcp"], "tcp_flags": ["syn|ack"]},
            {"uuid": "f2", "fragmentation_flags": ["is-fragment"]}]},
    ],
    "gobgp": [[_PATH], _PATH, {"action": "rate-limit", "destination": "203.0.113.1", "rate": 1e6}],
    "sflowrt": [[{"thresholdID": "ddos_udp_amplification", "flowKey": "198.51.100.2,53"}]],
    "suricata": [{"event_type": "alert", "src_ip": "198.51.100.1", "src_port": 53, "proto": "UDP",
                  "dest_ip": "198.51.100.2", "alert": _ALERT}],
    "builtin": [
        [
            {
                "phase": "began",
                "id": "192.0.2.1/32 udp 1.1",
                "victim": "192.0.2.1",
                "kind": "udp",
                "match": "dst 192.0.2.1 proto udp length 540",
                "action": "limit",
                "limit": {"pps": 500.0},
                "watch": False,
                "ttl": 300,
                "rate": 25000,
                "note": "25 k packets/s",
                "finding": {
                    "kind": "udp",
                    "rate": 25000.0,
                    "threshold": 5000.0,
                    "heads": 100,
                    "coverage": 0.99,
                    "because": ["a reason"],
                    "rejected": ["a match: why not"],
                    "deciding": [
                        {"component": "ttl", "values": "64", "now": 1.0, "before": None}
                    ],
                    "collateral": [{"kind": "udp", "samples": 9, "hits": 0, "bound": 0.3}],
                    "picture": {
                        "component": "ttl",
                        "labels": ["64"],
                        "now": [1.0],
                        "before": [0.0],
                    },
                },
            }
        ]
    ],
    "wanguard": [
        {"argv": ["start", "7", "198.51.100.2", "incoming", "UDP flood", "5000"]},
        {"argv": ["rule-start", "7", "Source IP", "203.0.113.9"]},
    ],
}  # fmt: skip
STREAM = [{"new": [_PLACE, {**_PLACE, "scope": "as", "value": "64500"}], "deleted": [_PLACE]}]
MAPPED = [{"attacks": [{"uuid": 7, "ip": "198.51.100.2", "kind": "udp_flood", "rate": 1.5}]}]
