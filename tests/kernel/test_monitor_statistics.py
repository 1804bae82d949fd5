# SPDX-License-Identifier: GPL-2.0-or-later
"""The loaded program's statistics of what rules in monitor mode would have hit."""

import socket
import struct
from collections.abc import Iterator

import pytest

from tests.kernel.conftest import Filter
from tests.kernel.listings import DROPPING, listed
from tests.kernel.test_signatures import Armed, armed
from tests.reference_signatures import Signature
from tests.support import packets
from tests.support.packets import to_frame
from xdpctl.abi.constants import Mode, Reason, SlotNumber
from xdpctl.abi.sizes import MONITORED_A_PACKET
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath import monitor_statistics
from xdpctl.datapath.monitor_statistics import MonitorStatistics
from xdpctl.model.match.match import build

__all__ = ["armed"]
MONITORED = "192.0.2.0/24"
LOOPBACK = "127.0.0.1"


@pytest.fixture
def filtered(emptied: Filter) -> Iterator[Filter]:
    yield emptied
    for slot in emptied.datapath.monitored():
        emptied.datapath.end_statistics(slot)


def looked_at(filtered: Filter, *sources: str) -> list[int]:
    """The slots of these rules, after their statistics were reset."""
    slots = [filtered.image.entries[parse_prefix(source)] for source in sources]
    for slot in slots:
        filtered.datapath.begin_statistics(slot)
    return slots


def seen(filtered: Filter, slot: int) -> MonitorStatistics:
    found = filtered.datapath.statistics(slot)
    assert found is not None
    return found


def test_packets_of_a_monitored_rule_are_counted_in_its_statistics_and_pass(
    filtered: Filter,
) -> None:
    filtered.hold(f"monitor {MONITORED}; monitor 2001:db8::/32; drop 192.0.2.9")
    slot, six = looked_at(filtered, MONITORED, "2001:db8::/32")
    for n in range(8):
        assert filtered.judge(to_frame(f"192.0.2.{n}")) == ("pass", "NO_RULE")
    assert filtered.judge(to_frame("192.0.2.9")) == ("drop", "DROPPED")
    assert filtered.judge(to_frame("2001:db8::9")) == ("pass", "NO_RULE")
    found = seen(filtered, slot)
    assert (found.looked, found.established, found.accepted) == (8, 0, 0)
    assert 6 <= found.sources <= 8, "an estimate: two of them may share a cell"
    assert (found.destinations, found.connections) == (1, [])
    assert found.ports == [("udp/53", 1.0)]
    assert {share.share for share in found.top_sources} == {1 / 8}
    assert seen(filtered, six).top_sources == [("2001:db8::9", 1.0)]
    assert filtered.hits(MONITORED)[0] == 8


def test_without_statistics_a_rule_only_counts(filtered: Filter) -> None:
    filtered.hold(f"monitor {MONITORED}")
    assert filtered.judge(to_frame("192.0.2.1")) == ("pass", "NO_RULE")
    assert filtered.datapath.statistics(filtered.image.entries[parse_prefix(MONITORED)]) is None
    assert filtered.hits(MONITORED)[0] == 1


@pytest.mark.parametrize("wider", ["accept", "protect"])
def test_statistics_count_packets_that_a_wider_rule_accepts(filtered: Filter, wider: str) -> None:
    filtered.hold(f"monitor {MONITORED}; {wider} 192.0.0.0/16")
    (slot,) = looked_at(filtered, MONITORED)
    assert filtered.judge(to_frame("192.0.2.1"))[0] == "pass"
    assert (seen(filtered, slot).looked, seen(filtered, slot).accepted) == (1, 1)


def test_a_wider_drop_still_drops(filtered: Filter) -> None:
    filtered.hold(f"monitor {MONITORED}; drop 192.0.0.0/16")
    (slot,) = looked_at(filtered, MONITORED)
    assert filtered.judge(to_frame("192.0.2.1")) == ("drop", "DROPPED")
    assert (seen(filtered, slot).looked, seen(filtered, slot).accepted) == (1, 0)


def test_only_the_widest_three_of_nested_monitored_rules_get_statistics(filtered: Filter) -> None:
    prefixes = [f"192.0.2.0/{length}" for length in (32, 30, 28, 24, 23)]
    filtered.hold("; ".join(f"monitor {prefix}" for prefix in prefixes))
    slots = looked_at(filtered, *prefixes)
    filtered.run(to_frame("192.0.2.0"))
    assert [seen(filtered, slot).looked for slot in slots] == [0, 0, 1, 1, 1]
    assert MONITORED_A_PACKET == 3


def test_a_set_in_monitor_mode_has_statistics_too(filtered: Filter) -> None:
    filtered.replace_set(DROPPING, listed(MONITORED, "2001:db8::/32", mode=Mode.MONITOR))
    filtered.datapath.begin_statistics(DROPPING)
    for source in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "198.51.100.1"):
        assert filtered.run(to_frame(source)) == "pass"
    assert seen(filtered, DROPPING).looked == 3
    assert 2 <= seen(filtered, DROPPING).sources <= 3


def test_matches_are_tested_after_a_monitored_source(filtered: Filter, armed: Armed) -> None:
    filtered.hold(f"monitor {MONITORED}")
    (slot,) = looked_at(filtered, MONITORED)
    first, second = build({"destination_port": "53"}), build({"protocol": "udp"})
    armed.hold([(first, Signature({}, "drop", "monitor")), (second, Signature({}, "drop"))])
    filtered.datapath.begin_statistics(SlotNumber.SIGNATURES)
    assert filtered.judge(to_frame("192.0.2.1")) == ("drop", "MATCHED")
    assert filtered.judge(to_frame("198.51.100.1")) == ("drop", "MATCHED")
    assert seen(filtered, slot).looked == 1
    assert seen(filtered, SlotNumber.SIGNATURES).looked == 2
    armed.hold([])
    assert filtered.judge(to_frame("192.0.2.1")) == ("pass", "NO_RULE")
    assert seen(filtered, slot).looked == 2


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("sources", [300, 5_000])
def test_consecutive_sources_are_counted_accurately(
    filtered: Filter, family: int, sources: int
) -> None:
    whole = MONITORED if family == 4 else "2001:db8::/32"
    wide = "192.0.0.0/8" if family == 4 else whole
    filtered.hold(f"monitor {wide}")
    (slot,) = looked_at(filtered, wide)
    for n in range(sources):
        low = f"192.0.{n // 250}.{n % 250}" if family == 4 else f"2001:db8::{n:x}"
        filtered.run(to_frame(low))
    found = seen(filtered, slot)
    assert found.looked == sources
    assert abs(found.sources - sources) < 0.3 * sources, "the hashes have random seeds"
    assert found.destinations == 1


def test_each_packet_is_equally_likely_to_be_kept_as_a_sample(filtered: Filter) -> None:
    filtered.hold(f"monitor {MONITORED}")
    (slot,) = looked_at(filtered, MONITORED)
    filtered.run(to_frame("192.0.2.1"), 30_000)
    filtered.run(to_frame("192.0.2.2"), 10_000)
    shares = dict(seen(filtered, slot).top_sources)
    assert 0.5 < shares["192.0.2.1"] < 0.95, "three quarters, of 128"


def tcp(connection: socket.socket, flags: int) -> bytes:
    """A frame from the peer of this connection to us."""
    (_, port), (_, peer) = connection.getsockname()[:2], connection.getpeername()[:2]
    segment = struct.pack(">HHIIHHHH", peer, port, 1, 1, 5 << 12 | flags, 1000, 0, 0)
    source = packets.address(LOOPBACK)
    return packets.ethernet(packets.IPV4, packets.ipv4(source, source, segment, 6))


def test_established_connections_are_listed_one_by_one(filtered: Filter) -> None:
    filtered.hold(f"monitor {LOOPBACK}")
    (slot,) = looked_at(filtered, LOOPBACK)
    with socket.create_server((LOOPBACK, 0)) as server:
        here = [socket.create_connection(server.getsockname()) for _ in range(2)]
        there = [server.accept()[0] for _ in here]
        for connection, times in zip(there, (2, 5), strict=True):
            for _ in range(times):
                assert filtered.judge(tcp(connection, 0x10)) == ("pass", "NO_RULE")
            assert filtered.run(tcp(connection, 0x02)) == "pass"  # a SYN belongs to none
        found, ports = seen(filtered, slot), [one.getsockname()[1] for one in here]
        for one in (*here, *there):
            one.close()
    assert (found.looked, found.established) == (9, 7)
    assert [c.packets for c in found.connections] == [5, 2]
    assert [c.source_port for c in found.connections] == [ports[1], ports[0]]
    assert {(c.source, c.destination) for c in found.connections} == {(LOOPBACK, LOOPBACK)}
    filtered.datapath.begin_statistics(slot)
    assert seen(filtered, slot) == monitor_statistics.read(monitor_statistics.NOTHING, ())


def test_a_dropped_packet_is_counted_once_although_it_met_a_monitored_rule(
    filtered: Filter,
) -> None:
    filtered.hold(f"monitor 192.0.2.1; drop {MONITORED}")
    looked_at(filtered, "192.0.2.1")
    before = filtered.counters()
    filtered.run(to_frame("192.0.2.1"), 1_000)
    after = filtered.counters()
    assert after[Reason.DROPPED].packets - before[Reason.DROPPED].packets == 1_000
    assert filtered.hits(MONITORED)[0] == 1_000
