# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes that others make to the tables are repaired, and losses are reported."""

import shutil
from pathlib import Path

import pytest

from tests.support.fakes import FakeClock, FakeDatapath, ask, controller, place, protect, upkeep
from tests.support.packets import address
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.model import sides
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.sides import Outside


@pytest.mark.parametrize("what", ["front", "near", "single", "whole"])
@pytest.mark.parametrize(
    "source", ["203.0.113.7", "203.0.113.0/24", "2001:db8::/48", "2001:db8::7"]
)
def test_the_filters_in_front_of_the_cells_are_repaired(
    tmp_path: Path, what: str, source: str
) -> None:
    datapath, clock = FakeDatapath(), FakeClock()
    prefix = parse_prefix(source)
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask(source))
        place(control, ask("0.0.0.0/0" if prefix.family == 4 else "::/0", force=True))
        table = datapath.source.tables[prefix.family]
        held = getattr(table.filters, what, None) if what != "whole" else table._whole
        if held is None or not held.any():
            pytest.skip("nothing stands there for this one")
        held[:] = 0
        for _ in range(4):
            upkeep(control, clock)
        assert datapath.decide(prefix.address, clock.ns) is Reason.DROPPED
        assert datapath.decide(address("9.9.9.9" if prefix.family == 4 else "9::9"), clock.ns)
        assert table._whole[0]
        repaired = b"".join(control.store.audit(0, 5000)).count(b"kernel.repair")
        assert repaired >= 1


def test_cleared_sides_are_repaired(tmp_path: Path) -> None:
    datapath, clock = FakeDatapath(), FakeClock()
    wanted = sides.known(protect({"198.51.100.0/24": CONFIGURED}), Outside(), [], [])
    with controller(tmp_path, datapath, clock) as control:
        control.set_sides(wanted).result()
        assert datapath.sides.held() == wanted
        datapath.sides._units[4][:] = 0
        datapath.sides._tries[4].delete(next(iter(k for k, _ in datapath.sides._tries[4].items())))
        for _ in range(4):
            upkeep(control, clock)
        assert datapath.sides.held() == wanted
        assert datapath.sides._units[4].any()


def test_a_store_that_lost_its_last_changes_is_reported(tmp_path: Path) -> None:
    datapath, clock = FakeDatapath(), FakeClock()
    earlier, later = tmp_path / "earlier", tmp_path / "later"
    earlier.mkdir()
    with controller(earlier, datapath, clock) as control:
        place(control, ask("203.0.113.7"))
    shutil.copytree(earlier, later)
    with controller(later, datapath, clock) as control:
        place(control, ask("203.0.113.8"))
        assert b"store.behind" not in b"".join(control.store.audit(0, 5000))
    with controller(earlier, datapath, clock) as control:
        assert b"store.behind" in b"".join(control.store.audit(0, 5000))
