# SPDX-License-Identifier: GPL-2.0-or-later
"""Decoding the kernel's statistics of a monitored rule, and which rules have statistics."""

import random
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.apiclient import Api, running
from tests.support.fakes import FakeClock, FakeDatapath, controller
from xdpctl.abi.arrays import CONNECTION, GLIMPSE, MONITOR_STATISTICS
from xdpctl.abi.sizes import SKETCH_CELLS, SKETCH_LOG2, STATISTICS_MAX
from xdpctl.datapath import monitor_statistics
from xdpctl.model.protection import OWN_ADDRESS
from xdpctl_api.shapes.monitor import statistics_out

NOTHING_SEEN = monitor_statistics.read(monitor_statistics.NOTHING, ())


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, capacity=2000) as api:
        yield api


def sketch(values: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A sketch as bpf/stages/monitor.bpf.h builds it, of this number of random hashes."""
    dice, cells = random.Random(values), np.zeros(SKETCH_CELLS, np.uint8)
    for _ in range(values):
        hashed = dice.getrandbits(64)
        cell = hashed >> (64 - SKETCH_LOG2)
        low = hashed | 1 << (63 - SKETCH_LOG2)
        cells[cell] = max(cells[cell], (low & -low).bit_length())
    return cells


@pytest.mark.parametrize("values", [0, 1, 7, 100, 1_000, 1_500, 20_000, 300_000])
def test_the_number_of_sources_is_estimated_within_three_standard_errors(values: int) -> None:
    assert abs(monitor_statistics.estimate(sketch(values)) - values) <= 0.14 * values


def glimpses(*seen: tuple[str, int, int, int]) -> np.ndarray[Any, np.dtype[Any]]:
    made = np.zeros(len(seen), GLIMPSE)
    for place, (source, protocol, source_port, port) in zip(made, seen, strict=True):
        address = ip_address(source)
        place["source"][: len(address.packed)] = list(address.packed)
        place["family"], place["protocol"] = address.version, protocol
        place["source_port"], place["destination_port"] = source_port, port
    return made


def picture(**fields: Any) -> bytes:
    held = np.zeros(1, MONITOR_STATISTICS)
    seen = fields.pop("glimpses", glimpses())
    held[0]["glimpses"][: len(seen)] = seen
    for name, value in fields.items():
        held[0][name] = value
    return held.tobytes()


def connection(source: str, port: int, destination: str) -> bytes:
    one = np.zeros(1, CONNECTION)
    for name, text in (("source", source), ("destination", destination)):
        packed = ip_address(text).packed
        one[0][name][: len(packed)] = list(packed)
    one[0]["source_port"], one[0]["destination_port"] = port, 443
    one[0]["family"] = ip_address(source).version
    return one.tobytes()


def test_statistics_are_decoded_into_named_fields() -> None:
    seen = glimpses(
        ("203.0.113.7", 17, 53, 1234), ("203.0.113.7", 17, 53, 1234), ("2001:db8::7", 58, 0, 0)
    )
    held = [(connection("10.1.2.3", 5, "192.0.2.1"), 3), (connection("2001:db8::9", 6, "::1"), 9)]
    found = monitor_statistics.read(
        picture(looked=9, established=2, accepted=1, glimpses=seen), held
    )
    assert (found.looked, found.established, found.accepted) == (9, 2, 1)
    assert found.ports == [("udp/1234", 2 / 3), ("icmpv6", 1 / 3)]
    assert found.top_sources == [("203.0.113.7", 2 / 3), ("2001:db8::7", 1 / 3)]
    assert found.connections == [
        ("2001:db8::9", 6, "::1", 443, 9),
        ("10.1.2.3", 5, "192.0.2.1", 443, 3),
    ]


def test_statistics_without_packets_are_empty() -> None:
    empty = monitor_statistics.MonitorStatistics(0, 0, 0, 0, 0, 0, [], [], [], [])
    assert empty == NOTHING_SEEN


def test_a_rule_has_statistics_while_it_is_in_monitor_mode(api: Api) -> None:
    slot = api.add("203.0.113.0/24", mode="monitor")["slot"]
    api.add("203.0.113.9")
    assert api.datapath.monitored() == [slot]
    api.datapath.statistics_values[slot] = picture(looked=7, established=1)
    api.datapath.connections[slot] = [(connection("203.0.113.5", 5, "192.0.2.1"), 1)]
    shown = api.call("GET", "/v1/rules/203.0.113.0_24").json()["statistics"]
    assert (shown["looked_at"], shown["established"], shown["connections"]) == (7, 1, 1)
    assert shown["top_connections"][0]["source"] == "203.0.113.5"
    listed = api.call("GET", "/v1/rules").json()["rules"]
    assert all(rule["statistics"] is None for rule in listed)
    api.call("PATCH", "/v1/rules/203.0.113.0_24", json={"reason": "the same statistics go on"})
    assert api.datapath.statistics_values[slot] != monitor_statistics.NOTHING
    api.call("POST", "/v1/rules/203.0.113.0_24/enforce")
    assert api.datapath.monitored() == []
    assert api.call("GET", "/v1/rules/203.0.113.0_24").json()["statistics"] is None


@pytest.mark.parametrize("kind", ["set", "signature"])
def test_sets_and_matches_have_statistics_in_monitor_mode_too(api: Api, kind: str) -> None:
    if kind == "set":
        slot = api.put("feed", b"203.0.113.0/24\n", mode="monitor")["slot"]
        path = "/v1/sets/feed"
    else:
        rule = {"match": "udp dst-port 53", "mode": "monitor"}
        made = api.call("POST", "/v1/rules", json=rule).json()
        slot, path = made["slot"], f"/v1/rules/{made['id']}"
    assert api.datapath.monitored() == [slot]
    assert api.call("GET", path).json()["statistics"]["looked_at"] == 0
    assert api.call("PATCH", path, json={"mode": "enforce"}).status_code == 200
    assert api.datapath.monitored() == []


def test_a_new_rule_in_the_same_slot_begins_with_empty_statistics(api: Api) -> None:
    slot = api.add("203.0.113.1", mode="monitor")["slot"]
    api.datapath.statistics_values[slot] = picture(looked=7)
    api.call("DELETE", "/v1/rules/203.0.113.1_32")
    api.datapath.statistics_values[slot] = picture(looked=7)  # as if somebody had put it back
    fresh = api.add("203.0.113.2", mode="monitor")["slot"]
    assert api.datapath.statistics_values[fresh] == monitor_statistics.NOTHING


def test_statistics_outlive_the_control_plane(tmp_path: Path) -> None:
    with running(tmp_path, capacity=2000) as api:
        slot = api.add("203.0.113.1", mode="monitor")["slot"]
        api.datapath.statistics_values[slot] = picture(looked=7)
        api.datapath.statistics_values[slot + 5] = picture(looked=3)
        again = type(api.controller._committer._monitor_slots)(api.datapath, api.controller.state)
        again.bring()
        assert api.call("GET", "/v1/rules/203.0.113.1_32").json()["statistics"]["looked_at"] == 7
        assert api.datapath.monitored() == [slot]


def test_rules_beyond_the_room_for_statistics_still_work(api: Api) -> None:
    lines = "".join(f"198.18.{n // 250}.{n % 250}\n" for n in range(STATISTICS_MAX + 3))
    answer = api.call("POST", "/v1/rules/bulk", content=lines, params={"mode": "monitor"})
    assert answer.json()["added"] == STATISTICS_MAX + 3
    assert len(api.datapath.monitored()) == STATISTICS_MAX
    last = f"198.18.{(STATISTICS_MAX + 2) // 250}.{(STATISTICS_MAX + 2) % 250}_32"
    assert api.call("GET", f"/v1/rules/{last}").json()["statistics"] is None
    api.call("DELETE", "/v1/rules/198.18.0.0_32")
    assert len(api.datapath.monitored()) == STATISTICS_MAX


@pytest.mark.parametrize(
    ("destinations", "forwarded"),
    [
        (("192.0.2.1", "2001:db8::1"), 0.0),
        (("192.0.2.1", "198.51.100.7"), 0.5),
        (("198.51.100.7", "2001:db8::7"), 1.0),
        (("224.0.0.1", "ff02::1", "255.255.255.255"), 0.0),
        ((), None),
    ],
)
def test_packets_to_other_hosts_are_counted_as_forwarded(
    tmp_path: Path, destinations: tuple[str, ...], forwarded: float | None
) -> None:
    seen = glimpses(*(("203.0.113.7", 17, 53, 1234) for _ in destinations))
    for place, text in zip(seen, destinations, strict=True):
        packed = ip_address(text).packed
        place["destination"][: len(packed)] = list(packed)
        place["family"] = ip_address(text).version
    found = monitor_statistics.read(picture(looked=len(seen), glimpses=seen), [])
    own = dict.fromkeys(("192.0.2.1", "2001:db8::1"), OWN_ADDRESS)
    with controller(tmp_path, FakeDatapath(), FakeClock(), own) as control:
        shown = statistics_out(control, found)
    assert shown
    assert shown.forwarded == forwarded
    if seen.size:
        assert shown.top["src-port"][0].value == "53"
