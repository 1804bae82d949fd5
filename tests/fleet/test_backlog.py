# SPDX-License-Identifier: GPL-2.0-or-later
"""The order in which changes are taken over: small ones before imports, and nothing twice."""

import random
from collections.abc import Iterator

import pytest

from tests.fleet.boxes import Node
from tests.support.fakes import ROOT, ask
from xdpctl.control.operations import rules
from xdpctl.fleet import keys
from xdpctl.fleet.agent.backlog import Backlog
from xdpctl.fleet.engine.values import Batch, Held
from xdpctl.fleet.node import Report
from xdpctl.lab.waits import until
from xdpctl.model.wait import Wait


def kv(name: str, revision: int, value: bytes | None = b"x") -> Held:
    return Held(keys.intent(f"rules/{name}"), value, revision)


def large(revision: int) -> list[Held]:
    return [kv(f"{revision}-{number}", revision) for number in range(600)]


def taken(backlog: Backlog) -> list[tuple[list[int], int]]:
    """All pieces: the revisions of their changes, and the revision that is reached with each."""
    found = []
    while len(backlog):
        piece = backlog.take()
        found.append((sorted({change.revision for change in piece.changes}), piece.revision))
    return found


def iter_pieces(backlog: Backlog) -> Iterator[list[Held]]:
    while len(backlog):
        yield backlog.take().changes


def test_a_small_change_overtakes_an_import() -> None:
    backlog = Backlog(4)
    changes = [*large(5), *large(6), *large(7), kv("one", 8)]
    backlog.add(Batch(changes, 8, True))
    assert taken(backlog) == [([8], 4), ([5, 6], 6), ([7], 8)]


def test_imports_go_on_while_small_changes_keep_coming() -> None:
    backlog = Backlog(4)
    backlog.add(Batch([*large(5), *large(6)], 6, True))
    for revision in range(7, 1_507):
        backlog.add(Batch([kv(str(revision), revision)], revision, True))
    firsts = [revisions[0] for revisions, _ in taken(backlog)]
    assert firsts[:2] == [7, 5]


def test_the_end_of_a_key_sets_and_rules_of_detectors_keep_their_places() -> None:
    backlog = Backlog(4)
    ends, listed = kv("old", 6, None), Held(keys.intent("sets/list"), b"x", 7)
    found = Held(keys.found("edge2", "rules/7"), b"x", 8)
    backlog.add(Batch([*large(5), ends, listed, found], 8, True))
    assert taken(backlog) == [([5, 6, 7, 8], 8)]


def test_an_end_is_never_taken_before_what_it_ends() -> None:
    backlog = Backlog(4)
    changes = [kv(str(revision), revision) for revision in range(5, 905)]
    backlog.add(Batch([*changes, kv("700", 905, None), *large(906)], 906, True))
    order = [change.revision for revisions in iter_pieces(backlog) for change in revisions]
    assert order.index(700) < order.index(905)


def test_a_transaction_in_fragments_is_judged_as_a_whole() -> None:
    backlog = Backlog(4)
    backlog.add(Batch([kv("a", 5)], 5, False))
    assert not len(backlog)
    assert backlog.take() == ([], 4), "nothing is reached by a part of a transaction"
    backlog.add(Batch(large(5), 5, True))
    assert taken(backlog) == [([5], 5)]


@pytest.mark.parametrize("seed", range(20))
def test_the_reached_revision_never_leaves_a_change_behind(seed: int) -> None:
    """Puts and ends of some keys, small and large, also in fragments."""
    rng, backlog, reached, revision = random.Random(seed), Backlog(1), 1, 1
    for _ in range(200):
        revision += rng.randint(1, 3)
        number = rng.choice((1, 2, 30, 900))
        changes = [
            kv(f"{n}", revision, None if rng.random() < 0.3 else b"x") for n in range(number)
        ]
        half = rng.randrange(number)
        if half and rng.random() < 0.3:
            backlog.add(Batch(changes[:half], revision, False))
            assert backlog.take().revision <= max(reached, revision - 1)
            changes = changes[half:]
        backlog.add(Batch(changes, revision, True))
        while len(backlog) > rng.randint(0, 5_000):
            piece = backlog.take()
            waiting = {kv.revision for kv in (*backlog._urgent, *backlog._bulk)}
            assert piece.revision >= reached
            assert all(open_revision > piece.revision for open_revision in waiting)
            reached = piece.revision
    while len(backlog):
        reached = backlog.take().revision
    assert reached == revision


def test_a_report_has_what_was_taken_over_ahead() -> None:
    report = Report(1.0, applied=5, ahead=(9,))
    alone = [report.has(revision, alone=True) for revision in (0, 5, 6, 9)]
    assert alone == [False, True, False, True]
    assert not report.has(9), "a part of a change that has several is not enough"


def test_a_block_does_not_wait_for_an_import(fleet: object) -> None:
    one: Node = fleet("edge1", capacity=20_000)  # type: ignore[operator]
    two: Node = fleet("edge2", capacity=20_000)  # type: ignore[operator]
    until(lambda: len(one.agent.reporter.nodes.by_name) == 2)
    change = one.controller.change_by(ROOT)

    def imported(draft: object) -> None:
        for number in range(8_000):
            rules.add(draft, ask(f"10.{number // 200}.{number % 200}.1/32"), ROOT)  # type: ignore[arg-type]

    one.controller.submit(imported, change, "").result()
    where = one.add(ask("203.0.113.7/32"), wait=Wait.ALL)
    assert str(where) == "2 of 2"
    assert "203.0.113.7/32" in two.rules()
    until(lambda: not one.controller.state.unsent and len(two.rules()) == 8_001)
    revisions = [shared.revision for shared in list(two.controller.state.shared.values())]
    assert where.revision < max(revisions), "the import went on after it"
