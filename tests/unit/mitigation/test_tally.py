# SPDX-License-Identifier: GPL-2.0-or-later
"""Which flows on trial count as people."""

from collections.abc import Iterable
from typing import Any

import pytest

from xdpctl.abi.constants import Chosen
from xdpctl.datapath.trials import Tried
from xdpctl.mitigation.tally import Tally
from xdpctl.model.collateral import Collateral

TCP, UDP, LATER = 6, 17, 4_000_000_000  # ns: there was time to take part


def flows(
    numbers: Iterable[int], known: bool = False, protocol: int = TCP, **more: Any
) -> list[Tried]:
    fields: dict[str, Any] = {"trial": 1, "since_ns": 0, "packets": 1, "chosen": Chosen.BY_SHARE}
    fields |= {"protocol": protocol, "known": known, **more}
    return [Tried(hash=n, source=more.get("source", n), **_but(fields, "source")) for n in numbers]


def _but(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def counted(tried: list[Tried], now_ns: int = LATER) -> Collateral:
    tally = Tally()
    tally.add(tried)
    tally.settle(now_ns)
    return tally.found(len(tried), 25.0)


def test_flows_that_the_inside_answers_count_as_people() -> None:
    found = counted([*flows(range(4), known=True), *flows(range(100, 116))])
    assert (found.people, found.sources, found.share, found.hurts) == (4, 20, 0.2, True)


def test_flows_without_time_to_be_answered_do_not_count() -> None:
    """People are recognised sooner than bots, so waiting flows must not raise their share."""
    new = flows(range(100, 1_000), since_ns=LATER)
    found = counted([*flows(range(3), known=True), *new])
    assert (found.people, found.sources, found.hurts) == (3, 3, False)


def test_a_counted_flow_is_never_looked_up_again() -> None:
    """The flow memory has false positives, so each flow is looked up only once."""
    tally = Tally()
    for now, known in ((LATER, False), (2 * LATER, True), (900 * LATER, True)):
        tally.add(flows(range(3), known=known))
        tally.settle(now)
    assert (tally.found(0, 25.0).people, tally.found(0, 25.0).sources) == (0, 3)


def test_a_bot_with_many_connections_counts_as_one_source() -> None:
    found = counted([*flows(range(400), known=True, source=7), *flows(range(1_000, 1_100))])
    assert (found.people, found.sources, found.hurts) == (1, 101, False)


def test_two_people_are_too_few_to_soften_a_rule() -> None:
    assert not counted(flows(range(2), known=True)).hurts
    assert counted(flows(range(3), known=True)).hurts


def test_flows_of_a_flood_do_not_count_as_people() -> None:
    found = counted(flows(range(600)))
    assert (found.people, found.hurts) == (0, False)
    assert found.high < 0.02


def test_an_answered_udp_flow_proves_nothing() -> None:
    found = counted(flows(range(50), known=True, protocol=UDP))
    assert (found.sources, found.hurts) == (0, False)


def test_returning_sources_are_not_part_of_the_sample() -> None:
    found = counted(flows(range(50), known=True, chosen=Chosen.AGAIN))
    assert (found.sources, found.again) == (0, 50)


def returned(served: int, others: int = 0, protocol: int = TCP) -> Tally:
    tally = Tally()
    tally.add(flows(range(served), known=True, chosen=Chosen.AGAIN, protocol=protocol))
    tally.add(flows(range(1_000, 1_000 + others), chosen=Chosen.AGAIN, protocol=protocol))
    tally.settle(LATER)
    return tally


def test_served_returning_sources_count_as_a_share_of_all_hits() -> None:
    tally = returned(50)
    found = tally.found(0, 25.0, hits=2_000)
    assert (found.people, found.low, found.hurts) == (0, 0.025, True)
    assert not tally.found(0, 25.0, hits=10_000).hurts, "half of a hundredth"
    assert not tally.found(0, 25.0, false_pass=0.02, hits=2_000).hurts
    assert not tally.found(0, 25.0).hurts, "how much is hit is not known"
    tally.settle(3 * LATER)
    assert not tally.found(0, 25.0, hits=2_000).hurts, "it is long ago"


@pytest.mark.parametrize(
    "tally",
    [returned(9), returned(0, 50), returned(50, protocol=UDP)],
    ids=["too few", "nobody takes part", "an answer to UDP proves nothing"],
)
def test_too_few_returning_sources_soften_nothing(tally: Tally) -> None:
    assert not tally.found(0, 25.0, hits=200).hurts


def test_a_bot_that_returns_again_and_again_counts_once() -> None:
    tally = Tally()
    tally.add(flows(range(50), known=True, chosen=Chosen.AGAIN, source=7))
    tally.settle(LATER)
    assert not tally.found(0, 25.0, hits=200).hurts


def test_the_share_of_served_returning_sources_is_known() -> None:
    assert returned(30, 10).served(LATER) == 0.75
    assert returned(0, 10).served(LATER) == 0.0
    tally = returned(30)
    tally.add(flows(range(2_000, 2_030), chosen=Chosen.AGAIN, since_ns=LATER))
    tally.settle(LATER + 100_000_000)
    assert tally.served(LATER + 100_000_000) == 1.0, "they have just come"
    assert tally.served(LATER + 600_000_000) == 0.5, "people would be known by now"


def test_a_flood_that_repeats_its_flows_is_reported() -> None:
    tally = Tally()
    tally.add(flows(range(80), chosen=Chosen.AGAIN, since_ns=LATER))
    tally.settle(LATER + 1)
    assert tally.found(80, 25.0).repeats
    assert "newcomers may be lost among them" in str(tally.found(80, 25.0))
    assert not tally.found(80, 100.0).repeats
    tally.settle(2 * LATER)
    assert not tally.found(80, 25.0).repeats


def test_a_flow_memory_with_many_false_passes_softens_nothing() -> None:
    tally = Tally()
    tally.add([*flows(range(8), known=True), *flows(range(100, 192))])
    tally.settle(LATER)
    assert tally.found(0, 25.0).hurts
    assert not tally.found(0, 25.0, false_pass=0.1).hurts
