# SPDX-License-Identifier: GPL-2.0-or-later
"""Feeds spare conversations; the spared sources are measured and reported."""

from typing import Any

import pytest

from tests.support.apiclient import Api
from tests.support.packets import to_frame
from xdpctl.abi.constants import Asking, Reason
from xdpctl.traffic.classify import heads
from xdpctl.traffic.packets import read

LIST = "203.0.113.0/24\n2001:db8:9::/48\n"


@pytest.fixture
def asking(box: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A box whose sampler is never late, because the tests set the time."""
    box.datapath.flows.ports = {"wan0": Asking.ASKS}
    monkeypatch.setattr(box.context.sampler, "late", lambda now: False)
    return box


def put(box: Api, **query: str) -> dict[str, Any]:
    answer = box.call("PUT", "/v1/sets/bad", content=LIST.encode(), params=query)
    made: dict[str, Any] = answer.json()
    assert answer.status_code in (200, 201), made
    return made


def see(
    box: Api, at: float, slot: int, *sources: str, reason: Reason = Reason.KNOWN, icmp: bool = False
) -> None:
    frames = [to_frame(source) for source in sources]
    packets = read(heads(frames, reason, 10, slot))
    packets["protocol"] = (1 if icmp else 17) * (packets["family"] > 0)
    box.context.sampler.window.add(at - 1, at, packets)


def spared(box: Api) -> Any:
    return box.call("GET", "/v1/sets/bad").json()["spared"]


def test_spared_sources_are_counted_and_audited_once_an_hour(asking: Api) -> None:
    slot, watch = put(asking, spare="known")["slot"], asking.context.lists
    see(asking, -70.0, slot, "203.0.113.6")
    watch.step(0.0)
    assert spared(asking) is None, "until now its slot may have been another's"
    watch.step(6.0)
    see(asking, 7.0, slot, *["203.0.113.9"] * 4, *["2001:db8:9::1"] * 3, "203.0.113.8")
    see(asking, 7.0, slot, "203.0.113.77", reason=Reason.DROPPED)
    see(asking, 7.0, slot + 1, "203.0.113.78")
    for now in (8.0, 13.0, 3_000.0):
        watch.step(now)
    examples = ["203.0.113.9", "2001:db8:9::1"]
    assert spared(asking) == {"sources": 2, "packets": 70, "examples": examples}
    (warning,) = (w for w in asking.call("GET", "/v1/status").json()["warnings"] if "bad" in w)
    assert "the set bad lists 2 sources that are in conversation with this network" in warning

    def audited() -> list[Any]:
        records = asking.call("GET", "/v1/audit").json()["records"]
        return [each for each in records if each["action"] == "set.spares"]

    assert len(audited()) == 1
    watch.step(3_609.0)
    assert len(audited()) == 2


@pytest.mark.parametrize(
    ("icmp", "dropped"), [(True, 0), (False, 31)], ids=["errors that cite a flow", "a flood"]
)
def test_packets_that_anybody_can_forge_are_no_conversation(
    asking: Api, icmp: bool, dropped: int
) -> None:
    slot, watch = put(asking, spare="known")["slot"], asking.context.lists
    watch.step(0.0)
    see(asking, 5.0, slot, *["203.0.113.9"] * 3, icmp=icmp)
    for _ in range(dropped):
        see(asking, 5.0, slot, "203.0.113.9", reason=Reason.DROPPED)
    watch.step(6.0)
    assert spared(asking)["sources"] == 0


def test_without_observed_packets_nothing_is_measured(
    asking: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking.context.sampler, "late", lambda now: True)
    watch = asking.context.lists
    put(asking, spare="known")
    watch.step(0.0)
    watch.step(6.0)
    assert spared(asking) is None


@pytest.mark.parametrize(
    "query",
    [{}, {"spare": "known", "mode": "monitor"}, {"spare": "known", "action": "accept"}],
    ids=["spares nobody", "monitor mode", "accepts"],
)
def test_sets_that_cannot_be_measured_have_no_figures(asking: Api, query: dict[str, str]) -> None:
    slot = put(asking, **query)["slot"]
    asking.context.lists.step(0.0)
    see(asking, 1.0, slot, "203.0.113.9")
    asking.context.lists.step(6.0)
    assert spared(asking) is None


def test_without_the_flow_memory_nothing_is_measured(box: Api) -> None:
    put(box, spare="known")
    for now in (1.0, 6.0):
        box.context.lists.step(now)
    assert spared(box) is None
