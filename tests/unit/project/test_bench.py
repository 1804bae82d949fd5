# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of the benchmark: sources, bars, the page's tables, the plots."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import cases, sources
from bench.growth import steps
from bench.report import page, plots
from bench.report.results import Bar, Case, Results
from bench.report.taken import Taken
from tests.paths import ROOT
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import Keys, within

COUNT = 997
PAGE = ROOT / "docs" / "results" / "performance.md"
LISTS: dict[str, Callable[[], Keys]] = {
    "addresses": lambda: sources.exact(4001),
    "prefixes": lambda: sources.mixed(4001),
    "IPv6 addresses": lambda: sources.exact6(4001),
    "IPv6 prefixes": lambda: sources.mixed6(4001),
}


@pytest.fixture(params=LISTS)
def keys(request: pytest.FixtureRequest) -> Keys:
    return LISTS[request.param]()


def covers(keys: Keys, address: Prefix) -> bool:
    return any(prefix.covers(address) for prefix in sources.family_of(keys).prefixes(keys))


def singles(addresses: Keys) -> list[Prefix]:
    assert len(addresses) == COUNT
    found = sources.family_of(addresses).prefixes(addresses[:17])
    assert all(prefix.exact for prefix in found)
    return found


def beside(keys: Keys, addresses: Keys) -> np.ndarray:
    """Which addresses have something listed in their unit of the front."""
    family = sources.family_of(keys)
    length = {4: 24, 6: 32}[family.number]
    narrow = keys[family.lengths(keys) >= length]
    return within(np.unique(family.widened(narrow, length)), family.widened(addresses, length))


def test_a_generated_list_has_each_prefix_once(keys: Keys) -> None:
    family = sources.family_of(keys)
    assert len(np.unique(keys)) == len(keys) >= 3990
    for length in np.unique(family.lengths(keys)).tolist():
        of_length = keys[family.lengths(keys) == length]
        assert (family.widened(of_length, length) == of_length).all()


def test_listed_sources_are_listed_and_unlisted_ones_are_not(keys: Keys) -> None:
    assert all(covers(keys, address) for address in singles(sources.listed(keys, COUNT)))
    for spread in (sources.unlisted, sources.far, sources.near):
        assert not any(covers(keys, address) for address in singles(spread(keys, COUNT)))


def test_near_sources_share_a_unit_with_a_listed_prefix_and_far_ones_do_not(keys: Keys) -> None:
    assert beside(keys, sources.near(keys, COUNT)).all()
    assert not beside(keys, sources.far(keys, COUNT)).any()


def test_packets_come_from_every_entry_if_there_are_enough() -> None:
    keys = sources.exact(101)
    assert set(sources.listed(keys, 1009).tolist()) == set(keys.tolist())


def test_smaller_lists_are_the_beginnings_of_larger_ones() -> None:
    assert (sources.exact(1009)[:101] == sources.exact(101)).all()


def test_addresses_are_packed_as_packets_carry_them() -> None:
    keys = sources.exact(3)
    whole = b"".join(prefix.address for prefix in sources.family_of(keys).prefixes(keys))
    assert sources.packed(keys) == whole


def results() -> Results:
    made = Results()
    made.declare(Case("packet", cases.BARE, "ns", rounds=[20.0, 22.0, 30.0]))
    bars = (Bar(30, over=True), Bar(40), Bar(case="xdp-filter, 1 address, drop, fixed"))
    rounds = [50.0, 53.0, 59.0]
    made.declare(Case("packet", "1 address, drop, fixed", "ns", cases.BARE, bars, rounds))
    return made


def test_a_bar_is_compared_with_the_median_or_the_excess_over_the_floor() -> None:
    made = results()
    (missed,) = made.missed()
    assert missed[1] == Bar(40), "53 over all, 30 over the floor; the peer was not there"
    peer = Case("packet", "xdp-filter, 1 address, drop, fixed", "ns", cases.BARE, (), [52.0] * 3)
    made.declare(peer)
    assert [bar.value for _, bar in made.missed()] == [40, None]


def test_a_bar_may_be_a_lower_limit() -> None:
    made = Results()
    made.declare(Case("veth", "a", "Mpps", bars=(Bar(2, at_least=True),), rounds=[2.0, 2.1, 1.0]))
    made.declare(Case("veth", "b", "Mpps", bars=(Bar(2, at_least=True),), rounds=[1.9]))
    assert [case.name for case, _ in made.missed()] == ["b"]


def taken() -> Taken:
    machine = {
        **{"date": "2026-11-25T00:00:00", "cpu": "a CPU", "cores": 2, "caches": "L1 32K"},
        **{"kernel": "6.1", "spectre_v2": "none", "peers": "nft 1", "load_before": 0.1},
        "seconds": 600,
    }
    return Taken({"machine": machine, "notes": ["a note"], "cases": results().document()})


def test_the_page_gets_every_block_and_keeps_handwritten_text() -> None:
    text = PAGE.read_text()
    assert set(re.findall(r"<!-- bench: (\w+) -->", text)) == set(page.BLOCKS)
    written = page.filled(text, taken())
    assert "| 1 address | +30 |" in written
    assert "| packet | 1 address, drop, fixed | 53.0 ns | ≤ 40 | **missed** |" in written
    assert page.filled(written, taken()) == written

    def by_hand(page: str) -> str:
        return re.sub(r"(<!-- bench: \w+ -->).*?(<!-- end -->)", r"\1\2", page, flags=re.DOTALL)

    assert by_hand(written) == by_hand(text)


def test_pictures_are_the_same_for_the_same_figures_and_have_no_date(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        plots.draw(taken(), tmp_path / folder)
    for name in plots.PLOTS:
        drawn = (tmp_path / "a" / f"{name}.svg").read_text()
        assert drawn == (tmp_path / "b" / f"{name}.svg").read_text()
        assert "<text" in drawn
        assert "date" not in drawn.lower()


@pytest.mark.parametrize("name", plots.PLOTS)
def test_the_page_shows_every_picture(name: str) -> None:
    assert f"(img/{name}.svg)" in PAGE.read_text()


@pytest.mark.parametrize("name", steps.STEPS)
def test_the_programs_of_steps_can_still_be_made(tmp_path: Path, name: str) -> None:
    shutil.copytree(ROOT / "bpf", tmp_path / "bpf")
    steps.changed(tmp_path / "bpf", steps.STEPS[name])
    for change in steps.STEPS[name]:
        assert change.code in (tmp_path / "bpf" / change.file).read_text()
