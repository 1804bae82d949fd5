# SPDX-License-Identifier: GPL-2.0-or-later
"""The sentence about an address that cannot get in."""

from dataclasses import replace
from typing import Any

from xdpctl.abi.constants import Reason
from xdpctl.base.clock import Now
from xdpctl.model.effect import Action
from xdpctl.model.match import text
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule
from xdpctl.watch.why import Answer, sentence, together

NOW = Now(1_000_000_000, 1_700_000_000.0, "boot")
ADDRESS = "203.0.113.7"
FLOOD = Rule(
    text.parse("src 203.0.113.0/24"), Action.DROP, reason="flood", expires_ns=NOW.after(90)
)
PROVE = Rule(text.parse("tcp dst-port 443 flags syn"), Action.CHALLENGE, origin="flood")
LIMIT = Rule(text.parse("udp dst-port 53"), Action.LIMIT, limit=Rate(pps=9))
PASSES = Answer(["web"], ["192.0.2.1"], Reason.NO_RULE)


def said(*answers: Answer, others: tuple[Rule, ...] = (), **more: Any) -> str:
    return sentence(ADDRESS, together(answers), others, NOW, **more)


def test_an_address_that_nothing_hits_is_told_so() -> None:
    assert said(PASSES) == "Nothing on this box keeps 203.0.113.7 out: look elsewhere."


def test_a_drop_of_everything_names_the_rule_its_origin_and_its_end() -> None:
    out = [Answer([name], ["192.0.2.1"], Reason.DROPPED, FLOOD) for name in ("web", "ping")]
    assert said(*out) == (
        "203.0.113.7 is kept out by an operator's drop (flood): 203.0.113.0/24, "
        "which ends in 1m 30s."
    )


def test_a_drop_of_some_names_what_is_kept_out() -> None:
    hosts = [Answer(["web"], [f"192.0.2.{n}"], Reason.MATCHED, set="bad") for n in range(1, 6)]
    assert said(*hosts, Answer(["ping"], ["192.0.2.1"], Reason.NO_RULE)) == (
        "203.0.113.7 is kept out of web at 192.0.2.1, 192.0.2.2, 192.0.2.3 and 2 more "
        "by the set bad."
    )


def test_a_challenge_is_no_drop() -> None:
    told = said(Answer(["web"], ["192.0.2.1"], Reason.CHALLENGED, PROVE), PASSES)
    assert told == (
        "203.0.113.7 gets in once it has shown that it exists, which programs do by themselves: "
        "web at 192.0.2.1 by flood's challenge: proto tcp dst-port 443 flags syn."
    )


def test_rules_that_were_not_met_are_named() -> None:
    assert said(PASSES, others=(PROVE, FLOOD)) == (
        "What was tried of 203.0.113.7 passes. Other packets of it may meet flood's challenge: "
        "proto tcp dst-port 443 flags syn, and 1 more."
    )


def test_an_address_that_seems_forged_is_told_that_no_rule_helps() -> None:
    forged = said(Answer(["web"], ["192.0.2.1"], Reason.SPOOFED))
    assert forged.startswith("203.0.113.7 is taken for forged, since such an address")
    assert said(Answer(["web"], ["192.0.2.1"], Reason.VLAN_DEPTH)).endswith("(vlan depth).")


def test_a_limit_is_told_whether_or_not_it_is_exceeded_now() -> None:
    limited = Answer(["DNS"], ["192.0.2.1"], Reason.LIMITED, LIMIT)
    assert said(limited, PASSES) == (
        "203.0.113.7 gets in to DNS at 192.0.2.1 up to an operator's limit: proto udp dst-port 53."
    )
    assert limited.verdict == "limit"


def test_the_bypass_interfaces_without_the_filter_and_providers_are_told() -> None:
    bypassed = said(Answer(["web"], ["192.0.2.1"], Reason.BYPASS))
    assert bypassed == "The bypass is on: everything passes, 203.0.113.7 too."
    assert said(PASSES, unfiltered=["isp0"]).startswith("isp0 is not filtered now. Nothing")
    asked = [f"isp{n} was asked to drop all to 192.0.2.1" for n in range(5)]
    assert said(PASSES, asked=asked) == (
        "Nothing on this box keeps 203.0.113.7 out. Beyond this box: isp0 was asked to drop all to "
        "192.0.2.1; isp1 was asked to drop all to 192.0.2.1; isp2 was asked to drop all to "
        "192.0.2.1; and 2 more."
    )


def test_answers_of_which_the_same_decides_are_one() -> None:
    one = Answer(["web"], ["192.0.2.1"], Reason.DROPPED, FLOOD)
    other = Answer(["web"], ["192.0.2.2"], Reason.DROPPED, FLOOD)
    (both,) = together([one, other])
    assert both.to == ("192.0.2.1", "192.0.2.2")
    assert len(together([one, Answer(["web"], ["192.0.2.3"], Reason.NO_RULE)])) == 2
    ping = [replace(each, services=["ping"]) for each in (one, other)]
    (all_of_it,) = together([one, *ping, other])
    assert all_of_it.services == ("web", "ping")
    assert len(together([one, other, ping[0]])) == 2, "of ping, the other host was not asked"


def test_a_loader_that_does_not_report_comes_first() -> None:
    told = said(PASSES, unfiltered=["isp0"], silent=True)
    assert told.startswith("The loader does not report, so whether the filter is attached is not")
    assert "isp0" not in told
