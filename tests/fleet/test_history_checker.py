# SPDX-License-Identifier: GPL-2.0-or-later
"""The checker finds faults in histories, and in fleets with deliberate defects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd
from tests.fleet.jepsen.checker import check
from tests.fleet.jepsen.history import Asked, Ending, History, Outcome, load
from tests.fleet.jepsen.simulation import simulate
from xdpctl.errors import EngineError
from xdpctl.fleet.agent.intake import Incoming, Intake, Taken
from xdpctl.model.shared import Shared

X = "203.0.113.7/32"
DROP = {X: "drop operator"}


def asked(value: str, at: float, outcome: Outcome = Outcome.ENGINE, **more: Any) -> Asked:
    common: dict[str, Any] = {"node": "edge1", "key": X, "person": True, "revision": int(at * 10)}
    return Asked(value=value, began=at, ended=at + 0.01, outcome=outcome, **common | more)


def history(*writes: Asked, rules: dict[str, str] = DROP, **more: Any) -> History:
    endings = [Ending("edge1", rules), Ending("edge2", rules)]
    return History(list(writes), **{"endings": endings, **more})


def test_a_history_in_which_nothing_is_lost_passes(tmp_path: Path) -> None:
    well = history(asked("", 1), asked("drop", 2), asked("accept", 3, Outcome.REFUSED))
    well.save(tmp_path / "history.json")
    assert check(load(tmp_path / "history.json")) == []
    unsure = history(asked("accept", 1), asked("drop", 2, Outcome.UNKNOWN))
    assert check(unsure) == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (history(asked("drop", 1), rules={}), "drop was kept at revision 10"),
        (history(asked("drop", 1), asked("", 2)), "its removal was kept at revision 20"),
        (history(asked("drop", 1, Outcome.NODE), asked("accept", 2)), "accept was kept"),
        (history(rules={X: "drop fastnetmon"}), "no detector reported it"),
        (history(asked("accept", 1), asked("drop", 2, person=False),
                 rules={X: "drop fastnetmon"}), "a person asked for"),
        (history(asked("drop", 1), endings=[Ending("edge1", DROP), Ending("edge2", {})]),
         "edge1 has drop operator, and edge2 has nothing"),
        (history(asked("drop", 1), endings=[Ending("edge1", DROP, "record 3 was changed")]),
         "record 3 was changed"),
        (history(asked("drop", 1), endings=[Ending("edge1", DROP, unsent=2)]), "never sent"),
        (history(asked("drop", 1), leaked={"edge2": 4}), "4 packets of a blocked source"),
        (history(asked("drop", 1), healed_seconds=40.0), "only after 40.0 s"),
    ],
)  # fmt: skip
def test_each_broken_promise_is_found(broken: History, says: str) -> None:
    assert says in " ".join(check(broken))


def the_last_one_wins(node: Node) -> None:
    """A defect: a node's change replaces the engine's value, even if that is newer."""

    class Broken(Intake):
        def _yields(self, draft: Any, one: Incoming, unsent: Any, taken: Taken) -> bool:
            draft.unsent[one.key] = structs.replace(unsent, base=one.revision)
            draft.shared[one.key] = Shared(one.revision)
            return False

    taker: Intake = node.agent.follower._taker
    node.agent.follower._taker = Broken(taker.name, taker.groups, taker.hits)


def acknowledged_too_early(node: Node) -> None:
    """A defect: answers do not wait for the engine, and unsent changes are dropped."""
    from concurrent.futures import Future

    def at_once(change: int) -> "Future[int]":
        done: Future[int] = Future()
        done.set_result(1_000_000 + change)
        return done

    node.agent.sender.when_sent = at_once  # type: ignore[method-assign]
    node.agent.sender._send = lambda batch: node.agent.member.do(  # type: ignore[method-assign]
        lambda draft: draft.unsent.staged.update(dict.fromkeys(batch))
    )


def _changed_take(node: Node, change: Callable[[Incoming], Incoming | None]) -> None:
    taker: Intake = node.agent.follower._taker
    take = taker.take

    class Broken(Intake):
        def take(self, draft: Any, batch: Any) -> Taken:
            return take(draft, [one for each in batch if (one := change(each))])

    broken = Broken(taker.name, taker.groups, taker.hits)
    node.agent.follower._taker = broken


def removals_are_not_taken_over(node: Node) -> None:
    _changed_take(node, lambda one: None if one.intent and one.intent.removed else one)


def one_node_misses_some(node: Node) -> None:
    if node.name == "edge2":
        _changed_take(node, lambda one: None if one.revision % 5 == 0 else one)


def what_cannot_be_sent_at_once_is_forgotten(node: Node) -> None:
    sender, member = node.agent.sender, node.agent.member
    write = sender._write

    def once(swaps: Any, batch: Any) -> None:
        try:
            write(swaps, batch)
        except EngineError:
            member.do(lambda draft: draft.unsent.staged.update(dict.fromkeys(batch)))

    sender._write = once  # type: ignore[method-assign]


def the_audit_log_is_written_twice(node: Node) -> None:
    """A defect: two audit records with one number, so the chain does not verify."""
    store = node.controller.store
    write = store.write

    def doubled(changes: Any, audit: Any = (), steps: Any = ()) -> int:
        return write(changes, [*audit, *audit[:1]], steps)

    store.write = doubled  # type: ignore[method-assign]


DEFECTS = (
    the_last_one_wins,
    acknowledged_too_early,
    removals_are_not_taken_over,
    one_node_misses_some,
    what_cannot_be_sent_at_once_is_forgotten,
    the_audit_log_is_written_twice,
)


@pytest.mark.parametrize("seed", [11, 12])
def test_a_fleet_under_faults_keeps_every_promise(
    shared_etcd: Etcd, tmp_path: Path, seed: int
) -> None:
    found = simulate(tmp_path, lambda node: None, seed)
    assert len(found.asked) > 20, "too few requests for a result"
    assert check(found) == []


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_the_checker_finds_a_deliberate_defect(
    shared_etcd: Etcd, tmp_path: Path, defect: Callable[[Node], None]
) -> None:
    assert check(simulate(tmp_path, defect, 5, 5.0, patience=3.0))
