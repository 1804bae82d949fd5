# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes that a disk has changed, in the engine and on a node, and nodes that differ."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd, cluster
from tests.fleet.test_sets import entries, put, size
from tests.support.fakes import ROOT, ask
from xdpctl.control.operations import rules
from xdpctl.errors import EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.agent import digests
from xdpctl.fleet.agent.digests import differing, digest_of
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.node import Card, Digest, Report, Seen
from xdpctl.lab.waits import until
from xdpctl.model.shared import Shared
from xdpctl.model.wait import Wait
from xdpctl.notify.changes import News

Fleet = Callable[..., Node]
X, Y, ELSE = "203.0.113.7/32", "203.0.113.9/32", "203.0.113.8/32"
NOW = 100.0


def seen(**sums: tuple[str, int, int]) -> list[Seen]:
    return [
        Seen(name, Card(), Report(1.0, digest=Digest(*digest)), NOW)
        for name, digest in sums.items()
    ]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ({}, []),
        ({"a": ("1", 5, 5)}, []),
        ({"a": ("1", 5, 5), "b": ("1", 5, 7), "c": ("1", 5, 5)}, []),
        ({"a": ("1", 5, 5), "b": ("1", 5, 5), "c": ("2", 5, 5)}, ["c"]),
        ({"a": ("1", 5, 5), "b": ("2", 5, 5)}, ["a", "b"]),  # nobody knows which is right
        ({"a": ("1", 9, 9), "b": ("1", 9, 9), "c": ("2", 5, 5)}, []),  # it has not followed so far
        ({"a": ("1", 9, 9), "b": ("1", 9, 9), "c": ("2", 5, 9)}, ["c"]),  # it has, and lacks one
        ({"a": ("1", 5, 5), "b": ("1", 5, 5), "c": ("", 0, 0)}, []),  # it has not made one yet
    ],
)
def test_nodes_that_have_something_else_than_most_are_found(
    nodes: dict[str, tuple[str, int, int]], expected: list[str]
) -> None:
    assert differing(seen(**nodes), NOW) == expected


def test_an_urgent_intent_taken_ahead_is_not_a_difference() -> None:
    """A node that has followed less far is not compared, whatever it has taken over already."""
    behind = digest_of({"rules/a": 3, "rules/urgent": 90}, 5)
    ahead = digest_of({"rules/a": 3, "rules/b": 50, "rules/urgent": 90}, 90)
    nodes = seen(a=ahead_tuple(ahead), b=ahead_tuple(ahead), c=ahead_tuple(behind))
    assert differing(nodes, NOW) == []


def ahead_tuple(digest: Digest) -> tuple[str, int, int]:
    return digest.sum, digest.newest, digest.position


def test_a_silent_node_is_not_compared() -> None:
    nodes = seen(a=("1", 5, 5), b=("1", 5, 5), c=("2", 5, 5))
    nodes[2].heard = NOW - 60
    assert differing(nodes, NOW) == []


def test_a_digest_depends_on_every_intent_and_not_on_their_order() -> None:
    some = {"rules/a": 3, "rules/b": 4}
    assert digest_of(some, 9) == digest_of(dict(reversed(some.items())), 9)
    assert digest_of(some, 9).sum != digest_of({"rules/a": 3}, 9).sum
    assert digest_of(some, 9).sum != digest_of({"rules/a": 4, "rules/b": 3}, 9).sum


def flip(path: Path, before: bytes, after: bytes) -> None:
    """Change bytes of a file in place, wherever they are."""
    data = path.read_bytes()
    assert before in data, path
    path.write_bytes(data.replace(before, after))


def answers(member: Etcd) -> bool:
    """Whether a member answers, and knows a leader."""
    with closing(Engine([member.endpoint])) as engine:
        try:
            return engine.get("nothing") is None
        except EngineError:
            return False


@pytest.mark.usefixtures("shared_etcd")  # only to know that there is etcd
def test_a_changed_byte_in_a_member_is_found_and_another_member_asked(tmp_path: Path) -> None:
    with cluster("one", "two", "three") as members:
        everywhere = [member.endpoint for member in members]
        first = Node("edge1", tmp_path / "edge1", everywhere, "damage/").start()
        try:
            first.add(ask(X), wait=Wait.MAJORITY)
            until(lambda: not first.controller.state.unsent)
        finally:
            first.stop()
        two = members[1]
        two.stop()
        flip(two.folder / "data" / "member" / "snap" / "db", b'"203.0.113.7', b'"203.0.113.8')
        two.start()
        until(lambda: answers(two))
        second = Node("edge2", tmp_path / "edge2", [two.endpoint, everywhere[0]], "damage/").start()
        try:
            until(lambda: X in second.rules())
            assert ELSE not in second.rules()
            assert second.agent.member.refused == {}
            until(lambda: any("two has damaged data" in text for text in second.agent.warnings()))
            # it is over once the member has the intent in good order
            second.change("203.0.113.7_32", {"reason": "again"})
            until(lambda: not second.agent.member.damaged)
        finally:
            second.stop()


def lose(node: Node, key: str) -> None:
    """Let a node forget an intent, as a defect would."""
    rule = node.controller.state.find(key.removeprefix("rules/"), 0)

    def operation(draft: Any) -> None:
        draft.shared[key] = None
        draft.remove(rule)

    node.controller.submit(operation, scope=None).result()


def test_a_node_that_lacks_an_intent_takes_all_anew_and_says_so(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_SECONDS", 0.2)
    monkeypatch.setattr(digests, "_LASTS_SECONDS", 2.0)
    nodes = [fleet(f"edge{number}") for number in (1, 2, 3)]
    nodes[0].add(ask(X), wait=Wait.ALL)
    nodes[0].add(ask(Y), wait=Wait.ALL)
    until(lambda: all(len(node.rules()) == 2 for node in nodes))
    told: list[News] = []
    nodes[2].agent.watching._tell = told.append
    lose(nodes[2], "rules/203.0.113.7_32")
    assert X not in nodes[2].rules()
    until(lambda: X in nodes[2].rules())
    until(lambda: not differing(nodes[0].agent.reporter.nodes.by_name.values(), 0.0))
    until(lambda: any("taken anew" in news.title for news in told))
    log = b" ".join(nodes[2].controller.store.audit())
    assert b"fleet.repair" in log


def test_a_node_that_is_right_changes_nothing_whatever_others_claim(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_LASTS_SECONDS", 0.0)
    one = fleet("edge1")
    one.add(ask(X), wait=Wait.MAJORITY)
    until(lambda: not one.controller.state.unsent and one.agent.comparison.own.sum)
    comparison = one.agent.comparison
    before = dict(one.controller.state.shared)
    for _ in range(2):
        nodes = seen(edge1=ahead_tuple(comparison.own), forged=("f" * 16, 0, 1 << 62))
        comparison._compared_at = -1e9
        comparison.step(nodes, NOW)
    assert "edge1" in comparison.differ
    assert not comparison.repairs
    assert dict(one.controller.state.shared) == before


def test_an_intent_that_the_engine_lacks_ends(fleet: Fleet) -> None:
    one = fleet("edge1")
    one.add(ask(X), wait=Wait.MAJORITY)
    until(lambda: not one.controller.state.unsent and one.agent.comparison.own.sum)

    def pretend(draft: Any) -> None:
        draft.shared["rules/203.0.113.9_32"] = Shared(1)
        rules.add(draft, ask(Y), ROOT)

    one.controller.submit(pretend, scope=None).result()
    one.agent.comparison._compare()
    assert set(one.rules()) == {X, Y}, "it may be an engine that has just been restored"
    one.agent.comparison._compare()
    assert list(one.rules()) == [X]
    assert "differ from the engine" in one.agent.comparison.repairs[-1]


def test_an_engine_with_another_history_ends_nothing(fleet: Fleet) -> None:
    one = fleet("edge1")
    one.add(ask(X), wait=Wait.MAJORITY)
    until(lambda: not one.controller.state.unsent and one.agent.comparison.own.sum)
    with closing(Engine(one.endpoints, prefix=one.prefix)) as engine:
        one.agent.stop()  # it does not notice the new epoch
        one.agent.member.engine = engine
        engine.put(keys.EPOCH, b"restored")
        engine.remove_below(keys.INTENTS)
        for _ in range(3):
            one.agent.comparison._compare()
    assert list(one.rules()) == [X]


def test_nodes_that_refuse_different_intents_do_not_differ(fleet: Fleet) -> None:
    one = fleet("edge1")
    two = fleet("edge2", protection={X: "ours"})
    one.add(ask(X), wait=Wait.ALL)
    until(lambda: "rules/203.0.113.7_32" in two.agent.member.refused)

    def sum_of(node: Node) -> str:
        shared = dict(node.controller.state.shared)
        return digest_of({key: intent.revision for key, intent in shared.items()}, 0).sum

    until(lambda: sum_of(one) == sum_of(two) != digest_of({}, 0).sum)


def test_a_damaged_record_of_a_node_is_taken_from_the_fleet(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    one.add(ask(X), wait=Wait.ALL)
    one.add(ask(Y), wait=Wait.ALL)
    until(lambda: len(two.rules()) == 2)
    two.stop()
    with sqlite3.connect(two.controller.store.path) as db:  # type: ignore[attr-defined]
        key = ("rules/203.0.113.7_32",)
        (value,) = db.execute("SELECT value FROM entries WHERE key = ?", key).fetchone()
        changed = value.replace(b"203.0.113.7", b"203.0.113.8")
        assert changed != value
        db.execute("UPDATE entries SET value = ? WHERE key = ?", (changed, *key))
    db.close()
    two.start()
    until(lambda: not two.controller.state.unreadable)
    assert two.rules() == dict.fromkeys((X, Y), "enforce drop operator")
    assert isinstance(two.controller.state.shared["rules/203.0.113.7_32"], Shared)


def test_a_set_whose_notes_are_damaged_stays_the_fleets(fleet: Fleet) -> None:
    """The record, and the note that it is the fleet's, are damaged; later changes still arrive."""
    one, two = fleet("edge1"), fleet("edge2")
    put(one, "list", entries(*range(1, 101)))
    until(lambda: "list" in two.controller.state.sets)
    two.stop()
    with sqlite3.connect(two.controller.store.path) as db:  # type: ignore[attr-defined]
        for key in ("sets/list", "shared/sets/list"):
            db.execute("UPDATE entries SET value = x'00' || value WHERE key = ?", (key,))
    db.close()
    two.start()
    until(lambda: not two.controller.state.unreadable)
    put(one, "list", entries(*range(1, 51)))
    until(lambda: size(two, "list") == 50)
    assert not two.agent.member.refused
