# SPDX-License-Identifier: GPL-2.0-or-later
"""Values that somebody with a node's certificate could write to harm the other nodes."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from msgspec import Raw, structs

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd
from tests.fleet.test_sets import entries, put, size
from tests.support.fakes import ask
from tests.support.walker import SMALL
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.fleet import keys, shards
from xdpctl.fleet.agent.follower import Follower
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.values import Held
from xdpctl.fleet.intent import VERSION, Intent, content, decode, encode
from xdpctl.fleet.revocations import Revocations
from xdpctl.fleet.settings import Arm
from xdpctl.fleet.shards import SetDamaged
from xdpctl.lab.waits import until
from xdpctl.model.effect import Action
from xdpctl.model.match.match import build
from xdpctl.model.quota import AUTOMATIC
from xdpctl.model.rule import Rule
from xdpctl.model.wait import Wait

Fleet = Callable[..., Node]
X = "203.0.113.7/32"


def found(node: Node, rule: Rule) -> None:
    """Let a node report any rule as its detector's.

    At its start a node takes back what it reported and does not have.
    """
    until(lambda: node.agent.detected._told is not None)
    now = node.clock.read()
    value = Intent(
        VERSION, rule.origin, node.name, now.unix, True, data=content("rules", rule, now)
    )
    node.agent.member.engine.put(keys.found(node.name, f"rules/{rule.id}"), encode(value))


def lasting(node: Node, seconds: float, action: Action = Action.DROP) -> Rule:
    ends = node.clock.read().ns + int(seconds * 1e9)
    return Rule(match=ask(X).match, action=action, origin="fastnetmon", expires_ns=ends)


@pytest.mark.parametrize("key", ["rules/not-a-rule", "rules/m-x", "sets/", "tokens/a b", "x"])
def test_a_key_that_names_nothing_does_not_stop_other_changes(fleet: Fleet, key: str) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    engine = one.agent.member.engine
    until(lambda: two.agent.member.applied)
    engine.put(keys.intent(key), b'{"v":1,"by":"x","node":"y","at":1,"data":{}}')
    until(lambda: key in two.agent.member.refused)
    engine.remove_below(keys.intent(key))
    one.add(ask(X))
    until(lambda: X in two.rules())


def test_a_garbage_change_of_a_set_is_refused_and_does_not_stop_other_changes(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    put(one, "list", entries(*range(1 << 24, (1 << 24) + 500)), action=Action.DROP)
    until(lambda: size(two, "list") == 500)
    engine, junk = one.agent.member.engine, b"x"
    held = engine.get(keys.intent("sets/list"))
    assert held is not None
    intent = decode(held.value or b"")
    manifest = shards.decode(bytes(intent.data))
    name = hashlib.sha256(junk).hexdigest()
    engine.put(keys.of_node(keys.BLOBS, "list", name), junk)
    worse = structs.replace(manifest, deltas=(name,))
    engine.put(held.key, encode(structs.replace(intent, data=Raw(shards.encode(worse)))))
    until(lambda: "sets/list" in two.agent.member.refused)
    assert size(two, "list") == 500
    one.add(ask(X))
    until(lambda: X in two.rules())


@pytest.mark.parametrize(
    "worse",
    [{"base": ("a", "a")}, {"deltas": ("a",) * 9}, {"entries": -1}, {"entries": 1 << 40}],
)
def test_a_manifest_that_would_fill_the_memory_is_refused(worse: dict[str, object]) -> None:
    manifest, _ = shards.whole(b"{}", entries(1, 2))
    with pytest.raises(SetDamaged):
        shards.decode(shards.encode(structs.replace(manifest, **worse)))


def test_a_detector_of_another_node_cannot_accept_a_source(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    until(lambda: two.agent.member.applied)
    found(one, lasting(one, 60, Action.ACCEPT))
    until(lambda: any("lets nothing through" in why for why in two.agent.member.refused.values()))
    assert not two.rules()


def test_a_detector_of_another_node_cannot_let_a_rule_outlast_its_quota(fleet: Fleet) -> None:
    one, two = fleet("edge1", arm=Arm.ENFORCE), fleet("edge2", arm=Arm.ENFORCE)
    until(lambda: two.agent.member.applied)
    found(one, lasting(one, 600))
    until(lambda: X in two.rules())
    found(one, lasting(one, 10 * 365 * 86_400.0))
    source = parse_prefix(X)

    def left() -> float:
        rule = two.controller.state.rules[source]
        return (rule.expires_ns - two.clock.read().ns) / 1e9

    until(lambda: left() > 3_000)
    assert left() <= 3_600, "the largest ttl of fastnetmon's quota"


def test_many_large_values_are_read_in_smaller_pages(shared_etcd: Etcd) -> None:
    etcd = Etcd()
    try:
        engine = Engine([etcd.endpoint], prefix="own/")
        for number in range(60):
            engine.put(f"nodes/evil/{number:03}", bytes(1_400_000))
        engine.put("nodes/good", b"here")
        turn = engine.turn
        assert len(engine.snapshot("nodes/").held) == 61
        assert engine.turn == turn, "the shared connection stays open"
        engine.close()
    finally:
        etcd.remove()


def test_a_snapshot_leaves_out_what_no_detector_may_report(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = fleet("edge1")
    until(lambda: one.agent.member.applied)
    engine = one.agent.member.engine
    monkeypatch.setattr("xdpctl.fleet.agent.follower.FOUND_MAX", 5)
    for number in range(20):
        engine.put(keys.found("evil", f"rules/junk-{number}"), b"{}")
    engine.put(keys.found("evil", "rules/large"), bytes(100_000))
    one.add(ask(X), wait=Wait.MAJORITY)
    late = fleet("late")
    until(lambda: X in late.rules())
    refused = late.agent.member.refused
    until(lambda: sum(key.startswith("evil") for key in list(refused)) == 5)


def test_a_full_table_takes_what_fits_and_refuses_the_rest_quickly(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = fleet("edge1")
    for number in range(600):
        one.add(ask(f"10.0.{number // 200}.{number % 200}/32"))
    until(lambda: len(one.controller.state.rules) == 600 and not one.controller.state.unsent)
    tried = mock.Mock(side_effect=Follower._apply)
    monkeypatch.setattr(Follower, "_apply", lambda *given: tried(*given))
    small = fleet("small", tables=SMALL._replace(ipv4=64))  # which reads all of them together
    refused = small.agent.member.refused
    until(lambda: bool(refused) and len(small.rules()) + len(refused) >= 600)
    assert len(small.rules()) >= 50
    assert any("no room" in why for why in refused.values())
    assert tried.call_count < 600


def test_a_duty_held_by_a_node_that_does_not_exist_is_taken_over(fleet: Fleet) -> None:
    one = fleet("edge1")
    until(lambda: one.agent.rounds.feeds.mine)
    one.agent.rounds.feeds.give_up()
    one.agent.member.engine.put(keys.LEADER + "feeds", b"ghost")
    until(lambda: one.agent.rounds.feeds.mine)


def test_an_error_in_one_report_does_not_end_the_reporting(fleet: Fleet) -> None:
    one = fleet("edge1")
    until(lambda: "edge1" in one.agent.reporter.nodes.by_name)
    health = one.agent.reporter._health
    raised: list[int] = []

    def broken() -> tuple[list[str], str]:
        raised.append(1)
        raise ValueError("broken on purpose")

    one.agent.reporter._health = broken
    until(lambda: raised)
    one.agent.reporter._health = health
    before = one.agent.reporter.nodes.by_name["edge1"].revision
    until(lambda: one.agent.reporter.nodes.by_name["edge1"].revision > before)


def test_revocations_survive_a_restart_and_a_read_error(fleet: Fleet, tmp_path: Path) -> None:
    one = fleet("edge1")
    settings = one.agent.member.settings
    before = Revocations(settings)
    before.take(b'{"names":["stolen"],"crl":""}')
    assert before.revoked("stolen", 1)
    before.take(b"\xff")
    assert before.revoked("stolen", 1)
    assert "not taken over" in before.problem
    later = Revocations(settings)
    later.load()
    assert later.revoked("stolen", 1)
    assert not later.revoked("other", 1)


def test_every_refused_key_gets_its_turn_to_be_retried(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are more refused keys than one retry handles."""
    one = fleet("edge1")
    until(lambda: one.agent.member.applied)
    engine = one.agent.member.engine
    for number in range(6):
        engine.put(keys.intent(f"gadgets/{number}"), b'{"v":1,"by":"x","node":"y","at":1}')
    until(lambda: len(one.agent.member.refused) == 6)
    monkeypatch.setattr("xdpctl.fleet.agent.rounds._RETRIED", 2)
    tried: list[str] = []

    def take(held: list[Held], again: bool = False) -> None:
        tried.extend(each.key for each in held)

    monkeypatch.setattr(one.agent.follower, "take", take)
    for _ in range(3):
        one.agent.rounds.retry()
    assert len(set(tried)) == 6


def test_detectors_with_invented_names_share_one_quota_of_matches(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = fleet("edge1", arm=Arm.ENFORCE), fleet("edge2", arm=Arm.ENFORCE)
    until(lambda: two.agent.member.applied)
    few = dataclasses.replace(AUTOMATIC, max_matches=5)
    monkeypatch.setattr("xdpctl.fleet.agent.armed.AUTOMATIC", few)
    for number in range(9):  # of a node that is away: one that runs takes back what it has not
        parts = {"protocol": "udp", "destination": "198.51.100.7"}
        match = build(parts | {"source_port": str(100 + number)})
        ends = one.clock.read().ns + 60_000_000_000
        rule = Rule(
            match=match, slot=0, action=Action.DROP, origin=f"invented-{number}", expires_ns=ends
        )
        now = one.clock.read()
        data = content("rules", rule, now)
        value = Intent(VERSION, rule.origin, "edge3", now.unix, True, data=data)
        key = keys.found("edge3", f"rules/{match.id}")
        one.agent.member.engine.put(key, encode(value))
    until(lambda: len(two.ids()) + len(two.agent.member.refused) == 9)
    assert len(two.ids()) == 5
    assert "not configured on this node" in str(two.agent.member.refused)
