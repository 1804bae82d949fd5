# SPDX-License-Identifier: GPL-2.0-or-later
"""The structs of bpf/abi.h that are read and written in mapped memory, as numpy dtypes.

tests/unit/abi/test_structs.py compares them with bpf/abi.h.
"""

import numpy as np

from xdpctl.abi.constants import Constants, OutClass
from xdpctl.abi.sizes import (
    BLOCK_WORDS,
    FIELDS_MAX,
    FLEET_PORTS,
    GLIMPSES,
    HEAD_BYTES,
    OUTSIDES_MAX,
    PAYLOAD_WINDOWS,
    REASONS,
    SKETCH_CELLS,
    WAITS,
)

ENTRY6 = np.dtype([("address", "u1", 16), ("length", "u4"), ("value", "u4")])
CONTROL = np.dtype(
    [
        ("bypass", "u4"),
        ("sampled", "u4"),
        ("mask", "u8"),
        ("seeds", "u8", 3),
        ("buckets_log2", "u4", 2),
        ("whole", "u4", 2),
        ("armed", "u4"),
        ("capture_slot", "u4"),
        ("epoch", "u4"),
        ("challenging", "u4"),
        ("filled", "u4"),
        ("outgoing", "u4"),
        ("policing", "u8"),
        ("fleet_ports", ">u2", FLEET_PORTS),
        ("validating", "u4"),
        ("outsides", "u4", OUTSIDES_MAX),
        ("observed", "u4", REASONS),
        ("captured", "u4", REASONS),
        ("observed_out", "u4", len(OutClass)),
    ]
)
HEAD = np.dtype(
    [
        ("time_ns", "u8"),
        ("length", "u4"),
        ("weight", "u4"),
        ("slot", "u4"),
        ("interface", "u4"),
        ("bytes_held", "u2"),
        ("reason", "u1"),
        ("family", "u1"),
        ("vlan", "u2"),
        ("ethertype", "u2"),
        ("stratum", "u4"),
        ("traffic", "u1"),
        ("flow", "u1"),
        ("mac", "u1", 6),
        ("bytes", "u1", HEAD_BYTES),
        ("came_by", "u4"),
    ]
)
STRATUM = np.dtype([("epoch", "u4"), ("packets", "u4")])
PACE = np.dtype([("epoch", "u4"), ("seen", "u4"), ("lost", "u8")])
LOOKUP = np.dtype([("classes", "u4"), ("field", "u4")])
FAMILY = np.dtype(
    [
        ("whole", "u4"),
        ("lookups_used", "u4"),
        ("port", "u4"),
        ("port_used", "u4"),
        ("payload_used", "u4"),
        ("unused", "u4"),
        ("lookups", LOOKUP, FIELDS_MAX),
    ]
)
GENERATION = np.dtype([("families", FAMILY, 2), ("slots", "u4", Constants.SIGNATURES_MAX)])
PAYLOAD = np.dtype(
    [
        ("value", "u8", PAYLOAD_WINDOWS),
        ("mask", "u8", PAYLOAD_WINDOWS),
        ("at", "u4", PAYLOAD_WINDOWS),
        ("least", "u4"),
        ("differing", "u4"),
    ]
)
RATE = np.dtype(
    [
        ("cost", "u8"),
        ("burst_ns", "u8"),
        ("by_bytes", "u4"),
        ("by_address", "u4"),
        ("source4", "u4"),
        ("destination4", "u4"),
        ("source6", "u8"),
        ("destination6", "u8", 2),
        ("salt", "u4"),
        ("final", "u4"),
    ]
)
SENDER_KEY = np.dtype([("address", "u1", 16), ("family", "u4"), ("slot", "u4")])
SENDER = np.dtype(
    [
        ("packets", "u8"),
        ("bytes", "u8"),
        ("last_ns", "u8"),
        ("destination", "u1", 16),
        ("mac", "u1", 6),
        ("unused", "u1", 2),
    ]
)
POLICED_HOST = np.dtype([("address", "u1", 16), ("family", "u4")])
POLICER = np.dtype(
    [
        ("destination", "u1", 16),
        ("bucket", "u8"),
        ("cost", "u8"),
        ("burst_ns", "u8"),
        ("until_ns", "u8"),
        ("dropped", "u8"),
        ("source_port", ">u2"),
        ("destination_port", ">u2"),
        ("mac", "u1", 6),
        ("protocol", "u1"),
        ("only", "u1"),
        ("pps", "u4"),
    ]
)
RECORDED = np.dtype([("ns", "u8"), ("bytes", "u8")])
GLIMPSE = np.dtype(
    [
        ("source", "u1", 16),
        ("destination", "u1", 16),
        ("source_port", "u2"),
        ("destination_port", "u2"),
        ("length", "u2"),
        ("tcp_flags", "u2"),
        ("icmp", "u2"),
        ("family", "u1"),
        ("protocol", "u1"),
        ("ttl", "u1"),
        ("fragment", "u1"),
        ("unused", "u2"),
    ]
)
MONITOR_STATISTICS = np.dtype(
    [
        ("looked", "u8"),
        ("established", "u8"),
        ("known", "u8"),
        ("accepted", "u8"),
        ("sources", "u1", SKETCH_CELLS),
        ("destinations", "u1", SKETCH_CELLS),
        ("glimpses", GLIMPSE, GLIMPSES),
    ]
)
CONNECTION = np.dtype(
    [
        ("slot", "u4"),
        ("source_port", "u2"),
        ("destination_port", "u2"),
        ("source", "u1", 16),
        ("destination", "u1", 16),
        ("family", "u4"),
        ("unused", "u4"),
    ]
)
BLOCK = np.dtype([("words", "u8", BLOCK_WORDS), ("generations", "u4", 2)])
MEMORY = np.dtype(
    [
        ("state", "u8"),
        ("since_ns", "u8"),
        ("age_ns", "u8"),
        ("least_ns", "u8"),
        ("full", "u8"),
        ("early", "u8"),
        ("cost_ns", "u8"),
        ("refused", "u8"),
        ("earlier", "u8"),
        ("refused_of", "u1", 16),
        ("refused_family", "u4"),
        ("unused", "u4"),
    ]
)
PORT = np.dtype([("asks", "u4"), ("unused", "u4")])
TRIAL = np.dtype(
    [
        ("number", "u4"),
        ("share", "u4"),
        ("share_cost_ns", "u8"),
        ("again_cost_ns", "u8"),
        ("share_ns", "u8"),
        ("again_ns", "u8"),
        ("passed", "u8"),
    ]
)
TRIED = np.dtype(
    [
        ("hash", "u8"),
        ("since_ns", "u8"),
        ("trial", "u4"),
        ("source", "u4"),
        ("packets", "u2"),
        ("chosen", "u1"),
        ("protocol", "u1"),
        ("unused", "u4"),
    ]
)
SERVED = np.dtype(
    [
        ("tag", "u4"),
        ("count", "u4"),
        ("last", "u8"),
        ("syn_acks", "u4", WAITS),
        ("data", "u4", WAITS),
    ]
)
CHALLENGE = np.dtype([("key", "u8", 2)])
MODULE_COUNTS = np.dtype(
    [
        ("packets", "u8"),
        ("dropped", "u8"),
        ("challenged", "u8"),
        ("nonsense", "u8"),
        ("timed", "u8"),
        ("timed_ns", "u8"),
        ("late", "u4"),
        ("ended", "u4"),
    ]
)
CHALLENGE_COUNTS = np.dtype([("sent", "u8"), ("withheld", "u8"), ("right", "u8")])
