# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine that lost changes: restored from a backup, or continued from a member behind."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec import Raw, structs

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd
from tests.fleet.test_engine_faults import X_ID, Y_ID, ctl
from tests.support.fakes import ask
from xdpctl.control.state.draft import Draft
from xdpctl.errors import EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.follower import POSITION
from xdpctl.fleet.agent.intake import Incoming
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.intent import VERSION, Intent, decode
from xdpctl.lab.waits import until
from xdpctl.model.shared import Unsent
from xdpctl.model.wait import Wait

Fleet = Callable[..., Node]
X, Y, Z = "203.0.113.7/32", "203.0.113.9/32", "203.0.113.11/32"


def pair(made: Callable[[str], Node]) -> tuple[Node, Node]:
    """Two nodes that both have the rule on X."""
    one, two = made("edge1"), made("edge2")
    one.add(ask(X), wait=Wait.MAJORITY)
    until(lambda: X in two.rules())
    return one, two


def saved(etcd: Etcd, folder: Path) -> Path:
    """A backup of what an engine has now."""
    backup = folder / "backup.db"
    ctl(etcd, "snapshot", "save", str(backup))
    return backup


def test_an_old_backup_neither_unblocks_nor_restores_removed_rules(
    own_etcd: Etcd, made: Callable[[str], Node], tmp_path: Path
) -> None:
    one, two = pair(made)
    backup = saved(own_etcd, tmp_path)
    one.add(ask(Y), wait=Wait.MAJORITY)
    one.remove(X_ID, wait=Wait.MAJORITY)
    until(lambda: two.rules() == {Y: "enforce drop operator"})
    own_etcd.restore(backup)
    cluster = two.controller.state.followed[POSITION].cluster

    def anew(node: Node) -> bool:
        position = node.controller.state.followed[POSITION]
        return position.cluster != cluster and not node.controller.state.unsent

    until(lambda: anew(one) and anew(two))
    assert one.rules() == two.rules() == {Y: "enforce drop operator"}
    late = made("late")
    until(lambda: late.rules() == {Y: "enforce drop operator"})


def test_changes_made_after_a_backup_survive_its_restore(
    own_etcd: Etcd,
    made: Callable[[str], Node],
    tmp_path: Path,
) -> None:
    """The restored engine has drop, and both nodes know that accept was stated later."""
    one, two = pair(made)
    backup = saved(own_etcd, tmp_path)
    for node in (one, two):
        node.clock.advance(5)
    one.add(ask(X, "accept", replace=True), wait=Wait.MAJORITY)
    accepted = {X: "enforce accept operator"}
    until(lambda: two.rules() == accepted)
    own_etcd.restore(backup)

    def restated(node: Node) -> bool:
        held = node.agent.member.engine.get(keys.intent(f"rules/{X_ID}"))
        return held is not None and b'"accept"' in (held.value or b"")

    until(lambda: restated(one))
    until(lambda: not one.controller.state.unsent and not two.controller.state.unsent)
    assert one.rules() == two.rules() == accepted


def test_changes_lost_by_a_member_that_was_behind_are_stated_again(
    own_etcd: Etcd,
    made: Callable[[str], Node],
    tmp_path: Path,
) -> None:
    """The cluster id is the same and revisions repeat; only the epoch shows the loss."""
    one, two = pair(made)
    own_etcd.kill()
    shutil.copytree(own_etcd.folder / "data", tmp_path / "behind")
    own_etcd.start()
    one.add(ask(Y), wait=Wait.MAJORITY)
    until(lambda: Y in two.rules())
    position = two.controller.state.followed[POSITION].revision
    one.stop()
    two.stop()
    own_etcd.kill()
    shutil.rmtree(own_etcd.folder / "data")
    shutil.copytree(tmp_path / "behind", own_etcd.folder / "data")
    own_etcd.start()
    third = made("third")
    third.add(ask(Z), wait=Wait.MAJORITY)
    engine = third.agent.member.engine
    while engine.put("else", b"") <= position:
        pass
    engine.put(keys.EPOCH, b"another")
    one.start()
    two.start()
    until(lambda: all(set(n.rules()) == {X, Y, Z} for n in (one, two, third)))
    assert engine.get(keys.intent(f"rules/{Y_ID}"))


def test_an_engine_of_an_earlier_epoch_is_not_used() -> None:
    with only("before") as before, only("after") as after:
        for etcd, epoch in ((before, b"1"), (after, b"2")):
            with closing(Engine([etcd.endpoint])) as writer:
                writer.put(keys.FLEET, b"f")
                writer.put(keys.EPOCH, epoch)
        with closing(Engine([after.endpoint, before.endpoint])) as engine:
            assert engine.get(keys.EPOCH)
            engine.turn_away(engine.turn)
            with pytest.raises(EngineError, match="is from before a restore"):
                engine.put("x", b"")
            assert engine.put("x", b""), "the next one is used"
            assert engine.endpoint == after.endpoint
            with pytest.raises(EngineError, match="is from before a restore"):
                engine.at(before.endpoint).get("x")


@contextmanager
def only(name: str) -> Iterator[Etcd]:
    etcd = Etcd(name=name)
    try:
        yield etcd
    finally:
        etcd.remove()


def test_after_a_restore_no_node_undoes_other_nodes_changes_or_the_policy(
    own_etcd: Etcd, made: Callable[[str], Node], tmp_path: Path
) -> None:
    one, two = made("edge1"), made("edge2")
    until(lambda: two.agent.member.applied)
    one.add(ask(X), scope="node:edge1", wait=Wait.MAJORITY)
    one.agent.state_and_wait("policy/automatic", "root", b'"first"')
    until(lambda: two.policies == ["first"])
    backup = saved(own_etcd, tmp_path)
    for node in (one, two):
        node.clock.advance(5)
    request = ask(X, "accept", replace=True)
    one.add(request, scope="node:edge1", wait=Wait.MAJORITY)
    one.agent.state_and_wait("policy/automatic", "root", b'"second"')
    until(lambda: two.policies[-1] == "second")
    until(lambda: not one.controller.state.unsent)  # otherwise it would state "second" again
    own_etcd.restore(backup)
    engine = one.agent.member.engine

    def restated() -> bool:
        held = engine.get(keys.intent(f"rules/{X_ID}"))
        return held is not None and b'"accept"' in (held.value or b"")

    until(restated)
    until(lambda: not one.controller.state.unsent and not two.controller.state.unsent)
    assert one.rules() == {X: "enforce accept operator"}
    held = engine.get(keys.intent("policy/automatic"))
    assert held is not None
    assert not decode(held.value or b"").removed
    until(lambda: two.policies[-1] == "first")


def test_a_waiting_change_that_gives_way_to_an_older_engine_is_told(fleet: Fleet) -> None:
    """An older engine comes back while a change of this node waits to be sent."""
    one = fleet("edge1")
    until(lambda: one.agent.member.applied)
    taker = one.agent.follower._taker
    key, source = f"rules/{X_ID}", ask(X)
    one.add(source, wait=Wait.MAJORITY)
    until(lambda: not one.controller.state.unsent)
    mine = Unsent("alice", 500.0, 0, "node:edge2", change=7)
    old = Intent(VERSION, "bob", "edge2", 1.0, data=Raw(b"{}"))

    def operation(draft: Draft) -> tuple[Unsent | None, dict[int, str]]:
        draft.shared[key] = structs.replace(draft.state.shared[key], revision=0)
        draft.unsent[key] = mine
        taken = taker.take(draft, [Incoming(key, 9, old)])
        after = draft.unsent.get(key)
        draft.shared.staged.clear()
        draft.unsent.staged.clear()
        return after, taken.conflicts

    after, conflicts = one.agent.member.do(operation)
    assert after is None, "it gave way, and the fleet states nothing in its place"
    assert list(conflicts) == [7], "whoever made it is told"
