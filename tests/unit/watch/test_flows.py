# SPDX-License-Identifier: GPL-2.0-or-later
"""The flow memory is monitored: it must see both directions and be large enough."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.fakes import (
    NO_FIGURES,
    FakeClock,
    FakeDatapath,
    FakeHeads,
    FakeServed,
    controller,
)
from tests.unit.traffic.test_symmetry import CARD, packets
from xdpctl.abi.constants import Asking, FlowState, MemoryNumber
from xdpctl.control.controller import Controller
from xdpctl.control.store.audit_search import Wanted, newest
from xdpctl.traffic.sampler import Sampler
from xdpctl.watch.flows import FlowWatch

TOGETHER = {"eth0": {"teaches_not": ""}}


class Watched:
    """A monitor whose window and figures a test sets."""

    def __init__(self, control: Controller, datapath: FakeDatapath) -> None:
        self.control, self.flows = control, datapath.flows
        self.sampler = Sampler(FakeHeads(), FakeServed())
        self.ports: dict[str, Any] = {}
        self.watch = FlowWatch(control, self.sampler, lambda: self.ports, lambda _: CARD)
        self.at = 0.0

    def warnings(self, **ports: Any) -> list[str]:
        """The warnings with these interfaces."""
        self.ports = ports
        return self.watch.warnings()

    def see(self, flow: FlowState, steps: int = 6) -> None:
        for _ in range(steps):
            self.at += 10.0
            self.sampler.window.add(self.at - 10.0, self.at, packets(80, flow, weight=10))
            self.watch.step()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    datapath = FakeDatapath()
    datapath.flows.ports = {"eth0": Asking.ASKS, "eth1": Asking.ASKS_NOT}
    with controller(tmp_path, datapath, FakeClock()) as control:
        yield Watched(control, datapath)


def test_asymmetric_routing_switches_the_flow_memory_off_and_on_again(watched: Watched) -> None:
    watched.see(FlowState.UNKNOWN)
    assert watched.flows.ports["eth0"] is Asking.ASKS_NOT_ASYMMETRIC
    (said,) = watched.warnings(**TOGETHER)
    assert "only 0% of the TCP packets that come in on eth0" in said
    watched.control.submit(lambda draft: None).result()
    (record,) = newest(watched.control.store, Wanted(action="flows.asymmetric"), 9)
    assert record["subject"] == "eth0"
    watched.see(FlowState.KNOWN, 12)
    assert watched.flows.ports == {**watched.flows.ports, "eth0": Asking.ASKS}
    assert watched.warnings(**TOGETHER) == []


def test_without_an_outside_interface_nothing_is_checked(watched: Watched) -> None:
    watched.flows.ports = {"eth1": Asking.ASKS_NOT}
    watched.see(FlowState.UNKNOWN)
    assert watched.flows.ports == {"eth1": Asking.ASKS_NOT}


def test_a_flow_memory_that_is_too_small_is_reported_with_the_needed_size(watched: Watched) -> None:
    figures = replace(NO_FIGURES, full=1_000_000, age=1800.0, begun_ns=10**9)
    watched.flows.of[MemoryNumber.FLOWS] = figures
    watched.watch.step()
    ended = replace(figures, early=1, rotations=1, begun_ns=10**9 + 400 * 10**9)
    watched.flows.of[MemoryNumber.FLOWS] = ended
    watched.watch.step()
    assert watched.warnings() == [
        "the flow memory was full before its age, so flows are forgotten early: set "
        "flow_memory.flows to 4,500,000"
    ]


def test_a_host_that_opens_too_many_flows_is_named(watched: Watched) -> None:
    watched.watch.step()
    watched.flows.of[MemoryNumber.FLOWS] = replace(NO_FIGURES, refused=77, refused_of="10.1.2.3")
    watched.watch.step()
    (said,) = watched.warnings()
    assert said.startswith("10.1.2.3 opens more new flows than flow_memory.new_per_source allows")
    watched.watch.step()
    assert watched.warnings() == []


def test_an_interface_that_does_not_teach_is_reported_with_the_reason(watched: Watched) -> None:
    (said,) = watched.warnings(**{"eth0": {"teaches_not": "the kernel refused it: no"}})
    assert (
        "what goes out of eth0 does not teach the flow memory (the kernel refused it: no)" in said
    )


def test_an_incident_does_not_count_as_quiet_time(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Open:
        open = True

    monkeypatch.setitem(watched.control.state.incidents, "1", Open())
    watched.see(FlowState.UNKNOWN, 12)
    assert watched.flows.ports["eth0"] is Asking.ASKS
    assert np.array_equal(watched.sampler.window.last(1.0).packets["flow"], [1] * 80)
