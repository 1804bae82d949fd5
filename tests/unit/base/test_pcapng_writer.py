# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures as pcapng, read back by dpkt and by xdpctl's own reader."""

import io
from pathlib import Path

import dpkt

from tests.support import packets
from xdpctl.base.net import pcap_reader
from xdpctl.base.net.packets import summary
from xdpctl.base.net.pcap_reader import Skipped
from xdpctl.base.net.pcapng_writer import Writer

NOW = 1_764_067_140_123_456_789
FRAME = packets.to_frame("192.0.2.7")


def written() -> bytes:
    file = io.BytesIO()
    writer = Writer(file)
    writer.packet("isp0", NOW, FRAME, len(FRAME), "verdict=drop reason=dropped rule=203.0.113.0/24")
    writer.packet("lan0", NOW + 1, FRAME[:33], 1500)
    writer.packet("isp0", NOW + 2, FRAME, len(FRAME), "é")
    return file.getvalue()


def test_dpkt_reads_times_bytes_and_names() -> None:
    data = written()
    found = list(dpkt.pcapng.Reader(io.BytesIO(data)))
    assert [frame for _, frame in found] == [FRAME, FRAME[:33], FRAME]
    assert abs(found[0][0] - NOW / 1e9) < 1e-5
    assert b"rule=203.0.113.0/24" in data
    assert data.count(b"isp0") == data.count(b"lan0") == 1


def test_our_reader_reads_lengths_and_times(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(written())
    skipped = Skipped()
    found = list(pcap_reader.packets(path, skipped))
    assert [packet.length for packet in found] == [len(FRAME), 1500, len(FRAME)]
    assert found[0].unix_ns == NOW
    assert skipped == Skipped(cut=1)


def test_a_frame_is_described_in_one_line() -> None:
    assert summary(FRAME) == "192.0.2.7:40000 > 198.51.100.7:53 udp"
    six = packets.tagged(packets.to_frame("2001:db8::7"), (0x88A8, 0x8100))
    assert summary(six) == "[2001:db8::7]:40000 > [2001:db8:ffff::7]:53 udp"
    assert summary(packets.ethernet(0x0806, bytes(46))) == "ethertype 0x0806"
    gre = packets.ipv4(packets.address("10.0.0.1"), packets.address("10.0.0.2"), b"x" * 20, 47)
    assert summary(packets.ethernet(0x0800, gre)) == "10.0.0.1 > 10.0.0.2 gre"
    for end in range(60):
        summary(FRAME[:end])
