# SPDX-License-Identifier: GPL-2.0-or-later
"""Captured packets as they are shown, filtered, ranked and written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import packets
from tests.unit.cli.test_cli import Api, Run, api, run
from xdpctl.base.net.packet_fields import fields
from xdpctl.base.net.pcap_reader import Skipped
from xdpctl.base.net.pcap_reader import packets as read_packets
from xdpctl.client import Client
from xdpctl.model.match import text
from xdpctl.model.match.evaluate import takes

__all__ = ["api", "run"]  # the fixtures
DNS = packets.ethernet(
    packets.IPV4,
    packets.ipv4(
        packets.address("203.0.113.7"),
        packets.address("198.51.100.7"),
        packets.udp(53, 4000, b"x" * 100),
    ),
)
OTHER = packets.to_frame("203.0.113.8")


def sampled(frame: bytes) -> dict[str, Any]:
    return {
        "time": "2026-11-26T08:19:00.123456+00:00",
        "interface": "isp0",
        "verdict": "drop",
        "reason": "dropped",
        "rule": "203.0.113.0/24",
        "length": len(frame),
        "data": frame.hex(),
    }


@pytest.fixture
def captured(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The items that the server sends; an exception among them is raised in its turn."""
    sent: list[Any] = [*map(sampled, (DNS, DNS, DNS, OTHER)), {"taken": 4, "lost": 0}]

    def lines(_: Client, *__: Any, **___: Any) -> Iterator[dict[str, Any]]:
        for one in sent:
            if isinstance(one, BaseException):
                raise one
            yield one

    monkeypatch.setattr(Client, "lines", lines)
    return sent


def test_a_packet_is_shown_with_the_length_and_ttl_that_a_match_takes(
    captured: list[Any], run: Run
) -> None:
    code, out, err = run("capture")
    assert code == 0
    first = out.splitlines()[0]
    assert "203.0.113.7:53 > 198.51.100.7:4000 udp" in first
    assert "length 128 ttl 64" in first
    assert "4 packets, one in 64" in err


def test_only_matching_packets_are_shown(captured: list[Any], run: Run) -> None:
    code, out, err = run("capture", "--match", "src 203.0.113.7 udp src-port 53")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "3 of 4 packets, one in 64" in err
    assert run("capture", "--match", "udp src-prot 53")[0] == 1


def test_a_summary_prints_matches_that_take_these_packets(captured: list[Any], run: Run) -> None:
    code, out, _ = run("capture", "--summary")
    assert code == 0
    (row,) = [line for line in out.splitlines() if "udp src-port 53" in line]
    assert row.split()[:2] == ["src-port", "75%"]
    _, out, _ = run("capture", "--summary", "--json")
    ranked = json.loads(out)
    assert ranked["src"][0] == {
        "value": "203.0.113.7/32",
        "match": "src 203.0.113.7/32",
        "share": 0.75,
    }
    found = fields(DNS)
    assert found
    for values in ranked.values():
        assert takes(text.parse(values[0]["match"]), found)


@pytest.mark.parametrize("before", [0, 2])
def test_a_capture_that_is_interrupted_is_a_whole_file(
    captured: list[Any], run: Run, tmp_path: Path, before: int
) -> None:
    captured[before] = KeyboardInterrupt()
    code, _, err = run("capture", "-w", str(tmp_path / "x.pcapng"))
    assert code == 130
    assert "is complete" in err
    skipped = Skipped()
    assert len(list(read_packets(tmp_path / "x.pcapng", skipped))) == before
    assert skipped == Skipped()


def test_a_capture_with_a_match_that_is_interrupted_counts_what_matched(
    captured: list[Any], run: Run, tmp_path: Path
) -> None:
    captured[2] = KeyboardInterrupt()
    code, _, err = run("capture", "--match", "udp", "-w", str(tmp_path / "x.pcapng"))
    assert code == 130
    assert " of " not in err.splitlines()[-1], "how many were taken in all is not known"
