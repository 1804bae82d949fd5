# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts inside that attack others are limited, if policy says so, and nothing else of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.audited import audited
from tests.support.fakes import ROOT, BreakableStore, FakeClock, FakeDatapath, controller, protect
from xdpctl.abi.constants import Traffic
from xdpctl.abi.sizes import POLICERS
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import DatapathError
from xdpctl.flood.attack import Attack, Does
from xdpctl.flood.limiting import kind_of, policer_of
from xdpctl.flood.settings import DetectSettings, Most, Part
from xdpctl.model.effect import Automatic
from xdpctl.watch.hourly import MOST
from xdpctl.watch.policing import Limit, Policing

HOST, VICTIM = parse_prefix("10.0.3.7"), parse_prefix("203.0.113.9")
MAC = "02:00:00:00:00:07"
FLOOD = Attack(Does.FLOODS, Traffic.UDP, 9_000.0, HOST, destination=VICTIM, mac=MAC, certain=True)
SCAN = Attack(Does.SCANS, Traffic.SYN, 60.0, HOST, port=23, seen=60, mac=MAC, certain=True)
POLICY = DetectSettings(attackers_pps=10)
LOOPBACK = {"127.0.0.0/8": "loopback"}


class Policed:
    """Policing on a fake datapath."""

    def __init__(self, directory: Path, detect: DetectSettings) -> None:
        self.clock, self.datapath = FakeClock(), FakeDatapath()
        self._running = controller(directory, self.datapath, self.clock, LOOPBACK)
        self.control = self._running.__enter__()
        self.mode = Automatic.ON
        self.restart(detect)

    def restart(self, detect: DetectSettings) -> None:
        self.policing = Policing(self.control, detect, lambda: self.mode)

    def step(self, *attacks: Attack) -> list[str]:
        """What is begun, in words."""
        return list(map(str, self.policing.step(attacks)))

    def held(self, host: Prefix = HOST) -> list[Any]:
        return list(self.datapath.policers.read().get(host, ()))

    def drops(self, packets: int) -> None:
        """Count packets at the host's first limit, as the kernel does."""
        first, *others = self.held()
        counted = replace(first, dropped=first.dropped + packets)
        self.datapath.policers.put(HOST, [counted, *others])

    def release(self, host: Prefix = HOST) -> list[Limit]:
        return self.control.submit(lambda draft: self.policing.release(draft, host, ROOT)).result()

    def noted(self, action: str) -> list[dict[str, Any]]:
        return audited(self.control, action)

    def close(self) -> None:
        self._running.__exit__(None, None, None)


def ends_in(policed: Policed) -> list[float]:
    """In how many seconds each limit ends."""
    now = policed.clock.read().ns
    return [(limit.policer.until_ns - now) / 1e9 for limit in policed.policing.limits()]


@pytest.fixture
def detect() -> DetectSettings:
    return POLICY


@pytest.fixture
def policed(tmp_path: Path, detect: DetectSettings) -> Iterator[Policed]:
    policed = Policed(tmp_path, detect)
    yield policed
    policed.close()


def test_a_flood_is_limited_to_its_destination_noted_and_shown(policed: Policed) -> None:
    words = "10.0.3.7 is limited to 10 UDP packets a second to 203.0.113.9"
    assert policed.step(FLOOD) == [words]
    (policer,) = policed.held()
    assert (policer.protocol, policer.destination, policer.mac.hex(":")) == (17, VICTIM, MAC)
    assert policed.datapath.control["policing"] != 0
    (noted,) = policed.noted("host.limit")
    assert noted["subject"] == "10.0.3.7"
    assert noted["detail"]["limit"] == words
    assert ends_in(policed) == [600.0]
    (warning,) = policed.policing.warnings()
    assert warning.startswith(words)
    assert policed.step(FLOOD) == [], "it is limited already"
    assert len(policed.noted("host.limit")) == 1


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (SCAN, "10 attempts to connect over TCP a second to port 23"),
        (
            replace(FLOOD, kind=Traffic.SYN),
            "10 attempts to connect over TCP a second to 203.0.113.9",
        ),
        (
            replace(FLOOD, kind=Traffic.SYN, port=443),
            "10 attempts to connect over TCP a second to port 443 of 203.0.113.9",
        ),
        (
            replace(SCAN, does=Does.TRIES_PORTS, port=None, destination=VICTIM),
            "10 attempts to connect over TCP a second to 203.0.113.9",
        ),
        (
            replace(SCAN, kind=Traffic.UDP, port=161),
            "10 UDP packets that begin a conversation a second to port 161",
        ),
        (
            replace(SCAN, kind=Traffic.ICMP, port=None),
            "10 ICMP packets that begin a conversation a second",
        ),
        (
            replace(FLOOD, kind=Traffic.QUIC_INITIAL),
            "10 UDP packets a second to port 443 of 203.0.113.9",
        ),
        (
            replace(FLOOD, does=Does.REFLECTS, kind=Traffic.UDP_SERVICE, port=11_211),
            "10 UDP packets a second from port 11211",
        ),
    ],
)
def test_each_attack_has_its_limit(policed: Policed, attack: Attack, words: str) -> None:
    assert policed.step(attack) == [f"10.0.3.7 is limited to {words}"]


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(replace(FLOOD, certain=False), id="perhaps the name of another host"),
        pytest.param(replace(FLOOD, source=None, certain=False), id="forged"),
        pytest.param(
            replace(FLOOD, destination=parse_prefix("203.0.113.0/24"), seen=200), id="a network"
        ),
        pytest.param(replace(FLOOD, destination=None, seen=200), id="many addresses"),
        pytest.param(replace(FLOOD, kind=Traffic.DNS_QUERY), id="a resolver, made to ask"),
        pytest.param(
            replace(SCAN, kind=Traffic.UDP, port=53), id="a resolver that asks many dead servers"
        ),
        pytest.param(replace(SCAN, port=0), id="a port that would mean any"),
        pytest.param(replace(FLOOD, kind=Traffic.SYN, port=0), id="and of a flood"),
        pytest.param(replace(SCAN, port=53), id="a resolver that is told to come by TCP"),
        pytest.param(
            replace(FLOOD, kind=Traffic.SYN, port=53), id="a resolver that is told to come to one"
        ),
        pytest.param(
            replace(FLOOD, does=Does.REFLECTS, kind=Traffic.UDP_SERVICE, port=53),
            id="a name server, asked in the name of another",
        ),
        pytest.param(replace(FLOOD, kind=Traffic.RST), id="RSTs, which answer forged packets"),
        pytest.param(replace(FLOOD, kind=Traffic.FRAGMENT), id="fragments, which may be anything"),
        pytest.param(replace(FLOOD, kind=Traffic.GRE), id="a mirror of a port"),
        pytest.param(replace(FLOOD, kind=Traffic.ESP), id="a tunnel"),
        pytest.param(replace(FLOOD, kind=Traffic.SYN_ACK), id="SYN-ACKs, which answer forged SYNs"),
        pytest.param(
            replace(FLOOD, does=Does.REFLECTS, kind=Traffic.UDP_SERVICE, port=123),
            id="a time server, asked in the name of another",
        ),
    ],
)
def test_what_an_outsider_or_another_host_can_cause_is_only_told(
    policed: Policed, attack: Attack
) -> None:
    assert policed.step(attack) == []
    assert policed.held() == []


@pytest.mark.parametrize(
    "detect",
    [
        DetectSettings(),
        DetectSettings(attackers_pps=10, mode=Most.OBSERVE),
        DetectSettings(attackers_pps=10, prefixes=(Part(prefix=HOST, mode=Most.OBSERVE),)),
        DetectSettings(attackers_pps=10, modes={"udp": Most.OBSERVE}),
    ],
)
def test_without_a_policy_for_it_no_host_is_limited(policed: Policed) -> None:
    assert policed.step(FLOOD) == []
    assert policed.held() == []


@pytest.mark.parametrize(
    "why",
    [
        {str(VICTIM): "configured as protected"},
        {str(HOST): "a gateway of this host"},
        {"10.0.0.0/8": "configured as protected", str(HOST): "a resolver of this host"},
        {str(HOST): "configured as protected"},
        {str(HOST): "a node of this fleet"},
        {str(HOST): "this host's own address"},
    ],
)
def test_what_this_box_needs_is_let_be(policed: Policed, why: dict[str, str]) -> None:
    policed.step(FLOOD)
    assert policed.held()
    policed.control.state.protection = protect(LOOPBACK | why)
    assert policed.step(FLOOD) == []
    assert policed.held() == [], "and a limit that stands ends"


def test_nobody_is_limited_until_it_is_known_what_this_box_needs(policed: Policed) -> None:
    policed.control.state.protection = protect({})
    assert policed.step(FLOOD) == []


def test_a_host_of_a_protected_network_is_limited(policed: Policed) -> None:
    policed.control.state.protection = protect(LOOPBACK | {"10.0.0.0/8": "configured as protected"})
    assert policed.step(FLOOD)


def test_a_limit_that_another_filter_was_told_of_holds(policed: Policed) -> None:
    policed.step(FLOOD)
    asked = int(policed.datapath.control["policing"])
    policed.datapath.control["policing"] = 0
    policed.step()
    assert policed.datapath.control["policing"] == asked != 0


def test_who_is_logged_in_from_there_is_let_be(policed: Policed) -> None:
    policed.control.state.logins = (VICTIM,)
    assert policed.step(FLOOD) == []
    assert policed.step(SCAN), "other things are limited"


def test_a_limit_ends_after_ten_minutes_and_begins_again_if_the_attack_goes_on(
    policed: Policed,
) -> None:
    policed.step(FLOOD)
    policed.drops(1_000)
    policed.clock.advance(599)
    policed.step()
    (limit,) = policed.policing.limits()
    assert limit.policer.dropped == 1_000
    assert ends_in(policed) == [1.0], "whatever it drops"
    policed.clock.advance(2)
    assert policed.policing.limits() == []
    policed.step()
    assert policed.held() == []
    assert policed.datapath.control["policing"] == 0
    assert policed.policing.warnings() == []
    assert policed.step(FLOOD)
    assert len(policed.noted("host.limit")) == 1, "once an hour"


@pytest.mark.parametrize("mode", [Automatic.OFF, Automatic.OBSERVE])
def test_an_operator_switches_limits_off(policed: Policed, mode: Automatic) -> None:
    policed.step(FLOOD)
    policed.mode = mode
    assert policed.step(SCAN) == []
    assert policed.held() == []


@pytest.mark.parametrize(
    "attack",
    [
        FLOOD,
        replace(FLOOD, kind=Traffic.SYN),
        replace(FLOOD, kind=Traffic.TCP),
        replace(FLOOD, kind=Traffic.QUIC_INITIAL),
        replace(FLOOD, kind=Traffic.ICMP),
        replace(FLOOD, does=Does.REFLECTS, kind=Traffic.UDP_SERVICE, port=11_211),
        replace(SCAN, kind=Traffic.UDP, port=161),
        replace(SCAN, kind=Traffic.QUIC_INITIAL, port=443),
        SCAN,
        replace(SCAN, kind=Traffic.ICMP, port=None, source=parse_prefix("2001:db8::7")),
    ],
)
def test_a_limit_is_about_the_kind_of_its_attack(attack: Attack) -> None:
    policer = policer_of(attack, 10, 1)
    assert policer
    assert kind_of(policer) is attack.kind
    assert attack.source
    assert policer.protocol != 1 or attack.source.family == 4


def test_a_release_ends_all_limits_and_none_begins_for_an_hour(policed: Policed) -> None:
    policed.step(FLOOD, SCAN)
    assert len(policed.release()) == 2
    assert policed.held() == []
    assert policed.policing.limits() == []
    (noted,) = policed.noted("host.release")
    assert (noted["actor"], noted["subject"]) == (ROOT.name, "10.0.3.7")
    policed.clock.advance(3_599)
    assert policed.step(FLOOD) == []
    policed.clock.advance(2)
    assert policed.step(FLOOD)


def test_a_host_that_has_no_limit_yet_can_be_released(policed: Policed) -> None:
    assert policed.release() == []
    assert policed.step(FLOOD) == []


def test_a_new_mac_address_takes_the_place_of_the_old_one(policed: Policed) -> None:
    policed.step(FLOOD)
    assert policed.step(replace(FLOOD, mac="02:00:00:00:00:09"))
    (policer,) = policed.held()
    assert policer.mac.hex(":") == "02:00:00:00:00:09"


def test_a_host_has_four_limits_at_most_and_more_are_told(policed: Policed) -> None:
    victims = [replace(FLOOD, destination=parse_prefix(f"203.0.113.{n}")) for n in range(1, 9)]
    other = replace(FLOOD, source=parse_prefix("10.0.3.8"))
    assert len(policed.step(*victims, other)) == POLICERS + 1, (
        "other hosts are limited all the same"
    )
    assert "has 4 limits, which is the most" in policed.policing.warnings()[0]
    policed.step()
    assert "has 4 limits" not in str(policed.policing.warnings())


def test_no_more_than_a_hundred_limits_begin_in_an_hour(policed: Policed) -> None:
    hosts = [replace(FLOOD, source=parse_prefix(f"10.1.{n // 200}.{n % 200}")) for n in range(120)]
    assert len(policed.step(*hosts)) == MOST
    warnings = policed.policing.warnings()
    assert warnings[0].endswith(
        "100 limits have begun within an hour, which is the most, and 19 more"
    )
    assert warnings[-1] == "97 more limits of hosts inside (xdpctl attackers list)"
    assert len(warnings) == 5


def test_what_cannot_be_noted_is_not_limited(
    policed: Policed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BreakableStore, "broken", True)
    assert policed.step(FLOOD) == []
    assert policed.held() == []
    assert "the store refuses" in policed.policing.problem
    monkeypatch.setattr(BreakableStore, "broken", False)
    policed.step(FLOOD)
    assert policed.held()
    assert policed.policing.problem == ""


def test_a_refusal_of_the_kernel_is_told(policed: Policed, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DatapathError("the map is full")

    monkeypatch.setattr(policed.datapath.policers, "put", refuse)
    assert policed.step(FLOOD) == []
    assert policed.policing.warnings() == [
        "an attack of a host inside is not limited: the map is full"
    ]


def test_after_a_restart_limits_follow_the_settings(policed: Policed) -> None:
    policed.step(FLOOD)
    policed.restart(DetectSettings(attackers_pps=333_333))
    policed.step()
    (policer,) = policed.held()
    assert policer.pps == 333_333
    policed.restart(DetectSettings())
    policed.step()
    assert policed.held() == []
