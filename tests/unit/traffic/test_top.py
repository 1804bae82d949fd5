# SPDX-License-Identifier: GPL-2.0-or-later
"""Top lists of packets whose composition is known."""

import numpy as np
import pytest

from tests.support.packets import address, ethernet, ipv4, ipv6, to_frame, udp
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.lists.geo import Place
from xdpctl.model.match import text
from xdpctl.traffic.classify import heads
from xdpctl.traffic.dimensions import DIMENSIONS, dimension
from xdpctl.traffic.packets import PACKET, PacketArray, read
from xdpctl.traffic.places import Places
from xdpctl.traffic.select import takes
from xdpctl.traffic.top import Top, error, top

VICTIM = "198.51.100.7"


def reflection(source: str, port: int, destination: str = VICTIM) -> bytes:
    payload = udp(port, 33000, b"x" * 400)
    return ethernet(0x0800, ipv4(address(source), address(destination), payload))


def tcp(source: str, flags: int, destination: str = VICTIM) -> bytes:
    header = (4000).to_bytes(2) + (443).to_bytes(2) + bytes(8) + bytes([0x50, flags]) + bytes(6)
    return ethernet(0x0800, ipv4(address(source), address(destination), header, 6))


def mix() -> PacketArray:
    """60 DNS answers, 30 SYN, 10 of IPv6."""
    frames = [reflection(f"192.0.2.{n}", 53) for n in range(60)]
    frames += [tcp(f"203.0.113.{n}", 2) for n in range(30)]
    six = address("2001:db8::7"), address("2001:db8::9")
    frames += [ethernet(0x86DD, ipv6(*six, udp(5000, 53)))] * 10
    return read(heads(frames, weight=8))


def by(name: str, packets: PacketArray, where: str = "") -> Top:
    return top(packets, 2.0, dimension(name), where=text.parse(where) if where else None)


def test_rates_and_shares_use_the_weight_of_each_head() -> None:
    found = by("protocol", mix())
    assert [(row.value, row.share) for row in found.rows] == [("udp", 0.7), ("tcp", 0.3)]
    assert found.rows[0].packets == 70 * 8 / 2
    assert found.packets == 100 * 8 / 2
    sizes = sum(len(reflection("192.0.2.1", 53)) for _ in range(60)) + 10 * len(
        to_frame("2001:db8::7")
    )
    assert found.rows[0].bits == sizes * 8 * 8 / 2
    assert found.sampled == 100


def test_a_row_has_the_narrowest_match_common_to_its_packets() -> None:
    first, second, third = by("source_port", mix()).rows
    assert str(first.match) == f"dst {VICTIM} proto udp src-port 53"
    assert str(second.match) == f"dst {VICTIM} proto tcp src-port 4000"
    assert str(third.match) == "dst 2001:db8::9 proto udp src-port 5000"
    assert str(by("source", mix()).rows[0].match).endswith("src 2001:db8::7 proto udp")


@pytest.mark.parametrize("name", [name for name in DIMENSIONS])
def test_the_match_of_a_row_selects_exactly_its_packets(name: str) -> None:
    packets = mix()
    for row in by(name, packets).rows:
        if row.match is None:
            assert name in ("reason", "interface", "rule", "ethertype")
            continue
        again = text.parse(str(row.match))
        keys = DIMENSIONS[name].keys(packets)
        names = [DIMENSIONS[name].name(key) for key in keys.tolist() if key not in (-1, b"")]
        assert int(takes(again, packets).sum()) == names.count(row.value)


def test_a_filter_leaves_out_other_packets() -> None:
    found = by("destination_port", mix(), "proto udp")
    assert [row.value for row in found.rows] == ["33000", "53"]
    assert found.rows[0].share == pytest.approx(60 / 70)
    assert str(found.rows[0].match) == f"dst {VICTIM} proto udp dst-port 33000"


def test_packets_without_the_property_are_reported_as_a_share() -> None:
    found = by("tcp_flags", mix())
    assert [row.value for row in found.rows] == ["syn"]
    assert found.without == pytest.approx(0.7)
    assert by("ethertype", mix()).rows == []


def test_carpet_bombing_is_shown_as_a_network() -> None:
    frames = [reflection("192.0.2.1", 123, f"198.51.100.{n}") for n in range(200)]
    packets = read(heads(frames))
    assert by("destination", packets).rows[0].share == 1 / 200
    (row,) = by("destination_network", packets).rows
    assert (row.value, row.share) == ("198.51.100.0/24", 1.0)
    assert str(row.match) == "dst 198.51.100.0/24 proto udp"
    (row,) = by("source_port", packets).rows
    assert str(row.match) == "dst 198.51.100.0/24 proto udp src-port 123"


def test_reasons_are_named_and_packets_without_ip_are_counted() -> None:
    arp = heads([bytes(12) + b"\x08\x06" + bytes(46)] * 3, Reason.LINK)
    packets = read(np.concatenate([arp, heads([to_frame("192.0.2.1")], Reason.DROPPED)]))
    assert [(r.value, r.share) for r in by("reason", packets).rows] == [
        ("link", 0.75),
        ("dropped", 0.25),
    ]
    assert [row.value for row in by("ethertype", packets).rows] == ["0x0806"]
    assert by("source", packets).without == 0.75


@pytest.mark.parametrize(("flags", "name"), [(2, "syn"), (0x12, "syn+ack"), (0, "none")])
def test_flags_are_exact(flags: int, name: str) -> None:
    packets = read(heads([tcp("192.0.2.1", flags)] * 3 + [tcp("192.0.2.1", flags | 0x29)]))
    row = by("tcp_flags", packets).rows[0]
    assert row.value == name
    assert row.match
    assert int(takes(row.match, packets).sum()) == 3


def test_the_error_is_honest_for_few_samples() -> None:
    assert error(0.5, 100) == pytest.approx(0.096, abs=0.001)
    assert error(1.0, 3) > 0.2
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(500):
        packets = np.zeros(300, PACKET)
        packets["weight"], packets["family"] = 1, 4
        packets["protocol"] = np.where(rng.random(300) < 0.2, 17, 6)
        row = next(row for row in by("protocol", packets).rows if row.value == "udp")
        inside += abs(row.share - 0.2) <= row.error
    assert inside >= 0.93 * 500


def test_no_packets_give_no_rows() -> None:
    nothing = np.empty(0, PACKET)
    assert by("source", nothing) == Top([], 0, 0.0, 0.0, 0.0)
    with pytest.raises(RuleError, match="not a dimension"):
        dimension("sauce")


def test_sources_have_countries_and_autonomous_systems() -> None:
    asked: list[str] = []

    class Database:
        def lookup(self, prefix: Prefix) -> Place | None:
            asked.append(str(prefix))
            if str(prefix).startswith("192.0.2."):
                return Place("DE", 64496, "EXAMPLE", "")
            return Place("FR", 0, "", "") if str(prefix).startswith("203.") else None

    database: list[Database | None] = [None]
    places = Places(lambda: database[0])
    packets = mix()
    assert top(packets, 1.0, places.dimensions["country"]).without == 1.0
    database[0] = Database()  # it was installed meanwhile
    countries = top(packets, 1.0, places.dimensions["country"])
    assert [(r.value, r.share) for r in countries.rows] == [("DE", 0.6), ("FR", 0.3)]
    assert countries.without == pytest.approx(0.1)
    systems = top(packets, 1.0, places.dimensions["as"])
    assert [(r.value, r.share) for r in systems.rows] == [("AS64496 EXAMPLE", 0.6)]
    assert len(asked) == len(set(asked))


def test_with_very_many_sources_only_the_largest_are_looked_up() -> None:
    asked: list[Prefix] = []

    class Database:
        def lookup(self, prefix: Prefix) -> Place | None:
            asked.append(prefix)
            return Place("DE", 64496, "EXAMPLE", "")

    packets = np.zeros(20_000, PACKET)
    packets["family"], packets["weight"] = 4, 1
    numbers = np.arange(20_000, dtype=">u4").tobytes()
    packets["source"] = [numbers[at : at + 4] for at in range(0, len(numbers), 4)]
    packets["weight"][7] = 50_000
    found = top(packets, 1.0, Places(Database).dimensions["as"])
    assert len(asked) == 4_096
    assert found.rows[0].share > 0.7
    assert found.without > 0.2


def test_the_match_of_a_row_is_never_wider_than_the_filter() -> None:
    found = by("source_network", mix(), "src 192.0.2.5")
    assert str(found.rows[0].match) == f"dst {VICTIM} src 192.0.2.5 proto udp"
    found = by("destination_network", mix(), f"dst {VICTIM}")
    assert str(found.rows[0].match) == f"dst {VICTIM}"


def test_a_mapped_source_has_no_match() -> None:
    """A packet that claims an IPv4 address in IPv6 must not bring a rule on that address."""
    frame = ethernet(0x86DD, ipv6(bytes(10) + b"\xff\xff\xc6\x33\x64\x07", address("::9"), udp()))
    (row,) = by("source", read(heads([frame] * 5))).rows
    assert row.value == "::ffff:198.51.100.7"
    assert row.match is None
