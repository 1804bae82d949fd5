# SPDX-License-Identifier: GPL-2.0-or-later
"""A filter takes the place of one with other maps: step by step, and with every refusal."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from msgspec.structs import replace as with_fields

from tests.kernel.conftest import CAPACITY, FLOWS, filter_for, parse_rules, teacher_for
from tests.support.packets import to_frame
from xdpctl.abi.constants import Filled, Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.datapath import emergency_bypass
from xdpctl.datapath.bpf import maps, programs
from xdpctl.datapath.bpf.pins import CURRENT, NEXT, Pins
from xdpctl.datapath.image import Image
from xdpctl.datapath.loader import kept_maps, netlink, other_filters, succession
from xdpctl.datapath.loader.loader import Loader
from xdpctl.datapath.loader.netlink import AttachRefused, Link
from xdpctl.datapath.loader.take_down import take_down
from xdpctl.datapath.pinned import PinnedDatapath
from xdpctl.datapath.plan import transition
from xdpctl.datapath.policers import Policer
from xdpctl.lab.namespaces import Host, Lab
from xdpctl.model.capacity import Capacity, FlowSettings

LARGER = CAPACITY._replace(rules=CAPACITY.rules + 1)
BLOCKED = to_frame("192.0.2.7")


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with two filtered interfaces, on which nothing comes that a test did not send."""
    with Lab("succession") as lab:
        host, far = lab.host("box"), lab.host("far")
        far.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        for name in ("in0", "in1"):
            lab.cable(host, name, far, f"far-{name}")
        yield host


@pytest.fixture
def loaders(pins: Pins) -> Iterator[ExitStack]:
    """Closes what a test has started."""
    with ExitStack() as ending:
        yield ending


def start(
    host: Host,
    pins: Pins,
    capacity: Capacity = CAPACITY,
    flows: FlowSettings | None = None,
    names: tuple[str, ...] = ("in0", "in1"),
) -> Loader:
    """A loader as it is after its start: it has attached its programs where it may."""
    teach = teacher_for(flows) if flows else None
    loader = Loader(pins, filter_for(capacity, flows), teach=teach, flows=flows)
    for name in names:
        loader.add_port(name, outside=flows is not None)
    host.call(loader.reconcile)
    return loader


def link(host: Host, name: str) -> Link:
    return next(link for link in host.call(netlink.links) if link.name == name)


def filters(host: Host, loader: Loader, name: str = "in0") -> bool:
    """Whether this loader's program is on the interface."""
    attached = link(host, name).program_id
    return attached == programs.info(loader.ports[name].program_fd).id


def verdict(host: Host, name: str, frame: bytes = BLOCKED) -> int:
    """What the program that is attached to an interface does with a packet."""
    program_id = link(host, name).program_id
    assert program_id
    fd = programs.open_by_id(program_id)
    try:
        return programs.run(fd, frame).value
    finally:
        os.close(fd)


def fill(loader: Loader, rules: str = "drop 192.0.2.0/24") -> None:
    """Write rules, as a control plane does, and say that this is all."""
    with closing(PinnedDatapath(loader.pins)) as datapath:
        datapath.apply(transition(Image(datapath.capacity), parse_rules(rules), 1))
    say_filled(loader)


def say_filled(loader: Loader) -> None:
    """Say that it has all rules, as a control plane does again and again while it lives."""
    with closing(PinnedDatapath(loader.pins)) as datapath:
        datapath.filled = Filled.ALL


def dropped(loader: Loader, name: str = "in0") -> int:
    with closing(PinnedDatapath(loader.pins)) as datapath:
        return datapath.counters()[name][Reason.DROPPED].packets


def failing(error: BaseException) -> Callable[..., None]:
    """An `attach` that fails for the interface in1."""
    attach = netlink.attach

    def attempt(at: Link, *more: Any, **others: Any) -> None:
        if at.name == "in1":
            raise error
        attach(at, *more, **others)

    return attempt


def names(pins: Pins) -> dict[str, str]:
    return {link: Pins(pins.directory, link).name for link in (CURRENT, NEXT)}


@pytest.mark.parametrize(
    "capacity",
    [
        LARGER,
        CAPACITY._replace(ipv4=4 * CAPACITY.ipv4),
        CAPACITY._replace(ipv4=CAPACITY.ipv4 // 4),
        CAPACITY._replace(ipv6=CAPACITY.ipv6 + 1),
    ],
    ids=["rules", "more IPv4", "less IPv4", "IPv6"],
)
def test_the_earlier_filter_is_in_force_until_the_next_one_is_filled(
    host: Host, pins: Pins, loaders: ExitStack, capacity: Capacity
) -> None:
    first = loaders.enter_context(closing(start(host, pins)))
    fill(first)
    second = loaders.enter_context(closing(start(host, pins, capacity)))
    assert names(pins) == {CURRENT: first.pins.name, NEXT: second.pins.name}
    assert filters(host, first)
    port = second.ports["in0"]
    assert (port.state, port.mode) == ("attached", "native")
    assert "by an earlier filter: the maps of this version are not filled yet" in port.detail
    assert programs.run(first.ports["in0"].program_fd, BLOCKED).value == 1
    counted = dropped(first)
    fill(second)
    host.call(second.reconcile)
    assert filters(host, second)
    assert filters(host, second, "in1")
    assert (port.state, port.detail) == ("attached", "")
    assert names(pins) == {CURRENT: second.pins.name, NEXT: ""}
    assert [left.name for left in Pins.all(pins.directory)] == [second.pins.name]
    assert programs.run(second.ports["in0"].program_fd, BLOCKED).value == 1
    assert dropped(second) == counted + 1, "the counters of an interface go on"


def test_every_step_can_be_interrupted_and_is_then_continued(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends after each step; the next one begins where it stopped."""
    first = loaders.enter_context(closing(start(host, pins)))
    fill(first)
    start(host, pins, LARGER).close()  # made
    second = start(host, pins, LARGER)
    fill(second)
    second.close()  # filled

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    for patched, name, instead in (
        (netlink, "attach", failing(KeyboardInterrupt())),  # half of the interfaces
        (succession.Succession, "_point", end),  # all of them, and the link not
        (other_filters, "remove_filter", end),  # and the link
    ):
        third = Loader(pins, filter_for(LARGER))
        third.add_port("in0")
        third.add_port("in1")
        say_filled(third)
        with monkeypatch.context() as patch:
            patch.setattr(patched, name, instead)
            with pytest.raises(KeyboardInterrupt):
                host.call(third.reconcile)
        third.close()
        for interface in ("in0", "in1"):
            assert verdict(host, interface) == 1
    last = loaders.enter_context(closing(start(host, pins, LARGER)))
    assert filters(host, last)
    assert filters(host, last, "in1")
    assert [left.name for left in Pins.all(pins.directory)] == [last.pins.name]
    assert programs.run(last.ports["in1"].program_fd, BLOCKED).value == 1


def test_if_one_interface_refuses_the_earlier_program_is_put_back_on_the_others(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = loaders.enter_context(closing(start(host, pins)))
    fill(first)
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    fill(second)
    with monkeypatch.context() as patch:
        patch.setattr(netlink, "attach", failing(AttachRefused("in1", "native", errno.ERANGE)))
        host.call(second.reconcile)
    assert filters(host, first)
    assert filters(host, first, "in1")
    assert names(pins)[CURRENT] == first.pins.name
    host.call(second.reconcile)
    assert "an interface refused its program" in second.ports["in1"].detail
    monkeypatch.setattr(second.succession, "_again_at", 0.0)
    host.call(second.reconcile)
    assert filters(host, first, "in1"), "nobody has said again that it is filled"
    say_filled(second)
    host.call(second.reconcile)
    assert filters(host, second, "in1")
    assert second.ports["in1"].detail == ""


def test_an_interface_that_is_no_longer_configured_is_no_longer_filtered(
    host: Host, pins: Pins, loaders: ExitStack
) -> None:
    fill(loaders.enter_context(closing(start(host, pins))))
    second = loaders.enter_context(closing(start(host, pins, LARGER, names=("in0",))))
    assert link(host, "in1").program_id is not None
    fill(second)
    host.call(second.reconcile)
    assert filters(host, second)
    assert link(host, "in1").program_id is None


def test_the_bypass_stays_as_it_is(host: Host, pins: Pins, loaders: ExitStack) -> None:
    first = loaders.enter_context(closing(start(host, pins)))
    fill(first)
    emergency_bypass.press_all(pins.directory, True)
    second = loaders.enter_context(closing(start(host, pins, LARGER)))
    assert not emergency_bypass.pressed(second.pins)
    fill(second)
    host.call(second.reconcile)
    assert emergency_bypass.pressed(second.pins)


def test_down_removes_both_filters(host: Host, pins: Pins) -> None:
    first = start(host, pins)
    fill(first)
    first.close()
    start(host, pins, LARGER).close()
    assert len(Pins.all(pins.directory)) == 2
    assert host.call(lambda: take_down(pins)) == ["in0", "in1"]
    assert not pins.directory.exists()


def map_ids(pins: Pins) -> dict[str, int]:
    return {name: maps.map_id_at(pins.map(name)) for name in kept_maps.MEMORIES.maps}


def teachers(host: Host) -> list[int]:
    index = link(host, "in0").index
    return host.call(lambda: programs.attached(index))


def test_limits_of_hosts_inside_stay(host: Host, pins: Pins, loaders: ExitStack) -> None:
    first = loaders.enter_context(closing(start(host, pins, flows=FLOWS)))
    fill(first)
    inside, policer = parse_prefix("10.0.3.7"), Policer(17, 10, 1 << 60)
    with closing(PinnedDatapath(first.pins)) as datapath:
        datapath.policers.put(inside, [policer])
        asked = int(datapath._control["policing"])
    second = loaders.enter_context(closing(start(host, pins, LARGER, FLOWS)))
    with closing(PinnedDatapath(second.pins)) as datapath:
        assert datapath.policers.read() == {inside: [policer]}
        assert int(datapath._control["policing"]) == asked != 0


def test_known_flows_stay_known_if_their_memory_means_the_same(
    host: Host, pins: Pins, loaders: ExitStack
) -> None:
    first = loaders.enter_context(closing(start(host, pins, flows=FLOWS)))
    fill(first)
    before = map_ids(first.pins), first._maps.control["seeds"].tolist()
    second = loaders.enter_context(closing(start(host, pins, LARGER, FLOWS)))
    assert (map_ids(second.pins), second._maps.control["seeds"].tolist()) == before
    theirs = programs.info(first.programs.teacher() or 0).id
    assert teachers(host) == [theirs], "its out sets hold until this one has them"
    assert second.ports["in0"].teaches == "an earlier filter"
    fill(second)
    host.call(second.reconcile)
    assert filters(host, second)
    assert teachers(host) == [programs.info(second.programs.teacher() or 0).id]


def test_a_memory_of_another_size_learns_before_it_takes_over(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = loaders.enter_context(closing(start(host, pins, flows=FLOWS)))
    fill(first)
    larger = with_fields(FLOWS, flows=4 * FLOWS.flows)
    second = loaders.enter_context(closing(start(host, pins, flows=larger)))
    assert not set(map_ids(second.pins).values()) & set(map_ids(first.pins).values())
    ids = {programs.info(loader.programs.teacher() or 0).id for loader in (first, second)}
    assert set(teachers(host)) == ids, "both learn what goes out"
    fill(second)
    host.call(second.reconcile)
    host.call(second.reconcile)
    assert filters(host, first)
    assert (
        "the flow memory of this version learns which flows there are" in second.ports["in0"].detail
    )
    monkeypatch.setattr(succession, "LEARN_SECONDS", 0.0)
    host.call(second.reconcile)
    assert filters(host, second)
    assert teachers(host) == [programs.info(second.programs.teacher() or 0).id]


def test_an_outside_interface_may_go_and_come_back(
    host: Host, pins: Pins, loaders: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(succession, "LEARN_SECONDS", 0.0)
    for flows in (FLOWS, None, FLOWS):
        loader = loaders.enter_context(closing(start(host, pins, flows=flows)))
        fill(loader)
        host.call(loader.reconcile)
        assert filters(host, loader)
        assert len(teachers(host)) == (flows is not None)
