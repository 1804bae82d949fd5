# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets in pieces: whole ones, changes of some entries, and what does not fit together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.fleet.boxes import Node
from tests.support.fakes import ROOT
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.control.operations import sets
from xdpctl.control.operations.sets import SetRequest
from xdpctl.fleet import keys, shards
from xdpctl.fleet.engine.values import Held
from xdpctl.fleet.shards import SetDamaged
from xdpctl.lab.waits import until
from xdpctl.model.effect import Action
from xdpctl.model.source_set import NOTHING, Entries, count

Fleet = Callable[..., Node]


def entries(*addresses: int) -> Entries:
    four = FAMILIES[4].pack4(np.array(sorted(addresses), np.uint64), 32)
    return {4: four, 6: NOTHING[6]}


def put(node: Node, name: str, listed: Entries, **more: Any) -> None:
    request = SetRequest(name=name, entries=listed, force=True, **more)
    change = node.controller.change_by(ROOT)
    node.controller.submit(lambda d: sets.put(d, request, ROOT), change).result()


def size(node: Node, name: str) -> int:
    return count(node.controller.state.entries.get(name, NOTHING))


def test_a_large_set_is_sent_in_pieces_and_reassembled() -> None:
    listed = entries(*range(1 << 24, (1 << 24) + 150_000))
    manifest, pieces = shards.whole(b"{}", listed)
    assert len(manifest.base) == len(pieces) > 1
    assert max(map(len, pieces.values())) < 400_000
    found = shards.assembled(manifest, pieces)
    assert (found[4] == listed[4]).all()


def test_a_change_of_some_entries_sends_only_those() -> None:
    before = entries(*range(1 << 24, (1 << 24) + 100_000))
    after = entries(*range((1 << 24) + 500, (1 << 24) + 100_500))
    manifest, pieces = shards.whole(b"{}", before)
    changed, more = shards.changed(b"{}", manifest, before, after)
    assert changed.base == manifest.base
    assert sum(map(len, more.values())) < 6_000
    assert (shards.assembled(changed, pieces | more)[4] == after[4]).all()
    advanced = shards.advanced(changed, manifest, before, more)
    assert advanced is not None
    assert (advanced[4] == after[4]).all()


@pytest.mark.parametrize("family", [4, 6])
def test_most_pieces_of_a_set_outlive_a_change(family: int) -> None:
    rng = np.random.default_rng(5)
    if family == 4:
        keys = np.unique(rng.integers(1 << 24, 1 << 32, 400_000, dtype="u8")) << np.uint64(6)
        keys |= np.uint64(32)
    else:
        raw = rng.integers(0, 256, (120_000, 17), dtype="u1")
        raw[:, 0], raw[:, 16] = 0x20, 64
        raw[:, 8:16] = 0
        keys = np.unique(raw.view("S17")[:, 0])
    before = {**NOTHING, family: keys}
    after = {**NOTHING, family: np.concatenate([keys[:10], keys[len(keys) // 4 :]])}
    (one, pieces), (two, more) = (shards.whole(b"{}", each) for each in (before, after))
    assert len(one.base) >= 8
    assert max(map(len, pieces.values())) < 1_000_000
    known = set(one.base) & set(two.base)
    assert len(known) >= 0.6 * len(two.base), "a quarter was removed, at the beginning"
    assert (shards.assembled(two, more)[family] == after[family]).all()


def test_a_node_reads_only_the_pieces_that_it_lacks(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_PIECE", {4: 100, 6: 100})
    one, two = fleet("edge1"), fleet("edge2")
    rng = np.random.default_rng(6)
    keys4 = np.unique(rng.integers(1 << 24, 1 << 32, 3_500, dtype="u8")) << np.uint64(6)
    keys4 |= np.uint64(32)
    put(one, "list", {4: keys4, 6: NOTHING[6]})
    until(lambda: size(two, "list") == len(keys4))
    two.stop()
    two.start()
    until(lambda: two.agent.member.applied)
    read, get = list[str](), two.agent.member.engine.get

    def counted(key: str) -> Held | None:
        read.append(key)
        return get(key)

    two.agent.member.engine.get = counted  # type: ignore[method-assign]
    left = keys4[len(keys4) // 3 :]  # too much for a delta
    put(one, "list", {4: left, 6: NOTHING[6]})
    until(lambda: size(two, "list") == len(left))
    pieces = len(shards.whole(b"{}", {4: left, 6: NOTHING[6]})[0].base)
    assert pieces >= 6
    assert sum(key.startswith(keys.BLOBS) for key in read) <= 2


def test_a_list_cannot_be_chosen_to_have_many_pieces() -> None:
    """Keys at which a piece would always end still make large pieces."""
    every = np.arange(1 << 24, (1 << 24) + 6_000_000, dtype="u8") << np.uint64(6) | np.uint64(32)
    ends = every[shards._mixed(4, every) % np.uint64(shards._PIECE[4]) == 0]
    listed = {**NOTHING, 4: ends}
    assert len(ends) > 100
    assert len(shards.whole(b"{}", listed)[0].base) == 1


def test_after_many_changes_the_whole_set_is_written_anew() -> None:
    listed = entries(*range(1 << 24, (1 << 24) + 1_000))
    manifest, pieces = shards.whole(b"{}", listed)
    for number in range(20):
        after = entries(*range((1 << 24) + number + 1, (1 << 24) + number + 1_001))
        manifest, more = shards.changed(b"{}", manifest, listed, after)
        pieces, listed = pieces | more, after
        assert len(manifest.deltas) <= 8
    assert (shards.assembled(manifest, pieces)[4] == listed[4]).all()


def test_missing_damaged_and_foreign_pieces_are_refused() -> None:
    manifest, pieces = shards.whole(b"{}", entries(1 << 24, 2 << 24))
    (name,) = manifest.base
    for broken in ({}, {name: pieces[name][:-1]}, {name: b"x"}):
        with pytest.raises(SetDamaged, match="missing or damaged"):
            shards.assembled(manifest, broken)
    other, more = shards.whole(b"{}", entries(3 << 24))
    mixed = shards.Manifest(manifest.record, other.base, (), 1, manifest.digest)
    with pytest.raises(SetDamaged, match="do not match its manifest"):
        shards.assembled(mixed, more)
    with pytest.raises(SetDamaged, match="cannot be read"):
        shards.decode(b'{"record": 1, "base": 2}')


def test_a_set_is_added_changed_and_removed_on_all_nodes(fleet: Fleet) -> None:
    one, two = fleet("edge1"), fleet("edge2")
    put(one, "list", entries(*range(1 << 24, (1 << 24) + 2_000)), action=Action.DROP)
    until(lambda: size(two, "list") == 2_000)
    put(two, "list", entries(*range((1 << 24) + 5, (1 << 24) + 2_010)))
    until(lambda: size(one, "list") == 2_005)
    prefix = keys.of_node(keys.BLOBS, "list")
    until(lambda: len(one.agent.member.engine.snapshot(prefix).held) == 2)  # base, and a delta
    change = one.controller.change_by(ROOT)
    one.controller.submit(lambda d: sets.remove(d, "list", ROOT, None, {}), change).result()
    until(lambda: "list" not in two.controller.state.sets)
    until(lambda: not one.agent.member.engine.snapshot(prefix).held)


def test_a_node_that_comes_later_gets_the_set(fleet: Fleet) -> None:
    one = fleet("edge1")
    put(one, "list", entries(*range(1 << 24, (1 << 24) + 500)), action=Action.ACCEPT)
    put(one, "list", entries(*range(1 << 24, (1 << 24) + 505)))
    until(lambda: not one.controller.state.unsent)
    late = fleet("late")
    until(lambda: size(late, "list") == 505)
    assert late.controller.state.sets["list"].action is Action.ACCEPT


def test_a_node_without_room_for_a_set_says_so(fleet: Fleet) -> None:
    one, small = fleet("edge1"), fleet("small")
    small.datapath.fail_after, small.datapath.stays_broken = 0, True
    put(one, "list", entries(*range(1 << 24, (1 << 24) + 500)), action=Action.DROP)
    until(lambda: "sets/list" in small.agent.member.refused)
    assert "the kernel refused" in small.agent.member.refused["sets/list"]

    def refusals() -> int:
        seen = one.agent.reporter.nodes.by_name.get("small")
        return seen.report.refusals if seen and seen.report else 0

    until(lambda: refusals() == 1)
