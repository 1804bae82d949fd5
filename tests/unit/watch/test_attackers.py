# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts inside that attack others are told once, noted, and shown for ten minutes."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.audited import audited
from tests.support.fakes import FakeClock, FakeDatapath, controller
from tests.support.packets import to_frame
from tests.unit.flood.test_attacking import NORMAL, spread, tcp, udp
from tests.unit.watch.test_policing import LOOPBACK
from xdpctl.abi.constants import Asking, FlowState
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import StoreError
from xdpctl.flood.settings import DetectSettings, Most, Part
from xdpctl.model.effect import Automatic
from xdpctl.notify.changes import News
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import PacketArray, joined, read
from xdpctl.traffic.sampler import Sampler
from xdpctl.watch.attackers import AttackerWatch

FLOOD = (
    "10.0.0.7 (MAC 02:00:00:00:00:07) sends 6 k packets/s of udp to 203.0.113.9, and nearly none "
    "comes back: it floods"
)


class Watched:
    """A watch, and what goes out beside traffic that comes in."""

    def __init__(self, directory: Path, detect: DetectSettings) -> None:
        self.clock, self.datapath = FakeClock(), FakeDatapath()
        self.ports: dict[str, Any] = {
            "out0": {"mac": "02:01", "outside": True, "state": "attached"}
        }
        self._running = controller(directory, self.datapath, self.clock, LOOPBACK)
        self.control = self._running.__enter__()
        self.sampler = Sampler(self.datapath.heads, self.datapath.served)
        self.told: list[News] = []
        self.watch = AttackerWatch(
            self.control,
            self.sampler,
            detect,
            lambda: self.ports,
            self.told.append,
            lambda: Automatic.ON,
            lambda _: 7,
        )
        self._at = 0.0
        self.sampler.step(time.monotonic())

    def sends(self, *out: PacketArray, came: PacketArray = NORMAL) -> list[str]:
        """The warnings after ten seconds in which this goes out."""
        came = joined([NORMAL, came])
        for part in out:
            part["interface"] = 7
            self.sampler.out.add(self._at, self._at + 10, part)
        if not out:
            self.sampler.out.add(self._at, self._at + 10, NORMAL[:0])
        for number in range(40):
            begun = self._at + number / 4
            self.sampler.window.add(begun, begun + 0.25, came[number::40])
        self._at += 100
        self.watch.step()
        return self.watch.warnings()

    def noted(self) -> list[dict[str, Any]]:
        return audited(self.control, "host.attacks")

    def close(self) -> None:
        self._running.__exit__(None, None, None)


@pytest.fixture
def detect() -> DetectSettings:
    return DetectSettings()


@pytest.fixture
def watched(tmp_path: Path, detect: DetectSettings) -> Iterator[Watched]:
    watched = Watched(tmp_path, detect)
    yield watched
    watched.close()


def test_an_attacker_is_told_noted_and_sent_once(watched: Watched) -> None:
    assert watched.sends(udp(500)) == []
    assert watched.sends(udp(6_000)) == [FLOOD]
    watched.clock.advance(60)
    assert watched.sends(udp(7_000)) == [FLOOD], "figures stay as they were told"
    (noted,) = watched.noted()
    assert noted["subject"] == "10.0.0.7"
    assert noted["detail"]["pps"] == 6_000
    assert noted["detail"]["why"] == FLOOD
    (news,) = watched.told
    assert (news.title, news.text) == ("10.0.0.7 attacks others", FLOOD)
    watched.clock.advance(60)
    (louder,) = watched.sends(udp(50_000))
    assert "50 k packets/s" in louder


def test_ten_minutes_after_its_end_nothing_is_told_and_after_an_hour_it_is_noted_again(
    watched: Watched,
) -> None:
    watched.sends(udp(6_000))
    watched.clock.advance(599)
    assert watched.sends() == [FLOOD]
    watched.clock.advance(2)
    assert watched.sends() == []
    watched.clock.advance(3_600)
    assert watched.sends(udp(6_000)) == [FLOOD]
    assert len(watched.noted()) == len(watched.told) == 2


def test_a_mac_address_of_the_box_itself_is_not_told(watched: Watched) -> None:
    watched.ports["out0"]["mac"] = "02:00:00:00:00:07"
    told = watched.sends(udp(6_000), tcp(5_000, 2, source=spread(500), begins=True))
    assert sorted(warning.split(" sends")[0] for warning in told) == ["10.0.0.7", "a host"]


def test_of_many_attackers_three_are_named(watched: Watched) -> None:
    hosts = [udp(6_000 + n, f"10.0.1.{n}", heads=40) for n in range(1, 9)]
    warnings = watched.sends(*hosts)
    assert len(warnings) == 4
    assert warnings[-1] == "5 more hosts inside attack others (xdpctl attackers list)"
    assert len(watched.noted()) == 8
    (news,) = watched.told
    assert "5 more hosts do such things" in news.text


@pytest.mark.parametrize(
    "detect",
    [
        DetectSettings(mode=Most.OFF),
        DetectSettings(prefixes=(Part(prefix=parse_prefix("10.0.0.7"), mode=Most.OFF),)),
    ],
)
def test_a_host_that_is_not_watched_is_not_told(watched: Watched) -> None:
    assert watched.sends(udp(6_000)) == []


def test_nothing_is_told_of_an_interface_where_no_answers_are_seen(watched: Watched) -> None:
    watched.datapath.flows.ports["out0"] = Asking.ASKS_NOT_ASYMMETRIC
    assert watched.sends(udp(6_000)) == []
    watched.datapath.flows.ports["out0"] = Asking.ASKS
    assert watched.sends(udp(6_000)) == [FLOOD]


def test_nothing_is_told_while_nothing_is_sampled(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched.sampler, "late", lambda now: True)
    assert watched.sends(udp(6_000)) == []


def test_the_loudest_attack_of_a_kind_is_told(watched: Watched) -> None:
    assert watched.sends(udp(6_000), udp(5_500, destination="203.0.113.10")) == [FLOOD]


def test_another_victim_is_told_anew(watched: Watched) -> None:
    assert watched.sends(udp(6_000)) == [FLOOD]
    (told,) = watched.sends(udp(6_500, destination="203.0.113.10"))
    assert "6.5 k packets/s of udp to 203.0.113.10" in told
    assert len(watched.noted()) == 1, "once an hour"


def test_nothing_is_told_of_what_comes_from_outside_and_goes_out_again(watched: Watched) -> None:
    head = heads([to_frame("10.0.0.7", "203.0.113.9")])
    head["came_by"] = 7
    assert read(head)["came_by"].tolist() == [7]
    transit = udp(6_000)
    transit["came_by"] = read(head)["came_by"][0]
    assert watched.sends(transit) == []


@pytest.mark.parametrize("detect", [DetectSettings(attackers_pps=10)])
def test_an_attack_that_cannot_be_noted_stops_no_upkeep(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = udp(50, "198.51.100.4", "10.0.0.7")
    host["flow"] = FlowState.KNOWN
    watched.sends(udp(6_000), came=host)
    assert watched.watch.policing.limits()
    watched.clock.advance(601)

    def refuse(_: object) -> None:
        raise StoreError("the store refuses: fake")

    monkeypatch.setattr(watched.watch, "_judged", lambda: refuse(0))
    with pytest.raises(StoreError):
        watched.watch.step()
    assert watched.datapath.policers.read() == {}


def test_nothing_is_told_where_no_filter_is_attached(watched: Watched) -> None:
    watched.ports["out0"]["state"] = "failed"
    assert watched.sends(udp(6_000)) == []


def test_no_more_than_a_hundred_attackers_are_kept(watched: Watched) -> None:
    for network in range(3):
        watched.sends(*(udp(6_000, f"10.0.{network}.{n}", heads=30) for n in range(1, 91)))
    assert len(watched.watch.recent()) == 100


@pytest.mark.parametrize("detect", [DetectSettings(attackers_pps=10)])
def test_an_attacker_is_limited_and_that_is_sent(watched: Watched) -> None:
    host = udp(50, "198.51.100.4", "10.0.0.7")
    host["flow"] = FlowState.KNOWN
    warnings = watched.sends(udp(6_000), came=host)
    limit = "10.0.0.7 is limited to 10 UDP packets a second to 203.0.113.9"
    assert warnings == [FLOOD, f"{limit}, since it attacks others (xdpctl attackers list)"]
    attack, news = watched.told
    assert attack.title == "10.0.0.7 attacks others"
    assert news.title == "10.0.0.7 is limited, since it attacks others"
    assert news.text == f"{limit}\nTo end it: xdpctl attackers release 10.0.0.7"


@pytest.mark.parametrize("detect", [DetectSettings(attackers_pps=10)])
def test_an_address_to_which_nothing_comes_is_not_limited(watched: Watched) -> None:
    assert watched.sends(udp(6_000)) == [FLOOD]
