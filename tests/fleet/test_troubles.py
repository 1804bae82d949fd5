# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of the engine and of the nodes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.boxes import Node
from tests.fleet.engines import cluster
from xdpctl.fleet.engine.values import EngineMember, Held
from xdpctl.fleet.keys import said_by
from xdpctl.fleet.node import Card, Nodes, Report, Seen, encode
from xdpctl.fleet.settings import QUOTA
from xdpctl.fleet.troubles import of_engine, of_nodes, quorum, shown, words_of
from xdpctl.lab.waits import until
from xdpctl.notify.changes import News

NOW = 1_000.0


def member(name: str, **more: Any) -> EngineMember:
    figures = {"heard": NOW - 1, "led": True, "applied": 70_000, "bytes": 1 << 20, **more}
    return EngineMember(name, f"192.0.2.{name[-1]}:2379", **figures)


def said(*members: EngineMember) -> list[str]:
    return [str(trouble) for trouble in of_engine(members, NOW)]


ONE, TWO, THREE = member("edge1"), member("edge2"), member("edge3")


def test_of_members_that_answer_nothing_is_said() -> None:
    assert said(ONE, TWO, THREE) == []
    assert str(quorum([ONE, TWO, THREE], NOW)) == "3 of 3 members answer; one of them may fail"
    assert str(quorum([ONE], NOW)) == "1 of 1 members answer; none of them may fail"


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (
            {"heard": NOW - 12},
            "the engine's member edge3 does not answer at 192.0.2.3:2379 for 12s: none of "
            "the others may fail",
        ),
        (
            {"heard": 0.0},
            "the engine's member edge3 has not answered at 192.0.2.3:2379 since this node started: "
            "none of the others may fail",
        ),
        (
            {"led": False},
            "the engine's member edge3 knows no leader at 192.0.2.3:2379: none of the others may "
            "fail",
        ),
        ({"applied": 1}, "the engine's member edge3 is behind the others: 69,999 changes"),
        (
            {"bytes": QUOTA},
            "the database of the engine's member edge3 fills: 8.59 GB of at most 8.59 GB. xdpctl "
            "fleet upkeep",
        ),
        (
            {"alarms": ("NOSPACE",)},
            "the engine is full: changes stay on the node where they were made. xdpctl fleet "
            "upkeep",
        ),
        ({"alarms": ("SOMETHING",)}, "etcd raises the alarm SOMETHING"),
    ],
)
def test_what_is_wrong_with_a_member_is_one_sentence(broken: Any, expected: str) -> None:
    assert said(ONE, TWO, member("edge3", **broken)) == [expected]


def test_a_learner_does_not_count_for_the_quorum() -> None:
    learner = member("edge4", votes=False, heard=0.0)
    assert (
        str(quorum([ONE, TWO, THREE, learner], NOW))
        == "3 of 3 members answer; one of them may fail"
    )


def test_without_a_majority_there_is_no_quorum() -> None:
    gone = {"heard": NOW - 60}
    members = [ONE, member("edge2", **gone), member("edge3", **gone)]
    assert quorum(members, NOW).may_fail < 0
    assert all("there is no quorum" in text for text in said(*members))


def test_silent_nodes_are_named_and_many_are_counted() -> None:
    nodes = [Seen("edge1"), Seen("edge2", Card(), Report(1.0), NOW - 90)]
    found = [str(trouble) for trouble in of_nodes(nodes, "edge1", NOW)]
    assert found == ["the node edge2 does not report for 1m 30s"]
    many = [Seen(f"edge{number}") for number in range(100, 130)]
    everything = list(of_nodes(many, "edge1", NOW))
    assert len(everything) == 30, "each of them is over by itself"
    assert [str(trouble) for trouble in shown(everything)][-1] == "more nodes do not report: 20"
    assert len(shown(everything)) == 11


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"leads": True}, "leads"),
        ({}, "follows"),
        ({"votes": False}, "does not vote yet"),
        ({"led": False}, "knows no leader"),
        ({"heard": NOW - 12}, "silent for 12s"),
        ({"heard": 0.0}, "has not answered"),
    ],
)
def test_what_a_member_does_is_said_in_words(figures: Any, words: str) -> None:
    assert words_of(member("edge1", **figures), NOW) == words


def test_a_member_that_has_not_joined_yet_is_no_trouble() -> None:
    coming = EngineMember("a new member", "", votes=False)
    assert said(ONE, TWO, THREE, coming) == []


def test_one_node_cannot_claim_that_all_are_behind() -> None:
    nodes, kvs = Nodes(), list[Held]()
    for name, applied in (("edge1", 70), ("edge2", 71), ("evil", (1 << 63) - 1)):
        card, report, _ = said_by(name)
        kvs += [
            Held(card, encode(Card()), 1),
            Held(report, encode(Report(1.0, applied=applied)), 2),
        ]
    nodes.take(kvs, 1.0)
    assert nodes.revision == 71
    with_digits = b'{"at":1.0,"applied":' + b"9" * 400 + b"}"
    nodes.take(
        [Held(said_by("evil")[0], encode(Card()), 1), Held(said_by("evil")[1], with_digits, 3)], 2.0
    )
    assert float(nodes.revision) >= 0


@pytest.mark.usefixtures("shared_etcd")  # only to know that there is etcd
def test_a_member_that_was_killed_is_shown_recorded_and_told_once(tmp_path: Path) -> None:
    told: list[News] = []
    with cluster("one", "two", "three") as members:
        node = Node("edge1", tmp_path / "edge1", [m.endpoint for m in members], "watched/")
        node.tell = told.append
        node.start()
        try:
            watching = node.agent.watching
            until(lambda: watching.quorum().answering == 3)
            members[2].kill()
            until(lambda: any("does not answer" in str(t) for t in watching.troubles()))
            until(lambda: bool(told))
            assert "the engine's member three does not answer" in told[0].title
            assert "none of the others may fail" in told[0].text
            members[2].start()
            until(lambda: len(told) == 2)
            assert told[1].over
            assert told[1].title.startswith("recovered: the engine's member three")
        finally:
            node.stop()


def test_a_node_that_ends_is_missed_by_the_others(fleet: Callable[..., Node]) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    until(lambda: len(one.agent.reporter.nodes.by_name) == 2)
    assert not any("edge2" in text for text in one.agent.warnings())
    two.stop()
    until(lambda: any("the node edge2 does not report" in text for text in one.agent.warnings()))


def test_a_trouble_is_not_over_because_this_node_is_cut_off(fleet: Callable[..., Node]) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    until(lambda: len(one.agent.reporter.nodes.by_name) == 2)
    watching, told = one.agent.watching, list[News]()
    two.stop()
    until(lambda: any("edge2 does not report" in text for text in one.agent.warnings()))
    one.agent.stop()
    watching._tell = told.append
    watching._known.clear()
    watching._since.clear()  # its own steps have other times
    watching._step(0.0)
    watching._step(60.0)
    known = {trouble.key for trouble in watching._known.values()}
    assert "node edge2" in known
    one.agent.member.contact.at = -1e9
    watching._step(61.0)
    assert "node edge2" in {trouble.key for trouble in watching._known.values()}
    assert not any(news.over for news in told)
