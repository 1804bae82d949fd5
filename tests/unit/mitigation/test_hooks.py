# SPDX-License-Identifier: GPL-2.0-or-later
"""From a detector's event to rules: what is added, what is refused, and what is ended."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import TCP, Api, problem, running
from tests.support.fakes import HOUR
from tests.support.hooked import (
    OURS,
    VICTIM,
    Connected,
    configured,
    event,
    fastnetmon,
    say,
    standing,
)
from xdpctl.mitigation.guards import RateLimits


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 2000, OURS) as api:
        yield api


def test_a_victim_is_protected_until_the_end(api: Api) -> None:
    said = say(api, "fastnetmon", fastnetmon("ban"))
    (identity,) = said["rules"]
    rule = standing(api)[identity]
    assert (rule["text"], rule["action"]) == (f"dst {VICTIM} proto udp", "limit")
    assert (rule["limit"]["pps"], rule["spare"], rule["mode"]) == (5000, "known", "enforce")
    assert (rule["origin"], rule["expires_in"]) == ("fastnetmon", pytest.approx(900))
    assert rule["reason"].startswith("fastnetmon: udp_flood")
    again = say(api, "fastnetmon", fastnetmon("ban"))
    assert again["rules"] == [identity]
    assert len(standing(api)) == 1
    ended = say(api, "fastnetmon", fastnetmon("unban"))
    assert ended["released"] == [identity]
    assert standing(api) == {}
    assert say(api, "fastnetmon", fastnetmon("unban"))["released"] == [], "ended twice is ended"


@pytest.mark.parametrize(
    ("attack", "more", "text"),
    [
        ("syn_flood", {}, "dst {} flags syn&!ack"),
        ("icmp_flood", {}, "dst {} proto icmp"),
        ("amplification", {"port": 53}, "dst {} proto udp src-port 53"),
        ("ip_fragmentation", {}, "dst {} fragment later"),
        ("unknown", {}, "dst {}"),
    ],
)
def test_each_kind_of_attack_has_its_measure(
    api: Api, attack: str, more: dict[str, Any], text: str
) -> None:
    for victim in (VICTIM, "2001:db8:66::2"):
        said = say(api, "event", event(victim=victim, attack=attack, **more))
        rule = standing(api)[said["rules"][0]]
        wanted = text.format(victim).replace("proto icmp", "proto icmp" + "v6" * (":" in victim))
        assert rule["text"].replace("proto tcp ", "") == wanted
        assert rule["action"] == ("challenge" if attack == "syn_flood" else "limit")


def test_sources_are_dropped_as_long_as_the_detector_says(api: Api) -> None:
    sources = ["203.0.113.7", "203.0.113.0/26", "2001:db8:bad::/48"]
    said = say(api, "event", event(sources=sources, ttl=60))
    assert said["rules"] == ["203.0.113.7_32", "203.0.113.0_26", "2001:db8:bad::_48"]
    assert {r["action"] for r in standing(api).values()} == {"drop"}
    assert all(r["expires_in"] == pytest.approx(60) for r in standing(api).values())
    api.clock.advance(30)
    say(api, "event", event(sources=sources[:1], ttl=60))
    assert standing(api)["203.0.113.7_32"]["expires_in"] == pytest.approx(60)
    ended = say(api, "event", event(phase="ended"))
    assert sorted(ended["released"]) == sorted(said["rules"])


def test_a_rule_of_two_events_ends_with_the_last_one(api: Api) -> None:
    for identity in ("1", "2"):
        say(api, "event", event(identity, sources=["203.0.113.7"]))
    assert say(api, "event", event("1", "ended"))["released"] == []
    assert say(api, "event", event("2", "ended"))["released"] == ["203.0.113.7_32"]


def test_a_flush_releases_the_whole_jail(api: Api) -> None:
    for jail, source in (("sshd", "203.0.113.1"), ("sshd", "203.0.113.2"), ("web", "203.0.113.3")):
        say(api, "fail2ban", {"argv": ["ban", jail, source, "600"]})
    ended = say(api, "fail2ban", {"argv": ["flush", "sshd"]})
    assert sorted(ended["released"]) == ["203.0.113.1_32", "203.0.113.2_32"]
    assert list(standing(api)) == ["203.0.113.3_32"]


def test_no_event_blocks_our_own_addresses(api: Api) -> None:
    sources = ["198.51.100.9", "203.0.113.7", "0.0.0.0/0", "10.0.0.0/8"]
    said = say(api, "event", event(sources=sources))
    assert said["rules"] == ["203.0.113.7_32"]
    why = {one["what"]: one["why"] for one in said["refused"]}
    assert why.keys() == {"198.51.100.9/32", "0.0.0.0/0", "10.0.0.0/8"}
    assert "ours" in why["198.51.100.9/32"]
    assert "wider" in why["10.0.0.0/8"]


@pytest.mark.parametrize("victim", ["192.0.2.1", "2001:db8:67::1"])
def test_victims_outside_our_networks_are_ignored(api: Api, victim: str) -> None:
    said = say(api, "event", event(victim=victim, attack="udp_flood"))
    assert (said["rules"], standing(api)) == ([], {})
    assert "in neither automatic.networks" in said["ignored"][0]["why"]
    configured(api, networks=["192.0.2.0/24", "2001:db8:67::/48"])
    assert say(api, "event", event(victim=victim, attack="udp_flood"))["rules"]
    assert say(api, "event", event(victim=VICTIM, attack="udp_flood"))["ignored"]


def test_an_operators_rule_is_left_as_it_is(api: Api) -> None:
    api.add("203.0.113.7", reason="mine")
    api.add("203.0.113.8", action="accept")
    said = say(api, "event", event(sources=["203.0.113.7", "203.0.113.8"], ttl=60))
    assert said["rules"] == ["203.0.113.7_32"]
    assert "accepts" in said["refused"][0]["why"]
    held = standing(api)["203.0.113.7_32"]
    assert (held["origin"], held["reason"], held["expires_in"]) == ("operator", "mine", None)
    assert say(api, "event", event(phase="ended"))["released"] == []
    assert len(standing(api)) == 2


def test_all_automatic_rules_are_undone_at_once(api: Api) -> None:
    api.add("203.0.113.1")
    say(api, "event", event("1", sources=["203.0.113.2"]))
    api.clock.advance(HOUR / 6)
    say(api, "event", event("2", sources=["203.0.113.3"]))
    say(api, "fastnetmon", fastnetmon("ban"))
    undo = {"since": "5m", "origin": "event"}
    assert api.call("POST", "/v1/automatic/undo", json=undo).json() == {
        "removed": ["203.0.113.3_32"],
        "change": 2,
    }
    removed = api.call("POST", "/v1/automatic/undo", json={"since": "1h"}).json()["removed"]
    assert len(removed) == 2
    assert list(standing(api)) == ["203.0.113.1_32"]
    refused = api.call("POST", "/v1/automatic/undo", json={"since": "1h", "origin": "operator"})
    assert problem(refused, 400, "bad-request")["field"] == "origin"


def test_a_runaway_detector_is_stopped_by_its_quota(api: Api) -> None:
    configured(api, max_per_minute=5)
    api.app.state.context.hooks.rule_limits = RateLimits(5)
    mad = [event(str(n), sources=[f"203.0.113.{n}"]) for n in range(1, 9)]
    said = say(api, "event", mad)
    assert len(said["rules"]) == 5
    assert "more than 5 new rules" in said["refused"][0]["why"]
    assert say(api, "event", mad[:5])["refused"] == [], "what stands may be said again"
    assert say(api, "event", event("x", sources=["203.0.113.99"]))["refused"]
    api.add("203.0.113.200")


def test_the_event_limit_is_a_sliding_window() -> None:
    paces = RateLimits(10)
    paces.spend("a", 4, 0.0)
    paces.spend("a", 3, 50.0)
    assert [paces.room("a", now) for now in (50.0, 59.9, 60.0, 110.0)] == [3, 3, 7, 10]
    assert paces.room("b", 0.0) == 10


def test_a_dry_run_changes_nothing(api: Api) -> None:
    said = say(api, "event", event(sources=["203.0.113.7"]), params={"dry_run": "true"})
    assert (said["rules"], said["dry_run"]) == (["203.0.113.7_32"], True)
    assert standing(api) == {}
    audit = api.call("GET", "/v1/audit").json()
    assert "event.began" not in json.dumps(audit)


def test_events_are_in_the_audit_log(api: Api) -> None:
    say(api, "fastnetmon", fastnetmon("ban"))
    say(api, "fastnetmon", fastnetmon("unban"))
    told = json.dumps(api.call("GET", "/v1/audit").json())
    assert all(word in told for word in ("event.began", "event.ended", "udp_flood", VICTIM))


def test_a_detectors_token_is_valid_only_for_its_own_hook(api: Api) -> None:
    secret = api.token("fnm", "detector", origin="fastnetmon")
    viewer = api.token("looker", "viewer")
    said = say(api, "fastnetmon", fastnetmon("ban"), token=secret, peer=TCP)
    assert said["rules"]
    problem(api.call("POST", "/v1/hooks/event", TCP, secret, json=event()), 403, "role")
    problem(api.call("POST", "/v1/hooks/event", TCP, viewer, json=event()), 403, "role")
    problem(api.call("POST", "/v1/hooks/event", TCP, json=event()), 401, "access")
    problem(api.call("GET", "/v1/rules", TCP, secret), 403, "role")
    problem(api.call("PUT", "/v1/automatic", TCP, secret, json={"mode": "on"}), 403, "role")


def test_an_unreadable_body_changes_nothing(api: Api) -> None:
    bad = [event(sources=["203.0.113.7"]), event("2", sources=["nonsense"])]
    answer = api.call("POST", "/v1/hooks/event", json=bad)
    assert problem(answer, 400, "bad-request")["field"] == "sources"
    assert standing(api) == {}
    problem(api.call("POST", "/v1/hooks/snort", json={}), 404, "not-found")
    problem(api.call("POST", "/v1/hooks/event", content=b"x" * (4 << 20) + b"x"), 413, "too-large")
    problem(api.call("PUT", "/v1/automatic", json={"mode": "sometimes"}), 400, "bad-request")


def test_if_the_store_fails_the_detector_is_told_to_retry(api: Api) -> None:
    api.store.broken = True
    problem(api.call("POST", "/v1/hooks/event", json=event(sources=["203.0.113.7"])), 503, "store")
    assert api.datapath.held().keys() == {"198.51.100.0/24", "2001:db8:66::/48"}


def test_ten_thousand_sources_are_one_change(api: Api) -> None:
    sources = [f"203.{n >> 8}.{n & 255}.7" for n in range(1_500)]
    said = say(api, "event", event(sources=sources))
    assert len(said["rules"]) == 1_500
    assert len(say(api, "event", event(phase="ended"))["released"]) == 1_500


def test_a_route_announced_again_gets_its_new_rate(api: Api) -> None:
    match = f"udp src-port 53 dst {VICTIM}"
    (identity,) = say(api, "event", event(match=match, pps=5000))["rules"]
    say(api, "event", event(match=match, pps=700))
    assert standing(api)[identity]["limit"]["pps"] == 700
    say(api, "event", event(match=match))
    assert standing(api)[identity]["action"] == "drop"


def test_a_drop_that_would_break_too_many_connections_is_only_monitored(api: Api) -> None:
    busy, quiet = "203.0.113.7", "203.0.113.8"
    api.context.hooks.connections = Connected(**{busy: 21, quiet: 20})  # type: ignore[assignment]
    told = say(api, "event", event("1", sources=[busy]))
    assert "21 established connections" in told["watched"][0]["why"]
    assert say(api, "event", event("2", sources=[quiet]))["watched"] == []
    modes = {name: rule["mode"] for name, rule in standing(api).items()}
    assert modes == {f"{busy}_32": "monitor", f"{quiet}_32": "enforce"}
    assert "21 established" in api.call("GET", "/v1/audit").text
    again = say(api, "event", event("3", sources=[quiet, "203.0.113.9"]))
    assert again["watched"] == [], "what is dropped already breaks nothing more"


def test_a_repeat_offender_is_blocked_for_twice_as_long(api: Api) -> None:
    source = "203.0.113.7"
    for ttl in (600, 1200, 2400):
        said = event("1", sources=[source], ttl=600)
        say(api, "event", said, params={"dry_run": "true"})
        say(api, "event", said)
        say(api, "event", said)
        assert standing(api)[f"{source}_32"]["expires_in"] == pytest.approx(ttl)
        say(api, "event", event("1", "ended", sources=[source]))
        api.clock.advance(60)
    for _ in range(10):
        say(api, "event", event("1", sources=[source], ttl=600))
        say(api, "event", event("1", "ended", sources=[source]))
    say(api, "event", event("1", sources=[source], ttl=600))
    assert standing(api)[f"{source}_32"]["expires_in"] == pytest.approx(86_400), "and no longer"
    say(api, "event", event("1", "ended", sources=[source]))
    api.clock.advance(86_401)
    say(api, "event", event("1", sources=[source], ttl=600))
    assert standing(api)[f"{source}_32"]["expires_in"] == pytest.approx(600)


def test_a_long_body_is_handled_in_parts_with_one_answer(api: Api) -> None:
    names = [f"203.0.{n // 250}.{n % 250}" for n in range(1_800)]
    said = say(api, "event", [event(name, sources=[name]) for name in names])
    assert (said["events"], len(said["rules"]), len(said["incidents"])) == (1_800, 1_800, 1)
    ends = say(api, "event", [event(name, "ended") for name in names])
    assert len(ends["released"]) == 1_800
    assert standing(api) == {}
