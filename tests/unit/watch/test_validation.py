# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources of what goes out are validated, and nobody is cut off by a list that lacks a network."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.audited import audited
from tests.support.fakes import FakeClock, FakeDatapath, controller
from xdpctl.abi.constants import Asking, FlowState, Reason, Side, Validation
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.config.file import parse
from xdpctl.control.sides import bring
from xdpctl.datapath.senders import Forger
from xdpctl.errors import ConfigError
from xdpctl.lab.waits import eventually
from xdpctl.model.sides import Outside, with_in_use
from xdpctl.notify.changes import News
from xdpctl.traffic.packets import PACKET, PacketArray
from xdpctl.traffic.window import Seen
from xdpctl.watch import in_use_file
from xdpctl.watch.validation import ValidationWatch

ENFORCE = Outside(source_validation="enforce")
PORTS: dict[str, Any] = {
    "out0": {"outside": True, "mac": "02:00:00:00:00:01", "indexes": [1]},
    "in0": {"outside": False, "mac": "02:00:00:00:00:02", "indexes": [2]},
}
OURS = {parse_prefix("198.51.100.0/24"): Side.INSIDE, parse_prefix("2001:db8:1::/48"): Side.INSIDE}
MAC = "02:00:00:00:00:07"
COUNTED, DROPPED = "they are let out, and counted", "they are dropped"


class _Sampler:
    """Has the packets that a test puts there; None: nothing is observed."""

    packets: PacketArray | None = np.empty(0, PACKET)

    def last(self, seconds: float) -> Seen | None:
        return None if self.packets is None else Seen(self.packets, 0.0, seconds, 0)


class Watched:
    """A box with our networks, and what a test has come in and go out."""

    def __init__(self, directory: Path) -> None:
        self.clock, self.datapath, self.sampler = FakeClock(), FakeDatapath(), _Sampler()
        self.ports, self.told = PORTS, list[News]()
        self._running = controller(directory, self.datapath, self.clock)
        self.control = self._running.__enter__()
        self.path = directory / "networks"
        self.sides(OURS)
        self.comes("198.51.100.7")
        self.begin(ENFORCE)

    def begin(self, outside: Outside) -> None:
        """Begin to watch, as after a restart."""
        self.watch = ValidationWatch(
            self.control,
            self.sampler,  # type: ignore[arg-type]
            outside,
            lambda: self.ports,
            self.told.append,
            self.path,
        )

    def sides(self, sides: dict[Any, Side]) -> None:
        known = with_in_use(sides, self.control.state.in_use)
        self.control.set_sides(known).result()

    def comes(
        self,
        *addresses: str,
        interface: int = 1,
        flow: FlowState = FlowState.KNOWN,
        reason: Reason = Reason.NO_RULE,
    ) -> None:
        """Packets come in for these addresses, by out0."""
        rows = np.zeros(len(addresses), PACKET)
        for row, text in zip(rows, addresses, strict=True):
            address = parse_prefix(text)
            row["destination"], row["family"] = address.address, address.family
        rows["interface"], rows["flow"], rows["reason"] = interface, flow, reason
        self.sampler.packets = rows

    def forges(self, source: str, packets: int = 1, mac: str = MAC) -> None:
        self.datapath.forged = [Forger(mac, parse_prefix(source), packets, 60, self.clock.ns)]

    def step(self, after: float = 0.0) -> Validation:
        """What the kernel does after a step."""
        self.clock.advance(after)
        self.watch.step()
        return self.datapath.validation.read()

    def noted(self, action: str) -> list[dict[str, Any]]:
        return audited(self.control, action)

    def close(self) -> None:
        self._running.__exit__(None, None, None)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.close()


def test_it_counts_for_an_hour_before_it_drops(watched: Watched) -> None:
    assert watched.step() is Validation.MONITOR
    assert list(watched.datapath.control["outsides"][:2]) == [1, 0]
    (warning,) = watched.watch.warnings()
    assert warning == (
        "forged sources are not dropped: it learns which networks are in use, 1h of traffic to go"
    )
    assert watched.step(3_590) is Validation.MONITOR
    assert watched.step(10) is Validation.ENFORCE
    assert watched.watch.warnings() == []


@pytest.mark.parametrize(
    ("mode", "held"), [("off", Validation.NOT), ("monitor", Validation.MONITOR)]
)
def test_without_enforcement_nothing_is_dropped(watched: Watched, mode: Any, held: Any) -> None:
    watched.step()
    watched.step(3_600)
    watched.begin(Outside(source_validation=mode))
    assert watched.step() is held
    assert watched.step(9_999) is held
    assert watched.watch.warnings() == []


def test_a_restart_goes_on_dropping(watched: Watched) -> None:
    watched.step()
    watched.step(3_600)
    watched.begin(ENFORCE)
    assert watched.step() is Validation.ENFORCE


@pytest.mark.parametrize("nothing", ["not observed", "idle", "no answers", "elsewhere"])
def test_time_without_traffic_is_no_learning(watched: Watched, nothing: str) -> None:
    watched.step()
    if nothing == "not observed":
        watched.sampler.packets = None
    elif nothing == "idle":
        watched.comes()
    elif nothing == "no answers":
        watched.comes("198.51.100.7", flow=FlowState.UNKNOWN)
    else:
        watched.comes("198.51.100.7", interface=2)
    assert watched.step(9_999) is Validation.MONITOR
    watched.comes("198.51.100.7")
    assert watched.step(3_599) is Validation.MONITOR
    assert watched.step(1) is Validation.ENFORCE


def test_many_addresses_hide_no_network(watched: Watched) -> None:
    watched.step()
    ours = [f"2001:db8:1:{n:x}::{n:x}" for n in range(600)]
    watched.comes(*ours, "2001:db8:7::9")
    watched.step(5)
    assert watched.control.state.in_use == {parse_prefix("2001:db8:7::/48")}


def test_time_in_which_not_all_was_looked_at_is_no_learning(watched: Watched) -> None:
    watched.step()
    wide = {parse_prefix("2001:db8::/32"): Side.INSIDE}
    watched.sides(OURS | wide)
    watched.comes(*(f"2001:db8:{n:x}::9" for n in range(600)))
    assert watched.step(3_600) is Validation.MONITOR
    assert watched.step(3_600) is Validation.ENFORCE, "the rest was looked at"


def test_what_is_dropped_shows_no_network(watched: Watched) -> None:
    watched.comes("192.0.2.9", reason=Reason.DROPPED)
    watched.step()
    assert watched.control.state.in_use == set()


def test_an_outsider_cannot_have_too_many_networks_learnt(watched: Watched) -> None:
    watched.step()
    for begin in range(0, 1_500, 500):
        watched.comes(*(f"45.{n // 250}.{n % 250}.9" for n in range(begin, begin + 500)))
        watched.step(5)
    assert len(watched.control.state.in_use) == 1_000
    assert "1,000 networks or more that nobody named" in watched.watch.warnings()[0]
    notes = watched.noted("source.in_use")
    assert len(notes) == 101
    assert "not noted" in str(notes)
    watched.sides(OURS | {parse_prefix("45.0.0.0/8"): Side.INSIDE})
    watched.comes("198.51.100.7")
    watched.step(5)
    assert watched.control.state.in_use == set(), "they have a name"
    assert in_use_file.read(watched.path) == set()
    assert watched.step(3_600) is Validation.ENFORCE


def test_networks_in_use_are_kept_in_a_file(watched: Watched) -> None:
    watched.comes("192.0.2.9", "2001:db8:7::9")
    watched.step()
    networks = {parse_prefix("192.0.2.0/24"), parse_prefix("2001:db8:7::/48")}
    assert in_use_file.read(watched.path) == networks
    watched.path.write_text("192.0.2.0/24\nnonsense")
    assert in_use_file.read(watched.path) == set()
    watched.path.unlink()
    assert in_use_file.read(watched.path) == set()


def test_a_full_disk_is_told_and_the_network_goes_out_and_is_written_later(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.comes("192.0.2.9")
    with monkeypatch.context() as full:
        full.setattr(in_use_file, "replace_file", _full)
        with pytest.raises(OSError, match="No space"):
            watched.step()
    assert watched.control.state.in_use == {parse_prefix("192.0.2.0/24")}
    watched.step(5)
    assert in_use_file.read(watched.path) == watched.control.state.in_use


def test_a_step_that_fails_is_told(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_use_file, "replace_file", _full)
    watched.comes("192.0.2.9")
    watched.watch.start()
    try:
        assert eventually(lambda: "are not watched: [Errno 28]" in str(watched.watch.warnings()))
    finally:
        watched.watch.stop()


def _full(path: Path, data: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_learning_takes_as_long_as_is_set(watched: Watched) -> None:
    watched.begin(Outside(source_validation="enforce", learning=60))
    watched.step()
    assert watched.step(60) is Validation.ENFORCE


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.9", "192.0.2.0/24"),
        ("2001:db8:2:3::9", "2001:db8:2::/48"),
    ],
)
def test_a_network_that_was_forgotten_goes_out_and_is_told(
    watched: Watched, address: str, network: str
) -> None:
    watched.comes(address, "198.51.100.7", "2001:db8:1::7")
    watched.step()
    assert watched.control.state.in_use == {parse_prefix(network)}
    watched.sides(OURS)
    assert watched.datapath.sides.held()[parse_prefix(network)] == Side.IN_USE
    assert f"packets come in for {network}, so" in watched.watch.warnings()[-1]
    assert "goes out, as packets come in for it" in watched.watch.about(parse_prefix(address))
    assert [record["subject"] for record in watched.noted("source.in_use")] == [network]
    watched.step(5)
    assert len(watched.noted("source.in_use")) == 1
    watched.sides(OURS | {parse_prefix(network): Side.INSIDE})
    assert len(watched.watch.warnings()) == 1, "now it has a name"
    assert watched.datapath.sides.held()[parse_prefix(network)] == Side.INSIDE


def test_a_busy_address_with_a_side_hides_no_other_one_of_its_network(watched: Watched) -> None:
    watched.sides(OURS | {parse_prefix("192.0.2.7"): Side.INSIDE})
    watched.comes(*["192.0.2.7"] * 100, "192.0.2.99")
    watched.step()
    assert watched.control.state.in_use == {parse_prefix("192.0.2.99")}


def test_time_in_which_not_all_of_a_network_was_looked_at_is_no_learning(watched: Watched) -> None:
    watched.sides(OURS | {parse_prefix("192.0.2.0/26"): Side.INSIDE})
    watched.comes(*(f"192.0.2.{n}" for n in range(50)), "198.51.100.7")
    watched.step()
    assert watched.step(3_600) is Validation.MONITOR
    assert watched.step(3_600) is Validation.ENFORCE, "the rest was looked at"


def test_beside_a_known_part_of_a_network_only_the_address_is_learnt(watched: Watched) -> None:
    watched.sides({parse_prefix("192.0.2.0/28"): Side.INSIDE})
    watched.comes("192.0.2.99")
    watched.step()
    assert watched.control.state.in_use == {parse_prefix("192.0.2.99")}


def test_what_comes_in_from_inside_shows_no_network(watched: Watched) -> None:
    watched.comes("192.0.2.9", interface=2)
    watched.step()
    assert watched.control.state.in_use == set()


def test_a_network_that_loses_its_side_is_not_cut_off(watched: Watched) -> None:
    watched.step()
    assert watched.step(3_600) is Validation.ENFORCE
    watched.sides({parse_prefix("198.51.100.0/24"): Side.INSIDE})
    assert watched.datapath.validation.read() is Validation.MONITOR
    assert watched.step(5) is Validation.MONITOR
    assert watched.step(3_600) is Validation.ENFORCE


def test_a_network_that_loses_its_side_while_it_learns_is_looked_for(watched: Watched) -> None:
    watched.step()
    watched.step(3_590)
    watched.sides({parse_prefix("198.51.100.0/24"): Side.INSIDE})
    assert watched.step(10) is Validation.MONITOR
    assert watched.step(3_600) is Validation.ENFORCE


def test_a_node_that_leaves_the_fleet_changes_nothing(watched: Watched) -> None:
    watched.sides(OURS | {parse_prefix("203.0.113.9"): Side.MEMBER})
    watched.step()
    assert watched.step(3_600) is Validation.ENFORCE
    watched.sides(OURS)
    assert watched.datapath.validation.read() is Validation.ENFORCE
    assert watched.step(5) is Validation.ENFORCE


@pytest.mark.parametrize("when", ["before the restart", "at the restart"])
def test_a_restart_tells_that_forged_sources_are_not_dropped_any_more(
    watched: Watched, when: str
) -> None:
    watched.step()
    assert watched.step(3_600) is Validation.ENFORCE
    if when == "at the restart":  # the sides are brought before it is watched
        watched.sides({parse_prefix("198.51.100.0/24"): Side.INSIDE})
    else:
        watched.ports = PORTS | {"out1": {"outside": True, "indexes": []}}
    watched.begin(ENFORCE)
    assert watched.step(5) is Validation.MONITOR
    assert [news.title for news in watched.told] == ["forged sources are not dropped any more"]
    assert len(watched.noted("source.validation")) == 1
    watched.step(5)
    assert len(watched.told) == 1


def test_other_changes_of_sides_go_on_dropping(watched: Watched) -> None:
    login = parse_prefix("198.51.100.7")
    watched.sides(OURS | {login: Side.OUTSIDE})
    watched.step()
    assert watched.step(3_600) is Validation.ENFORCE
    watched.sides(OURS)
    assert watched.step(5) is Validation.ENFORCE
    assert not bring(watched.datapath, watched.control.state.sides)


def test_it_does_not_drop_where_it_cannot_know(watched: Watched) -> None:
    watched.step()
    assert watched.step(3_600) is Validation.ENFORCE
    watched.datapath.flows.ports["out0"] = Asking.ASKS_NOT_ASYMMETRIC
    assert watched.step(5) is Validation.MONITOR
    assert "may come in elsewhere than by out0" in watched.watch.warnings()[-1]
    watched.datapath.flows.ports["out0"] = Asking.ASKS
    assert watched.step(5) is Validation.MONITOR, "an hour begins"
    (news,) = watched.told
    assert news.title == "forged sources are not dropped any more"
    assert len(watched.noted("source.validation")) == 1


@pytest.mark.parametrize(
    ("ports", "says"),
    [
        ({"out0": {"outside": True, "indexes": list(range(1, 17))}}, "more than 15 interfaces"),
        (PORTS | {"out1": {"outside": True, "indexes": []}}, "interface out1 is not there"),
        ({}, "no outside interface is there"),
        (
            PORTS | {"out1": {"outside": True, "indexes": [3], "teaches_not": "TC is not there"}},
            "what goes out by out1 is not looked at: TC is not there",
        ),
        (
            PORTS | {"out1": {"outside": True, "indexes": [3], "vrf": "blue"}},
            "out1 is in the VRF blue",
        ),
    ],
)
def test_it_does_not_drop_where_outside_is_not_known(
    watched: Watched, ports: dict[str, Any], says: str
) -> None:
    watched.step()
    assert watched.step(3_600) is Validation.ENFORCE
    watched.ports = ports
    assert watched.step(5) is Validation.MONITOR
    assert says in watched.watch.warnings()[-1]


def test_without_sides_nothing_is_dropped(watched: Watched) -> None:
    watched.step()
    watched.step(3_600)
    watched.sides({})
    assert watched.step(5) is Validation.MONITOR
    assert "not known yet what is inside" in watched.watch.warnings()[-1]


OUT0 = [{"name": "out0", "side": "outside"}]


@pytest.mark.parametrize(
    ("table", "more", "says"),
    [
        ({"source_validation": "drop"}, {}, "outside.source_validation"),
        (
            {"source_validation": "enforce"},
            {"interfaces": OUT0},
            "outside.source_validation needs your own networks: set protected",
        ),
        (
            {"source_validation": "monitor"},
            {"protected": ["198.51.100.0/24"], "interfaces": ["out0"]},
            "outside.source_validation needs an outside interface",
        ),
        ({"learning": "31d"}, {}, "outside.learning must be at most 30 days"),
        ({"sources": []}, {}, "unknown setting outside.sources"),
    ],
)
def test_an_error_in_the_settings_names_its_place(
    table: dict[str, object], more: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        parse({"outside": table} | more)


def test_who_forges_is_told_and_noted_once_an_hour(watched: Watched) -> None:
    watched.begin(Outside(source_validation="monitor"))
    for packets in range(1, 4):
        watched.forges("203.0.113.5", packets)
        watched.step(5)
    told = f"MAC {MAC} sends with sources that are not yours, last with 203.0.113.5: {COUNTED}"
    assert watched.watch.warnings() == [told]
    (record,) = watched.noted("source.forged")
    assert (record["subject"], record["detail"]["source"]) == (MAC, "203.0.113.5")
    (news,) = watched.told
    assert news.text == told
    assert watched.step(3_700) is Validation.MONITOR
    assert watched.watch.warnings() == [], "it has stopped"


def test_the_boxs_own_mac_address_shows_nobody(watched: Watched) -> None:
    watched.step()
    watched.step(3_600)
    watched.forges("203.0.113.5", mac="02:00:00:00:00:02")
    watched.step(5)
    (warning,) = watched.watch.warnings()
    assert warning.startswith("a host inside sends with sources that are not yours")
    assert warning.endswith(DROPPED)
