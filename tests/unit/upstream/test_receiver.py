# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes of peers as rules: only for our networks, bounded, and ended with their session."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.fakes import FakeClock, FakeDatapath, controller
from tests.support.upstream import PEER, table
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.control.operations import rules
from xdpctl.control.state.draft import Draft
from xdpctl.model import tags
from xdpctl.model.effect import Action, Spare
from xdpctl.model.event import Event
from xdpctl.model.identity import Caller, Role
from xdpctl.model.match.text import parse
from xdpctl.model.quota import Quota
from xdpctl.model.rate import Rate
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import OF_PEERS, OPERATOR
from xdpctl.upstream.peers import Peer, Receive
from xdpctl.upstream.receiver import TTL, Receiver, refusal

HOST = PEER["address"]
SETTINGS = table(PEER | {"receive": "enforce", "receive_most": 50})
QUOTAS = {OPERATOR: Quota(max_rules=1000), "bgp.isp1": Quota(max_rules=1000, max_matches=5)}
X = "198.51.100.7/32"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def control(tmp_path: Path, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, FakeDatapath(64), clock, quotas=QUOTAS) as running:
        yield running


class Site:
    """A receiver, and a peer that announces and withdraws."""

    def __init__(self, control: Controller, peer: Peer = SETTINGS.peers[0]) -> None:
        self.control, self.peer, self.now = control, peer, 1e9
        self.ice = False
        self.receiver = Receiver(control, (peer,), self.refusal, lambda _: self.ice)
        self.receiver.whole()

    def refusal(self, peer: Peer, event: Event) -> str:
        return refusal(SETTINGS, peer, event)

    def say(
        self,
        destination: str | None,
        asked: str = "rate-limit:0",
        part: str = "announce",
        **more: Any,
    ) -> None:
        asked_too = more.pop("more_actions", [])
        where = {} if destination is None else {"destination-ipv4": [destination]}
        if destination and ":" in destination:
            where = {"destination-ipv6": [destination]}
        of = {} if "source-ipv4" in more else {"protocol": ["=udp"]}
        route = {**where, **of, **more, "string": f"flow {destination} {more}"}
        listed: Any = {"no-nexthop": [route]} if part == "announce" else [route]
        community = [{"value": 1, "string": text} for text in (asked, *asked_too)]
        update = {"attribute": {"extended-community": community}, part: {"ipv4 flow": listed}}
        neighbor = {"address": {"peer": HOST}, "message": {"update": update}}
        message = json.dumps({"type": "update", "neighbor": neighbor})
        self.receiver.hear(HOST, message.encode())

    def rules(self, seconds: float = 1.0) -> dict[str, str]:
        self.now += seconds
        self.receiver.step(self.now)
        return {
            str(each.match): f"{each.mode} {each.limit or each.action} {each.origin}"
            for each in self.control.state.matches.values()
        }

    @property
    def why(self) -> list[str]:
        received = self.receiver.of[self.peer.name]
        return [*received.refused.values(), *received.unapplied.values()]


@pytest.fixture
def site(control: Controller) -> Site:
    return Site(control)


def test_a_route_becomes_a_rule_with_an_end_and_ends_with_the_route(
    site: Site, control: Controller, clock: FakeClock
) -> None:
    site.say(X)
    site.say("198.51.100.8/32", "rate-limit:1250000")
    assert site.rules() == {
        "dst 198.51.100.7 proto udp": "enforce drop bgp.isp1",
        "dst 198.51.100.8 proto udp": "enforce 10,000,000 bps, final bgp.isp1",
    }
    (first, _) = control.state.matches.values()
    assert first.expires_ns == clock.read().after(TTL)
    site.say(X, part="withdraw")
    assert list(site.rules()) == ["dst 198.51.100.8 proto udp"]


def test_a_rule_is_renewed_for_as_long_as_its_route_stands(
    site: Site, control: Controller, clock: FakeClock
) -> None:
    site.say(X)
    site.rules()
    clock.ns += int(0.6 * TTL * 1e9)
    site.rules()
    (rule,) = control.state.matches.values()
    assert rule.expires_ns == clock.read().after(TTL)


def test_a_changed_rate_replaces_the_rule(site: Site) -> None:
    site.say(X)
    site.rules()
    site.say(X, "rate-limit:1250000")
    assert site.rules() == {"dst 198.51.100.7 proto udp": "enforce 10,000,000 bps, final bgp.isp1"}


@pytest.mark.parametrize(
    ("destination", "asked", "why"),
    [
        ("0.0.0.0/0", "rate-limit:0", "not in upstream.own"),
        ("203.0.113.7/32", "rate-limit:0", "not in upstream.own"),
        ("198.51.0.0/16", "rate-limit:0", "not in upstream.own"),
        (None, "rate-limit:0", "any destination is not in upstream.own"),
        (X, "redirect:64500:1", "asks for redirect"),
        (X, "mark 46", "asks for mark"),
    ],
)
def test_routes_that_are_not_taken_over_are_listed(
    site: Site, destination: str | None, asked: str, why: str
) -> None:
    site.say(destination, asked)
    assert not site.rules()
    assert any(why in each for each in site.why)


def test_an_exception_comes_after_all_other_rules_and_ends_the_search(
    site: Site, control: Controller
) -> None:
    site.say(X, "origin:1:1")
    site.say("198.51.100.0/24", "rate-limit:0")
    assert list(site.rules().values()) == [
        "enforce 1,000,000,000 pps, final bgp.isp1",
        "enforce drop bgp.isp1",
    ]
    first, second = sorted(control.state.matches.values(), key=lambda rule: rule.order)
    assert (first.priority, second.priority) == (OF_PEERS, OF_PEERS)
    assert (first.spare, second.spare) == (Spare.NONE, Spare.TRIAL)
    assert first.limit is not None
    assert first.limit.final
    assert str(first.match) == "dst 198.51.100.7 proto udp", "the more specific one comes first"


def test_a_route_with_the_terminal_bit_lets_the_search_go_on(site: Site) -> None:
    site.say(X, "rate-limit:1250000", more_actions=["action terminal"])
    assert site.rules() == {"dst 198.51.100.7 proto udp": "enforce 10,000,000 bps bgp.isp1"}
    site.say(X, "action terminal")
    assert not site.rules()
    assert any("does not reduce traffic" in each for each in site.why)


def test_a_rule_that_was_softened_because_it_hit_people_is_left_alone(
    site: Site, control: Controller
) -> None:
    site.say(X)
    site.rules()

    def soften(draft: Draft) -> None:
        (rule,) = draft.all_rules()
        limit = Rate(pps=1_000)
        draft.put(rule.replace(action=Action.LIMIT, limit=limit, tags=(tags.SOFTENED,)))

    control.submit(soften).result(5)
    assert site.rules() == {"dst 198.51.100.7 proto udp": "enforce 1,000 pps bgp.isp1"}


@pytest.mark.parametrize(
    "values",
    [
        {"destination-port": ["=80", "false&=4294967296"]},
        {"protocol": ["=udp", "false&=foo"]},
        {"tcp-flags": ["010"]},
        {"destination-port": ["=" + "9" * 5_000]},
        {"destination-port": {"a": 1}},
        {"fragment": ["=nothing"]},
    ],
)
def test_a_hostile_route_costs_no_other_route(site: Site, values: dict[str, Any]) -> None:
    site.say(X, **values)
    site.say("198.51.100.8/32")
    assert "dst 198.51.100.8 proto udp" in site.rules()


def test_a_route_that_comes_in_another_form_moves_to_its_place(
    site: Site, control: Controller
) -> None:
    sent, resent = (
        dict[str, Any]({"destination-port": ports}) for ports in (["=443", "=53"], ["=53", "=443"])
    )
    site.say(X, **sent)
    site.rules()
    (first,) = control.state.matches.values()
    site.say(X, **resent)
    site.rules()
    (second,) = control.state.matches.values()
    assert first.match == second.match
    assert first.rank != second.rank


def test_a_peer_may_not_drop_everything_to_an_address(site: Site) -> None:
    site.say(X, protocol=["=tcp"])
    assert not site.rules()
    assert any("may not drop all" in each for each in site.why)


def test_wider_routes_are_accepted_if_configured(control: Controller) -> None:
    site = Site(control, replace(SETTINGS.peers[0], receive_any=True))
    site.say("203.0.113.0/24")
    assert list(site.rules()) == ["dst 203.0.113.0/24 proto udp"]


def test_monitor_mode_only_monitors_and_off_accepts_nothing(control: Controller) -> None:
    site = Site(control, replace(SETTINGS.peers[0], receive=Receive.MONITOR))
    site.say(X)
    assert site.rules() == {"dst 198.51.100.7 proto udp": "monitor drop bgp.isp1"}
    off = Site(control, replace(SETTINGS.peers[0], receive=Receive.OFF))
    off.say(X)
    assert not off.rules(), "and what stood from before ends"


def test_rules_end_with_their_session(site: Site) -> None:
    site.say(X)
    assert site.rules()
    site.receiver.gone(HOST)
    assert not site.rules()


def test_without_the_speaker_rules_stay_for_a_while(site: Site) -> None:
    site.say(X)
    assert site.rules()
    site.receiver.lost()
    site.receiver._patient_until = site.now + 30
    assert site.rules(29)
    assert not site.rules(2)


def test_rules_stay_when_the_speaker_is_back(site: Site) -> None:
    site.say(X)
    site.say("198.51.100.8/32")
    assert len(site.rules()) == 2
    site.receiver.lost()
    site.receiver._patient_until = site.now + 30
    site.receiver.anew()
    site.say(X)
    assert len(site.rules()) == 2, "not all of it was heard yet"
    site.receiver.whole()
    assert list(site.rules()) == ["dst 198.51.100.7 proto udp"]


def test_a_peer_has_a_quota_and_routes_over_it_are_reported_and_retried(
    site: Site, control: Controller
) -> None:
    for number in range(10):
        site.say(f"198.51.100.{number}/32")
    assert len(site.rules()) == 5
    assert len(site.receiver.of["isp1"].unapplied) == 5
    for number in range(5):
        site.say(f"198.51.100.{number}/32", part="withdraw")
    assert len(site.rules(31)) == 5, "the others have their place now"


def test_a_frozen_peer_gets_no_new_rules_but_loses_old_ones(site: Site) -> None:
    site.say(X)
    site.rules()
    site.ice = True
    site.say("198.51.100.8/32")
    assert list(site.rules()) == ["dst 198.51.100.7 proto udp"]
    assert any("the peer is frozen" in each for each in site.why)
    site.say(X, part="withdraw")
    assert not site.rules()
    site.ice = False
    site.receiver.wake()
    assert list(site.rules()) == ["dst 198.51.100.8 proto udp"]


def test_a_rule_of_another_origin_is_not_touched(site: Site, control: Controller) -> None:
    who = Caller("root", Role.ADMIN, OPERATOR)
    ask = RuleRequest(match=parse("dst 198.51.100.7 udp"))
    control.submit(lambda draft: rules.add(draft, ask, who)).result(5)
    site.say(X)
    assert site.rules() == {"dst 198.51.100.7 proto udp": "enforce drop operator"}
    assert any("operator has a rule" in each for each in site.why)
    site.say(X, part="withdraw")
    assert site.rules()


def test_a_rule_on_a_source_alone_ends_with_its_route_too(site: Site, control: Controller) -> None:
    named: dict[str, Any] = {"source-ipv4": ["203.0.113.7/32"]}
    site.receiver.refusal = lambda peer, event: ""
    site.say(None, **named)
    site.rules()
    (rule,) = control.state.all_rules()
    assert (str(rule.match), rule.by_source) == ("src 203.0.113.7", None)
    assert rule.spare is Spare.TRIAL
    changes = site.receiver.of["isp1"].changes
    site.rules()
    assert site.receiver.of["isp1"].changes is changes
    site.say(None, part="withdraw", **named)
    site.rules()
    assert not control.state.all_rules()


def test_only_a_route_that_locks_users_out_is_refused(site: Site, control: Controller) -> None:
    control.set_logins([parse_prefix("203.0.113.7")])
    named: dict[str, Any] = {"source-ipv4": ["203.0.113.0/24"], "protocol": ["=tcp"]}
    site.say(X, **named)
    site.say("198.51.100.8/32")
    assert list(site.rules()) == ["dst 198.51.100.8 proto udp"]
    assert any("203.0.113.7" in each for each in site.why)


@pytest.mark.parametrize("message", [b"{}", b'{"type": "update"}', b"[", b"\xff", b"null"])
def test_invalid_messages_change_nothing(site: Site, message: bytes) -> None:
    site.say(X)
    site.receiver.hear(HOST, message)
    site.receiver.hear("192.0.2.99", message)
    assert len(site.rules()) == 1


def test_a_peer_with_flapping_routes_changes_rules_only_now_and_then(
    site: Site, control: Controller
) -> None:
    for number in range(200):
        site.say(X, part="announce" if number % 2 else "withdraw")
        site.rules(0.01)
    changes = [r for r in control.store.audit() if "upstream.received" in str(r)]
    assert 40 <= len(changes) <= 55
    site.say(X)
    assert site.rules(60), "and ends up as it should be"


def test_the_number_of_routes_of_a_peer_is_bounded(site: Site) -> None:
    for number in range(100):
        site.say(f"198.51.100.{number}/32")
    assert len(site.receiver.of["isp1"].routes) == 50
